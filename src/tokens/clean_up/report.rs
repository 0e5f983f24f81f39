use std::collections::BTreeMap;

use serde::Serialize;

use super::Reason;

/// How many things of a kind are named.
const NAMED: usize = 1_000;

/// What a clean-up did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CleanUpReport {
    /// Whether nothing was deleted, because only the report was wanted.
    pub dry_run: bool,
    /// How many records were looked at.
    pub examined: u64,
    /// How many were deleted, or would be, by reason.
    pub removed: BTreeMap<Reason, u64>,
    /// How many were to go, and were changed or deleted by somebody else first.
    pub changed_meanwhile: u64,
    /// What was deleted, or would be: the first thousand.
    pub removed_records: Vec<Removed>,
    /// What cannot be read, and stays: the first thousand.
    pub unreadable: Vec<UnreadableRecord>,
    /// How many records cannot be read.
    pub unreadable_total: u64,
}

/// A record that was deleted, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// The token's id; of a begun authorization the stored `_id`.
    pub id: String,
    /// The connector.
    pub connector_id: String,
    /// The user, if it is a user's.
    pub profile_uid: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// A record that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadableRecord {
    /// Its id.
    pub id: String,
    /// Why not.
    pub reason: String,
}

impl CleanUpReport {
    /// How many records were deleted, or would be.
    pub fn removed_total(&self) -> u64 {
        self.removed.values().sum()
    }

    pub(super) fn add_removed(&mut self, removed: Removed) {
        *self.removed.entry(removed.reason).or_default() += 1;
        if self.removed_records.len() < NAMED {
            self.removed_records.push(removed);
        }
    }

    pub(super) fn add_unreadable(&mut self, id: String, reason: String) {
        self.unreadable_total += 1;
        if self.unreadable.len() < NAMED {
            self.unreadable.push(UnreadableRecord { id, reason });
        }
    }
}
