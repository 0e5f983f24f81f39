//! The report of a clean-up.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Reason;

/// The limit on how many records of a kind are listed.
const LISTED: usize = 1_000;

/// What a clean-up deleted; for a dry run, what it would delete.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CleanUpReport {
    /// True if this was a dry run, which deletes nothing.
    pub dry_run: bool,
    /// The number of records that were read.
    pub examined: u64,
    /// The number of deleted records by reason.
    pub removed: BTreeMap<Reason, u64>,
    /// The number of records that another caller changed or deleted before they could be deleted.
    pub changed_meanwhile: u64,
    /// The deleted records: the first thousand.
    pub removed_records: Vec<Removed>,
    /// The records that cannot be read, and stay: the first thousand.
    pub unreadable: Vec<UnreadableRecord>,
    /// The number of records that cannot be read.
    pub unreadable_total: u64,
    /// True if the clean-up was stopped before all records were read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
}

/// A record that was deleted; for a dry run, that would be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// The token's id; for a begun authorization, the stored `_id`.
    pub id: String,
    /// The connector.
    pub connector_id: String,
    /// The user, if the record belongs to one.
    pub profile_uid: Option<String>,
    /// The reason of the deletion.
    pub reason: Reason,
}

/// A record that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadableRecord {
    /// The id.
    pub id: String,
    /// The reason why it cannot be read.
    pub reason: String,
}

impl CleanUpReport {
    /// Returns the number of deleted records; for a dry run, of those that would be deleted.
    pub fn removed_total(&self) -> u64 {
        self.removed.values().sum()
    }

    pub(super) fn add_removed(&mut self, removed: Removed) {
        *self.removed.entry(removed.reason).or_default() += 1;
        if self.removed_records.len() < LISTED {
            self.removed_records.push(removed);
        }
    }

    pub(super) fn add_unreadable(&mut self, id: String, reason: String) {
        self.unreadable_total += 1;
        if self.unreadable.len() < LISTED {
            self.unreadable.push(UnreadableRecord { id, reason });
        }
    }
}
