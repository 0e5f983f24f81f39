use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::entry::{Entry, Put, Quarantined, Stage, Standing, one_line};
use crate::cluster::{
    BulkAction, BulkOperation, BulkRequest, Cluster, ClusterErrorKind, CreateIndex, Gone, Hit, IndexPurpose, ItemError,
    ItemErrorKind, ItemOutcome, Query, Refresh, Scan, SequenceNumber, Unseen,
};
use crate::control::KeysInUse;
use crate::encryption::EncryptionService;
use crate::layout::{IndexNames, Prefix};
use crate::{Error, ErrorKind, Result};

/// The documents of one prefix that were put aside.
#[derive(Debug, Clone)]
pub struct Quarantine {
    cluster: Arc<dyn Cluster>,
    prefix: Prefix,
}

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Documents that are in their index again.
    pub restored: Vec<Quarantined>,
    /// Documents that stay in quarantine.
    pub refused: Vec<Refused>,
}

/// A document that was not restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The document.
    #[serde(flatten)]
    pub document: Quarantined,
    /// Why it stays.
    pub because: String,
}

/// What became of documents that were to get another content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rewritten {
    pub(crate) replaced: u64,
    pub(crate) conflicts: u64,
}

/// An entry that stands for a document.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    entry_id: String,
    sequence: SequenceNumber,
}

/// An entry as it was read.
#[derive(Debug)]
struct Found {
    placed: Placed,
    entry: Entry,
    standing: Standing,
    /// Whether the document is in its index as it was read: somebody may be about to move it.
    is_as_read: bool,
}

impl Found {
    fn summary(&self) -> Quarantined {
        self.entry.summary(self.standing)
    }
}

/// How often an entry is written again that others write at the same time.
const ATTEMPTS: u32 = 5;
const NAME_IT: &str =
    "a user may have deleted it: a process was stopped while it moved the document; to restore it, name it";

impl Quarantine {
    /// The quarantine of `prefix`.
    pub fn new(cluster: Arc<dyn Cluster>, prefix: Prefix) -> Self {
        Self { cluster, prefix }
    }

    /// The names of its index.
    pub(crate) fn names(&self) -> IndexNames {
        self.prefix.group("control-quarantine")
    }

    /// All documents in quarantine, sorted by alias and `_id`.
    ///
    /// # Errors
    /// Whatever the cluster answers, and [`Incompatible`](ErrorKind::Incompatible) if a newer version wrote them.
    pub async fn list(&self) -> Result<Vec<Quarantined>> {
        let found = self.found(&[]).await?;
        let mut list: Vec<_> =
            found.iter().filter(|found| found.standing != Standing::NotHere).map(Found::summary).collect();
        list.sort_unstable_by(|one, other| (&one.alias, &one.id).cmp(&(&other.alias, &other.id)));
        Ok(list)
    }

    /// Puts documents back into their indices as they were, those with these `_id`s or all. One whose place is taken, or
    /// which the index refuses, stays in quarantine, and so does one that a user may have deleted, unless it is named.
    ///
    /// # Errors
    /// As [`list`](Self::list). What was restored stays restored.
    pub async fn restore(&self, ids: &[String]) -> Result<Restored> {
        let mut restored = Restored::default();
        for found in self.found(ids).await? {
            let document = found.summary();
            let refusal = match found.standing {
                Standing::NotHere => {
                    if matches!(found.entry.stage, Stage::TakenOut | Stage::PuttingBack) {
                        self.take_out(&[found.placed]).await?;
                    }
                    if found.is_as_read || !matches!(found.entry.stage, Stage::LeftOut) {
                        restored.restored.push(document);
                    }
                    continue;
                }
                Standing::Undecided if ids.is_empty() => Some(NAME_IT.to_owned()),
                Standing::Held | Standing::Undecided => self.put_back(found).await?,
            };
            match refusal {
                None => restored.restored.push(document),
                Some(because) => restored.refused.push(Refused { document, because }),
            }
        }
        Ok(restored)
    }

    /// Deletes documents from quarantine for good, those with these `_id`s or all, and names them.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub async fn drop(&self, ids: &[String]) -> Result<Vec<Quarantined>> {
        let mut found = self.found(ids).await?;
        found.retain(|found| found.standing != Standing::NotHere || !found.is_as_read);
        let entries: Vec<_> = found.iter().map(|found| found.placed.clone()).collect();
        self.take_out(&entries).await?;
        Ok(found.iter().filter(|found| found.standing != Standing::NotHere).map(Found::summary).collect())
    }

    /// Puts documents in, now, which is `since`; one that is here already with the same content is put in as it is now. Gives for
    /// each one its entry, or the reason if it is too large to be put here.
    pub(crate) async fn put(&self, documents: &[Put<'_>], since: &str) -> Result<Vec<Result<Placed, String>>> {
        let entries =
            documents.iter().map(|put| Ok((put.entry_id(), put.entry(since)?))).collect::<Result<Vec<_>>>()?;
        self.place(entries).await
    }

    /// Notes of documents that they were deleted from their index.
    pub(crate) async fn confirm(&self, documents: &[(Put<'_>, Placed)], since: &str) -> Result<()> {
        let (mut entries, mut operations) = (Vec::new(), Vec::new());
        for (put, placed) in documents {
            let entry = Entry { stage: Stage::TakenOut, ..put.entry(since)? };
            operations.push(replace(placed, &entry)?);
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
        // Another node put the same one in, or found that it was gone. It is nowhere else.
        self.place(lost).await.map(drop)
    }

    /// Creates entries, or replaces those that have less to say.
    async fn place(&self, entries: Vec<(String, Entry)>) -> Result<Vec<Result<Placed, String>>> {
        let mut answers: Vec<Option<Result<Placed, String>>> = entries.iter().map(|_| None).collect();
        let mut existing: BTreeMap<usize, Placed> = BTreeMap::new();
        for _ in 0..ATTEMPTS {
            let pending: Vec<usize> =
                (0..entries.len()).filter(|&at| answers.get(at).is_some_and(Option::is_none)).collect();
            if pending.is_empty() {
                break;
            }
            let mut operations = Vec::with_capacity(pending.len());
            let mut conflicts = Vec::new();
            for (entry_id, entry) in pending.iter().filter_map(|&at| entries.get(at)) {
                operations.push(BulkOperation {
                    id: entry_id.clone(),
                    action: BulkAction::Create { source: entry.to_source()? },
                });
            }
            for (operation, at) in operations.iter_mut().zip(&pending) {
                if let (Some(placed), Some((_, entry))) = (existing.get(at), entries.get(*at)) {
                    *operation = replace(placed, entry)?;
                }
            }
            for ((outcome, operation), &at) in self.write(&operations).await?.into_iter().zip(&operations).zip(&pending)
            {
                match outcome {
                    Ok(sequence) => set(&mut answers, at, Ok(Placed { entry_id: operation.id.clone(), sequence })),
                    Err(error) if is_changed(error.kind) => conflicts.push(at),
                    Err(error) if error.kind == ItemErrorKind::TooLarge => set(&mut answers, at, Err(error.reason)),
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
                let placed = Placed { entry_id: hit.id, sequence: hit.sequence };
                // Of the same moment of the document: put in by another node, or by a process that was stopped.
                let says_as_much =
                    found.read == wanted.read && (found.stage == wanted.stage || found.stage == Stage::TakenOut);
                match says_as_much {
                    true => set(&mut answers, at, Ok(placed)),
                    false => drop(existing.insert(at, placed)),
                }
            }
        }
        answers
            .into_iter()
            .map(|answer| answer.ok_or_else(|| not_written(busy("others go on writing the same entry"))))
            .collect()
    }

    /// Takes entries out again whose documents could not be taken out of their index, because somebody changed them meanwhile.
    pub(crate) async fn forget(&self, entries: &[Placed]) -> Result<()> {
        self.take_out(entries).await
    }

    /// Takes out what an undone copy of the blocked index `source`, or a process that was stopped, left here of documents that are
    /// in `fill` now, or that users have changed or deleted since. Before a copy is swapped, so that all that it left out is as
    /// its source had it.
    pub(crate) async fn settle(&self, alias: &str, source: &str, fill: &str) -> Result<()> {
        let index = self.names().alias().to_owned();
        if !self.is_readable(&index).await? {
            return Ok(());
        }
        let query = Query::equals("alias", alias);
        let mut stale = Vec::new();
        let scan = Scan { cluster: self.cluster.as_ref(), index: &index, query };
        scan.run(|page| self.stale(page, source, fill), |page: Vec<Placed>| stale.extend(page)).await?;
        self.take_out(&stale).await
    }

    async fn stale(&self, page: Vec<Hit>, source: &str, fill: &str) -> Result<Vec<Placed>> {
        let mut entries = Vec::new();
        for hit in page {
            let entry = Entry::parse(hit.source.get())?;
            let is_of_source = entry.read.as_ref().is_some_and(|read| read.index() == source);
            if is_of_source && matches!(entry.stage, Stage::TakingOut | Stage::LeftOut) {
                entries.push((Placed { entry_id: hit.id, sequence: hit.sequence }, entry));
            }
        }
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<&str> = entries.iter().map(|(_, entry)| entry.id.as_str()).collect();
        let (read, filled) = (self.cluster.get_many(source, &ids).await?, self.cluster.get_many(fill, &ids).await?);
        let is_stale = |entry: &Entry, read: Option<&Hit>, is_filled: bool| {
            let is_as_read = read.is_some_and(|hit| entry.is_as_read(hit));
            match entry.stage {
                Stage::LeftOut => is_filled || !is_as_read,
                // If it is not as it was read, it may have been taken out.
                _ => is_filled && is_as_read,
            }
        };
        let looked_up = entries.into_iter().zip(read.iter().zip(&filled));
        let stale = looked_up.filter(|((_, entry), (read, filled))| is_stale(entry, read.as_ref(), filled.is_some()));
        Ok(stale.map(|((placed, _), _)| placed).collect())
    }

    /// Looks at every document in quarantine, without those that are in their index, and replaces the content of those for
    /// which `look` gives another. `collect` gets what else `look` gives. Says how many were replaced, and how many were not
    /// because somebody else was faster.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub(crate) async fn rewrite<T>(
        &self,
        (keys, encryption): (&KeysInUse, &EncryptionService),
        look: impl Fn(&Quarantined, &str) -> (T, Option<String>),
        mut collect: impl FnMut(T),
    ) -> Result<Rewritten> {
        let mut rewritten = Rewritten::default();
        let index = self.names().alias().to_owned();
        if !self.is_readable(&index).await? {
            return Ok(rewritten);
        }
        let scan = Scan { cluster: self.cluster.as_ref(), index: &index, query: Query::Everything };
        let work = |page| self.rewrite_page((keys, encryption), page, &look);
        scan.run(work, |(looked, of_page): (Vec<T>, Rewritten)| {
            looked.into_iter().for_each(&mut collect);
            rewritten.replaced += of_page.replaced;
            rewritten.conflicts += of_page.conflicts;
        })
        .await?;
        Ok(rewritten)
    }

    async fn rewrite_page<T>(
        &self,
        (keys, encryption): (&KeysInUse, &EncryptionService),
        page: Vec<Hit>,
        look: &impl Fn(&Quarantined, &str) -> (T, Option<String>),
    ) -> Result<(Vec<T>, Rewritten)> {
        let (mut looked, mut operations, mut rewritten) = (Vec::new(), Vec::new(), Rewritten::default());
        for found in self.look_up(page).await? {
            if found.standing == Standing::NotHere {
                continue;
            }
            let (seen, source) = look(&found.summary(), &found.entry.document());
            looked.push(seen);
            if let Some(source) = source {
                operations.push(replace(&found.placed, &found.entry.with_source(&source)?)?);
            }
        }
        keys.before_writing(encryption).await?;
        for outcome in self.write(&operations).await? {
            match outcome {
                Ok(_) => rewritten.replaced += 1,
                Err(error) if is_changed(error.kind) => rewritten.conflicts += 1,
                Err(error) => return Err(not_written(error)),
            }
        }
        Ok((looked, rewritten))
    }

    /// Whether there is a quarantine; if so, all of it is seen by searches from now on.
    async fn is_readable(&self, index: &str) -> Result<bool> {
        if self.cluster.indices(&[index]).await?.is_empty() {
            let unseen = Unseen::among(self.cluster.as_ref(), &self.names().all()).await?;
            return if unseen.is_empty() { Ok(false) } else { Err(unseen.error()) };
        }
        match self.cluster.refresh(index).await {
            // Whoever only looks may lack the privilege; every write here waits until searches see it.
            Err(error) if error.kind == ClusterErrorKind::Forbidden => Ok(true),
            answer => answer.map(|()| true).map_err(Error::from),
        }
    }

    /// The entries of these documents, or all.
    async fn found(&self, ids: &[String]) -> Result<Vec<Found>> {
        let index = self.names().alias().to_owned();
        if !self.is_readable(&index).await? {
            return Ok(Vec::new());
        }
        let query = match ids {
            [] => Query::Everything,
            ids => {
                let values = ids.iter().map(|id| Value::from(id.as_str())).collect();
                Query::AnyOf { field: "id".to_owned(), values }
            }
        };
        let mut found = Vec::new();
        let scan = Scan { cluster: self.cluster.as_ref(), index: &index, query };
        scan.run(|page| self.look_up(page), |page: Vec<Found>| found.extend(page)).await?;
        Ok(found)
    }

    async fn look_up(&self, page: Vec<Hit>) -> Result<Vec<Found>> {
        let mut by_alias: BTreeMap<String, Vec<(Placed, Entry)>> = BTreeMap::new();
        for hit in page {
            let entry = Entry::parse(hit.source.get())?;
            let placed = Placed { entry_id: hit.id, sequence: hit.sequence };
            by_alias.entry(entry.alias.clone()).or_default().push((placed, entry));
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
            for ((placed, entry), stored) in entries.into_iter().zip(stored) {
                let standing = entry.standing(current, stored.as_ref());
                let is_as_read = stored.is_some_and(|stored| entry.is_as_read(&stored));
                found.push(Found { placed, entry, standing, is_as_read });
            }
        }
        Ok(found)
    }

    /// Moves a document to the current index it belongs to. Gives the reason if that is not possible.
    async fn put_back(&self, found: Found) -> Result<Option<String>> {
        let Found { placed, entry, .. } = found;
        // Once it may be there, a user may delete it.
        let going = Entry { stage: Stage::PuttingBack, ..entry.clone() };
        let Some(placed) = self.replace_one(placed, &going).await? else {
            return Ok(Some("its entry was changed meanwhile; try again".to_owned()));
        };
        let refusal = self.create_again(&entry).await?;
        match refusal {
            None => self.take_out(&[placed]).await?,
            Some(_) => drop(self.replace_one(placed, &entry).await?),
        }
        Ok(refusal)
    }

    /// None if the entry is no longer as it was read.
    async fn replace_one(&self, placed: Placed, entry: &Entry) -> Result<Option<Placed>> {
        match self.write(&[replace(&placed, entry)?]).await?.into_iter().next() {
            Some(Ok(sequence)) => Ok(Some(Placed { sequence, ..placed })),
            Some(Err(error)) if is_changed(error.kind) => Ok(None),
            Some(Err(error)) => Err(not_written(error)),
            None => Err(not_written(busy("the server gave no answer"))),
        }
    }

    /// Creates the document in the current index it belongs to. Gives the reason if that is not possible.
    async fn create_again(&self, entry: &Entry) -> Result<Option<String>> {
        let alias = &entry.alias;
        let indices = self.cluster.indices(&[alias]).await?;
        let group = alias.strip_prefix(&format!("{}-", self.prefix)).map(|group| self.prefix.group(group));
        let write_alias = group.as_ref().and_then(|names| {
            let generation = indices.keys().next().and_then(|index| names.generation(index))?;
            Some(names.write_alias(generation))
        });
        let Some(write_alias) = write_alias.filter(|_| indices.len() == 1) else {
            return Ok(Some(format!("there is no index behind {alias}; see `saved-objects status`")));
        };
        let action = BulkAction::Create { source: one_line(&entry.document()) };
        let operations = [BulkOperation { id: entry.id.clone(), action }];
        let request = BulkRequest { alias: &write_alias, operations: &operations, refresh: Refresh::WaitFor };
        let outcome = self.cluster.bulk(&request).await?.into_iter().next();
        Ok(match outcome {
            Some(Ok(_)) => None,
            Some(Err(error)) if error.kind == ItemErrorKind::Conflict => {
                Some("its index has another document of this _id by now; delete one of them".to_owned())
            }
            Some(Err(error)) => Some(format!("its index refuses it: {}", error.reason)),
            None => Some("the server gave no answer for it; try again".to_owned()),
        })
    }

    async fn take_out(&self, entries: &[Placed]) -> Result<()> {
        let delete = |placed: &Placed| BulkOperation {
            id: placed.entry_id.clone(),
            action: BulkAction::Delete { read: placed.sequence, gone: Gone::Done },
        };
        for some in entries.chunks(1_000) {
            let operations: Vec<_> = some.iter().map(delete).collect();
            for outcome in self.write(&operations).await? {
                match outcome {
                    Ok(_) => {}
                    // Somebody else was faster.
                    Err(error) if is_changed(error.kind) => {}
                    Err(error) => return Err(not_written(error)),
                }
            }
        }
        Ok(())
    }

    /// Writes to the index, which is created if it is not there.
    async fn write(&self, operations: &[BulkOperation]) -> Result<Vec<ItemOutcome>> {
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
        let request = CreateIndex { name: names.index(1), mapping, aliases, purpose: IndexPurpose::Serving };
        Ok(self.cluster.create_index(&request).await?)
    }
}

fn replace(placed: &Placed, entry: &Entry) -> Result<BulkOperation> {
    let action = BulkAction::Replace { source: entry.to_source()?, read: placed.sequence };
    Ok(BulkOperation { id: placed.entry_id.clone(), action })
}

fn set<T>(answers: &mut [Option<T>], at: usize, answer: T) {
    if let Some(place) = answers.get_mut(at) {
        *place = Some(answer);
    }
}

/// Whether somebody else wrote or deleted what was to be written.
fn is_changed(kind: ItemErrorKind) -> bool {
    matches!(kind, ItemErrorKind::Conflict | ItemErrorKind::NotFound)
}

fn not_written(error: ItemError) -> Error {
    error.into_error(
        ErrorKind::Unavailable,
        "the quarantine could not be written",
        "put right what the reason says, and start again: no document is lost",
    )
}

fn busy(reason: &str) -> ItemError {
    ItemError { kind: ItemErrorKind::Unavailable, reason: reason.to_owned() }
}
