//! The cluster-wide conditions that decide whether an index can be created: allocation, shard limits, disks and index
//! templates.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::connection::{Connection, Request, Verb};
use super::indices::flat;
use crate::cluster::{ClusterResult, Conditions, DataNode, Disk, Interference, pattern};

/// The settings that an index template may have without interfering. The engine sets most of them explicitly for every
/// index, which overrides the template. The tier is where every new index goes anyway.
const HARMLESS: &[&str] = &[
    "number_of_shards",
    "number_of_replicas",
    "auto_expand_replicas",
    "refresh_interval",
    "hidden",
    "mapping.total_fields.limit",
    "routing.allocation.include._tier_preference",
];

pub(super) async fn conditions(connection: &Connection) -> ClusterResult<Conditions> {
    #[derive(Deserialize)]
    struct HealthAnswer {
        number_of_data_nodes: u64,
        active_shards: u64,
        initializing_shards: u64,
        unassigned_shards: u64,
    }
    let request = Request::read(Verb::Get, "_cluster/settings").query("include_defaults", "true").query(
        "filter_path",
        "*.cluster.max_shards_per_node,*.cluster.routing.allocation.enable,\
             *.cluster.routing.allocation.disk.threshold_enabled",
    );
    let settings: Value = connection.send(&request).await?.parse()?;
    let setting = |path: &str| {
        let of_level = |level: &str| settings.pointer(&format!("/{level}/cluster/{path}"))?.as_str();
        ["transient", "persistent", "defaults"].into_iter().find_map(of_level)
    };
    let request = Request::read(Verb::Get, "_cluster/health");
    let health: HealthAnswer = connection.send(&request).await?.parse()?;
    let used = health.active_shards.saturating_add(health.initializing_shards).saturating_add(health.unassigned_shards);
    let per_node = setting("max_shards_per_node").and_then(|limit| limit.parse::<u64>().ok());
    Ok(Conditions {
        allocation: setting("routing/allocation/enable").unwrap_or("all").to_owned(),
        data_nodes: health.number_of_data_nodes,
        shards_left: per_node.map(|limit| limit.saturating_mul(health.number_of_data_nodes).saturating_sub(used)),
        nodes: data_nodes(connection, setting("routing/allocation/disk/threshold_enabled") != Some("false")).await?,
    })
}

/// Returns the data nodes, with their disks if the cluster watches them.
async fn data_nodes(connection: &Connection, are_disks_watched: bool) -> ClusterResult<Vec<DataNode>> {
    #[derive(Deserialize)]
    struct StatsAnswer {
        #[serde(default)]
        nodes: BTreeMap<String, NodeAnswer>,
    }
    #[derive(Deserialize)]
    struct NodeAnswer {
        name: String,
        timestamp: i64,
        #[serde(default)]
        fs: FsAnswer,
    }
    #[derive(Default, Deserialize)]
    struct FsAnswer {
        #[serde(default)]
        data: Vec<DiskAnswer>,
    }
    #[derive(Deserialize)]
    struct DiskAnswer {
        total_in_bytes: u64,
        available_in_bytes: u64,
        high_watermark_free_space_in_bytes: Option<u64>,
        flood_stage_free_space_in_bytes: Option<u64>,
    }
    let request = Request::read(Verb::Get, "_nodes/data:true/stats/fs")
        .query("filter_path", "nodes.*.name,nodes.*.timestamp,nodes.*.fs.data.*_in_bytes");
    let answer: StatsAnswer = connection.send(&request).await?.parse()?;
    let disk = |disk: DiskAnswer| {
        let (high, flood) = (disk.high_watermark_free_space_in_bytes?, disk.flood_stage_free_space_in_bytes?);
        Some(Disk { free: disk.available_in_bytes, total: disk.total_in_bytes, high, flood })
    };
    let node = |NodeAnswer { name, timestamp, fs }: NodeAnswer| {
        let disks = fs.data.into_iter().filter_map(disk).filter(|_| are_disks_watched);
        DataNode { name, at_ms: timestamp, disk: disks.min_by_key(|disk| disk.free) }
    };
    Ok(answer.nodes.into_values().map(node).collect())
}

#[derive(Deserialize)]
struct TemplatesAnswer {
    #[serde(default)]
    index_templates: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    index_template: Composable,
}

#[derive(Deserialize)]
struct Composable {
    index_patterns: Vec<String>,
    #[serde(default)]
    priority: u64,
    #[serde(default)]
    composed_of: Vec<String>,
    data_stream: Option<Value>,
    #[serde(default)]
    template: Content,
}

#[derive(Deserialize)]
struct Legacy {
    index_patterns: Vec<String>,
    #[serde(flatten)]
    content: Content,
}

pub(super) async fn interfering_templates(
    connection: &Connection,
    indices: &[&str],
) -> ClusterResult<Vec<Interference>> {
    let answer: TemplatesAnswer = connection.send(&Request::read(Verb::Get, "_index_template")).await?.parse()?;
    let (mut found, mut without) = (Vec::new(), Vec::new());
    for index in indices {
        // The server applies the matching composable template of the highest priority; if there is one, it ignores
        // legacy templates.
        let matching = answer.index_templates.iter().filter(|it| matches(&it.index_template.index_patterns, index));
        match matching.max_by_key(|named| named.index_template.priority) {
            Some(named) => found.extend(named.interference(index)),
            None => without.push(*index),
        }
    }
    if without.is_empty() {
        return Ok(found);
    }
    let legacy: BTreeMap<String, Legacy> = connection.send(&Request::read(Verb::Get, "_template")).await?.parse()?;
    for index in without {
        let matching = legacy.iter().filter(|(_, template)| matches(&template.index_patterns, index));
        found.extend(matching.filter_map(|(name, template)| {
            let adds = template.content.adds();
            let template = format!("_template/{name}");
            let interference = Interference { template, index: index.to_owned(), adds, is_for_data_streams: false };
            (!interference.adds.is_empty()).then_some(interference)
        }));
    }
    Ok(found)
}

impl Named {
    /// Returns what the template does to a new index whose name it matches.
    fn interference(&self, index: &str) -> Option<Interference> {
        let Composable { composed_of, data_stream, template, .. } = &self.index_template;
        let mut adds = template.adds();
        adds.extend((!composed_of.is_empty()).then(|| format!("component templates {}", composed_of.join(", "))));
        let is_for_data_streams = data_stream.is_some();
        let template = format!("_index_template/{}", self.name);
        let interference = Interference { template, index: index.to_owned(), adds, is_for_data_streams };
        (is_for_data_streams || !interference.adds.is_empty()).then_some(interference)
    }
}

/// The part of a template that an index gets.
#[derive(Debug, Default, Deserialize)]
struct Content {
    #[serde(default)]
    settings: Map<String, Value>,
    #[serde(default)]
    mappings: Map<String, Value>,
    #[serde(default)]
    aliases: Map<String, Value>,
}

impl Content {
    /// Returns what an index would get in addition to what the engine requests.
    fn adds(&self) -> Vec<String> {
        let settings = flat(self.settings.clone()).into_keys();
        let names = settings.map(|name| name.strip_prefix("index.").map_or(name.clone(), str::to_owned));
        let settings = names.filter(|name| !HARMLESS.contains(&name.as_str())).map(|name| format!("index.{name}"));
        let mappings = (!self.mappings.is_empty()).then(|| "mappings".to_owned());
        let aliases = (!self.aliases.is_empty()).then(|| "aliases".to_owned());
        settings.chain(mappings).chain(aliases).collect()
    }
}

/// Returns whether a hidden index of this name matches the patterns of a template. `*` alone does not match hidden
/// indices.
fn matches(patterns: &[String], index: &str) -> bool {
    patterns.iter().any(|pattern| pattern != "*" && pattern::is_match(pattern, index))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_match_as_the_server_matches_them() {
        let table = [
            ("a-*", "a-notes-000001", true),
            ("*", "a-notes-000001", false),
            ("*-000001", "a-notes-000001", true),
            ("a*n*1", "a-notes-000001", true),
            ("a-notes", "a-notes-000001", false),
            ("b-*", "a-notes-000001", false),
        ];
        for (pattern, index, expected) in table {
            assert_eq!(matches(&[pattern.to_owned()], index), expected, "{pattern}");
        }
    }

    #[test]
    fn only_what_is_not_said_anyway_interferes() {
        let table: [(Value, &[&str]); 9] = [
            (json!({}), &[]),
            (json!({"settings": {"index": {"number_of_replicas": "2"}}}), &[]),
            (json!({"settings": {"index": {"mapping": {"total_fields": {"limit": "9"}}}}}), &[]),
            (json!({"settings": {"index": {"default_pipeline": "p"}}}), &["index.default_pipeline"]),
            (
                json!({"settings": {"index": {"routing": {"allocation": {"require": {"box": "b"}}}}}}),
                &["index.routing.allocation.require.box"],
            ),
            (json!({"settings": {"index.routing.allocation.include._tier_preference": "data_hot"}}), &[]),
            (json!({"settings": {"index.codec": "best_compression", "hidden": true}}), &["index.codec"]),
            (json!({"mappings": {"dynamic": "true"}}), &["mappings"]),
            (json!({"aliases": {"all": {}}}), &["aliases"]),
        ];
        for (content, expected) in table {
            let parsed: Content = serde_json::from_value(content.clone()).expect("a template");
            assert_eq!(parsed.adds(), expected, "{content}");
        }
    }
}
