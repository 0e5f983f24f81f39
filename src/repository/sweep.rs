//! Everything that a query finds, changed or deleted, document by document.

use std::collections::BTreeMap;

use futures::StreamExt;

use super::read::Fetched;
use super::rewrite::{Candidate, Decision, Rewritten};
use super::{ObjectKey, Repository, errors};
use crate::cluster::{ClusterErrorKind, Gone, Hit, Query, Refresh, Search, SearchIn};
use crate::document::{DocumentHeader, Namespace, NamespaceKind, RawId, StoredDocument};
use crate::registry::TypeDefinition;
use crate::{Error, ErrorKind, Result};

/// Documents read at once.
const PAGE: u32 = 500;
/// Times that the indices are gone through at most. The second time finds what came in during the first, which is little.
const MAX_PASSES: u32 = 5;
/// Failures that an answer names.
const MAX_NAMED: usize = 1_000;

/// What an operation on many objects did.
#[derive(Debug, Default)]
pub struct Swept {
    /// How many objects were changed.
    pub updated: u64,
    /// How many objects were deleted.
    pub deleted: u64,
    /// What could not be changed or deleted, and why: the first thousand.
    pub failures: Vec<SweepFailure>,
    /// How many more there are than `failures` names.
    pub not_listed: u64,
    /// Whether others kept writing such objects until it was given up, so that some may be left: the cure is to call again.
    pub unsettled: bool,
}

impl Swept {
    /// Whether nothing is left of what was to be done.
    pub fn is_complete(&self) -> bool {
        self.failures.is_empty() && !self.unsettled
    }
}

/// A document that could not be changed or deleted.
#[derive(Debug)]
pub struct SweepFailure {
    /// The document's `_id`.
    pub raw_id: String,
    /// Why.
    pub error: Error,
}

/// What is to be gone through, and what is to be done.
pub(super) trait Task: Sync {
    /// Which documents of a type it is about; none if it is about none of them.
    fn query(&self, definition: &TypeDefinition) -> Option<Query>;

    /// What is to become of one of them, which may have changed since it was found.
    fn decide(&self, definition: &TypeDefinition, fetched: Fetched) -> Result<Decision>;

    /// Whether one of them that is no well-formed object, with this `_id`, is deleted all the same. Those that are not are named.
    fn deletes_corrupt(&self, _definition: &TypeDefinition, _raw_id: &str, _header: &DocumentHeader<'_>) -> bool {
        false
    }
}

impl Repository {
    /// Goes through all documents of these types that `task` is about, until nothing is left to be done. What was written before
    /// the call is seen. It can be repeated at any time, after a crash too.
    pub(super) async fn sweep(&self, types: &[&TypeDefinition], task: &impl Task) -> Result<Swept> {
        let mut swept = Swept::default();
        let mut groups: BTreeMap<&str, Vec<&TypeDefinition>> = BTreeMap::new();
        for &definition in types {
            groups.entry(definition.group()).or_default().push(definition);
        }
        for types in groups.into_values() {
            self.sweep_group(&types, task, &mut swept).await.map_err(|error| {
                let Swept { updated, deleted, .. } = swept;
                error.context(format!("after {updated} objects were changed and {deleted} deleted"))
            })?;
        }
        Ok(swept)
    }

    async fn sweep_group(&self, types: &[&TypeDefinition], task: &impl Task, swept: &mut Swept) -> Result<()> {
        let queries: Vec<Query> = types.iter().filter_map(|definition| task.query(definition)).collect();
        let Some(first) = types.first().filter(|_| !queries.is_empty()) else { return Ok(()) };
        let names = self.names(first);
        for pass in 1..=MAX_PASSES {
            match self.shared.cluster.refresh(names.alias()).await {
                Err(error) if error.kind == ClusterErrorKind::IndexNotFound => {
                    return Err(errors::no_index(&names).with_source(error));
                }
                answer => answer?,
            }
            let within = SearchIn::Index(names.alias().to_owned());
            let search = Search { size: PAGE, ..Search::new(within, Query::Or(queries.clone())) };
            let mut hits = self.hits(search).ready_chunks(PAGE as usize);
            let before = swept.updated + swept.deleted;
            let mut failures = Vec::new();
            while let Some(hits) = hits.next().await {
                let hits = hits.into_iter().collect::<Result<Vec<Hit>>>()?;
                self.sweep_hits(types, &hits, task, swept, &mut failures).await;
            }
            let is_settled = swept.updated + swept.deleted == before;
            if is_settled || pass == MAX_PASSES {
                swept.unsettled |= !is_settled;
                for failure in failures {
                    match swept.failures.len() < MAX_NAMED {
                        true => swept.failures.push(failure),
                        false => swept.not_listed += 1,
                    }
                }
                break;
            }
        }
        Ok(())
    }

    async fn sweep_hits(
        &self,
        types: &[&TypeDefinition],
        hits: &[Hit],
        task: &impl Task,
        swept: &mut Swept,
        failures: &mut Vec<SweepFailure>,
    ) {
        let mut candidates = Vec::with_capacity(hits.len());
        let mut raw_ids = Vec::with_capacity(hits.len());
        for hit in hits {
            match self.candidate(types, hit) {
                Ok(candidate) => {
                    candidates.push(candidate);
                    raw_ids.push(hit.id.clone());
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => match self.sweep_corrupt(types, hit, task).await {
                    Some(Ok(())) => swept.deleted += 1,
                    Some(Err(error)) => failures.push(SweepFailure { raw_id: hit.id.clone(), error }),
                    None => failures.push(SweepFailure { raw_id: hit.id.clone(), error }),
                },
                Err(error) => failures.push(SweepFailure { raw_id: hit.id.clone(), error }),
            }
        }
        let decide = |_: usize, candidate: &Candidate<'_>, fetched: Option<Fetched>| match fetched {
            None => Ok(Decision::Keep),
            Some(fetched) => task.decide(candidate.definition, fetched),
        };
        for (raw_id, answer) in raw_ids.into_iter().zip(self.rewrite(candidates, decide, Refresh::Later).await) {
            match answer {
                Ok(Rewritten::Kept) => {}
                Ok(Rewritten::Replaced(_)) => swept.updated += 1,
                Ok(Rewritten::Deleted) => swept.deleted += 1,
                Err(error) => failures.push(SweepFailure { raw_id, error }),
            }
        }
    }

    /// Deletes a document that is no well-formed object, as it was found; none if it stays.
    async fn sweep_corrupt(&self, types: &[&TypeDefinition], hit: &Hit, task: &impl Task) -> Option<Result<()>> {
        let header = DocumentHeader::from_source(hit.source.get()).ok()?;
        let definition = types.iter().copied().find(|definition| definition.name() == header.type_name())?;
        if !task.deletes_corrupt(definition, &hit.id, &header) {
            return None;
        }
        let namespace = header.namespace().filter(|_| definition.namespace_kind() == NamespaceKind::Single);
        let id = RawId::object_id(&hit.id, definition.name(), definition.namespace_kind(), namespace)?;
        let namespace = match namespace.map(Namespace::new).transpose() {
            Ok(namespace) => namespace.unwrap_or_default(),
            Err(error) => return Some(Err(error)),
        };
        let key = ObjectKey::new(definition.name(), id).in_namespace(namespace);
        let version = match self.version_of(&self.names(definition), hit.borrowed()) {
            Ok(version) => version,
            Err(error) => return Some(Err(error)),
        };
        Some(self.delete_at(definition, &key, (version, Gone::Done), Refresh::Later).await)
    }

    fn candidate<'a>(&self, types: &[&'a TypeDefinition], hit: &Hit) -> Result<Candidate<'a>> {
        let corrupt = |corruption| errors::corrupt(&hit.id, corruption);
        let document = StoredDocument::from_source(hit.source.get().as_bytes()).map_err(corrupt)?;
        let definition = types.iter().copied().find(|definition| definition.name() == document.type_name);
        let definition = definition
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a document of a type that was not asked for was found"))?;
        let id = document.object_id(&hit.id, definition.namespace_kind()).map_err(corrupt)?;
        let namespace = match (definition.namespace_kind(), &document.root.namespace) {
            (NamespaceKind::Single, Some(name)) => Namespace::new(name)?,
            _ => Namespace::DEFAULT,
        };
        let key = ObjectKey::new(definition.name(), id).in_namespace(namespace);
        let version = self.version_of(&self.names(definition), hit.borrowed())?;
        Ok(Candidate { definition, key, fetched: Some(Fetched { document, version }) })
    }
}
