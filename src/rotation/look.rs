//! One look at the documents of one index: reading, encrypting and writing overlap in bounded memory.

use std::sync::Arc;

use bytes::Bytes;

use super::inspect::{Inspector, Work};
use super::progress::ProgressSender;
use super::tally::Tally;
use crate::cluster::{BulkAction, BulkOperation, BulkRequest, Cluster, Hit, ItemErrorKind, Query, Refresh, Scan};
use crate::control::KeysInUse;
use crate::encryption::EncryptionService;
use crate::layout::IndexMeta;
use crate::{ErrorKind, Result};

/// How often a document is read again that somebody else wrote meanwhile.
const MAX_REREADS: u32 = 3;

/// What is looked at.
#[derive(Debug, Clone)]
pub(super) struct Look<'a> {
    pub(super) cluster: &'a dyn Cluster,
    pub(super) inspector: &'a Inspector,
    pub(super) progress: &'a ProgressSender,
    /// The alias as reports name it.
    pub(super) alias: &'a str,
    pub(super) index: &'a str,
    pub(super) meta: Arc<IndexMeta>,
    /// What is written through; none if the keys are only counted.
    pub(super) write_alias: Option<&'a str>,
    pub(super) keys: &'a KeysInUse,
    pub(super) encryption: &'a EncryptionService,
}

impl Look<'_> {
    /// Looks at every document as it is now.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if the index takes no writes any more, since a migration is at work;
    /// [`Unavailable`](ErrorKind::Unavailable) if the cluster cannot be reached. What is done stays done.
    pub(super) async fn run(&self) -> Result<Tally> {
        let scan = Scan { cluster: self.cluster, index: self.index, query: Query::Everything };
        let mut tally = Tally::default();
        scan.run(|page| self.look_at(page), |looked| tally.add(looked)).await?;
        Ok(tally)
    }

    async fn look_at(&self, page: Vec<Hit>) -> Result<Tally> {
        let read = page.len() as u64;
        let (mut tally, mut pending) = self.inspect(page).await?;
        tally.counts.read = read;
        for reread in 0..=MAX_REREADS {
            let Some(write_alias) = self.write_alias.filter(|_| !pending.is_empty()) else { break };
            let moved = self.write(write_alias, &pending, &mut tally).await?;
            if moved.is_empty() || reread == MAX_REREADS {
                tally.unsettled += moved.len() as u64;
                break;
            }
            tally.counts.conflicts += moved.len() as u64;
            let ids: Vec<&str> = moved.iter().map(String::as_str).collect();
            let found = self.cluster.get_many(self.index, &ids).await?.into_iter().flatten().collect();
            // What it is now is counted by the next look.
            pending = self.inspect(found).await?.1;
        }
        self.progress.add(read, tally.counts.rotated);
        Ok(tally)
    }

    async fn inspect(&self, page: Vec<Hit>) -> Result<(Tally, Vec<BulkOperation>)> {
        let work = if self.write_alias.is_some() { Work::Rotate } else { Work::Count };
        let (inspector, meta, alias) = (self.inspector.clone(), self.meta.clone(), self.alias.to_owned());
        let inspecting = move || {
            let (mut tally, mut operations) = (Tally::default(), Vec::new());
            for hit in page {
                let mut inspected = inspector.inspect(&meta, &hit.id, hit.source.get(), work);
                let source = inspected.source.take();
                tally.count(&alias, &hit.id, inspected);
                if let Some(source) = source {
                    let action = BulkAction::Replace { source: Bytes::from(source), read: hit.sequence };
                    operations.push(BulkOperation { id: hit.id, action });
                }
            }
            (tally, operations)
        };
        let environment = self.inspector.environment();
        environment.blocking(inspecting).await.map_err(|error| error.context("encrypting documents"))
    }

    /// Writes documents, and gives the ids of those that are no longer as they were read.
    async fn write(&self, alias: &str, operations: &[BulkOperation], tally: &mut Tally) -> Result<Vec<String>> {
        self.keys.before_writing(self.encryption).await?;
        let request = BulkRequest { alias, operations, refresh: Refresh::Later };
        let mut moved = Vec::new();
        for (operation, outcome) in operations.iter().zip(self.cluster.bulk(&request).await?) {
            let Err(error) = outcome else {
                tally.counts.rotated += 1;
                continue;
            };
            let otherwise = match error.kind {
                ItemErrorKind::Conflict | ItemErrorKind::NotFound | ItemErrorKind::OutcomeUnknown => {
                    moved.push(operation.id.clone());
                    continue;
                }
                ItemErrorKind::AliasMissing | ItemErrorKind::WriteBlocked => ErrorKind::Conflict,
                ItemErrorKind::Unavailable => ErrorKind::Unavailable,
                _ => ErrorKind::Internal,
            };
            let what = format!("{} of {} could not be written", operation.id, self.index);
            return Err(error.into_error(
                otherwise,
                what,
                "see `saved-objects status`, put right what it names, and start again: what is done stays done",
            ));
        }
        Ok(moved)
    }
}
