use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::ClusterErrorKind;

/// An index as the cluster has it.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexState {
    /// Its unique id, which a new index of the same name does not share.
    pub uuid: String,
    /// Its mapping: `dynamic`, `properties`, `_meta`.
    pub mapping: Value,
    /// Its aliases by name.
    pub aliases: BTreeMap<String, AliasState>,
    /// Whether it takes no writes because of the setting `index.blocks.write`, which copies set and lift.
    pub write_blocked: bool,
    /// Its other blocks, as the settings below `index.blocks` call them: `read_only_allow_delete` is the server's own when a
    /// disk is nearly full.
    pub other_blocks: BTreeSet<String>,
}

impl IndexState {
    /// Whether documents can be created and replaced, as far as its blocks say.
    pub fn takes_writes(&self) -> bool {
        !self.write_blocked
            && !["read_only", "read_only_allow_delete"].iter().any(|block| self.other_blocks.contains(*block))
    }
}

/// An alias of an index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AliasState {
    /// Whether `*` leaves it out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_hidden: bool,
}

/// An index to be created, hidden, with one shard.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateIndex {
    /// Its name.
    pub name: String,
    /// Its mapping, `_meta` included.
    pub mapping: Value,
    /// Its aliases; all are hidden.
    pub aliases: Vec<String>,
    /// What it is for.
    pub purpose: IndexPurpose,
}

/// What an index is for, which decides its replicas and its refreshes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IndexPurpose {
    /// To be read and written: a replica as soon as there is a second node, a refresh every second.
    #[default]
    Serving,
    /// To be filled and then cloned: no replica, no refresh unless one is asked for.
    Filling,
}

/// A copy of a write-blocked index, made by the server: hidden, for [serving](IndexPurpose::Serving), and without the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloneIndex {
    /// The index to be copied. It must have a write block.
    pub source: String,
    /// The new index. It has the source's mapping and documents, and starts with the source's sequence numbers.
    pub target: String,
    /// The new index's aliases; all are hidden. The source's are not taken over.
    pub aliases: Vec<String>,
}

/// One step of an alias update; all steps happen together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AliasAction {
    /// The hidden alias points to the index from now on.
    Add {
        /// The index.
        index: String,
        /// The alias.
        alias: String,
    },
    /// The alias no longer points to the index, which it must have done.
    Remove {
        /// The index.
        index: String,
        /// The alias.
        alias: String,
    },
    /// The index is deleted.
    RemoveIndex {
        /// The index.
        index: String,
    },
}

impl AliasAction {
    /// How a repeat after a lost answer can be refused. An index that these actions do not remove was never there.
    pub(super) fn refusals_when_done(actions: &[Self]) -> &'static [ClusterErrorKind] {
        match actions.iter().any(|action| matches!(action, Self::RemoveIndex { .. })) {
            true => &[ClusterErrorKind::AliasNotFound, ClusterErrorKind::IndexNotFound],
            false => &[ClusterErrorKind::AliasNotFound],
        }
    }

    /// Returns whether all is as the actions leave it; of several for one alias the last one counts. `has` tells whether an
    /// index has an alias, `exists` whether it is there.
    pub(super) fn are_done(actions: &[Self], has: impl Fn(&str, &str) -> bool, exists: impl Fn(&str) -> bool) -> bool {
        let is_last_word = |at: usize, index: &str, alias: &str| {
            let is_of_it = |other: &Self| match other {
                Self::Add { index: i, alias: a } | Self::Remove { index: i, alias: a } => i == index && a == alias,
                Self::RemoveIndex { index: i } => i == index,
            };
            !actions.iter().skip(at + 1).any(is_of_it)
        };
        actions.iter().enumerate().all(|(at, action)| match action {
            Self::Add { index, alias } => !is_last_word(at, index, alias) || has(index, alias),
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
    /// All primary shards are there, some replicas are not.
    Yellow,
    /// All shards are there.
    Green,
}

/// What of the cluster as a whole decides whether an index can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    /// Which shards the cluster allocates: `cluster.routing.allocation.enable`, which is `all` normally.
    pub allocation: String,
    /// How many nodes hold data.
    pub data_nodes: u64,
    /// How many more shards the cluster takes (`cluster.max_shards_per_node`); none if it does not say.
    pub shards_left: Option<u64>,
}

/// The state that an index's documents are in. While it is the same, no document has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// How many writes the index has taken, deletes included: the sum over its shards of one more than the highest sequence
    /// number. It shrinks only when a snapshot is restored over the index.
    pub writes: u64,
    /// The shards' `history_uuid`s, which a restore replaces.
    pub id: String,
    /// The highest primary term in which a shard's retention leases were renewed. It follows a change of the primary.
    pub primary_term: u64,
}

/// How many documents of an index have a type and a stored model version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeCount {
    /// The document's `type`, if it has one.
    pub type_name: Option<String>,
    /// Its `typeMigrationVersion`, if it has one.
    pub version: Option<String>,
    /// How many there are.
    pub documents: u64,
}
