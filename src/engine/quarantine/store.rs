//! The index of the quarantine: putting documents in, deleting entries and rewriting their content.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::entry::{Entry, Location, Put, Quarantined, Stage};
use crate::cluster::{
    BulkAction, BulkOperation, BulkRequest, Cluster, ClusterErrorKind, CreateIndex, Hit, IndexPurpose, ItemError,
    ItemErrorKind, ItemOutcome, Pace, Query, Refresh, Scan, SequenceNumber, Unrefreshed, Unseen,
};
use crate::encryption::EncryptionService;
use crate::engine::Engine;
use crate::engine::control::KeysInUse;
use crate::engine::rewrite::{self, is_changed};
use crate::environment::Environment;
use crate::layout::{IndexNames, Prefix};
use crate::registry::Registry;
use crate::{Error, ErrorKind, Result};

/// The quarantine of one prefix.
#[derive(Debug, Clone)]
pub struct Quarantine {
    pub(super) cluster: Arc<dyn Cluster>,
    pub(super) prefix: Prefix,
    pub(super) registry: Arc<Registry>,
    pub(super) environment: Environment,
}

/// The number of documents whose content was replaced, and of those that others changed first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RewriteCounts {
    pub(crate) replaced: u64,
    pub(crate) conflicts: u64,
}

/// The id and version of an entry.
#[derive(Debug, Clone)]
pub(crate) struct EntryVersion {
    pub(super) entry_id: String,
    pub(super) sequence: SequenceNumber,
}

/// An entry with the version in which it was read, and the location of its document.
#[derive(Debug)]
pub(super) struct Found<E = Entry> {
    pub(super) version: EntryVersion,
    pub(super) entry: E,
    pub(super) location: Location,
    /// Whether the document is in its index in the version that was read. A process may be about to move it.
    pub(super) is_as_read: bool,
}

impl Found {
    pub(super) fn summary(&self) -> Quarantined {
        self.entry.summary(self.location)
    }
}

/// The number of attempts to write an entry that others write at the same time.
const ATTEMPTS: u32 = 5;

impl Quarantine {
    /// Creates the quarantine of the engine's prefix. Its operations end early if the engine's environment requests a
    /// stop.
    pub fn new(engine: &Engine) -> Self {
        let (registry, environment) = (engine.registry.clone(), engine.environment.clone());
        Self { cluster: engine.cluster.clone(), prefix: engine.prefix.clone(), registry, environment }
    }

    /// Returns the names of the quarantine's index.
    pub(crate) fn names(&self) -> IndexNames {
        self.prefix.group("control-quarantine")
    }

    /// Puts documents into quarantine. `since` is the current time. A document that is there already with the same
    /// content gets the new entry. Returns for each document its entry, or the reason if it is too large.
    pub(crate) async fn put(&self, documents: &[Put<'_>], since: &str) -> Result<Vec<Result<EntryVersion, String>>> {
        let entries =
            documents.iter().map(|put| Ok((put.entry_id(), put.entry(since)?))).collect::<Result<Vec<_>>>()?;
        self.write_entries(entries).await
    }

    /// Records that documents were deleted from their index.
    pub(crate) async fn confirm(&self, documents: &[(Put<'_>, EntryVersion)], since: &str) -> Result<()> {
        let (mut entries, mut operations) = (Vec::new(), Vec::new());
        for (put, version) in documents {
            let entry = Entry { stage: Stage::TakenOut, ..put.entry(since)? };
            operations.push(replace(version, &entry)?);
            entries.push((put.entry_id(), entry));
        }
        let mut lost = Vec::new();
        for (outcome, entry) in self.write(&operations).await?.into_iter().zip(entries) {
            match outcome {
                Ok(_) => {}
                Err(error) if is_changed(error.kind) => lost.push(entry),
                Err(error) => return Err(not_written(error)),
            }
        }
        // Another node put the same document in, or found that its index no longer has it. It exists nowhere else.
        self.write_entries(lost).await.map(drop)
    }

    /// Creates entries, or replaces existing ones that contain less information.
    async fn write_entries(&self, entries: Vec<(String, Entry)>) -> Result<Vec<Result<EntryVersion, String>>> {
        let mut answers: Vec<Option<Result<EntryVersion, String>>> = entries.iter().map(|_| None).collect();
        let mut existing: BTreeMap<usize, EntryVersion> = BTreeMap::new();
        for attempt in 1..=ATTEMPTS {
            let pending: Vec<usize> =
                (0..entries.len()).filter(|&at| answers.get(at).is_some_and(Option::is_none)).collect();
            if pending.is_empty() {
                break;
            }
            let mut operations = Vec::with_capacity(pending.len());
            let mut conflicts = Vec::new();
            for (at, (entry_id, entry)) in pending.iter().filter_map(|&at| Some((at, entries.get(at)?))) {
                operations.push(match existing.get(&at) {
                    Some(version) => replace(version, entry)?,
                    None => {
                        let action = BulkAction::Create { source: entry.to_source()? };
                        BulkOperation { id: entry_id.clone(), action }
                    }
                });
            }
            for ((outcome, operation), &at) in self.write(&operations).await?.into_iter().zip(&operations).zip(&pending)
            {
                match outcome {
                    Ok(sequence) => {
                        set(&mut answers, at, Ok(EntryVersion { entry_id: operation.id.clone(), sequence }))
                    }
                    Err(error) if is_changed(error.kind) => conflicts.push(at),
                    Err(error) if error.kind == ItemErrorKind::TooLarge => set(&mut answers, at, Err(error.reason)),
                    // The next attempt finds the entry if it was written. As long as the quarantine has no index, no answer
                    // to a lost request can be read back.
                    Err(error) if error.kind == ItemErrorKind::OutcomeUnknown && attempt < ATTEMPTS => {}
                    Err(error) => return Err(not_written(error)),
                }
            }
            let ids: Vec<&str> = conflicts.iter().filter_map(|&at| Some(entries.get(at)?.0.as_str())).collect();
            if ids.is_empty() {
                continue;
            }
            let found = self.cluster.get_many(self.names().alias(), &ids).await?;
            for (at, hit) in conflicts.into_iter().zip(found) {
                let (Some(hit), Some((_, wanted))) = (hit, entries.get(at)) else {
                    existing.remove(&at);
                    continue;
                };
                let found = Entry::parse(hit.source.get())?;
                let version = EntryVersion { entry_id: hit.id, sequence: hit.sequence };
                // An entry for the same version of the document comes from another node, or from a process that was
                // interrupted.
                let says_as_much =
                    found.read == wanted.read && (found.stage == wanted.stage || found.stage == Stage::TakenOut);
                match says_as_much {
                    true => set(&mut answers, at, Ok(version)),
                    false => drop(existing.insert(at, version)),
                }
            }
        }
        answers
            .into_iter()
            .map(|answer| answer.ok_or_else(|| not_written(busy("others go on writing the same entry"))))
            .collect()
    }

    /// Deletes stale entries that an undone copy of the write-blocked index `source`, or an interrupted process, left
    /// behind. Documents of stale entries are in the index `staging` now, or users have changed or deleted them
    /// since. This runs before a copy is swapped, so that everything that the copy left out is in the state of its
    /// source.
    pub(crate) async fn settle(&self, alias: &str, source: &str, staging: &str) -> Result<()> {
        let index = self.names().alias().to_owned();
        if !self.is_readable(&index).await? {
            return Ok(());
        }
        let query = Query::equals("alias", alias);
        let mut stale = Vec::new();
        let scan = Scan { cluster: &self.cluster, environment: &self.environment, index: &index, query, pace: None };
        scan.run(|page| self.stale(page, source, staging), |page: Vec<EntryVersion>| stale.extend(page)).await?;
        self.delete_entries(&stale).await
    }

    async fn stale(&self, page: Vec<Hit>, source: &str, staging: &str) -> Result<Vec<EntryVersion>> {
        let mut entries = Vec::new();
        for hit in page {
            let entry = Entry::parse(hit.source.get())?;
            let is_of_source = entry.read.as_ref().is_some_and(|read| read.index() == source);
            if is_of_source && matches!(entry.stage, Stage::TakingOut | Stage::LeftOut) {
                entries.push((EntryVersion { entry_id: hit.id, sequence: hit.sequence }, entry));
            }
        }
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<&str> = entries.iter().map(|(_, entry)| entry.id.as_str()).collect();
        let (read, staged) = (self.cluster.get_many(source, &ids).await?, self.cluster.get_many(staging, &ids).await?);
        let is_stale = |entry: &Entry, read: Option<&Hit>, is_staged: bool| {
            let is_as_read = read.is_some_and(|hit| entry.is_as_read(hit));
            match entry.stage {
                Stage::LeftOut => is_staged || !is_as_read,
                // A document that is not in the version that was read may have been deleted from its index.
                _ => is_staged && is_as_read,
            }
        };
        let looked_up = entries.into_iter().zip(read.iter().zip(&staged));
        let stale = looked_up.filter(|((_, entry), (read, staged))| is_stale(entry, read.as_ref(), staged.is_some()));
        Ok(stale.map(|((version, _), _)| version).collect())
    }

    /// Passes every document in quarantine, except those that are in their index, to `inspect`, and replaces the
    /// content of those for which `inspect` returns new content. The other result of `inspect` goes to `collect`.
    /// Returns how many were replaced, and how many were not because another process changed them first.
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    pub(crate) async fn rewrite<T>(
        &self,
        (keys, encryption): (&KeysInUse, &EncryptionService),
        pace: Option<&Pace>,
        inspect: impl Fn(&Quarantined, &str) -> (T, Option<String>),
        mut collect: impl FnMut(T),
    ) -> Result<RewriteCounts> {
        let mut rewritten = RewriteCounts::default();
        let index = self.names().alias().to_owned();
        if !self.is_readable(&index).await? {
            return Ok(rewritten);
        }
        let (cluster, environment) = (&self.cluster, &self.environment);
        let scan = Scan { cluster, environment, index: &index, query: Query::Everything, pace };
        let work = |page| self.rewrite_page((keys, encryption), pace, page, &inspect);
        scan.run(work, |(inspected, of_page): (Vec<T>, RewriteCounts)| {
            inspected.into_iter().for_each(&mut collect);
            rewritten.replaced += of_page.replaced;
            rewritten.conflicts += of_page.conflicts;
        })
        .await?;
        Ok(rewritten)
    }

    async fn rewrite_page<T>(
        &self,
        (keys, encryption): (&KeysInUse, &EncryptionService),
        pace: Option<&Pace>,
        page: Vec<Hit>,
        inspect: &impl Fn(&Quarantined, &str) -> (T, Option<String>),
    ) -> Result<(Vec<T>, RewriteCounts)> {
        let (mut results, mut operations, mut rewritten) = (Vec::new(), Vec::new(), RewriteCounts::default());
        for found in self.look_up(page).await? {
            if found.location == Location::NotHeld {
                continue;
            }
            let (result, source) = inspect(&found.summary(), &found.entry.document());
            results.push(result);
            if let Some(source) = source {
                operations.push(replace(&found.version, &found.entry.with_source(&source)?)?);
            }
        }
        keys.before_writing(encryption).await?;
        if let Some(pace) = pace {
            pace.admit(operations.len(), &self.environment).await;
        }
        for outcome in self.write(&operations).await? {
            match outcome {
                Ok(_) => rewritten.replaced += 1,
                Err(error) if is_changed(error.kind) => rewritten.conflicts += 1,
                Err(error) => return Err(not_written(error)),
            }
        }
        Ok((results, rewritten))
    }

    /// Returns whether the quarantine exists. If it does, searches see all of it from now on.
    pub(super) async fn is_readable(&self, index: &str) -> Result<bool> {
        if self.cluster.indices(&[index]).await?.is_empty() {
            let unseen = Unseen::among(self.cluster.as_ref(), &self.names().all()).await?;
            return if unseen.is_empty() { Ok(false) } else { Err(unseen.error()) };
        }
        // Without the privilege to refresh nothing is missed, because every write here waits until searches see it.
        Unrefreshed::after_refresh(self.cluster.as_ref(), index).await?;
        Ok(true)
    }

    pub(super) async fn look_up(&self, page: Vec<Hit>) -> Result<Vec<Found>> {
        let mut by_alias: BTreeMap<String, Vec<(EntryVersion, Entry)>> = BTreeMap::new();
        for hit in page {
            let entry = Entry::parse(hit.source.get())?;
            let version = EntryVersion { entry_id: hit.id, sequence: hit.sequence };
            by_alias.entry(entry.alias.clone()).or_default().push((version, entry));
        }
        let mut found = Vec::new();
        for (alias, entries) in by_alias {
            let indices = self.cluster.indices(&[&alias]).await?;
            let current = indices.keys().next().map(String::as_str);
            let ids: Vec<&str> = entries.iter().map(|(_, entry)| entry.id.as_str()).collect();
            let stored = match self.cluster.get_many(&alias, &ids).await {
                Ok(stored) => stored,
                Err(error) if error.kind == ClusterErrorKind::IndexNotFound => vec![None; ids.len()],
                Err(error) => return Err(error.into()),
            };
            for ((version, entry), stored) in entries.into_iter().zip(stored) {
                let location = entry.location(current, stored.as_ref());
                let is_as_read = stored.is_some_and(|stored| entry.is_as_read(&stored));
                found.push(Found { version, entry, location, is_as_read });
            }
        }
        Ok(found)
    }

    /// Deletes entries. Those that another process wrote first stay. The documents in their indices are not affected.
    pub(crate) async fn delete_entries(&self, entries: &[EntryVersion]) -> Result<()> {
        let delete = |version: &EntryVersion| rewrite::deletion(version.entry_id.clone(), version.sequence);
        for some in entries.chunks(1_000) {
            let operations: Vec<_> = some.iter().map(delete).collect();
            for outcome in self.write(&operations).await? {
                match outcome {
                    Ok(_) => {}
                    // Another process wrote first.
                    Err(error) if is_changed(error.kind) => {}
                    Err(error) => return Err(not_written(error)),
                }
            }
        }
        Ok(())
    }

    /// Writes to the index, which is created if it is missing.
    pub(super) async fn write(&self, operations: &[BulkOperation]) -> Result<Vec<ItemOutcome>> {
        if operations.is_empty() {
            return Ok(Vec::new());
        }
        let alias = self.names().write_alias(1);
        let request = BulkRequest { alias: &alias, operations, refresh: Refresh::WaitFor };
        let is_missing =
            |outcome: &ItemOutcome| outcome.as_ref().is_err_and(|error| error.kind == ItemErrorKind::AliasMissing);
        let outcomes = self.cluster.bulk(&request).await?;
        if !outcomes.iter().any(is_missing) {
            return Ok(outcomes);
        }
        self.create().await?;
        Ok(self.cluster.bulk(&request).await?)
    }

    async fn create(&self) -> Result<()> {
        let names = self.names();
        let mapping = json!({"dynamic": "false", "_meta": {"saved_objects_quarantine": 1}, "properties": {
            "alias": {"type": "keyword"}, "id": {"type": "keyword"}, "type": {"type": "keyword"},
            "reason": {"type": "text"}, "since": {"type": "date"}, "source": {"type": "object", "enabled": false},
        }});
        let aliases = vec![names.alias().to_owned(), names.write_alias(1)];
        let request = CreateIndex {
            name: names.index(1),
            mapping,
            aliases,
            purpose: IndexPurpose::Serving,
            settings: Default::default(),
        };
        Ok(self.cluster.create_index(&request).await?)
    }
}

pub(super) fn replace(version: &EntryVersion, entry: &Entry) -> Result<BulkOperation> {
    let action = BulkAction::Replace { source: entry.to_source()?, read: version.sequence };
    Ok(BulkOperation { id: version.entry_id.clone(), action })
}

fn set<T>(answers: &mut [Option<T>], at: usize, answer: T) {
    if let Some(slot) = answers.get_mut(at) {
        *slot = Some(answer);
    }
}

pub(super) fn not_written(error: ItemError) -> Error {
    error.into_error(
        ErrorKind::Unavailable,
        "the quarantine could not be written",
        "put right what the reason says, and start again: no document is lost",
    )
}

pub(super) fn busy(reason: &str) -> ItemError {
    ItemError { kind: ItemErrorKind::Unavailable, reason: reason.to_owned() }
}
