//! Snapshots of indices and their restoration; closing and opening indices.

use std::collections::BTreeMap;

use super::refusals::{missing, refusal};
use super::state::{Index, State};
use crate::cluster::ClusterResult;

/// Indices as they were at one moment, with documents, mappings, settings and aliases.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(super) indices: BTreeMap<String, Index>,
}

/// What a restore does in addition to restoring documents, mapping and settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Whether the index gets its aliases from the snapshot. Otherwise an existing index keeps its aliases, and a new
    /// one has none.
    pub with_aliases: bool,
    /// Whether an existing index of this name is closed first. A restore over an open index is refused.
    pub over_closed: bool,
}

impl State {
    pub(super) fn snapshot(&self, names: &[&str]) -> ClusterResult<Snapshot> {
        let mut indices = BTreeMap::new();
        for name in names {
            indices.insert((*name).to_owned(), self.indices.get(*name).ok_or_else(|| missing(name))?.clone());
        }
        Ok(Snapshot { indices })
    }

    pub(super) fn restore(&mut self, snapshot: &Snapshot, name: &str, options: RestoreOptions) -> ClusterResult<()> {
        let mut restored = snapshot.indices.get(name).ok_or_else(|| missing(name))?.clone();
        if options.over_closed && self.indices.contains_key(name) {
            self.close_index(name)?;
        }
        let mut term = restored.documents.primary_term();
        match self.indices.get(name) {
            Some(existing) if !existing.is_closed => {
                return Err(refusal(
                    500,
                    "snapshot_restore_exception",
                    format!(
                        "[default:repository:snapshot/uuid] cannot restore index [{name}] because an open index with \
                         same name already exists in the cluster. Either close or delete the existing index or restore \
                         the index under a different name by providing a rename pattern and replacement name"
                    ),
                ));
            }
            Some(existing) => {
                term = term.max(existing.documents.primary_term());
                restored.uuid.clone_from(&existing.uuid);
                if !options.with_aliases {
                    restored.aliases.clone_from(&existing.aliases);
                }
            }
            None => {
                restored.uuid = self.new_uuid();
                if !options.with_aliases {
                    restored.aliases.clear();
                }
            }
        }
        restored.history_uuid = self.new_uuid();
        restored.is_closed = false;
        restored.documents.recover();
        restored.documents.set_primary_term(term + 1);
        self.indices.insert(name.to_owned(), restored);
        Ok(())
    }

    /// Fails if one of the indices is in a snapshot in progress. `what` is the refused operation.
    pub(super) fn check_not_in_snapshot(&self, what: &str, names: &[&str]) -> ClusterResult<()> {
        let listed = |name: &&&str| self.in_snapshot.contains(**name);
        let shown = |name: &&str| Some(format!("[{name}/{}]", self.indices.get(*name)?.uuid));
        let in_snapshot: Vec<String> = names.iter().filter(listed).filter_map(shown).collect();
        if in_snapshot.is_empty() {
            return Ok(());
        }
        Err(refusal(
            400,
            "snapshot_in_progress_exception",
            format!(
                "Cannot {what} indices that are being snapshotted: [{}]. Try again after snapshot finishes or cancel the \
                 currently running snapshot.",
                in_snapshot.join(", ")
            ),
        ))
    }

    /// Closes an index, as an operator does. Its points in time are lost.
    pub(super) fn close_index(&mut self, name: &str) -> ClusterResult<Vec<String>> {
        let names = self.existing(name)?;
        self.check_blocks(&names, super::settings::Level::MetadataWrite)?;
        self.check_not_in_snapshot("close", &names.iter().map(String::as_str).collect::<Vec<_>>())?;
        let mut closed = Vec::new();
        for name in names {
            let index = self.index_mut(&name)?;
            if !index.is_closed {
                index.is_closed = true;
                index.documents.recover();
                index.documents.set_primary_term(index.documents.primary_term() + 1);
                let uuid = index.uuid.clone();
                self.points_in_time.forget_index(&uuid);
                closed.push(name);
            }
        }
        Ok(closed)
    }

    /// Opens an index again.
    pub(super) fn open_index(&mut self, name: &str) -> ClusterResult<()> {
        for name in self.existing(name)? {
            let index = self.index_mut(&name)?;
            if index.is_closed {
                index.is_closed = false;
                index.documents.set_primary_term(index.documents.primary_term() + 1);
            }
        }
        Ok(())
    }
}
