use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::connection::{Connection, Repeat, Request, Verb};
use crate::cluster::{
    AliasAction, AliasState, ClusterError, ClusterErrorKind, ClusterResult, CreateIndex, Health, IndexPurpose,
    IndexState,
};

/// How long the server may take to publish a change of indices or aliases, and we wait a little longer for its answer.
pub(super) const PUBLISH_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) async fn version(connection: &Connection) -> ClusterResult<String> {
    #[derive(Deserialize)]
    struct Nodes {
        nodes: BTreeMap<String, Node>,
    }
    #[derive(Deserialize)]
    struct Node {
        version: String,
    }
    let request = Request::read(Verb::Get, "_nodes/_local").query("filter_path", "nodes.*.version");
    let nodes: Nodes = connection.send(&request).await?.parse()?;
    nodes.nodes.into_values().next().map(|node| node.version).ok_or_else(|| {
        ClusterError::new(ClusterErrorKind::Unexpected, "GET", "_nodes/_local", "the answer names no node")
    })
}

/// How large a request the node takes that is asked. Source: nodes info API.
pub(super) async fn max_content_length(connection: &Connection) -> ClusterResult<usize> {
    #[derive(Deserialize)]
    struct Nodes {
        nodes: BTreeMap<String, Node>,
    }
    #[derive(Deserialize)]
    struct Node {
        http: Http,
    }
    #[derive(Deserialize)]
    struct Http {
        max_content_length_in_bytes: usize,
    }
    let request =
        Request::read(Verb::Get, "_nodes/_local/http").query("filter_path", "nodes.*.http.max_content_length_in_bytes");
    let nodes: Nodes = connection.send(&request).await?.parse()?;
    nodes.nodes.into_values().next().map(|node| node.http.max_content_length_in_bytes).ok_or_else(|| {
        ClusterError::new(ClusterErrorKind::Unexpected, "GET", "_nodes/_local/http", "the answer names no node")
    })
}

#[derive(Debug, Deserialize)]
struct IndexAnswer {
    #[serde(default)]
    aliases: BTreeMap<String, AliasAnswer>,
    #[serde(default)]
    mappings: Value,
    #[serde(default)]
    settings: SettingsAnswer,
}

#[derive(Debug, Deserialize)]
struct AliasAnswer {
    #[serde(default)]
    is_hidden: bool,
}

#[derive(Debug, Default, Deserialize)]
struct SettingsAnswer {
    #[serde(default)]
    index: IndexSettingsAnswer,
}

#[derive(Debug, Default, Deserialize)]
struct IndexSettingsAnswer {
    #[serde(default)]
    uuid: String,
    /// Settings come back as texts.
    #[serde(default)]
    blocks: BTreeMap<String, Option<String>>,
}

pub(super) async fn indices(connection: &Connection, names: &[&str]) -> ClusterResult<BTreeMap<String, IndexState>> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let request =
        Request::read(Verb::Get, names.join(",")).query("ignore_unavailable", "true").query("expand_wildcards", "all");
    let found: BTreeMap<String, IndexAnswer> = connection.send(&request).await?.parse()?;
    let set = |blocks: BTreeMap<String, Option<String>>| -> BTreeSet<String> {
        blocks.into_iter().filter(|(_, value)| value.as_deref() == Some("true")).map(|(name, _)| name).collect()
    };
    let state = |answer: IndexAnswer| {
        let mut blocks = set(answer.settings.index.blocks);
        IndexState {
            uuid: answer.settings.index.uuid,
            mapping: answer.mappings,
            aliases: answer
                .aliases
                .into_iter()
                .map(|(name, alias)| (name, AliasState { is_hidden: alias.is_hidden }))
                .collect(),
            write_blocked: blocks.remove("write"),
            other_blocks: blocks,
        }
    };
    Ok(found.into_iter().map(|(name, answer)| (name, state(answer))).collect())
}

pub(super) async fn create_index(connection: &Connection, create: &CreateIndex) -> ClusterResult<()> {
    let mut settings = purpose_settings(create.purpose);
    settings["number_of_shards"] = 1.into();
    settings["mapping"] = json!({ "total_fields": { "limit": 1500 } });
    let body = json!({
        "mappings": create.mapping,
        "aliases": hidden_aliases(&create.aliases),
        "settings": { "index": settings },
    });
    let request = publishing(Verb::Put, &create.name).query("wait_for_active_shards", "1").json(&body);
    match connection.send(&request).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind == ClusterErrorKind::IndexExists => {
            let existing = indices(connection, &[&create.name]).await?;
            match existing.get(&create.name) {
                Some(index) if index.mapping.get("_meta") == create.mapping.get("_meta") => Ok(()),
                _ => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

/// All said explicitly, so that neither an index template nor the source of a clone decides.
pub(in crate::cluster) fn purpose_settings(purpose: IndexPurpose) -> Value {
    match purpose {
        IndexPurpose::Serving => json!({ "hidden": true, "auto_expand_replicas": "0-1", "refresh_interval": "1s" }),
        IndexPurpose::Filling => {
            json!({ "hidden": true, "auto_expand_replicas": false, "number_of_replicas": 0, "refresh_interval": "-1" })
        }
    }
}

pub(super) fn hidden_aliases(names: &[String]) -> Map<String, Value> {
    names.iter().map(|alias| (alias.clone(), json!({ "is_hidden": true }))).collect()
}

pub(super) async fn put_mapping(connection: &Connection, index: &str, mapping: &Value) -> ClusterResult<()> {
    let request = publishing(Verb::Put, format!("{index}/_mapping")).json(mapping);
    connection.send(&request).await.map(drop).map_err(|mut error| {
        // The server calls a change of `enabled` a mapper_exception, with status 500.
        if error.status == Some(400) || error.server_type.as_deref() == Some("mapper_exception") {
            error.kind = ClusterErrorKind::MappingRefused;
        }
        error
    })
}

pub(super) async fn delete_index(connection: &Connection, index: &str) -> ClusterResult<()> {
    connection.send(&publishing(Verb::Delete, index).query("ignore_unavailable", "true")).await.map(drop)
}

pub(super) async fn update_aliases(connection: &Connection, actions: &[AliasAction]) -> ClusterResult<()> {
    let steps: Vec<Value> = actions
        .iter()
        .map(|action| match action {
            AliasAction::Add { index, alias } => {
                json!({ "add": { "index": index, "alias": alias, "is_hidden": true } })
            }
            AliasAction::Remove { index, alias } => {
                json!({ "remove": { "index": index, "alias": alias, "must_exist": true } })
            }
            AliasAction::RemoveIndex { index } => json!({ "remove_index": { "index": index } }),
        })
        .collect();
    match connection.send(&publishing(Verb::Post, "_aliases").json(&json!({ "actions": steps }))).await {
        Ok(_) => Ok(()),
        // A repeat after a lost answer finds the aliases as they shall be.
        Err(error) if AliasAction::may_be_done(actions, error.kind) && are_done(connection, actions).await? => Ok(()),
        Err(error) => Err(error),
    }
}

async fn are_done(connection: &Connection, actions: &[AliasAction]) -> ClusterResult<bool> {
    let names: Vec<&str> = actions
        .iter()
        .map(|action| match action {
            AliasAction::Add { index, .. } | AliasAction::Remove { index, .. } | AliasAction::RemoveIndex { index } => {
                index.as_str()
            }
        })
        .collect();
    let found = indices(connection, &names).await?;
    let has = |index: &str, alias: &str| found.get(index).is_some_and(|state| state.aliases.contains_key(alias));
    Ok(actions.iter().all(|action| match action {
        AliasAction::Add { index, alias } => has(index, alias),
        AliasAction::Remove { index, alias } => !has(index, alias),
        AliasAction::RemoveIndex { index } => !found.contains_key(index),
    }))
}

pub(super) async fn wait_for_health(
    connection: &Connection,
    index: &str,
    wanted: Health,
    timeout: Duration,
) -> ClusterResult<Health> {
    #[derive(Deserialize)]
    struct HealthAnswer {
        status: String,
    }
    let request = Request::read(Verb::Get, format!("_cluster/health/{index}"))
        .query("wait_for_status", name_of(wanted))
        .query("timeout", format!("{}s", timeout.as_secs()))
        .timeout(timeout + PUBLISH_TIMEOUT)
        // 408 is the answer when the time is over; it says the health reached.
        .accept(&[408]);
    let answer: HealthAnswer = connection.send(&request).await?.parse()?;
    Ok(match answer.status.as_str() {
        "green" => Health::Green,
        "yellow" => Health::Yellow,
        _ => Health::Red,
    })
}

fn name_of(health: Health) -> &'static str {
    match health {
        Health::Red => "red",
        Health::Yellow => "yellow",
        Health::Green => "green",
    }
}

pub(super) async fn refresh(connection: &Connection, index: &str) -> ClusterResult<()> {
    connection.send(&Request::read(Verb::Post, format!("{index}/_refresh"))).await.map(drop)
}

/// A change of the cluster's state; doing it twice is the same as once, or is settled here.
pub(super) fn publishing<'a>(method: Verb, path: impl Into<String>) -> Request<'a> {
    Request::write(method, path, Repeat::Always)
        .query("timeout", format!("{}s", PUBLISH_TIMEOUT.as_secs()))
        .query("master_timeout", format!("{}s", PUBLISH_TIMEOUT.as_secs()))
        .timeout(PUBLISH_TIMEOUT * 2)
}
