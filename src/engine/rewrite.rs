//! Rewrites stored documents page by page: decides about each document, writes the changes in one conditional bulk, and
//! counts the results. The pages come from a [`Scan`](crate::cluster::Scan).
//!
//! ```text
//! page ─→ decide (pure, on the blocking pool) ─→ record the keys in use ─→ wait for the turn ─→ bulk ─→ count
//!            └──────────────────── read again, if others were first ←───────────────────────────┘
//! ```

use std::sync::Arc;

use super::control::KeysInUse;
use crate::cluster::{
    BulkAction, BulkOperation, BulkRequest, Cluster, Gone, Hit, ItemError, ItemErrorKind, Pace, Refresh, SequenceNumber,
};
use crate::encryption::EncryptionService;
use crate::environment::Environment;
use crate::{Error, ErrorKind, Result};

/// The decisions and the counts of a rewrite. The methods do no I/O.
pub(crate) trait Decide: Send + Sync + 'static {
    /// The counts of a page, and the documents that are put aside.
    type Tally: Default + Send + 'static;

    /// Decides about a document. Returns the write that replaces, copies or deletes it, or `None` if the document stays
    /// as it is or goes into the tally to be put aside.
    fn decide(&self, hit: Hit, tally: &mut Self::Tally) -> Option<BulkOperation>;

    /// Counts the result of a write.
    fn count(&self, operation: BulkOperation, written: Written, tally: &mut Self::Tally);
}

/// The result of one conditional write.
#[derive(Debug)]
pub(crate) enum Written {
    /// The write was done.
    Done,
    /// Another process created, changed or deleted the document first. Its version stays.
    Changed,
    /// As [`Changed`](Self::Changed), and the document is read and decided about again.
    ReadAgain,
    /// The mapping does not accept the document, or it is too large for the server.
    Refused(ItemError),
}

/// What a bulk does about documents that another process wrote first.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Conflicts<'a> {
    /// Leaves them to the other process, because nothing remains to be done. A write with an unknown outcome is a
    /// failure.
    Leave,
    /// Leaves them to the next pass, which reads them again. A write with an unknown outcome is treated in the same
    /// way.
    NextPass,
    /// Reads them again from `index` and decides again, at most `times` times; then as [`NextPass`](Self::NextPass).
    ReadAgain {
        /// The index that the documents are in.
        index: &'a str,
        /// The limit.
        times: u32,
    },
}

/// What a bulk does about documents that the mapping does not accept, or that are too large for the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusals {
    /// Ends with an error, as for every other failure.
    Abort,
    /// Returns them, and continues.
    Collect,
}

/// Makes the error of a write that was not done, from the document's `_id` and the server's answer.
pub(crate) type Failure<'a> = &'a (dyn Fn(&str, ItemError) -> Error + Send + Sync);

/// Sends conditional writes, and separates conflicts from failures.
#[derive(Clone, Copy)]
pub(crate) struct Bulk<'a> {
    pub(crate) cluster: &'a dyn Cluster,
    /// The alias that the writes go through.
    pub(crate) alias: &'a str,
    pub(crate) conflicts: Conflicts<'a>,
    pub(crate) refusals: Refusals,
    pub(crate) failure: Failure<'a>,
}

impl Bulk<'_> {
    /// Writes documents. Returns a result for each, in order.
    ///
    /// # Errors
    /// That of the cluster, and the first failure.
    pub(crate) async fn write(&self, operations: &[BulkOperation]) -> Result<Vec<Written>> {
        let request = BulkRequest { alias: self.alias, operations, refresh: Refresh::Later };
        let outcomes = self.cluster.bulk(&request).await?.into_iter().zip(operations);
        outcomes
            .map(|(outcome, operation)| match outcome {
                Ok(_) => Ok(Written::Done),
                Err(error) if self.is_conflict(error.kind) => Ok(Written::Changed),
                Err(error) if self.is_collected(error.kind) => Ok(Written::Refused(error)),
                Err(error) => Err((self.failure)(&operation.id, error)),
            })
            .collect()
    }

    fn is_conflict(&self, kind: ItemErrorKind) -> bool {
        let is_read_again = matches!(self.conflicts, Conflicts::NextPass | Conflicts::ReadAgain { .. });
        is_changed(kind) || is_read_again && kind == ItemErrorKind::OutcomeUnknown
    }

    fn is_collected(&self, kind: ItemErrorKind) -> bool {
        self.refusals == Refusals::Collect && matches!(kind, ItemErrorKind::MappingRefused | ItemErrorKind::TooLarge)
    }
}

/// Returns the operation that deletes a document if it is as it was read.
pub(crate) fn deletion(id: String, read: SequenceNumber) -> BulkOperation {
    BulkOperation { id, action: BulkAction::Delete { read, gone: Gone::Done } }
}

/// Returns whether another process created, changed or deleted the document first.
pub(crate) fn is_changed(kind: ItemErrorKind) -> bool {
    matches!(kind, ItemErrorKind::Conflict | ItemErrorKind::NotFound)
}

/// Returns the error of a rewrite that cannot continue; `what` was not done. It is a [`Conflict`](ErrorKind::Conflict)
/// if another node has moved the index or closed its gate, or if the index that was written to may be gone: a new plan
/// then does what is left.
pub(crate) fn failure(error: ItemError, what: String) -> Error {
    let otherwise = match error.kind {
        ItemErrorKind::AliasMissing | ItemErrorKind::WriteBlocked | ItemErrorKind::OutcomeUnknown => {
            ErrorKind::Conflict
        }
        ItemErrorKind::Unavailable => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    };
    let hint = "see `saved-objects status`, put right what it names, and start again: what is done stays done";
    error.into_error(otherwise, what, hint)
}

/// A rewrite of the pages of a scan.
pub(crate) struct Rewrite<'a, D> {
    pub(crate) environment: &'a Environment,
    pub(crate) decisions: Arc<D>,
    /// What the decisions do with documents, for errors: "converting documents".
    pub(crate) what: &'static str,
    /// The bulk that writes. Without it nothing is written, and the decisions only count.
    pub(crate) bulk: Option<Bulk<'a>>,
    pub(crate) keys: &'a KeysInUse,
    /// The service that the decisions seal secrets with.
    pub(crate) encryption: &'a EncryptionService,
    /// The pace of the writes.
    pub(crate) pace: Option<&'a Pace>,
}

/// The decisions about a page.
pub(crate) struct Decided<T> {
    tally: T,
    operations: Vec<BulkOperation>,
}

impl<D: Decide> Rewrite<'_, D> {
    /// Decides about the documents of a page, and writes them.
    ///
    /// # Errors
    /// Those of [`Bulk::write`] and [`KeysInUse::before_writing`].
    pub(crate) async fn page(&self, page: Vec<Hit>) -> Result<D::Tally> {
        self.write(self.decide(page).await?).await
    }

    /// Decides about the documents of a page, without blocking other tasks.
    pub(crate) async fn decide(&self, page: Vec<Hit>) -> Result<Decided<D::Tally>> {
        let decisions = self.decisions.clone();
        let deciding = move || {
            let mut decided = Decided { tally: D::Tally::default(), operations: Vec::with_capacity(page.len()) };
            decided.operations.extend(page.into_iter().filter_map(|hit| decisions.decide(hit, &mut decided.tally)));
            decided
        };
        self.environment.blocking(deciding).await.map_err(|error| error.context(self.what))
    }

    /// Writes what was decided. Of documents that are read again only the writes count: the next pass counts what they
    /// are now.
    ///
    /// # Errors
    /// Those of [`Bulk::write`] and [`KeysInUse::before_writing`].
    pub(crate) async fn write(&self, decided: Decided<D::Tally>) -> Result<D::Tally> {
        let Decided { mut tally, mut operations } = decided;
        let Some(mut bulk) = self.bulk else { return Ok(tally) };
        while !operations.is_empty() {
            self.keys.before_writing(self.encryption).await?;
            if let Some(pace) = self.pace {
                pace.admit(operations.len(), self.environment).await;
            }
            let results = bulk.write(&operations).await?;
            let mut changed = Vec::new();
            for (operation, written) in operations.into_iter().zip(results) {
                let written = match (written, bulk.conflicts) {
                    (Written::Changed, Conflicts::ReadAgain { times: 1.., .. }) => {
                        changed.push(operation.id.clone());
                        Written::ReadAgain
                    }
                    (written, _) => written,
                };
                self.decisions.count(operation, written, &mut tally);
            }
            let Conflicts::ReadAgain { index, times } = bulk.conflicts else { break };
            bulk.conflicts = Conflicts::ReadAgain { index, times: times.saturating_sub(1) };
            operations = match changed.is_empty() {
                true => Vec::new(),
                false => self.read_again(&bulk, index, &changed).await?,
            };
        }
        Ok(tally)
    }

    async fn read_again(&self, bulk: &Bulk<'_>, index: &str, ids: &[String]) -> Result<Vec<BulkOperation>> {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let found = bulk.cluster.get_many(index, &ids).await?;
        Ok(self.decide(found.into_iter().flatten().collect()).await?.operations)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::{CreateIndex, InMemory, IndexPurpose, Query, Search, SearchIn};
    use crate::layout::Prefix;

    const INDEX: &str = "notes-000001";
    const WRITE_ALIAS: &str = "notes-000001-write";

    /// Marks each document that has no mark.
    struct Marking;

    #[derive(Debug, Default, PartialEq, Eq)]
    struct Counts {
        done: u32,
        changed: u32,
        read_again: u32,
        refused: u32,
    }

    impl Decide for Marking {
        type Tally = Counts;

        fn decide(&self, hit: Hit, _: &mut Counts) -> Option<BulkOperation> {
            let mut source: serde_json::Value = serde_json::from_str(hit.source.get()).expect("JSON");
            let is_marked = source.get("marked").is_some();
            source["marked"] = json!(true);
            let action = BulkAction::Replace { source: source.to_string().into(), read: hit.sequence };
            (!is_marked).then_some(BulkOperation { id: hit.id, action })
        }

        fn count(&self, _: BulkOperation, written: Written, counts: &mut Counts) {
            *match written {
                Written::Done => &mut counts.done,
                Written::Changed => &mut counts.changed,
                Written::ReadAgain => &mut counts.read_again,
                Written::Refused(_) => &mut counts.refused,
            } += 1;
        }
    }

    /// Returns a cluster with an index that has these documents.
    async fn cluster(environment: &Environment, ids: &[&str]) -> Arc<InMemory> {
        let cluster = Arc::new(InMemory::new(environment.clone()));
        let request = CreateIndex {
            name: INDEX.to_owned(),
            mapping: json!({"dynamic": "false", "properties": {"n": {"type": "integer"}}}),
            aliases: vec![WRITE_ALIAS.to_owned()],
            purpose: IndexPurpose::Serving,
            settings: Default::default(),
        };
        cluster.create_index(&request).await.expect("created");
        for id in ids {
            put(&cluster, id).await;
        }
        cluster
    }

    async fn put(cluster: &InMemory, id: &str) {
        let action = BulkAction::Put { source: r#"{"n":1}"#.into() };
        let written = send(cluster, Refusals::Abort, BulkOperation { id: id.to_owned(), action }).await;
        assert!(matches!(written, Ok(Written::Done)), "{written:?}");
    }

    async fn send(cluster: &InMemory, refusals: Refusals, operation: BulkOperation) -> Result<Written> {
        let failure = |id: &str, error: ItemError| failure(error, format!("{id} was not written"));
        let bulk = Bulk { cluster, alias: WRITE_ALIAS, conflicts: Conflicts::NextPass, refusals, failure: &failure };
        bulk.write(&[operation]).await.map(|mut results| results.pop().expect("a result"))
    }

    async fn page(cluster: &InMemory) -> Vec<Hit> {
        cluster.refresh(INDEX).await.expect("refreshed");
        let search = Search { size: 10, ..Search::new(SearchIn::Index(INDEX.to_owned()), Query::Everything) };
        cluster.search(&search).await.expect("found").hits
    }

    /// Decides about all documents, lets others write as `meanwhile` says, and writes.
    async fn rewrite(
        conflicts: Conflicts<'_>,
        cluster: &Arc<InMemory>,
        environment: &Environment,
        meanwhile: impl AsyncFnOnce(),
    ) -> Counts {
        let failure = |id: &str, error: ItemError| failure(error, format!("{id} was not written"));
        let rewrite = Rewrite {
            environment,
            decisions: Arc::new(Marking),
            what: "marking documents",
            bulk: Some(Bulk {
                cluster: cluster.as_ref(),
                alias: WRITE_ALIAS,
                conflicts,
                refusals: Refusals::Abort,
                failure: &failure,
            }),
            keys: &KeysInUse::new(cluster.clone(), &Prefix::default()),
            encryption: &EncryptionService::new(None, environment.clone()),
            pace: None,
        };
        let decided = rewrite.decide(page(cluster).await).await.expect("decided");
        meanwhile().await;
        rewrite.write(decided).await.expect("written")
    }

    #[tokio::test]
    async fn a_document_that_others_wrote_first_is_left_to_the_next_pass_or_read_again() {
        let environment = Environment::system();
        let cluster = cluster(&environment, &["a", "b", "c"]).await;
        let others_write = async || {
            put(&cluster, "a").await;
            let gone = page(&cluster).await.into_iter().find(|hit| hit.id == "b").expect("it is there");
            let deleted = send(&cluster, Refusals::Abort, deletion(gone.id, gone.sequence)).await;
            assert!(matches!(deleted, Ok(Written::Done)), "{deleted:?}");
        };
        for conflicts in [Conflicts::NextPass, Conflicts::Leave] {
            put(&cluster, "b").await;
            put(&cluster, "c").await;
            let counts = rewrite(conflicts, &cluster, &environment, others_write).await;
            assert_eq!(counts, Counts { done: 1, changed: 2, ..Counts::default() }, "{conflicts:?}");
        }
        for (times, expected) in [
            (0, Counts { done: 1, changed: 2, ..Counts::default() }),
            (1, Counts { done: 2, read_again: 2, ..Counts::default() }),
        ] {
            put(&cluster, "b").await;
            put(&cluster, "c").await;
            let conflicts = Conflicts::ReadAgain { index: INDEX, times };
            assert_eq!(rewrite(conflicts, &cluster, &environment, others_write).await, expected, "{times}");
        }
        assert_eq!(rewrite(Conflicts::NextPass, &cluster, &environment, async || ()).await, Counts::default());
    }

    #[tokio::test]
    async fn a_refused_document_is_a_failure_unless_it_is_collected() {
        let environment = Environment::system();
        let cluster = cluster(&environment, &[]).await;
        let operation = || {
            let action = BulkAction::Create { source: r#"{"n":"no number"}"#.into() };
            BulkOperation { id: "a".to_owned(), action }
        };
        let refused = send(&cluster, Refusals::Abort, operation()).await.expect_err("refused");
        assert!(refused.message().starts_with("a was not written: "), "{refused}");
        let refused = send(&cluster, Refusals::Collect, operation()).await;
        assert!(matches!(refused, Ok(Written::Refused(_))), "{refused:?}");
    }

    #[test]
    fn what_a_new_plan_does_is_a_conflict() {
        let table = [
            (ItemErrorKind::AliasMissing, ErrorKind::Conflict),
            (ItemErrorKind::WriteBlocked, ErrorKind::Conflict),
            (ItemErrorKind::OutcomeUnknown, ErrorKind::Conflict),
            (ItemErrorKind::Unavailable, ErrorKind::Unavailable),
            (ItemErrorKind::Forbidden, ErrorKind::Forbidden),
            (ItemErrorKind::Other, ErrorKind::Internal),
        ];
        for (kind, expected) in table {
            let error = failure(ItemError { kind, reason: "why".to_owned() }, "a was not written".to_owned());
            assert_eq!(error.kind(), expected, "{kind:?}");
        }
    }
}
