use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;

use super::access::Admitted;
use super::change_namespaces::EVERYWHERE;
use super::read::{self, Fetched};
use super::seen_namespaces::Told;
use super::{Action, ObjectKey, Repository};
use crate::cluster::{Query, Search, SearchIn};
use crate::document::{Namespace, NamespaceKind, RawId, StoredDocument};
use crate::registry::TypeDefinition;
use crate::{Error, ErrorKind, Result};

/// Steps from an object that was asked for to the farthest one that it refers to.
const MAX_DEPTH: usize = 20;
/// Objects that one answer has.
const MAX_OBJECTS: usize = 10_000;
/// Ids that one search looks for.
const IDS: usize = 1_000;

/// Objects, and all that they refer to, directly and by others.
#[derive(Debug, Clone)]
pub struct CollectReferences {
    roots: Vec<ObjectKey>,
    shareable: bool,
}

/// An object that was collected.
#[derive(Debug)]
pub struct CollectedObject {
    /// The type's name.
    pub type_name: String,
    /// The object's id.
    pub id: String,
    /// What there is to say of it.
    pub state: CollectedState,
    /// What refers to it, of all that was collected.
    pub inbound: Vec<InboundReference>,
}

/// What there is to say of a collected object.
#[derive(Debug)]
pub enum CollectedState {
    /// It is there.
    Found {
        /// Where it is seen: `default` is written out, `*` is everywhere.
        namespaces: Vec<String>,
        /// The id it had where it came from.
        origin_id: Option<String>,
        /// Where other objects of the same origin are seen, sorted: it could be in the way of these there. Only namespaces in which the
        /// caller may read such objects. Searched for, so what was written within the last second may be missing.
        namespaces_of_same_origin: Vec<String>,
    },
    /// There is none that is seen from the namespace.
    Missing,
    /// Its type is not one whose references are followed: it was asked for, and is not read.
    NotFollowed,
    /// It cannot be read: it is corrupt, or must not be read by this caller.
    Unreadable(Error),
}

/// A reference to a collected object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundReference {
    /// The type of the object that refers to it.
    pub type_name: String,
    /// The id of the object that refers to it.
    pub id: String,
    /// The reference's name there.
    pub name: String,
}

impl CollectReferences {
    /// These objects and what they refer to, as far as those types have objects in several namespaces.
    pub fn new(roots: impl IntoIterator<Item = ObjectKey>) -> Self {
        Self { roots: roots.into_iter().collect(), shareable: false }
    }

    /// Only what can be shared with other namespaces (kind `multiple`): what
    /// [`change_namespaces`](Repository::change_namespaces) should change together.
    #[must_use]
    pub fn shareable(mut self) -> Self {
        self.shareable = true;
        self
    }

    fn follows(&self, definition: &TypeDefinition) -> bool {
        match self.shareable {
            true => definition.namespace_kind() == NamespaceKind::Multiple,
            false => definition.namespace_kind().is_multiple(),
        }
    }
}

impl Repository {
    /// Objects of types with several namespaces and all that they refer to of such types, in the order in which they are reached.
    /// Circles end where they began. One request for each step (and 500 objects), and searches for other objects of the same
    /// origin.
    ///
    /// ```no_run
    /// # use saved_objects::document::Namespace;
    /// # use saved_objects::repository::{ChangeNamespaces, CollectReferences, CollectedState, ObjectKey, Repository};
    /// # async fn example(repository: &Repository) -> saved_objects::Result<()> {
    /// let board = ObjectKey::new("board", "b1");
    /// let all = repository.collect_references(CollectReferences::new([board]).shareable()).await?;
    /// let found = all.iter().filter(|object| matches!(object.state, CollectedState::Found { .. }));
    /// let keys = found.map(|object| ObjectKey::new(&object.type_name, &object.id));
    /// repository.change_namespaces(ChangeNamespaces::new(keys).add(Namespace::new("team-a")?)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Invalid`](crate::ErrorKind::Invalid) if an object is more than 20 steps away, or if there are more than 10,000.
    /// - [`NotFound`](crate::ErrorKind::NotFound) if an index does not exist, [`Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn collect_references(&self, request: CollectReferences) -> Result<Vec<CollectedObject>> {
        let mut walk = Walk { repository: self, request: &request, collected: Vec::new(), places: BTreeMap::new() };
        let mut level = Vec::new();
        for root in &request.roots {
            let place = walk.place(root)?;
            match self.definition(&root.type_name) {
                Ok(definition) if request.follows(definition) => level.extend(place.map(|at| (at, root.clone()))),
                _ => {}
            }
        }
        for _ in 0..=MAX_DEPTH {
            level = walk.step(level).await?;
            if level.is_empty() {
                let mut collected = walk.collected;
                self.note_origins(&mut collected).await?;
                return Ok(collected);
            }
        }
        Err(Error::invalid(
            format!("objects refer to each other over more than {MAX_DEPTH} steps"),
            "collect the references of objects further down",
        ))
    }

    /// Notes where other objects of the same origin are seen.
    async fn note_origins(&self, collected: &mut [CollectedObject]) -> Result<()> {
        let mut by_type: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, object) in collected.iter().enumerate() {
            if matches!(object.state, CollectedState::Found { .. }) {
                by_type.entry(object.type_name.clone()).or_default().push(at);
            }
        }
        for (type_name, places) in by_type {
            let definition = self.definition(&type_name)?;
            for places in places.chunks(IDS) {
                let origins: BTreeSet<String> = places.iter().map(|&at| origin(&collected[at])).collect();
                let others = self.of_origins(definition, &origins).await?;
                for &at in places {
                    let own = (origin(&collected[at]), collected[at].id.clone());
                    let CollectedState::Found { namespaces_of_same_origin, .. } = &mut collected[at].state else {
                        continue;
                    };
                    let same = others.iter().filter(|(other, id, _)| *other == own.0 && *id != own.1);
                    let namespaces: BTreeSet<&String> = same.flat_map(|(_, _, namespaces)| namespaces).collect();
                    for name in namespaces {
                        if self.may_read_in(definition, name).await {
                            namespaces_of_same_origin.push(name.clone());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the caller may know of objects in a namespace. What is seen from everywhere is seen from the caller's own.
    async fn may_read_in(&self, definition: &TypeDefinition, name: &str) -> bool {
        match Namespace::new(name) {
            Ok(namespace) => self.allows(Action::Get, definition.name(), &namespace).await,
            Err(_) => name == EVERYWHERE,
        }
    }

    /// The objects that have one of these origins or are it: origin, id and namespaces.
    async fn of_origins(
        &self,
        definition: &TypeDefinition,
        origins: &BTreeSet<String>,
    ) -> Result<Vec<(String, String, Vec<String>)>> {
        let kind = definition.namespace_kind();
        let raw_id = |id: &String| RawId::new(definition.name(), kind, &Default::default(), id).ok();
        let query = Query::And(vec![
            Query::equals("type", definition.name()),
            Query::Or(vec![
                Query::AnyOf {
                    field: "originId".to_owned(),
                    values: origins.iter().map(|id| id.as_str().into()).collect(),
                },
                Query::Ids(origins.iter().filter_map(raw_id).map(|raw_id| raw_id.to_string()).collect()),
            ]),
        ]);
        let within = SearchIn::Index(self.names(definition).alias().to_owned());
        let mut hits = self.hits(Search { size: IDS as u32, ..Search::new(within, query) });
        let mut found = Vec::new();
        while let Some(hit) = hits.try_next().await? {
            // What cannot be read is in nobody's way; `verify` names it.
            let Ok(document) = StoredDocument::from_source(hit.source.get().as_bytes()) else { continue };
            let Ok(id) = document.object_id(&hit.id, kind) else { continue };
            let origin = document.root.origin_id.clone().unwrap_or_else(|| id.to_owned());
            found.push((origin, id.to_owned(), document.root.namespaces.unwrap_or_default()));
        }
        Ok(found)
    }
}

/// The id that an object had at first.
fn origin(object: &CollectedObject) -> String {
    match &object.state {
        CollectedState::Found { origin_id: Some(origin), .. } => origin.clone(),
        _ => object.id.clone(),
    }
}

struct Walk<'a> {
    repository: &'a Repository,
    request: &'a CollectReferences,
    collected: Vec<CollectedObject>,
    /// Where each object is among the collected ones.
    places: BTreeMap<(String, String), usize>,
}

impl Walk<'_> {
    /// Adds an object; none if it was there already.
    fn place(&mut self, key: &ObjectKey) -> Result<Option<usize>> {
        let name = (key.type_name.clone(), key.id.clone());
        if self.places.contains_key(&name) {
            return Ok(None);
        }
        if self.collected.len() >= MAX_OBJECTS {
            return Err(Error::invalid(
                format!("the objects refer to more than {MAX_OBJECTS} others"),
                "collect the references of fewer objects at once",
            ));
        }
        self.places.insert(name, self.collected.len());
        self.collected.push(CollectedObject {
            type_name: key.type_name.clone(),
            id: key.id.clone(),
            state: CollectedState::NotFollowed,
            inbound: Vec::new(),
        });
        Ok(Some(self.collected.len() - 1))
    }

    /// Reads some objects, and gives those that they refer to and that were not reached before.
    async fn step(&mut self, level: Vec<(usize, ObjectKey)>) -> Result<Vec<(usize, ObjectKey)>> {
        let repository = self.repository;
        let mut asked: Vec<(usize, &TypeDefinition, &ObjectKey, Admitted)> = Vec::new();
        for (at, key) in &level {
            let definition = repository.definition(&key.type_name)?;
            match repository.admit(Action::Get, key).await {
                Ok(admitted) => asked.push((*at, definition, key, admitted)),
                Err(refused) => self.collected[*at].state = CollectedState::Unreadable(refused),
            }
        }
        let wanted: Vec<_> = asked.iter().map(|(_, definition, key, _)| (*definition, *key)).collect();
        let found = repository.fetch_many(&wanted).await;
        let mut next = Vec::new();
        for ((at, definition, key, admitted), fetched) in asked.into_iter().zip(found) {
            let fetched = match admitted.end(fetched) {
                Ok(fetched) => fetched,
                // A reference can name an id that no object can have.
                Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Invalid) => {
                    self.collected[at].state = CollectedState::Unreadable(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let seen = fetched.filter(|fetched| read::is_asked_for(definition, key, &fetched.document));
            let Some(Fetched { document, .. }) = seen else {
                self.collected[at].state = CollectedState::Missing;
                continue;
            };
            let namespaces = document.root.namespaces.unwrap_or_default();
            self.collected[at].state = CollectedState::Found {
                namespaces: repository.known_namespaces(definition.name(), &namespaces, &mut Told::default()).await,
                origin_id: document.root.origin_id,
                namespaces_of_same_origin: Vec::new(),
            };
            for reference in document.root.references {
                let is_followed = |definition: &&TypeDefinition| self.request.follows(definition);
                if repository.definition(&reference.type_name).ok().filter(is_followed).is_none() {
                    continue;
                }
                let target = ObjectKey::new(&reference.type_name, &reference.id).in_namespace(key.namespace.clone());
                let place = self.place(&target)?;
                let inbound =
                    InboundReference { type_name: key.type_name.clone(), id: key.id.clone(), name: reference.name };
                if let Some(&place) = self.places.get(&(target.type_name.clone(), target.id.clone())) {
                    self.collected[place].inbound.push(inbound);
                }
                next.extend(place.map(|place| (place, target)));
            }
        }
        Ok(next)
    }
}
