//! Calls about indices and aliases: state, creation, mappings, settings, health and refresh.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::connection::{Connection, Repeat, Request, Verb};
use super::product::Product;
use crate::cluster::{
    AliasAction, AliasState, CloneIndex, ClusterError, ClusterErrorKind, ClusterResult, CreateIndex, Health,
    IndexPurpose, IndexSettings, IndexState, TOTAL_FIELDS_LIMIT,
};

/// The time that the server may take to publish a change of indices or aliases. The client waits twice as long for the
/// answer.
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
    match connection.send(&Request::read(Verb::Get, "").accept(&[400, 404, 405])).await {
        Ok(answer) => match Product::named_in(&answer.body()) {
            Some(Product::Elasticsearch(version)) => return Ok(version),
            Some(Product::Other(wrong)) => {
                let mut error = answer.not_understood(String::new());
                (error.kind, error.reason) = (ClusterErrorKind::Misconfigured(wrong), None);
                return Err(error);
            }
            None => {}
        },
        Err(error) if error.kind == ClusterErrorKind::Rejected => {}
        Err(error) => return Err(error),
    }
    let request = Request::read(Verb::Get, "_nodes/_local").query("filter_path", "nodes.*.version");
    let nodes: Nodes = connection.send(&request).await?.parse()?;
    nodes.nodes.into_values().next().map(|node| node.version).ok_or_else(|| {
        ClusterError::new(ClusterErrorKind::Unexpected, "GET", "_nodes/_local", "the answer names no node")
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
    filter: Option<Value>,
    index_routing: Option<String>,
    search_routing: Option<String>,
    is_write_index: Option<bool>,
}

impl From<AliasAnswer> for AliasState {
    fn from(answer: AliasAnswer) -> Self {
        let AliasAnswer { is_hidden, filter, index_routing, search_routing, is_write_index } = answer;
        Self { is_hidden, filter, index_routing, search_routing, is_write_index }
    }
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
    /// The server returns settings as strings.
    #[serde(default)]
    blocks: BTreeMap<String, Option<String>>,
    #[serde(flatten)]
    others: Map<String, Value>,
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
            aliases: answer.aliases.into_iter().map(|(name, alias)| (name, alias.into())).collect(),
            write_blocked: blocks.remove("write"),
            other_blocks: blocks,
            settings: flat(answer.settings.index.others),
        }
    };
    Ok(found.into_iter().map(|(name, answer)| (name, state(answer))).collect())
}

/// Returns settings by their full names. A value that is not an object is kept as it is.
pub(super) fn flat(settings: Map<String, Value>) -> IndexSettings {
    let mut flat = IndexSettings::new();
    let mut rest: Vec<(String, Value)> = settings.into_iter().collect();
    while let Some((name, value)) = rest.pop() {
        match value {
            Value::Object(members) => {
                rest.extend(members.into_iter().map(|(member, value)| (format!("{name}.{member}"), value)))
            }
            value => drop(flat.insert(name, value)),
        }
    }
    flat
}

pub(super) async fn create_index(connection: &Connection, create: &CreateIndex) -> ClusterResult<()> {
    let body = json!({
        "mappings": create.mapping,
        "aliases": hidden_aliases(&create.aliases),
        "settings": { "index": creation_settings(create) },
    });
    let request = publishing(Verb::Put, &create.name).query("wait_for_active_shards", "1").json(&body);
    match connection.waiting_for(&create.name, connection.send(&request)).await {
        Ok(_) => Ok(()),
        Err(error) => settled(error, &[ClusterErrorKind::IndexExists], is_created(connection, create)).await,
    }
}

async fn is_created(connection: &Connection, create: &CreateIndex) -> ClusterResult<bool> {
    let existing = indices(connection, &[&create.name]).await?;
    let index = existing.get(&create.name);
    Ok(index.is_some_and(|index| index.mapping.get("_meta") == create.mapping.get("_meta")))
}

/// Settles a change of indices whose answer is an error: the change counts as done if `is_done` says so.
///
/// `is_done` is polled only if the error can hide a success: the outcome is unknown, the error is one of `refusals`
/// (the errors of a repeat after a success), or a repeat was refused for another reason.
///
/// # Errors
/// `error` if the change is not done. If `error` is one of `refusals` and `is_done` fails, the error of `is_done`.
pub(super) async fn settled(
    error: ClusterError,
    refusals: &[ClusterErrorKind],
    is_done: impl Future<Output = ClusterResult<bool>>,
) -> ClusterResult<()> {
    let is_refusal = refusals.contains(&error.kind);
    let may_be_done = match error.kind {
        ClusterErrorKind::OutcomeUnknown => true,
        ClusterErrorKind::Unavailable | ClusterErrorKind::Timeout => false,
        _ => is_refusal || error.attempts > 1,
    };
    if !may_be_done {
        return Err(error);
    }
    match is_done.await {
        Ok(true) => Ok(()),
        // Without it the meaning of the refusal is unknown as well.
        Err(unread) if is_refusal => Err(unread),
        Ok(false) | Err(_) => Err(error),
    }
}

/// Returns the settings of an index to create, by their names without `index.`.
pub(in crate::cluster) fn creation_settings(create: &CreateIndex) -> IndexSettings {
    let mut settings = purpose_settings(create.purpose);
    settings.insert("number_of_shards".to_owned(), 1.into());
    settings.insert("mapping.total_fields.limit".to_owned(), TOTAL_FIELDS_LIMIT.into());
    settings.extend(create.settings.clone());
    settings
}

/// Returns the settings that a clone does not take from its source.
pub(in crate::cluster) fn clone_settings(clone: &CloneIndex) -> IndexSettings {
    let mut settings = purpose_settings(IndexPurpose::Serving);
    // Otherwise the clone would keep the source's block.
    settings.insert("blocks.write".to_owned(), Value::Null);
    settings.extend(clone.settings.clone());
    settings
}

/// Returns the settings of a purpose. All are explicit, so that neither an index template nor the source of a clone
/// decides them.
fn purpose_settings(purpose: IndexPurpose) -> IndexSettings {
    let settings = match purpose {
        IndexPurpose::Serving => json!({ "hidden": true, "auto_expand_replicas": "0-1", "refresh_interval": "1s" }),
        IndexPurpose::Filling => {
            json!({ "hidden": true, "auto_expand_replicas": false, "number_of_replicas": 0, "refresh_interval": "-1" })
        }
    };
    settings.as_object().cloned().unwrap_or_default().into_iter().collect()
}

pub(super) fn hidden_aliases(names: &[String]) -> Map<String, Value> {
    names.iter().map(|alias| (alias.clone(), json!({ "is_hidden": true }))).collect()
}

pub(super) async fn put_mapping(connection: &Connection, index: &str, mapping: &Value) -> ClusterResult<()> {
    let request = publishing(Verb::Put, format!("{index}/_mapping")).json(mapping);
    connection.send(&request).await.map(drop)
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
            AliasAction::AddAs { index, alias, state } => {
                let mut add = json!(state);
                add["index"] = index.as_str().into();
                add["alias"] = alias.as_str().into();
                json!({ "add": add })
            }
            AliasAction::Remove { index, alias } => {
                json!({ "remove": { "index": index, "alias": alias, "must_exist": true } })
            }
            AliasAction::RemoveIndex { index } => json!({ "remove_index": { "index": index } }),
        })
        .collect();
    match connection.send(&publishing(Verb::Post, "_aliases").json(&json!({ "actions": steps }))).await {
        Ok(_) => Ok(()),
        Err(error) => settled(error, AliasAction::refusals_when_done(actions), are_done(connection, actions)).await,
    }
}

async fn are_done(connection: &Connection, actions: &[AliasAction]) -> ClusterResult<bool> {
    let names: Vec<&str> = actions
        .iter()
        .map(|action| match action {
            AliasAction::Add { index, .. }
            | AliasAction::AddAs { index, .. }
            | AliasAction::Remove { index, .. }
            | AliasAction::RemoveIndex { index } => index.as_str(),
        })
        .collect();
    let found = indices(connection, &names).await?;
    let has = |index: &str, alias: &str| found.get(index).is_some_and(|state| state.aliases.contains_key(alias));
    Ok(AliasAction::are_done(actions, has, |index| found.contains_key(index)))
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
        // The server answers 408 when the time is over, with the health reached.
        .accept(&[408]);
    let answer: HealthAnswer = connection.waiting_for(index, connection.send(&request)).await?.parse()?;
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

/// Creates a request to change the cluster's state. The change is idempotent, or settled in this module.
pub(super) fn publishing<'a>(method: Verb, path: impl Into<String>) -> Request<'a> {
    Request::write(method, path, Repeat::Always)
        .query("timeout", format!("{}s", PUBLISH_TIMEOUT.as_secs()))
        .query("master_timeout", format!("{}s", PUBLISH_TIMEOUT.as_secs()))
        .timeout(PUBLISH_TIMEOUT * 2)
}
