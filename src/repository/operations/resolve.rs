//! Finds an object by the id that it has or had.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::{Query, Search, SearchIn};
use crate::document::{Attributes, Namespace, StoredDocument};
use crate::repository::pipeline::errors;
use crate::repository::pipeline::item::go_on;
use crate::repository::pipeline::many::only;
use crate::repository::pipeline::read::Fetched;
use crate::repository::pipeline::target::Target;
use crate::repository::search::find;
use crate::repository::search::refusals;
use crate::repository::{Action, ObjectKey, Repository, SavedObject};
use crate::{Error, ErrorKind, Result};

/// The most ids whose origins one search looks for.
const IDS: usize = 100;
/// The most objects that one search returns: the server's limit.
const HITS: u32 = 10_000;

/// An object that was found by an id that may be an old one.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved<A = Attributes> {
    /// The object.
    pub object: SavedObject<A>,
    /// How it was found.
    pub resolution: Resolution,
}

/// How an object was found by an id that may be an old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// It has this id.
    ExactMatch,
    /// It had this id before an import gave it another one. Links to it should be changed to its present id.
    OriginMatch,
    /// It has this id, and other objects had it before an import. A person must decide which one is meant.
    Conflict {
        /// The ids of the others, sorted.
        others: Vec<String>,
    },
}

impl Repository {
    /// Returns the object that has this id, or had it before an import. An import gives another id to an object whose
    /// own id is taken, and stores the old one as its origin. [`Resolution`] says how the object was found.
    ///
    /// The exact match is read in real time. Origins are searched for, and are seen after the index's next refresh.
    /// Nothing is written. Two requests.
    ///
    /// ```no_run
    /// # use saved_objects::repository::{ObjectKey, Repository, Resolution};
    /// # async fn example(repository: &Repository) -> saved_objects::Result<()> {
    /// let resolved = repository.resolve(&ObjectKey::new("board", "from-an-old-link")).await?;
    /// if resolved.resolution == Resolution::OriginMatch {
    ///     println!("it is called {} now", resolved.object.id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`NotFound`](ErrorKind::NotFound) if no object that is seen from the key's namespace has or had the id.
    /// - [`Conflict`](ErrorKind::Conflict) if no object has the id and several had it; the message names them.
    /// - Those of [`get`](Self::get).
    pub async fn resolve(&self, key: &ObjectKey) -> Result<Resolved> {
        only(self.resolve_many(std::slice::from_ref(key)).await)
    }

    /// Like [`resolve`](Self::resolve), for several objects, each answered in order. One request for a thousand objects
    /// of an index group, and one for the origins of a hundred.
    ///
    /// # Errors
    /// Those of [`resolve`](Self::resolve), for each object.
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "resolve_many"))]
    pub async fn resolve_many(&self, keys: &[ObjectKey]) -> Vec<Result<Resolved>> {
        let items = self.admit_each(Action::Get, &keys.iter().collect::<Vec<_>>()).await;
        let targets = items.targets();
        let (exact, origins) = futures::join!(self.fetch_many(&targets), self.origins_of(&targets));
        // Cloned, because an object may be asked for twice.
        let origins = targets.iter().map(|target| origins.get(&target.key).cloned().unwrap_or_else(|| Ok(Vec::new())));
        let found = exact.into_iter().zip(origins).collect();
        let resolved = items.zip(found, |target, (), (exact, origins)| go_on(resolved(target, exact, origins)));
        let mut items = self.view_items(resolved).await;
        self.leave_out_unseen(items.states().map(|(_, object)| object).collect()).await;
        items.end(keys.len(), |_, (resolution, object)| Ok(Resolved { object, resolution }))
    }

    /// Returns the objects that had these ids before an import and are seen from the same namespaces, by the key that
    /// was asked for.
    async fn origins_of<'a>(&self, targets: &[&'a Target]) -> BTreeMap<&'a ObjectKey, Result<Vec<(Target, Fetched)>>> {
        let mut by_type: BTreeMap<&str, BTreeMap<&'a ObjectKey, &'a Target>> = BTreeMap::new();
        for target in targets {
            by_type.entry(target.definition.name()).or_default().insert(&target.key, target);
        }
        let mut origins = BTreeMap::new();
        for targets in by_type.into_values() {
            let targets: Vec<&Target> = targets.into_values().collect();
            for targets in targets.chunks(IDS) {
                match self.search_origins(targets).await {
                    Ok(found) => origins.extend(found.into_iter().map(|(key, found)| (key, Ok(found)))),
                    Err(error) => origins.extend(targets.iter().map(|target| (&target.key, Err(error.clone())))),
                }
            }
        }
        origins
    }

    /// Like [`origins_of`](Self::origins_of), for objects of one type.
    async fn search_origins<'a>(
        &self,
        targets: &[&'a Target],
    ) -> Result<BTreeMap<&'a ObjectKey, Vec<(Target, Fetched)>>> {
        let Some(definition) = targets.first().map(|target| &target.definition) else { return Ok(BTreeMap::new()) };
        let namespaces: BTreeSet<&Namespace> = targets.iter().map(|target| &target.key.namespace).collect();
        let namespaces: Vec<Namespace> = namespaces.into_iter().cloned().collect();
        let ids = targets.iter().map(|target| target.key.id.as_str().into()).collect();
        let mut parts =
            vec![Query::equals("type", definition.name()), Query::AnyOf { field: "originId".to_owned(), values: ids }];
        parts.extend(find::seen_from(definition.namespace_kind(), &namespaces));
        let names = self.names(definition);
        let within = SearchIn::Index(names.alias().to_owned());
        let search = Search { size: HITS, count_total: true, ..Search::new(within, Query::And(parts)) };
        let page = self.shared.engine.cluster.search(&search).await;
        let page = page.map_err(|error| refusals::of(names.alias(), error))?;
        if page.total.is_some_and(|total| total > u64::from(HITS)) {
            return Err(Error::invalid(
                format!("more than {HITS} objects of the type {} have these origins", definition.name()),
                "resolve fewer ids at once, or ask for the objects by their own ids",
            ));
        }
        let mut found: BTreeMap<&ObjectKey, Vec<(Target, Fetched)>> = BTreeMap::new();
        for hit in &page.hits {
            // A document that cannot be read has no origin; `verify` reports it.
            let Ok(document) = StoredDocument::from_source(hit.source.get().as_bytes()) else { continue };
            let Ok(id) = document.object_id(&hit.id, definition.namespace_kind()).map(str::to_owned) else { continue };
            let version = self.version_of(&names, hit.borrowed())?;
            for target in targets {
                let asked = &target.key.id;
                let is_origin = document.root.origin_id.as_ref() == Some(asked) && id != *asked;
                if is_origin && target.is_in(&document) {
                    let key = ObjectKey { id: id.clone(), ..target.key.clone() };
                    let origin = Target::stored(definition, key, &hit.id);
                    found
                        .entry(&target.key)
                        .or_default()
                        .push((origin, Fetched { document: document.clone(), version }));
                }
            }
        }
        for objects in found.values_mut() {
            objects.sort_by(|(a, _), (b, _)| a.key.id.cmp(&b.key.id));
        }
        Ok(found)
    }
}

/// Chooses among the objects that were found, and makes the target that of the chosen one.
fn resolved(
    target: &mut Target,
    exact: Result<Option<Fetched>>,
    origins: Result<Vec<(Target, Fetched)>>,
) -> Result<(Resolution, Fetched)> {
    let (exact, mut origins) = (exact?.filter(|fetched| target.is_in(&fetched.document)), origins?);
    match (exact, origins.len()) {
        (Some(exact), 0) => Ok((Resolution::ExactMatch, exact)),
        (Some(exact), _) => {
            let others = origins.into_iter().map(|(origin, _)| origin.key.id).collect();
            Ok((Resolution::Conflict { others }, exact))
        }
        (None, 0) => Err(errors::not_found(&target.key)),
        (None, 1) => {
            let (origin, fetched) = origins.remove(0);
            *target = origin;
            Ok((Resolution::OriginMatch, fetched))
        }
        (None, _) => {
            let ids: Vec<_> = origins.iter().take(IDS).map(|(origin, _)| origin.key.id.as_str()).collect();
            Err(Error::new(
                ErrorKind::Conflict,
                format!("saved object {} is the origin of several objects: {}", target.key, ids.join(", ")),
            )
            .with_hint("ask for one of them by its own id"))
        }
    }
}
