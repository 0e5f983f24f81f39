//! Objects of a file that the store has under another id. Both have the same origin.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;

use super::sameness::Sameness;
use super::summary::NamedObject;
use super::targets::{Item, Unsealed};
use crate::Result;
use crate::cluster::{Query, Search, SearchIn};
use crate::document::{Namespace, StoredDocument};
use crate::repository::Repository;
use crate::repository::pipeline::target::Target;
use crate::repository::search::find;

/// The largest number of objects whose origins one search looks for.
const BATCH: usize = 500;
/// The largest number of documents of a page.
const PAGE: u32 = 1_000;

/// An object of the file for whose id its namespace sees no object.
#[derive(Debug)]
pub(super) struct Newcomer {
    pub(super) line: u64,
    pub(super) object: NamedObject,
    pub(super) target: Target,
    pub(super) origin_id: Option<String>,
    /// Whether an object that the namespace does not see has the id, so that this one needs another.
    pub(super) is_taken: bool,
    /// Whether it keeps the secrets of an object that it overwrites.
    pub(super) keeps_secrets: bool,
    /// The content of the object, if an import is resumed.
    pub(super) sameness: Option<Sameness>,
}

impl Newcomer {
    pub(super) fn of(unsealed: &Unsealed) -> Self {
        let Item { line, object, target } = &unsealed.item;
        Self {
            line: *line,
            object: object.clone(),
            target: target.clone(),
            origin_id: unsealed.root.origin_id.clone(),
            is_taken: false,
            keeps_secrets: false,
            sameness: None,
        }
    }

    /// Returns whether an object of the store is this one under another id.
    fn is(&self, id: &str, theirs: Option<&str>) -> bool {
        let own = self.origin_id.as_deref();
        theirs == Some(&self.object.id) || own.is_some_and(|own| theirs == Some(own) || id == own)
    }
}

/// The objects of the store that newcomers may be.
pub(super) struct Destinations {
    /// For each newcomer, the ids of the objects with its origin.
    pub(super) of_each: Vec<Vec<String>>,
    /// By object of the store: the number of newcomers for which it is the only one with their origin.
    sources: BTreeMap<NamedObject, usize>,
}

impl Destinations {
    /// Searches for all newcomers. Objects that the file itself has are not considered.
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

    /// Returns whether another newcomer has the same object of the store as its only one, so that it is not possible to
    /// tell which of them it is.
    pub(super) fn is_contested(&self, newcomer: &Newcomer, destination: &str) -> bool {
        self.sources.get(&named(newcomer, destination)).is_some_and(|sources| *sources > 1)
    }
}

fn named(newcomer: &Newcomer, id: &str) -> NamedObject {
    NamedObject { type_name: newcomer.object.type_name.clone(), id: id.to_owned() }
}

/// Returns the sorted ids of the objects with the origins of these newcomers, which are of one type, as their
/// namespaces see them.
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
        namespaces.insert(&newcomer.target.key.namespace);
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
        // A document that cannot be read has no known origin; `verify` names it.
        let Ok(document) = StoredDocument::from_source(hit.source.get().as_bytes()) else { continue };
        let Ok(id) = document.object_id(&hit.id, kind) else { continue };
        if in_file.contains(&hit.id) {
            continue;
        }
        for ((_, newcomer), (_, destinations)) in newcomers.iter().zip(&mut found) {
            let is_same = newcomer.is(id, document.root.origin_id.as_deref());
            if is_same && newcomer.target.is_in(&document) {
                destinations.push(id.to_owned());
            }
        }
    }
    found.iter_mut().for_each(|(_, destinations)| destinations.sort());
    Ok(found)
}
