//! Indices, aliases and cluster conditions: what the calls of `Cluster` about indices take and
//! return.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ClusterErrorKind;

/// The state of an index in the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexState {
    /// The unique id. A new index of the same name has another one.
    pub uuid: String,
    /// The mapping: `dynamic`, `properties`, `_meta`.
    pub mapping: Value,
    /// The aliases by name.
    pub aliases: BTreeMap<String, AliasState>,
    /// Whether the setting `index.blocks.write` keeps writes out. Copies set and remove it.
    pub write_blocked: bool,
    /// The other blocks, by the names of the settings below `index.blocks`. The server itself sets
    /// `read_only_allow_delete` when a disk is nearly full.
    pub other_blocks: BTreeSet<String>,
    /// All settings except blocks, by their names without `index.`. They include those that the server sets.
    pub settings: IndexSettings,
}

/// Settings of an index by their names without `index.`, such as `mapping.total_fields.limit`.
///
/// A server returns their values as strings or lists of strings.
pub type IndexSettings = BTreeMap<String, Value>;

/// The limit of fields in the mapping of an index that the engine creates, unless [`CreateIndex::settings`] says
/// otherwise.
pub(crate) const TOTAL_FIELDS_LIMIT: u64 = 1_500;

impl IndexState {
    /// Returns whether the index is closed, so that it can be neither read nor written. The server says so in a setting.
    pub fn is_closed(&self) -> bool {
        self.settings.get("verified_before_close").is_some_and(|value| value.as_str() == Some("true"))
    }

    /// Returns true if no block keeps documents from being created and replaced.
    pub fn takes_writes(&self) -> bool {
        !self.write_blocked
            && !["read_only", "read_only_allow_delete"].iter().any(|block| self.other_blocks.contains(*block))
    }
}

/// An alias of an index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AliasState {
    /// Whether `*` does not match it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_hidden: bool,
    /// The query that selects the documents which are visible through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
    /// The routing of writes through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_routing: Option<String>,
    /// The routing of searches through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_routing: Option<String>,
    /// Whether writes through an alias of several indices go to this index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_write_index: Option<bool>,
}

impl AliasState {
    /// Returns a hidden alias, which `*` does not match. The engine's aliases are hidden.
    pub fn hidden() -> Self {
        Self { is_hidden: true, ..Self::default() }
    }
}

/// A request to create a hidden index with one shard.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateIndex {
    /// The index's name.
    pub name: String,
    /// The mapping, `_meta` included.
    pub mapping: Value,
    /// The aliases; all are hidden.
    pub aliases: Vec<String>,
    /// What the index is for.
    pub purpose: IndexPurpose,
    /// Settings that override those of the purpose.
    pub settings: IndexSettings,
}

/// The purpose of an index, which decides its replicas and its refreshes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IndexPurpose {
    /// Reads and writes: one replica as soon as there is a second node, a refresh every second.
    #[default]
    Serving,
    /// A copy's staging index, which is filled and then cloned: no replica, and only explicit refreshes.
    Filling,
}

/// A request to clone a write-blocked index on the server.
///
/// The clone is hidden, [serves](IndexPurpose::Serving), and has no write block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloneIndex {
    /// The index to clone. It must have a write block.
    pub source: String,
    /// The new index. It has the source's mapping and documents, and starts with the source's sequence numbers.
    pub target: String,
    /// The new index's aliases; all are hidden. The source's aliases are not copied.
    pub aliases: Vec<String>,
    /// Settings that override those of the purpose. All others are the source's.
    pub settings: IndexSettings,
}

/// One action of an alias update. All actions of an update are applied atomically.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AliasAction {
    /// Points the hidden alias to the index.
    Add {
        /// The index.
        index: String,
        /// The alias.
        alias: String,
    },
    /// Like [`Add`](Self::Add), for an alias that an operator created.
    AddAs {
        /// The index.
        index: String,
        /// The alias.
        alias: String,
        /// The alias's properties.
        state: AliasState,
    },
    /// Removes the alias from the index. The index must have it.
    Remove {
        /// The index.
        index: String,
        /// The alias.
        alias: String,
    },
    /// Deletes the index.
    RemoveIndex {
        /// The index.
        index: String,
    },
}

impl AliasAction {
    /// Returns the error kinds by which the server can refuse a repeat of actions that are already applied.
    /// `IndexNotFound` is one of them only if an action removes an index: otherwise the index was missing from the
    /// start.
    pub(super) fn refusals_when_done(actions: &[Self]) -> &'static [ClusterErrorKind] {
        match actions.iter().any(|action| matches!(action, Self::RemoveIndex { .. })) {
            true => &[ClusterErrorKind::AliasNotFound, ClusterErrorKind::IndexNotFound],
            false => &[ClusterErrorKind::AliasNotFound],
        }
    }

    /// Returns true if aliases and indices are as the actions leave them. Of several actions on one alias the last one
    /// counts. `has` tells whether an index has an alias, `exists` whether an index exists.
    pub(super) fn are_done(actions: &[Self], has: impl Fn(&str, &str) -> bool, exists: impl Fn(&str) -> bool) -> bool {
        let is_last_word = |at: usize, index: &str, alias: &str| {
            let is_of_it = |other: &Self| match other {
                Self::Add { index: i, alias: a }
                | Self::AddAs { index: i, alias: a, .. }
                | Self::Remove { index: i, alias: a } => i == index && a == alias,
                Self::RemoveIndex { index: i } => i == index,
            };
            !actions.iter().skip(at + 1).any(is_of_it)
        };
        actions.iter().enumerate().all(|(at, action)| match action {
            Self::Add { index, alias } | Self::AddAs { index, alias, .. } => {
                !is_last_word(at, index, alias) || has(index, alias)
            }
            Self::Remove { index, alias } => !is_last_word(at, index, alias) || !has(index, alias),
            Self::RemoveIndex { index } => !exists(index),
        })
    }
}

/// The health of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// A primary shard is missing: not everything can be read or written.
    Red,
    /// All primary shards are allocated, but not all replicas.
    Yellow,
    /// All shards are allocated.
    Green,
}

/// The cluster-wide conditions that decide whether an index can be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    /// Which shards the cluster allocates: `cluster.routing.allocation.enable`, normally `all`.
    pub allocation: String,
    /// The number of data nodes.
    pub data_nodes: u64,
    /// The number of shards that the cluster still accepts (`cluster.max_shards_per_node`), or `None` if the limit is
    /// unknown.
    pub shards_left: Option<u64>,
    /// The data nodes, as far as the server says something about them.
    pub nodes: Vec<DataNode>,
}

/// A node that holds shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataNode {
    /// Its name.
    pub name: String,
    /// The time by its clock when it answered, in milliseconds since 1970.
    pub at_ms: i64,
    /// Its fullest disk, or `None` if the cluster does not watch disks.
    pub disk: Option<Disk>,
}

/// A disk of a node, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The space that is left.
    pub free: u64,
    /// Its size.
    pub total: u64,
    /// With less space left, it is above the high watermark: the cluster puts no more shards there.
    pub high: u64,
    /// With less space left, it is above the flood stage: the cluster blocks writes to indices with a shard there.
    pub flood: u64,
}

impl fmt::Display for DataNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gigabytes = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        match &self.disk {
            None => f.write_str(&self.name),
            Some(Disk { free, total, high, .. }) => write!(
                f,
                "{} has {:.1} of {:.1} GiB free, and should have {:.1}",
                self.name,
                gigabytes(*free),
                gigabytes(*total),
                gigabytes(*high)
            ),
        }
    }
}

/// An index template that would change a new index, or keep it from being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interference {
    /// The template's path: `_index_template/<name>` or `_template/<name>`.
    pub template: String,
    /// The name of the new index.
    pub index: String,
    /// What the index would get: names of settings, and `mappings`, `aliases` or `component templates`.
    pub adds: Vec<String>,
    /// Whether the names that it matches are for data streams, so that no index of such a name can be made.
    pub is_for_data_streams: bool,
}

/// Numbers about the writes to an index. As long as they stay equal, no document has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The number of writes that the index has taken, deletes included: the sum over its shards of the highest sequence
    /// number plus one. It shrinks only when a snapshot is restored over the index.
    pub writes: u64,
    /// The shards' `history_uuid`s, which a restore replaces.
    pub id: String,
    /// The highest primary term in which a shard's retention leases were renewed. It follows a change of the primary.
    pub primary_term: u64,
}

/// The number of an index's documents that have a given type and stored model version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeCount {
    /// The document's `type`, if it has one.
    pub type_name: Option<String>,
    /// The document's `typeMigrationVersion`, if it has one.
    pub version: Option<String>,
    /// The number of documents.
    pub documents: u64,
}
