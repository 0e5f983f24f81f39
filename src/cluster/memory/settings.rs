//! The settings of an index, and what its blocks forbid.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::refusals::{refusal, rejected};
use crate::cluster::{ClusterError, ClusterResult, IndexSettings};

/// The settings that a request can set, without `index.`. The cluster in memory implements the blocks,
/// `refresh_interval` and `mapping.total_fields.limit`, and returns all of them.
const KNOWN: &[&str] = &[
    "auto_expand_replicas",
    "blocks.metadata",
    "blocks.read",
    "blocks.read_only",
    "blocks.read_only_allow_delete",
    "blocks.write",
    "codec",
    "hidden",
    "lifecycle.name",
    "mapping.nested_fields.limit",
    "mapping.total_fields.limit",
    "max_result_window",
    "number_of_replicas",
    "number_of_shards",
    "priority",
    "refresh_interval",
    "routing.allocation.total_shards_per_node",
    "search.slowlog.threshold.query.warn",
];

/// The largest number of fields in a mapping, unless `mapping.total_fields.limit` says otherwise.
const MAX_FIELDS: usize = 1_000;

/// What a request does to an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// It reads documents.
    Read,
    /// It writes documents.
    Write,
    /// It reads mapping, settings or aliases.
    MetadataRead,
    /// It changes mapping, settings or aliases, or deletes the index.
    MetadataWrite,
}

/// A block of an index.
#[derive(Debug)]
pub(super) struct Block {
    /// The name of its setting below `index.blocks`.
    pub(super) setting: &'static str,
    levels: &'static [Level],
    status: u16,
    text: &'static str,
}

const BLOCKS: &[Block] = &[
    Block {
        setting: "read_only",
        levels: &[Level::Write, Level::MetadataWrite],
        status: 403,
        text: "FORBIDDEN/5/index read-only (api)",
    },
    Block { setting: "read", levels: &[Level::Read], status: 403, text: "FORBIDDEN/7/index read (api)" },
    Block { setting: "write", levels: &[Level::Write], status: 403, text: "FORBIDDEN/8/index write (api)" },
    Block {
        setting: "metadata",
        levels: &[Level::MetadataRead, Level::MetadataWrite],
        status: 403,
        text: "FORBIDDEN/9/index metadata (api)",
    },
    Block {
        setting: "read_only_allow_delete",
        levels: &[Level::Write],
        status: 429,
        text: "TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block; \
               for more information, see \
               https://www.elastic.co/docs/troubleshoot/elasticsearch/fix-watermark-errors?version=9.5",
    },
];

impl Block {
    pub(super) fn refusal(&self, index: &str) -> ClusterError {
        refusal(self.status, "cluster_block_exception", format!("index [{index}] blocked by: [{}];", self.text))
    }
}

/// The settings of an index by their names without `index.`, as the strings that a server returns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settings(BTreeMap<String, String>);

/// The settings of a request. `None` removes a setting.
#[derive(Debug, Clone, Default)]
pub(super) struct GivenSettings(BTreeMap<String, Option<String>>);

impl Settings {
    pub(super) fn set(&mut self, given: &GivenSettings) {
        for (name, value) in &given.0 {
            match value {
                Some(value) => drop(self.0.insert(name.clone(), value.clone())),
                None => drop(self.0.remove(name)),
            }
        }
    }

    /// Returns the first block that forbids `level`.
    pub(super) fn block(&self, level: Level) -> Option<&'static Block> {
        self.blocks().find(|block| block.levels.contains(&level))
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = &'static Block> {
        let is_set = |block: &&Block| {
            let prefix = self.0.range("blocks.".to_owned()..).take_while(|(name, _)| name.starts_with("blocks."));
            prefix
                .into_iter()
                .any(|(name, value)| name.strip_prefix("blocks.") == Some(block.setting) && value == "true")
        };
        BLOCKS.iter().filter(is_set)
    }

    /// Returns whether searches see writes without an explicit refresh.
    pub(super) fn refreshes(&self) -> bool {
        self.0.get("refresh_interval").is_none_or(|interval| interval != "-1")
    }

    pub(super) fn max_fields(&self) -> usize {
        self.0.get("mapping.total_fields.limit").and_then(|limit| limit.parse().ok()).unwrap_or(MAX_FIELDS)
    }

    /// Returns all settings except blocks.
    pub(super) fn without_blocks(&self) -> IndexSettings {
        let is_block = |name: &str| name.starts_with("blocks.");
        let others = self.0.iter().filter(|(name, _)| !is_block(name));
        others.map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect()
    }

    /// Returns the settings as nested objects, to which the server adds its own.
    pub(super) fn to_json(&self) -> Map<String, Value> {
        let mut json = Map::new();
        for (name, value) in &self.0 {
            insert(&mut json, name, value);
        }
        json
    }
}

fn insert(json: &mut Map<String, Value>, name: &str, value: &str) {
    match name.split_once('.') {
        None => drop(json.insert(name.to_owned(), value.into())),
        Some((first, rest)) => {
            let inner = json.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

impl GivenSettings {
    /// Parses settings that are given by their full names, as nested objects, or both.
    pub(super) fn from_json(json: &Value) -> ClusterResult<Self> {
        let mut given = BTreeMap::new();
        let json = json.get("settings").unwrap_or(json);
        flatten("", json, &mut given);
        let mut settings = BTreeMap::new();
        for (name, value) in given {
            let name = name.strip_prefix("index.").unwrap_or(&name).to_owned();
            if !KNOWN.contains(&name.as_str()) {
                return Err(rejected(format!(
                    "unknown setting [index.{name}] please check that any required plugins are installed, or check the \
                     breaking changes documentation for removed settings"
                )));
            }
            settings.insert(name, value);
        }
        Ok(Self(settings))
    }

    pub(super) fn of(settings: IndexSettings) -> ClusterResult<Self> {
        Self::from_json(&Value::Object(settings.into_iter().collect()))
    }

    /// Creates a request that sets or removes only the block `setting`.
    pub(super) fn block(setting: &str, is_set: bool) -> Self {
        Self([(format!("blocks.{setting}"), is_set.then(|| "true".to_owned()))].into())
    }

    /// Returns whether the request changes only a block that otherwise forbids changes of settings.
    pub(super) fn lifts_its_own_block(&self) -> bool {
        let own = ["blocks.read_only", "blocks.metadata", "blocks.read_only_allow_delete"];
        self.0.len() == 1 && self.0.keys().all(|name| own.contains(&name.as_str()))
    }
}

fn flatten(prefix: &str, json: &Value, into: &mut BTreeMap<String, Option<String>>) {
    let value = match json {
        Value::Object(inner) => {
            for (name, value) in inner {
                let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&name, value, into);
            }
            return;
        }
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    into.insert(prefix.to_owned(), value);
}
