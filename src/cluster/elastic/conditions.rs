//! The cluster-wide conditions that decide whether an index can be created: allocation, shard limits and index
//! templates.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::connection::{Connection, Request, Verb};
use crate::cluster::{ClusterResult, Conditions, pattern};

/// The settings that an index template may have without interfering: the engine sets them explicitly for every index,
/// which overrides the template.
const SAID_BY_US: &[&str] =
    &["number_of_shards", "number_of_replicas", "auto_expand_replicas", "refresh_interval", "hidden", "routing"];

pub(super) async fn conditions(connection: &Connection) -> ClusterResult<Conditions> {
    #[derive(Deserialize)]
    struct HealthAnswer {
        number_of_data_nodes: u64,
        active_shards: u64,
        initializing_shards: u64,
        unassigned_shards: u64,
    }
    let request = Request::read(Verb::Get, "_cluster/settings")
        .query("include_defaults", "true")
        .query("filter_path", "*.cluster.max_shards_per_node,*.cluster.routing.allocation.enable");
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
    })
}

pub(super) async fn interfering_templates(connection: &Connection, index: &str) -> ClusterResult<Vec<String>> {
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
        #[serde(default)]
        template: Content,
    }
    #[derive(Deserialize)]
    struct Legacy {
        index_patterns: Vec<String>,
        #[serde(flatten)]
        content: Content,
    }
    let answer: TemplatesAnswer = connection.send(&Request::read(Verb::Get, "_index_template")).await?.parse()?;
    // The server applies the matching composable template of the highest priority; if there is one, it ignores legacy
    // templates.
    let matching =
        answer.index_templates.into_iter().filter(|named| matches(&named.index_template.index_patterns, index));
    if let Some(Named { name, index_template }) = matching.max_by_key(|named| named.index_template.priority) {
        let interferes = !index_template.composed_of.is_empty() || index_template.template.interferes();
        return Ok(interferes.then(|| format!("_index_template/{name}")).into_iter().collect());
    }
    let legacy: std::collections::BTreeMap<String, Legacy> =
        connection.send(&Request::read(Verb::Get, "_template")).await?.parse()?;
    let legacy = legacy.into_iter().filter_map(|(name, template)| {
        let is_it = matches(&template.index_patterns, index) && template.content.interferes();
        is_it.then(|| format!("_template/{name}"))
    });
    Ok(legacy.collect())
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
    fn interferes(&self) -> bool {
        let settings = match self.settings.get("index") {
            Some(Value::Object(settings)) => settings,
            _ => &self.settings,
        };
        let is_ours = |name: &String| SAID_BY_US.contains(&name.strip_prefix("index.").unwrap_or(name));
        !self.mappings.is_empty() || !self.aliases.is_empty() || !settings.keys().all(is_ours)
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
        let table = [
            (json!({}), false),
            (json!({"settings": {"index": {"number_of_replicas": "2"}}}), false),
            (json!({"settings": {"index": {"default_pipeline": "p"}}}), true),
            (json!({"mappings": {"dynamic": "true"}}), true),
            (json!({"aliases": {"all": {}}}), true),
        ];
        for (content, expected) in table {
            let parsed: Content = serde_json::from_value(content.clone()).expect("a template");
            assert_eq!(parsed.interferes(), expected, "{content}");
        }
    }
}
