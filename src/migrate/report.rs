use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{Blocker, Way};
use crate::{Error, ErrorKind};

/// How many bad documents a report names; [`Report::bad_total`] counts all.
pub(super) const MAX_BAD_NAMED: usize = 1_000;

/// How a migration ended. The names are part of the command line's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every index is at the registered versions, and something had to be done for it.
    Migrated,
    /// Every index was at the registered versions.
    NothingToDo,
    /// Other nodes brought the indices to the registered versions while this one waited for them.
    Waited,
    /// Only the plan was made.
    Planned,
    /// The generations before the last copy are current again.
    RolledBack,
    /// Generations that were kept are deleted. Blockers name those that are not.
    Dropped,
    /// Nothing was written: see the blockers.
    Blocked,
    /// It stopped: see the error.
    Failed,
}

/// What a migration did, or would do. Its JSON form is part of the command line's contract.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// How many requests it sent.
    pub requests: u64,
    /// Why it failed.
    pub error: Option<ReportedError>,
    /// What was done for each index.
    pub indices: Vec<IndexReport>,
    /// The bad documents, a thousand at most.
    pub bad: Vec<BadDocument>,
    /// How many bad documents there are.
    pub bad_total: u64,
    /// Documents of types that nobody registered. They are left as they are.
    pub unregistered: Vec<Unregistered>,
    /// What must be put right first.
    pub blockers: Vec<Blocker>,
    /// Checks that were skipped because the credentials do not allow them, and what to do: what they look for may be there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Blocker>,
    /// The kept generations that were deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<String>,
}

/// An error as reports show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportedError {
    /// What a caller can do about it.
    pub kind: ErrorKind,
    /// What was wrong.
    pub message: String,
    /// What the reader can do about it; empty if that is not known.
    pub cure: String,
}

impl From<&Error> for ReportedError {
    fn from(error: &Error) -> Self {
        Self {
            kind: error.kind(),
            message: error.message().to_owned(),
            cure: error.cure().unwrap_or_default().to_owned(),
        }
    }
}

impl From<&ReportedError> for Error {
    fn from(reported: &ReportedError) -> Self {
        Self::new(reported.kind, &*reported.message).with_cure(&*reported.cure)
    }
}

/// What was done for one index.
#[derive(Debug, Clone, Serialize)]
pub struct IndexReport {
    /// Its alias.
    pub alias: String,
    /// Its name.
    pub index: String,
    /// How it got to the registered versions.
    pub way: Way,
    /// What happened to its documents.
    pub documents: DocumentCounts,
    /// Documents written per second while converting; 0 if none were.
    pub docs_per_s: u64,
    /// Its types, registered and not.
    pub types: Vec<TypeReport>,
    /// What of Kibana's was taken over, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub take_over: Option<TakeOverReport>,
}

/// The index of Kibana that was taken over, and where the time went.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TakeOverReport {
    /// The alias that Kibana reaches it by.
    pub alias: String,
    /// Its name. It is write-blocked and otherwise as it was.
    pub index: String,
    /// How long converting its documents took, in milliseconds.
    pub converting_ms: u64,
    /// How long deriving Kibana's keys took, in milliseconds, summed over all cores.
    pub key_derivation_ms: u64,
    /// How many cores it was done on.
    pub cores: usize,
    /// Which part of those cores' time, while documents were converted, was the derivation of keys: 1 is all of it.
    pub key_derivation_share: f64,
}

impl TakeOverReport {
    /// How Kibana goes back to its index.
    pub fn way_back(&self) -> String {
        super::take_over::way_back(&self.index)
    }

    /// Adds a pass over the documents that took `elapsed`, and `deriving` on `cores` together.
    pub(super) fn add(&mut self, elapsed: Duration, deriving: Duration, cores: usize) {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.converting_ms += millis(elapsed);
        self.key_derivation_ms += millis(deriving);
        self.cores = cores;
        let available = self.converting_ms as f64 * cores as f64;
        let share = if available > 0.0 { self.key_derivation_ms as f64 / available } else { 0.0 };
        self.key_derivation_share = (share.min(1.0) * 100.0).round() / 100.0;
    }
}

/// What happened to documents, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DocumentCounts {
    /// Read because they were outdated.
    pub read: u64,
    /// Written at the registered version.
    pub written: u64,
    /// Not written, because somebody else had written them meanwhile.
    pub conflicts: u64,
    /// Bad ones.
    pub bad: u64,
    /// Deleted.
    pub deleted: u64,
    /// Put into quarantine.
    pub quarantined: u64,
}

impl DocumentCounts {
    pub(super) fn add(&mut self, other: Self) {
        self.read += other.read;
        self.written += other.written;
        self.conflicts += other.conflicts;
        self.bad += other.bad;
        self.deleted += other.deleted;
        self.quarantined += other.quarantined;
    }
}

/// Documents per second, as whole ones; 0 for no time.
pub(super) fn per_second(documents: u64, elapsed: Duration) -> u64 {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    (documents * 1000).checked_div(millis).unwrap_or_default()
}

/// A type in an index, before the migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TypeReport {
    /// The type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The registered model version, or none if nobody registered the type.
    pub to: Option<u32>,
    /// How many documents there were at each model version.
    pub by_version: BTreeMap<String, u64>,
    /// Whether somebody registered the type.
    pub registered: bool,
}

/// A document that cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadDocument {
    /// The alias of its index.
    pub alias: String,
    /// Its `_id`.
    pub id: String,
    /// Its type, if it has one.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// Why.
    pub reason: String,
    /// What became of it.
    pub fate: Fate,
}

/// The bad documents found so far: the first of them by name, all of them counted.
#[derive(Debug, Default)]
pub(super) struct BadDocuments {
    pub(super) named: Vec<BadDocument>,
    pub(super) total: u64,
}

impl BadDocuments {
    pub(super) fn add(&mut self, named: Vec<BadDocument>, total: u64) {
        let room = MAX_BAD_NAMED.saturating_sub(self.named.len());
        self.named.extend(named.into_iter().take(room));
        self.total += total;
    }
}

/// What became of a bad document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is where and as it was.
    Kept,
    /// It is in quarantine.
    Quarantined,
    /// It was written without the secret that does not open.
    Stripped,
    /// It is deleted, or was left out of the copy and is in the old generation only.
    Discarded,
}

/// Documents of a type that nobody registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unregistered {
    /// The type, or none for documents without one.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// How many there are.
    pub documents: u64,
}
