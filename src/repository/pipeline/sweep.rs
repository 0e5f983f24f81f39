//! Sweeps: change or delete all documents that a query finds, one document at a time, until a pass changes nothing.

use std::collections::BTreeMap;

use futures::StreamExt;

use super::errors;
use super::read::Fetched;
use super::rewrite::{Candidate, Decision, Rewritten};
use super::target::Target;
use crate::cluster::{ClusterErrorKind, Gone, Hit, Query, Refresh, Search, SearchIn};
use crate::document::{DocumentHeader, Namespace, NamespaceKind, RawId, StoredDocument};
use crate::registry::TypeDefinition;
use crate::repository::{ObjectKey, Repository};
use crate::{Error, ErrorKind, Result};

/// The number of documents in a page.
const PAGE: u32 = 500;
/// The largest number of passes. The second pass finds the documents that were written during the first, which are few.
const MAX_PASSES: u32 = 5;
/// The largest number of failures that an answer names.
const MAX_NAMED: usize = 1_000;

/// The result of an operation on all objects that it finds, such as [`Repository::delete_namespace`].
#[derive(Debug, Default)]
pub struct Swept {
    /// The number of objects that were changed.
    pub updated: u64,
    /// The number of objects that were deleted.
    pub deleted: u64,
    /// The documents that could not be changed or deleted, with the reasons: the first thousand.
    pub failures: Vec<SweepFailure>,
    /// The number of failures that `failures` leaves out.
    pub not_listed: u64,
    /// True if other writers kept writing such objects until the operation gave up. Some objects may be left; call
    /// again.
    pub unsettled: bool,
}

impl Swept {
    /// Returns whether all objects were changed or deleted.
    pub fn is_complete(&self) -> bool {
        self.failures.is_empty() && !self.unsettled
    }
}

/// A document that could not be changed or deleted.
#[derive(Debug)]
pub struct SweepFailure {
    /// The document's `_id`.
    pub raw_id: String,
    /// The reason.
    pub error: Error,
}

/// The documents that a sweep processes, and its decisions about them.
pub(in crate::repository) trait SweepTask: Sync {
    /// Returns the query for the documents of a type, or `None` if the sweep leaves the type out.
    fn query(&self, definition: &TypeDefinition) -> Option<Query>;

    /// Decides about a document that the query found. It may have changed since.
    fn decide(&self, definition: &TypeDefinition, fetched: Fetched) -> Result<Decision>;

    /// Returns whether to delete a document that the query found and that is not a well-formed object. If it is not
    /// deleted, it is a failure.
    fn deletes_corrupt(&self, _definition: &TypeDefinition, _raw_id: &str, _header: &DocumentHeader<'_>) -> bool {
        false
    }
}

impl Repository {
    /// Processes all documents of these types that `task` queries, until a pass changes nothing. Finds everything that
    /// was written before the call. It can be repeated at any time, also after a crash.
    pub(in crate::repository) async fn sweep(&self, types: &[&TypeDefinition], task: &impl SweepTask) -> Result<Swept> {
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

    async fn sweep_group(&self, types: &[&TypeDefinition], task: &impl SweepTask, swept: &mut Swept) -> Result<()> {
        let queries: Vec<Query> = types.iter().filter_map(|definition| task.query(definition)).collect();
        let Some(first) = types.first().filter(|_| !queries.is_empty()) else { return Ok(()) };
        let names = self.names(first);
        for pass in 1..=MAX_PASSES {
            match self.shared.engine.cluster.refresh(names.alias()).await {
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
        task: &impl SweepTask,
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
        let decide = |target: &Target, fetched: Option<Fetched>| match fetched {
            None => Ok(Decision::Keep),
            Some(fetched) => task.decide(&target.definition, fetched),
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

    /// Deletes a document that is not a well-formed object, if it is as it was found. Returns `None` if the task keeps
    /// it.
    async fn sweep_corrupt(&self, types: &[&TypeDefinition], hit: &Hit, task: &impl SweepTask) -> Option<Result<()>> {
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
        let deletion = async {
            let version = self.version_of(&self.names(definition), hit.borrowed())?;
            self.delete_at(&self.target(key)?, version, Gone::Done, Refresh::Later).await
        };
        Some(deletion.await)
    }

    fn candidate(&self, types: &[&TypeDefinition], hit: &Hit) -> Result<Candidate> {
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
        Ok(Candidate {
            target: Target::stored(self.registered(definition.name())?, key, &hit.id),
            fetched: Fetched { document, version },
        })
    }
}
