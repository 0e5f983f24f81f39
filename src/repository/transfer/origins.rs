//! Objects of a file that the store has under another id: both have the same origin.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;

use super::sameness::Sameness;
use super::summary::NamedObject;
use super::targets::{Item, Unsealed};
use crate::Result;
use crate::cluster::{Query, Search, SearchIn};
use crate::document::{Namespace, StoredDocument};
use crate::repository::find;
use crate::repository::read;
use crate::repository::{ObjectKey, Repository};

/// Objects whose origins one search looks for.
const BATCH: usize = 500;
/// Objects of the store read at once.
const PAGE: u32 = 1_000;

/// An object of the file whose id no object has that is seen from its namespace.
#[derive(Debug)]
pub(super) struct Newcomer {
    pub(super) line: u64,
    pub(super) object: NamedObject,
    pub(super) key: ObjectKey,
    pub(super) origin_id: Option<String>,
    /// Whether an object that is not seen has the id, so that this one needs another.
    pub(super) is_taken: bool,
    /// Whether it keeps the secrets of an object that it overwrites.
    pub(super) keeps_secrets: bool,
    /// What it holds, if an import is resumed.
    pub(super) sameness: Option<Sameness>,
}

impl Newcomer {
    pub(super) fn of(unsealed: &Unsealed) -> Self {
        let Item { line, object, key } = &unsealed.item;
        Self {
            line: *line,
            object: object.clone(),
            key: key.clone(),
            origin_id: unsealed.root.origin_id.clone(),
            is_taken: false,
            keeps_secrets: false,
            sameness: None,
        }
    }

    /// Whether an object of the store is this one, under another id.
    fn is(&self, id: &str, theirs: Option<&str>) -> bool {
        let own = self.origin_id.as_deref();
        theirs == Some(&self.object.id) || own.is_some_and(|own| theirs == Some(own) || id == own)
    }
}

/// Where newcomers are in the store already.
pub(super) struct Destinations {
    /// For each newcomer the ids of objects with its origin.
    pub(super) of_each: Vec<Vec<String>>,
    /// For how many newcomers an object of the store is the only one with their origin.
    sources: BTreeMap<NamedObject, usize>,
}

impl Destinations {
    /// Looks for all of them. What the file has itself is no stranger.
    pub(super) async fn find(
        repository: &Repository,
        newcomers: &[Newcomer],
        in_file: &BTreeSet<String>,
    ) -> Result<Self> {
        let mut by_type: BTreeMap<&str, Vec<(usize, &Newcomer)>> = BTreeMap::new();
        for (at, newcomer) in newcomers.iter().enumerate() {
            by_type.entry(&newcomer.object.type_name).or_default().push((at, newcomer));
        }
        let mut of_each = vec![Vec::new(); newcomers.len()];
        for newcomers in by_type.into_values() {
            for batch in newcomers.chunks(BATCH) {
                for (at, destinations) in with_origin(repository, batch, in_file).await? {
                    of_each[at] = destinations;
                }
            }
        }
        let mut sources = BTreeMap::new();
        for (newcomer, destinations) in newcomers.iter().zip(&of_each) {
            if let [one] = destinations.as_slice() {
                *sources.entry(named(newcomer, one)).or_default() += 1;
            }
        }
        Ok(Self { of_each, sources })
    }

    /// Whether another newcomer has the same object of the store as its only one: nobody can say which of them it is.
    pub(super) fn is_contested(&self, newcomer: &Newcomer, destination: &str) -> bool {
        self.sources.get(&named(newcomer, destination)).is_some_and(|sources| *sources > 1)
    }
}

fn named(newcomer: &Newcomer, id: &str) -> NamedObject {
    NamedObject { type_name: newcomer.object.type_name.clone(), id: id.to_owned() }
}

/// The ids of the objects with the origins of these newcomers, which are of one type: seen from their namespaces, sorted.
async fn with_origin(
    repository: &Repository,
    newcomers: &[(usize, &Newcomer)],
    in_file: &BTreeSet<String>,
) -> Result<Vec<(usize, Vec<String>)>> {
    let Some((_, first)) = newcomers.first() else { return Ok(Vec::new()) };
    let definition = repository.definition(&first.object.type_name)?;
    let kind = definition.namespace_kind();
    let mut origins = BTreeSet::new();
    let mut namespaces: BTreeSet<&Namespace> = BTreeSet::new();
    for (_, newcomer) in newcomers {
        origins.insert(newcomer.object.id.as_str());
        origins.extend(newcomer.origin_id.as_deref());
        namespaces.insert(&newcomer.key.namespace);
    }
    let namespaces: Vec<Namespace> = namespaces.into_iter().cloned().collect();
    let raw_ids = origins.iter().map(|id| format!("{}:{id}", definition.name())).collect();
    let mut parts = vec![
        Query::equals("type", definition.name()),
        Query::Or(vec![
            Query::AnyOf { field: "originId".to_owned(), values: origins.iter().map(|id| (*id).into()).collect() },
            Query::Ids(raw_ids),
        ]),
    ];
    parts.extend(find::seen_from(kind, &namespaces));
    let within = SearchIn::Index(repository.names(definition).alias().to_owned());
    let mut hits = repository.hits(Search { size: PAGE, ..Search::new(within, Query::And(parts)) });
    let mut found: Vec<(usize, Vec<String>)> = newcomers.iter().map(|(at, _)| (*at, Vec::new())).collect();
    while let Some(hit) = hits.try_next().await? {
        // What cannot be read is nobody's origin; `verify` names it.
        let Ok(document) = StoredDocument::from_source(hit.source.get().as_bytes()) else { continue };
        let Ok(id) = document.object_id(&hit.id, kind) else { continue };
        if in_file.contains(&hit.id) {
            continue;
        }
        for ((_, newcomer), (_, destinations)) in newcomers.iter().zip(&mut found) {
            let is_same = newcomer.is(id, document.root.origin_id.as_deref());
            if is_same && read::is_asked_for(definition, &newcomer.key, &document) {
                destinations.push(id.to_owned());
            }
        }
    }
    found.iter_mut().for_each(|(_, destinations)| destinations.sort());
    Ok(found)
}
