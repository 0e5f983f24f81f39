//! The report of a migration.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{Blocker, Way};
use crate::{Error, ErrorKind};

/// The most bad documents that a report names; [`Report::bad_total`] counts all.
pub(super) const MAX_BAD_NAMED: usize = 1_000;

/// How a migration ended. The names are part of the command line's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every index is at the registered versions, after something was done.
    Migrated,
    /// Every index was at the registered versions.
    NothingToDo,
    /// Other nodes brought the indices to the registered versions while this one waited for them.
    Waited,
    /// Only the plan was made.
    Planned,
    /// The generations before the last copy are current again.
    RolledBack,
    /// Kept generations were deleted. Blockers name those that were not.
    Dropped,
    /// Nothing was written: see the blockers.
    Blocked,
    /// The migration failed: see the error.
    Failed,
}

impl Outcome {
    /// Returns the name that reports and metrics have.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Migrated => "migrated",
            Self::NothingToDo => "nothing_to_do",
            Self::Waited => "waited",
            Self::Planned => "planned",
            Self::RolledBack => "rolled_back",
            Self::Dropped => "dropped",
            Self::Blocked => "blocked",
            Self::Failed => "failed",
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What a migration did, or would do. Its JSON form is part of the command line's contract.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// The number of requests that it sent.
    pub requests: u64,
    /// Why it failed, or, for a plan, why the migration would fail.
    pub error: Option<ReportedError>,
    /// What was done for each index.
    pub indices: Vec<IndexReport>,
    /// The bad documents, a thousand at most.
    pub bad: Vec<BadDocument>,
    /// The number of all bad documents.
    pub bad_total: u64,
    /// The documents of types that are not registered. A migration does not change them.
    pub unregistered: Vec<Unregistered>,
    /// What kept the migration from beginning.
    pub blockers: Vec<Blocker>,
    /// The checks that were skipped because the credentials do not allow them, and what to do. What they check for may
    /// exist.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Blocker>,
    /// The indices under the prefix of groups without a registered type. Only a plan reads them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_visited: Vec<String>,
    /// The kept generations that were deleted. With the outcome [`Planned`](Outcome::Planned): that would be deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<String>,
    /// What a plan knows of the duration of the migration. Absent if it read no documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<PlanEstimate>,
}

/// What a plan knows of the duration of a migration. A plan reads and converts every document as the migration would,
/// which is measured. It writes nothing, so the rate of writing is known only while the migration runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PlanEstimate {
    /// The number of documents that the migration would convert.
    pub to_convert: u64,
    /// The number of documents that the plan read and converted.
    pub read: u64,
    /// How long that took, in milliseconds. The migration takes longer.
    pub reading_ms: u64,
}

/// An error as reports show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportedError {
    /// The kind, which says what a caller can do.
    pub kind: ErrorKind,
    /// What was wrong.
    pub message: String,
    /// What the reader can do about it; empty if that is not known.
    pub hint: String,
}

impl From<&Error> for ReportedError {
    fn from(error: &Error) -> Self {
        Self {
            kind: error.kind(),
            message: error.message().to_owned(),
            hint: error.hint().unwrap_or_default().to_owned(),
        }
    }
}

impl From<&ReportedError> for Error {
    fn from(reported: &ReportedError) -> Self {
        Self::new(reported.kind, &*reported.message).with_hint(&*reported.hint)
    }
}

/// What was done for one index.
#[derive(Debug, Clone, Serialize)]
pub struct IndexReport {
    /// Its alias.
    pub alias: String,
    /// Its name.
    pub index: String,
    /// How its group was migrated.
    pub way: Way,
    /// Whether this run created the index, or brought its group to the registered versions.
    pub done: bool,
    /// What happened to its documents.
    pub documents: DocumentCounts,
    /// The number of documents written per second of conversion; 0 if none were written.
    pub docs_per_s: u64,
    /// Its types, registered or not.
    pub types: Vec<TypeReport>,
    /// The settings and aliases of operators that a copy keeps, or would keep.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub carried: Vec<String>,
    /// The take-over that created the index, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub take_over: Option<TakeOverReport>,
}

/// The source of a take-over, and what the time was spent on.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TakeOverReport {
    /// The alias through which Kibana uses its index.
    pub alias: String,
    /// The name of Kibana's index. It is write-blocked and not changed otherwise.
    pub index: String,
    /// How long the conversion of its documents took, in milliseconds.
    pub converting_ms: u64,
    /// How long the derivation of Kibana's keys took, in milliseconds, summed over all cores.
    pub key_derivation_ms: u64,
    /// The number of cores that converted documents.
    pub cores: usize,
    /// The part of those cores' time that the derivation of keys took during the conversion; 1 is all of it.
    pub key_derivation_share: f64,
}

impl TakeOverReport {
    /// Returns how an operator goes back to Kibana.
    pub fn way_back(&self) -> String {
        way_back(&self.index)
    }

    /// Adds a pass over the documents that took `elapsed`, of which the `cores` together spent `deriving` on keys.
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

/// Returns how an operator goes back to Kibana with its index.
pub(super) fn way_back(index: &str) -> String {
    format!(
        "to go back to Kibana, stop the software that uses the copy, lift the block: PUT /{index}/_settings \
         {{\"index.blocks.write\":null}}, and start Kibana"
    )
}

/// The numbers of documents by what happened to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DocumentCounts {
    /// Documents read for conversion.
    pub read: u64,
    /// Documents written at the registered version.
    pub written: u64,
    /// Documents not written, because another client had written them meanwhile.
    pub conflicts: u64,
    /// Bad documents.
    pub bad: u64,
    /// Documents deleted.
    pub deleted: u64,
    /// Documents put into quarantine.
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

/// Returns the number of documents per second, rounded down; 0 if no time elapsed.
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
    /// The registered model version, or `None` if the type is not registered.
    pub to: Option<u32>,
    /// The number of documents at each model version, or `None` if they were not counted.
    pub by_version: Option<BTreeMap<String, u64>>,
    /// Whether the type is registered.
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
    /// Why it cannot be converted.
    pub reason: String,
    /// What the migration did with it.
    pub fate: Fate,
}

/// The bad documents found so far: the first ones in full, and the number of all.
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

/// What a migration does with a bad document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It stays in its index, unchanged.
    Kept,
    /// It is in quarantine.
    Quarantined,
    /// It was written without the secret that cannot be decrypted.
    Stripped,
    /// It is deleted, or a copy left it out, and only the old generation has it.
    Discarded,
}

/// The documents of a type that is not registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unregistered {
    /// The type, or `None` for documents without one.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// The number of documents.
    pub documents: u64,
}
