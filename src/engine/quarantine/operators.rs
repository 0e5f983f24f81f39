//! The operators' view of the quarantine: they list it, restore documents from it, and delete documents that are no
//! longer needed. All documents together may exceed the memory, so only outlines of the entries are held.

use serde::Serialize;
use serde_json::Value;

use super::entry::{Entry, Location, Quarantined, Stage, one_line};
use super::store::{EntryVersion, Found, Quarantine, busy, not_written, replace};
use crate::cluster::{BulkAction, BulkOperation, BulkRequest, Hit, ItemErrorKind, Query, Refresh, Scan};
use crate::engine::rewrite::is_changed;
use crate::{Result, telemetry};

/// The result of a restore.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The documents that are in their index again.
    pub restored: Vec<Quarantined>,
    /// The documents that stay in quarantine.
    pub refused: Vec<Refused>,
}

/// A document that was not restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The document.
    #[serde(flatten)]
    pub document: Quarantined,
    /// The reason why it stays in quarantine.
    pub because: String,
}

/// An entry without its document.
#[derive(Debug)]
struct Outline {
    document: Quarantined,
    stage: Stage,
}

impl Found {
    /// Returns the entry without its document, because the documents of all entries together would be too large.
    fn outline(self) -> Found<Outline> {
        let entry = Outline { document: self.summary(), stage: self.entry.stage };
        Found { version: self.version, entry, location: self.location, is_as_read: self.is_as_read }
    }
}

/// The number of entries that are deleted between two checks for a stop request.
const DROPPED_AT_ONCE: usize = 1_000;

const NAME_IT: &str =
    "a user may have deleted it: a process was stopped while it moved the document; to restore it, name it";

impl Quarantine {
    /// Returns all documents in quarantine, sorted by alias and `_id`.
    ///
    /// # Errors
    /// Every error of the cluster, and [`Incompatible`](crate::ErrorKind::Incompatible) if a newer version wrote the
    /// entries.
    pub async fn list(&self) -> Result<Vec<Quarantined>> {
        let found = self.found(&[]).await?;
        let is_listed = |found: &Found<Outline>| found.location != Location::NotHeld;
        let mut list: Vec<_> = found.into_iter().filter(is_listed).map(|found| found.entry.document).collect();
        list.sort_unstable_by(|one, other| (&one.alias, &one.id).cmp(&(&other.alias, &other.id)));
        telemetry::quarantined(list.len());
        Ok(list)
    }

    /// Restores documents to their indices unchanged: those with these `_id`s, or all. A document stays in quarantine
    /// if its index has another document of that `_id` or refuses it. A document that a user may have deleted stays
    /// too, unless it is named. If the restore is stopped, the remaining documents stay in quarantine.
    ///
    /// # Errors
    /// Those of [`list`](Self::list). Documents that were restored stay restored.
    pub async fn restore(&self, ids: &[String]) -> Result<Restored> {
        let mut restored = Restored::default();
        for found in self.found(ids).await? {
            if self.environment.stop().is_requested() {
                break;
            }
            let Found { version, entry: Outline { document, stage }, location, is_as_read } = found;
            let refusal = match location {
                Location::NotHeld => {
                    if matches!(stage, Stage::TakenOut | Stage::PuttingBack) {
                        self.delete_entries(&[version]).await?;
                    }
                    // With every other stage the index has the document again. A document that a copy left out may
                    // also have been deleted by a user, so it counts only if its index has it as it was read.
                    if is_as_read || !matches!(stage, Stage::LeftOut) {
                        restored.restored.push(document);
                    }
                    continue;
                }
                Location::Undecided if ids.is_empty() => Some(NAME_IT.to_owned()),
                Location::Held | Location::Undecided => self.put_back(version).await?,
            };
            match refusal {
                None => restored.restored.push(document),
                Some(because) => restored.refused.push(Refused { document, because }),
            }
        }
        Ok(restored)
    }

    /// Deletes documents from quarantine permanently, those with these `_id`s or all, and returns them. If it is
    /// stopped, the remaining documents stay.
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    pub async fn drop(&self, ids: &[String]) -> Result<Vec<Quarantined>> {
        let mut found = self.found(ids).await?;
        found.retain(|found| found.location != Location::NotHeld || !found.is_as_read);
        let mut dropped = Vec::new();
        for some in found.chunks(DROPPED_AT_ONCE) {
            if self.environment.stop().is_requested() {
                break;
            }
            let entries: Vec<_> = some.iter().map(|found| found.version.clone()).collect();
            self.delete_entries(&entries).await?;
            let is_listed = |found: &&Found<Outline>| found.location != Location::NotHeld;
            dropped.extend(some.iter().filter(is_listed).map(|found| found.entry.document.clone()));
        }
        Ok(dropped)
    }

    /// Returns the entries of these documents, or all entries.
    async fn found(&self, ids: &[String]) -> Result<Vec<Found<Outline>>> {
        self.scan(ids, Found::outline).await
    }

    /// Returns what `keep` keeps of the entries of these documents, or of all entries.
    pub(super) async fn scan<T: Send>(
        &self,
        ids: &[String],
        keep: impl Fn(Found) -> T + Copy + Send + Sync,
    ) -> Result<Vec<T>> {
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
        let scan = Scan { cluster: &self.cluster, environment: &self.environment, index: &index, query, pace: None };
        let looking = |page: Vec<Hit>| async move {
            let entries = self.look_up(page).await?;
            Ok(entries.into_iter().map(keep).collect::<Vec<_>>())
        };
        scan.run(looking, |page| found.extend(page)).await?;
        Ok(found)
    }

    /// Moves a document to the current index of its group. Returns the reason if that is not possible.
    async fn put_back(&self, version: EntryVersion) -> Result<Option<String>> {
        let changed = || Ok(Some("its entry was changed meanwhile; try again".to_owned()));
        let hit = self.cluster.get(self.names().alias(), &version.entry_id).await?;
        let Some(hit) = hit.filter(|hit| hit.sequence == version.sequence) else { return changed() };
        let entry = Entry::parse(hit.source.get())?;
        drop(hit);
        // A user may delete the document as soon as it may exist in its index.
        let going = Entry { stage: Stage::PuttingBack, ..entry.clone() };
        let Some(version) = self.replace_one(version, &going).await? else {
            return changed();
        };
        let refusal = self.create_again(&entry).await?;
        match refusal {
            None => self.delete_entries(&[version]).await?,
            Some(_) => drop(self.replace_one(version, &entry).await?),
        }
        Ok(refusal)
    }

    /// Replaces an entry. Returns `None` if it has changed since it was read.
    async fn replace_one(&self, version: EntryVersion, entry: &Entry) -> Result<Option<EntryVersion>> {
        match self.write(&[replace(&version, entry)?]).await?.into_iter().next() {
            Some(Ok(sequence)) => Ok(Some(EntryVersion { sequence, ..version })),
            Some(Err(error)) if is_changed(error.kind) => Ok(None),
            Some(Err(error)) => Err(not_written(error)),
            None => Err(not_written(busy("the server gave no answer"))),
        }
    }

    /// Creates the document in the current index of its group. Returns the reason if that is not possible.
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
}
