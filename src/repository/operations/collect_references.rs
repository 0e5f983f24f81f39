//! Collects objects and everything that they refer to.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;

use crate::cluster::{Query, Search, SearchIn};
use crate::document::{Namespace, NamespaceKind, RawId, StoredDocument};
use crate::registry::TypeDefinition;
use crate::repository::access::Admitted;
use crate::repository::pipeline::limits;
use crate::repository::pipeline::read::Fetched;
use crate::repository::pipeline::seen_namespaces::{EVERYWHERE, KnownNames};
use crate::repository::pipeline::target::Target;
use crate::repository::{Action, ObjectKey, Repository};
use crate::{Error, ErrorKind, Result};

/// The most steps from an object that was asked for to one that it refers to.
const MAX_DEPTH: usize = 20;
/// The most objects that one answer has, apart from those whose references are not followed.
const MAX_OBJECTS: usize = 10_000;
/// The most objects in one answer whose references are not followed. They are not read.
const MAX_NOT_FOLLOWED: usize = 100_000;
/// The most ids that one search looks for.
const IDS: usize = 1_000;

/// A request for objects and everything that they refer to, directly and through others.
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
    /// Whether it was found.
    pub state: CollectedState,
    /// The references to it from objects that were collected.
    pub inbound: Vec<InboundReference>,
}

/// Whether a collected object was found.
#[derive(Debug)]
pub enum CollectedState {
    /// It exists.
    Found {
        /// Where it is seen: `default` is written out, `*` is everywhere.
        namespaces: Vec<String>,
        /// The id that it had before an import gave it another one.
        origin_id: Option<String>,
        /// Where other objects of the same origin are seen, sorted: sharing the object with these namespaces could
        /// conflict with them. Only namespaces in which the caller may read such objects. They are searched for, so
        /// objects that were written within the last second may be missing.
        namespaces_of_same_origin: Vec<String>,
    },
    /// No such object is seen from the namespace.
    Missing,
    /// The object was asked for or is referred to, and was not read: references of its type are not followed, because
    /// its objects are in one namespace or cannot be shared, or because the type is not available here. Referred-to
    /// objects of agnostic types are left out, since every namespace sees them.
    NotFollowed,
    /// It cannot be read: it is corrupt, or the caller may not read it.
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
    /// Creates a request for these objects and what they refer to, as far as objects of those types can be in several
    /// namespaces.
    pub fn new(roots: impl IntoIterator<Item = ObjectKey>) -> Self {
        Self { roots: roots.into_iter().collect(), shareable: false }
    }

    /// Follows only objects that can be shared with other namespaces (kind `multiple`): those that
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
    /// Returns objects of types with several namespaces and all objects of such types that they refer to, in the order
    /// in which they are reached. An object in a circle of references is returned once. One request for each step (and
    /// for a thousand objects of an index group), and searches for other objects of the same origin.
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
    /// - [`Invalid`](crate::ErrorKind::Invalid) if an object that is asked for has an empty type or id, if an object is
    ///   more than 20 steps away, or if there are more than 10,000 objects.
    /// - [`NotFound`](crate::ErrorKind::NotFound) if an index does not exist,
    ///   [`Unavailable`](crate::ErrorKind::Unavailable).
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "collect_references"))]
    pub async fn collect_references(&self, request: CollectReferences) -> Result<Vec<CollectedObject>> {
        let mut collector = Collector {
            repository: self,
            request: &request,
            collected: Vec::new(),
            places: BTreeMap::new(),
            followed: 0,
        };
        let mut level = Vec::new();
        request.roots.iter().try_for_each(|root| limits::check_named(&root.type_name, &root.id))?;
        for root in &request.roots {
            let is_followed = self.definition(&root.type_name).is_ok_and(|definition| request.follows(definition));
            let place = collector.place(root, is_followed)?;
            level.extend(place.filter(|_| is_followed).map(|at| (at, root.clone())));
        }
        for _ in 0..=MAX_DEPTH {
            level = collector.step(level).await?;
            if level.is_empty() {
                let mut collected = collector.collected;
                self.note_origins(&mut collected).await?;
                return Ok(collected);
            }
        }
        Err(Error::invalid(
            format!("objects refer to each other over more than {MAX_DEPTH} steps"),
            "collect the references of objects further down",
        ))
    }

    /// Adds where other objects of the same origin are seen.
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

    /// Returns whether the caller may know of objects in a namespace. What is seen from everywhere is seen from the
    /// caller's own.
    async fn may_read_in(&self, definition: &TypeDefinition, name: &str) -> bool {
        match Namespace::new(name) {
            Ok(namespace) => self.allows(Action::Get, definition.name(), &namespace).await,
            Err(_) => name == EVERYWHERE,
        }
    }

    /// Returns the objects that have one of these ids or one of these origins: origin, id and namespaces.
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
            // A document that cannot be read conflicts with no object; `verify` reports it.
            let Ok(document) = StoredDocument::from_source(hit.source.get().as_bytes()) else { continue };
            let Ok(id) = document.object_id(&hit.id, kind) else { continue };
            let origin = document.root.origin_id.clone().unwrap_or_else(|| id.to_owned());
            found.push((origin, id.to_owned(), document.root.namespaces.unwrap_or_default()));
        }
        Ok(found)
    }
}

/// Returns the id that an object had at first.
fn origin(object: &CollectedObject) -> String {
    match &object.state {
        CollectedState::Found { origin_id: Some(origin), .. } => origin.clone(),
        _ => object.id.clone(),
    }
}

struct Collector<'a> {
    repository: &'a Repository,
    request: &'a CollectReferences,
    collected: Vec<CollectedObject>,
    /// The index of each object among the collected ones.
    places: BTreeMap<(String, String), usize>,
    /// The number of collected objects whose references are followed.
    followed: usize,
}

impl Collector<'_> {
    /// Adds an object, and returns its index. `None` if it was added before.
    fn place(&mut self, key: &ObjectKey, is_followed: bool) -> Result<Option<usize>> {
        let name = (key.type_name.clone(), key.id.clone());
        if self.places.contains_key(&name) {
            return Ok(None);
        }
        let (count, limit) = match is_followed {
            true => (self.followed, MAX_OBJECTS),
            false => (self.collected.len() - self.followed, MAX_NOT_FOLLOWED),
        };
        if count >= limit {
            return Err(Error::invalid(
                format!("the objects refer to more than {limit} others"),
                "collect the references of fewer objects at once",
            ));
        }
        self.followed += usize::from(is_followed);
        self.places.insert(name, self.collected.len());
        self.collected.push(CollectedObject {
            type_name: key.type_name.clone(),
            id: key.id.clone(),
            state: CollectedState::NotFollowed,
            inbound: Vec::new(),
        });
        Ok(Some(self.collected.len() - 1))
    }

    /// Reads objects, and returns those that they refer to and that were not reached before.
    async fn step(&mut self, level: Vec<(usize, ObjectKey)>) -> Result<Vec<(usize, ObjectKey)>> {
        let repository = self.repository;
        let mut asked: Vec<(usize, Target, Admitted)> = Vec::new();
        for (at, key) in level {
            match repository.admit_target(Action::Get, key).await {
                Ok((target, admitted)) => asked.push((at, target, admitted)),
                Err(error) => self.collected[at].state = CollectedState::Unreadable(error),
            }
        }
        let targets: Vec<&Target> = asked.iter().map(|(_, target, _)| target).collect();
        let found = repository.fetch_many(&targets).await;
        let (mut next, mut known) = (Vec::new(), KnownNames::default());
        for ((at, target, admitted), fetched) in asked.into_iter().zip(found) {
            let fetched = match admitted.end(fetched) {
                Ok(fetched) => fetched,
                Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Invalid) => {
                    self.collected[at].state = CollectedState::Unreadable(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let seen = fetched.filter(|fetched| target.is_in(&fetched.document));
            let Some(Fetched { document, .. }) = seen else {
                self.collected[at].state = CollectedState::Missing;
                continue;
            };
            let key = &target.key;
            let namespaces = document.root.namespaces.unwrap_or_default();
            self.collected[at].state = CollectedState::Found {
                namespaces: repository.known_namespaces(&key.type_name, &namespaces, &mut known).await,
                origin_id: document.root.origin_id,
                namespaces_of_same_origin: Vec::new(),
            };
            for reference in document.root.references {
                let definition = repository.definition(&reference.type_name).ok();
                // Every namespace sees an object of an agnostic type, so nothing is missing without it.
                if definition.is_some_and(|definition| definition.namespace_kind() == NamespaceKind::Agnostic) {
                    continue;
                }
                let is_followed = definition.is_some_and(|definition| self.request.follows(definition));
                let referred = ObjectKey::new(&reference.type_name, &reference.id).in_namespace(key.namespace.clone());
                let place = self.place(&referred, is_followed)?;
                let inbound =
                    InboundReference { type_name: key.type_name.clone(), id: key.id.clone(), name: reference.name };
                if let Some(&place) = self.places.get(&(referred.type_name.clone(), referred.id.clone())) {
                    self.collected[place].inbound.push(inbound);
                }
                next.extend(place.filter(|_| is_followed).map(|place| (place, referred)));
            }
        }
        Ok(next)
    }
}
