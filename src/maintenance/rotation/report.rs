//! The reports of a rotation and of the key status.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::encryption::KeyId;
use crate::maintenance::verify::Unreadable;

/// The number of documents with a secret under each key.
pub(super) type ByKey = BTreeMap<KeyId, u64>;

/// The keys of the stored secrets. Its JSON form is part of the command line's contract.
#[derive(Debug, Clone, Serialize)]
pub struct KeyStatus {
    /// The key that this node encrypts with. `None` if it has no keys.
    pub primary: Option<KeyId>,
    /// The number of indices under the prefix. If there are none, nothing is known about any key.
    pub indices: usize,
    /// All keys that are configured, recorded as in use, or named by a stored secret.
    pub keys: Vec<KeyCounts>,
    /// Generations that are not current and have secrets. They take no writes, so a rotation does not change them.
    pub kept: Vec<KeptIndex>,
    /// The number of documents in the current indices with an encrypted attribute that holds no envelope.
    pub malformed: u64,
    /// True if every key that is in use or named by a secret is configured, an index exists, and the credentials see
    /// all indices.
    pub ok: bool,
    /// The names that may belong to indices which the credentials do not see. The counts leave these indices out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
}

/// The documents that need a key. A document with secrets under several keys counts for each of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyCounts {
    /// The id of the key.
    pub id: KeyId,
    /// Whether this node has the key.
    pub configured: bool,
    /// Whether the `keys` document lists the key. A node that lacks a listed key does not start.
    pub in_use: bool,
    /// The number of documents in the current indices with a secret under the key.
    pub documents: u64,
    /// The number of such documents in quarantine.
    pub quarantined: u64,
    /// The number of such documents in kept generations.
    pub kept: u64,
}

/// A generation that is not current.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptIndex {
    /// The name of the index.
    pub index: String,
    /// The number of its documents with a secret under each key.
    pub documents: BTreeMap<KeyId, u64>,
}

/// The outcome of a rotation. The names are part of the command line's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RotationOutcome {
    /// All secrets that can be decrypted are under the primary key, and some of them were not before.
    Rotated,
    /// All secrets that can be decrypted were under the primary key.
    NothingToDo,
}

/// The report of a rotation. Its JSON form is part of the command line's contract.
#[derive(Debug, Clone, Serialize)]
pub struct RotationReport {
    /// The outcome.
    pub outcome: RotationOutcome,
    /// The key that all secrets are under now.
    pub primary: KeyId,
    /// The number of indices under the prefix. If there are none, nothing was rotated, and nothing is known about any
    /// key.
    pub indices: usize,
    /// The duration in milliseconds.
    pub elapsed_ms: u64,
    /// The counts of the documents in the current indices.
    pub documents: RotationCounts,
    /// The counts of the documents in quarantine.
    pub quarantine: RotationCounts,
    /// The number of documents encrypted again per second.
    pub docs_per_s: u64,
    /// The number of passes. The last one found nothing to rotate.
    pub passes: u32,
    /// The documents with secrets that could not be encrypted again with the primary key, sorted, at most a hundred
    /// thousand.
    pub not_rotated: Vec<Unreadable>,
    /// The number of entries that `not_rotated` leaves out.
    pub not_named: u64,
    /// Generations that are not current and have secrets. They were not changed.
    pub kept: Vec<KeptIndex>,
    /// The keys that this rotation took out of use.
    pub dropped: BTreeSet<KeyId>,
    /// The keys other than the primary one that are still needed, and where.
    pub still_needed: Vec<KeyCounts>,
    /// The names that may belong to indices which the credentials do not see. These indices may have secrets under any
    /// key, so no key is dropped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
}

/// The counts of documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RotationCounts {
    /// The documents that were read: in the report, the largest number of one pass.
    pub read: u64,
    /// The documents that were encrypted again.
    pub rotated: u64,
    /// The documents that were not written because another process wrote them first. They were read again.
    pub conflicts: u64,
}

impl RotationCounts {
    pub(super) fn add(&mut self, other: Self) {
        self.read += other.read;
        self.rotated += other.rotated;
        self.conflicts += other.conflicts;
    }
}

/// The keys that a node has, that are in use, and that documents need.
#[derive(Debug)]
pub(super) struct Keys<'a> {
    pub(super) configured: &'a [KeyId],
    pub(super) in_use: &'a BTreeSet<KeyId>,
    pub(super) documents: &'a ByKey,
    pub(super) quarantined: &'a ByKey,
    pub(super) kept: &'a ByKey,
}

impl Keys<'_> {
    /// Returns the counts of all keys. The configured keys come first, in their order.
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
    /// Returns whether a stored secret names the key.
    pub(super) fn is_needed(&self) -> bool {
        self.documents + self.quarantined + self.kept > 0
    }
}
