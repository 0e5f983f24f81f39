use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::tally::ByKey;
use crate::encryption::KeyId;
use crate::verify::Unreadable;

/// Which keys the stored secrets are under. Its JSON form is part of the command line's contract.
#[derive(Debug, Clone, Serialize)]
pub struct KeyStatus {
    /// The key that this node encrypts with; none if it has no keys.
    pub primary: Option<KeyId>,
    /// Every key that is configured, recorded as in use, or named by a stored secret.
    pub keys: Vec<KeyCounts>,
    /// Generations that are not current and have secrets. They take no writes, so a rotation leaves them as they are.
    pub kept: Vec<KeptIndex>,
    /// Documents in the current indices with an encrypted attribute that holds no envelope.
    pub malformed: u64,
    /// Whether every key that is in use or named by a secret is configured, and the credentials see everything.
    pub ok: bool,
    /// The names that may belong to indices which the credentials do not see: what is in those is not counted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
}

/// Where a key is needed. A document with secrets under several keys counts for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyCounts {
    /// The key.
    pub id: KeyId,
    /// Whether this node has it.
    pub configured: bool,
    /// Whether the `keys` document lists it: a node without it does not start.
    pub in_use: bool,
    /// Documents in the current indices with a secret under it.
    pub documents: u64,
    /// The same in quarantine.
    pub quarantined: u64,
    /// The same in kept generations.
    pub kept: u64,
}

/// A generation that is not current.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptIndex {
    /// Its name.
    pub index: String,
    /// How many of its documents have a secret under each key.
    pub documents: BTreeMap<KeyId, u64>,
}

/// How a rotation ended. The names are part of the command line's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Whatever opens is under the primary key, and something had to be done for it.
    Rotated,
    /// Whatever opens was under the primary key.
    NothingToDo,
}

/// What a rotation did. Its JSON form is part of the command line's contract.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// The key that everything is under now.
    pub primary: KeyId,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// What happened to the documents of the current indices.
    pub documents: DocumentCounts,
    /// What happened to those in quarantine.
    pub quarantine: DocumentCounts,
    /// Documents encrypted anew per second.
    pub docs_per_s: u64,
    /// How often everything was looked at: the last time there was nothing to do.
    pub passes: u32,
    /// Documents that have secrets that could not be brought under the primary key, sorted, a hundred thousand at most.
    pub not_rotated: Vec<Unreadable>,
    /// How many entries `not_rotated` leaves out.
    pub not_named: u64,
    /// Generations that are not current and have secrets, which were left as they are.
    pub kept: Vec<KeptIndex>,
    /// Keys that are no longer in use since this rotation.
    pub dropped: BTreeSet<KeyId>,
    /// Keys beside the primary one that are still needed, and where.
    pub still_needed: Vec<KeyCounts>,
    /// The names that may belong to indices which the credentials do not see. They may have secrets under any key, so that no key
    /// is dropped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
}

/// What happened to documents, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DocumentCounts {
    /// Looked at, in the first look.
    pub read: u64,
    /// Encrypted anew.
    pub rotated: u64,
    /// Not written as they were read, because somebody else had written them meanwhile. They were looked at again.
    pub conflicts: u64,
}

impl DocumentCounts {
    pub(super) fn add(&mut self, other: Self) {
        self.read += other.read;
        self.rotated += other.rotated;
        self.conflicts += other.conflicts;
    }
}

/// Where each key is needed, by place.
#[derive(Debug)]
pub(super) struct Places<'a> {
    pub(super) configured: &'a [KeyId],
    pub(super) in_use: &'a BTreeSet<KeyId>,
    pub(super) documents: &'a ByKey,
    pub(super) quarantined: &'a ByKey,
    pub(super) kept: &'a ByKey,
}

impl Places<'_> {
    /// All keys: the configured ones first, in their order.
    pub(super) fn counts(&self) -> Vec<KeyCounts> {
        let found = self.documents.keys().chain(self.quarantined.keys()).chain(self.kept.keys());
        let others: BTreeSet<KeyId> =
            self.in_use.iter().chain(found).filter(|key| !self.configured.contains(key)).copied().collect();
        let of = |counts: &ByKey, id: KeyId| counts.get(&id).copied().unwrap_or_default();
        let counts = |id: KeyId| KeyCounts {
            id,
            configured: self.configured.contains(&id),
            in_use: self.in_use.contains(&id),
            documents: of(self.documents, id),
            quarantined: of(self.quarantined, id),
            kept: of(self.kept, id),
        };
        self.configured.iter().copied().chain(others).map(counts).collect()
    }
}

impl KeyCounts {
    /// Whether a stored secret names it.
    pub(super) fn is_needed(&self) -> bool {
        self.documents + self.quarantined + self.kept > 0
    }
}
