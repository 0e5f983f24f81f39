use std::collections::{BTreeMap, BTreeSet};

use super::many::{Items, only};
use super::read::Fetched;
use super::{Action, ObjectKey, Repository, SavedObject, errors, find, read};
use crate::cluster::{Query, Search, SearchIn};
use crate::document::{Attributes, Namespace, StoredDocument};
use crate::registry::TypeDefinition;
use crate::{Error, ErrorKind, Result};

/// Ids whose origins one search looks for.
const IDS: usize = 100;
/// Objects that one search gives: the server's limit.
const HITS: u32 = 10_000;

/// An object that was looked for by an id that may be an old one.
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
    /// It had this id where it came from: links to it should be changed to the id that it has now.
    OriginMatch,
    /// It has this id, and others had it where they came from. Which one is meant, a person must say.
    Conflict {
        /// The ids of the others, sorted.
        others: Vec<String>,
    },
}

impl Repository {
    /// The object that has this id, or had it where it came from: an import gives another id to an object whose own is taken, and
    /// notes the old one as its origin. Of the ways to find it, see [`Resolution`].
    ///
    /// The exact match is read in real time; origins are searched for, and are seen after the index's next refresh. Nothing is
    /// written. Two requests.
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
    /// - [`Conflict`](ErrorKind::Conflict) if none has it, and several had it: the message names them.
    /// - Those of [`get`](Self::get).
    pub async fn resolve(&self, key: &ObjectKey) -> Result<Resolved> {
        only(self.resolve_many(std::slice::from_ref(key)).await)
    }

    /// As [`resolve`](Self::resolve) for several objects, each answered in order. One request for 500 objects and one for the
    /// origins of a hundred.
    ///
    /// # Errors
    /// Of each item those of [`resolve`](Self::resolve).
    pub async fn resolve_many(&self, keys: &[ObjectKey]) -> Vec<Result<Resolved>> {
        let mut items = Items::new(keys.len());
        let asked = self.admit_each(Action::Get, keys.iter().collect(), &mut items).await;
        let wanted: Vec<_> = asked.iter().map(|&(_, definition, key)| (definition, key)).collect();
        let (exact, origins) = futures::join!(self.fetch_many(&wanted), self.origins_of(&wanted));
        for ((at, definition, key), exact) in asked.into_iter().zip(exact) {
            // Not taken out: an object may be asked for twice.
            let origins = origins.get(key).cloned().unwrap_or_else(|| Ok(Vec::new()));
            let answer = match (exact, origins) {
                (Ok(exact), Ok(origins)) => self.resolved(definition, key, exact, origins).await,
                (Err(error), _) | (_, Err(error)) => Err(error),
            };
            items.answer(at, answer);
        }
        let mut answers = items.end();
        self.leave_out_unseen(answers.iter_mut().flatten().map(|resolved| &mut resolved.object).collect()).await;
        answers
    }

    async fn resolved(
        &self,
        definition: &TypeDefinition,
        key: &ObjectKey,
        exact: Option<Fetched>,
        mut origins: Vec<(String, Fetched)>,
    ) -> Result<Resolved> {
        let exact = exact.filter(|fetched| read::is_asked_for(definition, key, &fetched.document));
        let (id, fetched, resolution) = match (exact, origins.len()) {
            (Some(exact), 0) => (key.id.clone(), exact, Resolution::ExactMatch),
            (Some(exact), _) => {
                let others = origins.into_iter().map(|(id, _)| id).collect();
                (key.id.clone(), exact, Resolution::Conflict { others })
            }
            (None, 0) => return Err(errors::not_found(key)),
            (None, 1) => {
                let (id, fetched) = origins.remove(0);
                (id, fetched, Resolution::OriginMatch)
            }
            (None, _) => {
                let ids: Vec<_> = origins.iter().take(IDS).map(|(id, _)| id.as_str()).collect();
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("saved object {key} is the origin of several objects: {}", ids.join(", ")),
                )
                .with_cure("ask for one of them by its own id"));
            }
        };
        let loaded = self.load(definition, &id, fetched).await?;
        Ok(Resolved { object: self.view(definition, &id, loaded)?, resolution })
    }

    /// The objects that had these ids where they came from and are seen from the same namespaces, by what was asked for.
    async fn origins_of<'a>(
        &self,
        wanted: &[(&TypeDefinition, &'a ObjectKey)],
    ) -> BTreeMap<&'a ObjectKey, Result<Vec<(String, Fetched)>>> {
        let mut by_type: BTreeMap<&str, (&TypeDefinition, BTreeSet<&'a ObjectKey>)> = BTreeMap::new();
        for &(definition, key) in wanted {
            by_type.entry(definition.name()).or_insert_with(|| (definition, BTreeSet::new())).1.insert(key);
        }
        let mut origins = BTreeMap::new();
        for (definition, keys) in by_type.into_values() {
            let keys: Vec<&ObjectKey> = keys.into_iter().collect();
            for keys in keys.chunks(IDS) {
                match self.search_origins(definition, keys).await {
                    Ok(found) => origins.extend(found.into_iter().map(|(key, found)| (key, Ok(found)))),
                    Err(error) => origins.extend(keys.iter().map(|key| (*key, Err(error.clone())))),
                }
            }
        }
        origins
    }

    async fn search_origins<'a>(
        &self,
        definition: &TypeDefinition,
        keys: &[&'a ObjectKey],
    ) -> Result<BTreeMap<&'a ObjectKey, Vec<(String, Fetched)>>> {
        let namespaces: BTreeSet<&Namespace> = keys.iter().map(|key| &key.namespace).collect();
        let namespaces: Vec<Namespace> = namespaces.into_iter().cloned().collect();
        let ids = keys.iter().map(|key| key.id.as_str().into()).collect();
        let mut parts =
            vec![Query::equals("type", definition.name()), Query::AnyOf { field: "originId".to_owned(), values: ids }];
        parts.extend(find::seen_from(definition.namespace_kind(), &namespaces));
        let names = self.names(definition);
        let within = SearchIn::Index(names.alias().to_owned());
        let search = Search { size: HITS, count_total: true, ..Search::new(within, Query::And(parts)) };
        let page = self.shared.cluster.search(&search).await;
        let page = page.map_err(|error| find::refused(names.alias(), error))?;
        if page.total.is_some_and(|total| total > u64::from(HITS)) {
            return Err(Error::invalid(
                format!("more than {HITS} objects of the type {} have these origins", definition.name()),
                "resolve fewer ids at once, or ask for the objects by their own ids",
            ));
        }
        let mut found: BTreeMap<&ObjectKey, Vec<(String, Fetched)>> = BTreeMap::new();
        for hit in &page.hits {
            // What cannot be read is nobody's origin; `verify` names it.
            let Ok(document) = StoredDocument::from_source(hit.source.get().as_bytes()) else { continue };
            let Ok(id) = document.object_id(&hit.id, definition.namespace_kind()).map(str::to_owned) else { continue };
            let version = self.version_of(&names, hit.borrowed())?;
            for &key in keys {
                let is_origin = document.root.origin_id.as_deref() == Some(&key.id) && id != key.id;
                if is_origin && read::is_asked_for(definition, key, &document) {
                    found.entry(key).or_default().push((id.clone(), Fetched { document: document.clone(), version }));
                }
            }
        }
        for objects in found.values_mut() {
            objects.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        Ok(found)
    }
}
