use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::entry::{Entry, Put, Quarantined, one_line};
use crate::cluster::{
    BulkAction, BulkOperation, BulkRequest, Cluster, ClusterErrorKind, CreateIndex, Gone, Hit, IndexPurpose,
    ItemErrorKind, ItemOutcome, Query, Refresh, Scan, SequenceNumber,
};
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

/// An entry as it was read.
#[derive(Debug)]
struct Found {
    entry_id: String,
    sequence: SequenceNumber,
    entry: Entry,
    /// Whether the document is in its index too.
    is_in_both: bool,
}

impl Quarantine {
    /// The quarantine of `prefix`.
    pub fn new(cluster: Arc<dyn Cluster>, prefix: Prefix) -> Self {
        Self { cluster, prefix }
    }

    fn names(&self) -> IndexNames {
        self.prefix.group("control-quarantine")
    }

    /// All documents in quarantine, sorted by alias and `_id`.
    ///
    /// # Errors
    /// Whatever the cluster answers, and [`Incompatible`](ErrorKind::Incompatible) if a newer version wrote them.
    pub async fn list(&self) -> Result<Vec<Quarantined>> {
        let found = self.found(&[]).await?;
        let mut list: Vec<_> =
            found.into_iter().filter(|found| !found.is_in_both).map(|found| found.entry.summary()).collect();
        list.sort_unstable_by(|one, other| (&one.alias, &one.id).cmp(&(&other.alias, &other.id)));
        Ok(list)
    }

    /// Puts documents back into their indices as they were, those with these `_id`s or all. One whose place is taken, or
    /// which the index refuses, stays in quarantine.
    ///
    /// # Errors
    /// As [`list`](Self::list). What was restored stays restored.
    pub async fn restore(&self, ids: &[String]) -> Result<Restored> {
        let mut restored = Restored::default();
        for found in self.found(ids).await? {
            let document = found.entry.clone().summary();
            match self.put_back(&found).await? {
                None => {
                    self.take_out(&[(found.entry_id, found.sequence)]).await?;
                    restored.restored.push(document);
                }
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
        let found = self.found(ids).await?;
        let entries: Vec<_> = found.iter().map(|found| (found.entry_id.clone(), found.sequence)).collect();
        self.take_out(&entries).await?;
        Ok(found.into_iter().filter(|found| !found.is_in_both).map(|found| found.entry.summary()).collect())
    }

    /// Puts documents in, now, which is `since`; one that is here already with the same content is fine. Gives for each one
    /// the reason if it is too large to be put here.
    pub(crate) async fn put(&self, documents: &[Put<'_>], since: &str) -> Result<Vec<Option<String>>> {
        let operations = documents.iter().map(|put| put.operation(since)).collect::<Result<Vec<_>>>()?;
        let refusal = |outcome: ItemOutcome| match outcome {
            Ok(_) => Ok(None),
            Err(error) if error.kind == ItemErrorKind::Conflict => Ok(None),
            Err(error) if error.kind == ItemErrorKind::TooLarge => Ok(Some(error.reason)),
            Err(error) => Err(not_written(&error.reason)),
        };
        self.write(&operations).await?.into_iter().map(refusal).collect()
    }

    /// Takes documents out again that could not be taken out of their index, because somebody changed them meanwhile.
    pub(crate) async fn forget(&self, entry_ids: &[String]) -> Result<()> {
        let ids: Vec<&str> = entry_ids.iter().map(String::as_str).collect();
        let found = self.cluster.get_many(self.names().alias(), &ids).await?;
        let entries: Vec<_> = found.into_iter().flatten().map(|hit| (hit.id, hit.sequence)).collect();
        self.take_out(&entries).await
    }

    /// Looks at every document in quarantine, one that is in its index too left out, and replaces the content of those for
    /// which `look` gives another. `collect` gets what else `look` gives. Says how many were replaced, and how many were not
    /// because somebody else was faster.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub(crate) async fn rewrite<T>(
        &self,
        look: impl Fn(&Quarantined, &str) -> (T, Option<String>),
        mut collect: impl FnMut(T),
    ) -> Result<Rewritten> {
        let mut rewritten = Rewritten::default();
        let index = self.names().alias().to_owned();
        if !self.is_readable(&index).await? {
            return Ok(rewritten);
        }
        let scan = Scan { cluster: self.cluster.as_ref(), index: &index, query: Query::Everything };
        let work = |page| self.rewrite_page(page, &look);
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
        page: Vec<Hit>,
        look: &impl Fn(&Quarantined, &str) -> (T, Option<String>),
    ) -> Result<(Vec<T>, Rewritten)> {
        let (mut looked, mut operations, mut rewritten) = (Vec::new(), Vec::new(), Rewritten::default());
        for Found { entry_id, sequence, entry, is_in_both } in self.look_up(page).await? {
            if is_in_both {
                continue;
            }
            let (seen, source) = look(&entry.clone().summary(), entry.source.get());
            looked.push(seen);
            if let Some(source) = source {
                let source = entry.with_source(source)?;
                operations.push(BulkOperation { id: entry_id, action: BulkAction::Replace { source, read: sequence } });
            }
        }
        for outcome in self.write(&operations).await? {
            match outcome {
                Ok(_) => rewritten.replaced += 1,
                Err(error) if matches!(error.kind, ItemErrorKind::Conflict | ItemErrorKind::NotFound) => {
                    rewritten.conflicts += 1;
                }
                Err(error) => return Err(not_written(&error.reason)),
            }
        }
        Ok((looked, rewritten))
    }

    /// Whether there is a quarantine; if so, all of it is seen by searches from now on.
    async fn is_readable(&self, index: &str) -> Result<bool> {
        if self.cluster.indices(&[index]).await?.is_empty() {
            return Ok(false);
        }
        self.cluster.refresh(index).await?;
        Ok(true)
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
        let mut found = Vec::with_capacity(page.len());
        for hit in page {
            let entry = Entry::parse(hit.source.get())?;
            found.push(Found { entry_id: hit.id, sequence: hit.sequence, entry, is_in_both: false });
        }
        let mut by_alias: BTreeMap<String, Vec<&mut Found>> = BTreeMap::new();
        for one in &mut found {
            by_alias.entry(one.entry.alias.clone()).or_default().push(one);
        }
        for (alias, entries) in by_alias {
            let ids: Vec<&str> = entries.iter().map(|found| found.entry.id.as_str()).collect();
            let stored = match self.cluster.get_many(&alias, &ids).await {
                Ok(stored) => stored,
                Err(error) if error.kind == ClusterErrorKind::IndexNotFound => continue,
                Err(error) => return Err(error.into()),
            };
            for (one, stored) in entries.into_iter().zip(stored) {
                one.is_in_both = stored.is_some_and(|stored| one.entry.holds(stored.source.get()));
            }
        }
        Ok(found)
    }

    /// Creates the document in the current index it belongs to. Gives the reason if that is not possible.
    async fn put_back(&self, found: &Found) -> Result<Option<String>> {
        if found.is_in_both {
            return Ok(None);
        }
        let alias = &found.entry.alias;
        let indices = self.cluster.indices(&[alias]).await?;
        let group = alias.strip_prefix(&format!("{}-", self.prefix)).map(|group| self.prefix.group(group));
        let write_alias = group.as_ref().and_then(|names| {
            let generation = indices.keys().next().and_then(|index| names.generation(index))?;
            Some(names.write_alias(generation))
        });
        let Some(write_alias) = write_alias.filter(|_| indices.len() == 1) else {
            return Ok(Some(format!("there is no index behind {alias}; see `saved-objects status`")));
        };
        let action = BulkAction::Create { source: one_line(found.entry.source.get()) };
        let operations = [BulkOperation { id: found.entry.id.clone(), action }];
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

    async fn take_out(&self, entries: &[(String, SequenceNumber)]) -> Result<()> {
        let delete = |(id, read): &(String, SequenceNumber)| BulkOperation {
            id: id.clone(),
            action: BulkAction::Delete { read: *read, gone: Gone::Done },
        };
        for some in entries.chunks(1_000) {
            let operations: Vec<_> = some.iter().map(delete).collect();
            for outcome in self.write(&operations).await? {
                match outcome {
                    Ok(_) => {}
                    // Somebody else was faster.
                    Err(error) if matches!(error.kind, ItemErrorKind::Conflict | ItemErrorKind::NotFound) => {}
                    Err(error) => return Err(not_written(&error.reason)),
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

fn not_written(reason: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the quarantine could not be written: {reason}"))
        .with_cure("put right what the reason says, and start again: no document is lost")
}
