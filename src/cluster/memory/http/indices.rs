//! Requests about indices and aliases.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Asked, answers, parsing_refused};
use crate::cluster::elastic::HttpAnswer;
use crate::cluster::memory::aliases;
use crate::cluster::memory::refusals::rejected;
use crate::cluster::memory::settings::{GivenSettings, Level};
use crate::cluster::memory::state::{Index, State};
use crate::cluster::memory::write::NewIndex;
use crate::cluster::{AliasAction, AliasState, ClusterResult};

/// The body of a create or clone request.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewIndexBody {
    #[serde(default)]
    mappings: Value,
    #[serde(default)]
    aliases: BTreeMap<String, AliasState>,
    #[serde(default)]
    settings: Value,
}

impl NewIndexBody {
    fn new_index<'a>(&self, name: &'a str) -> ClusterResult<NewIndex<'a>> {
        let settings = if self.settings.is_null() { Value::Object(Map::new()) } else { self.settings.clone() };
        Ok(NewIndex { name, aliases: self.aliases.clone(), settings: GivenSettings::from_json(&settings)? })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AliasesBody {
    actions: Vec<ActionBody>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ActionBody {
    Add(AddBody),
    Remove(RemoveBody),
    RemoveIndex(RemoveIndexBody),
}

#[derive(Debug, Deserialize)]
struct AddBody {
    index: String,
    alias: String,
    #[serde(flatten)]
    state: AliasState,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveBody {
    index: String,
    alias: String,
    /// Ignored: a missing alias is always refused. A server ignores it if another action of the request does something.
    #[serde(default, rename = "must_exist")]
    _must_exist: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveIndexBody {
    index: String,
}

impl From<ActionBody> for AliasAction {
    fn from(body: ActionBody) -> Self {
        match body {
            ActionBody::Add(AddBody { index, alias, state }) => Self::AddAs { index, alias, state },
            ActionBody::Remove(RemoveBody { index, alias, .. }) => Self::Remove { index, alias },
            ActionBody::RemoveIndex(RemoveIndexBody { index }) => Self::RemoveIndex { index },
        }
    }
}

impl Asked<'_> {
    pub(super) fn indices(&self, state: &State, names: &str) -> ClusterResult<HttpAnswer> {
        let names: Vec<&str> = names.split(',').collect();
        if !self.says("ignore_unavailable") {
            names.iter().filter(|name| !name.ends_with('*')).try_for_each(|name| state.existing(name).map(drop))?;
        }
        let mut found = Map::new();
        for (name, index) in state.meant(&names) {
            if let Some(block) = index.settings.block(Level::MetadataRead) {
                return Err(block.refusal(name));
            }
            found.insert(name.clone(), described(name, index));
        }
        Ok(answers::ok(&found))
    }

    pub(super) fn create_index(&self, state: &mut State, name: &str) -> ClusterResult<HttpAnswer> {
        let body: NewIndexBody = self.body()?;
        let mapping = if body.mappings.is_null() { json!({}) } else { body.mappings.clone() };
        state.create_index(body.new_index(name)?, &mapping)?;
        Ok(made(name))
    }

    pub(super) fn clone_index(&self, state: &mut State, source: &str, target: &str) -> ClusterResult<HttpAnswer> {
        let body: NewIndexBody = self.body()?;
        if !body.mappings.is_null() {
            return Err(parsing_refused("mappings are not allowed in a clone"));
        }
        state.clone_index(source, body.new_index(target)?)?;
        Ok(made(target))
    }

    pub(super) fn delete_index(&self, state: &mut State, name: &str) -> ClusterResult<HttpAnswer> {
        let passes_over_missing = self.says("ignore_unavailable");
        name.split(',').try_for_each(|name| state.delete_index(name, passes_over_missing))?;
        Ok(answers::acknowledged())
    }

    pub(super) fn put_mapping(&self, state: &mut State, name: &str) -> ClusterResult<HttpAnswer> {
        let body: Map<String, Value> = self.body()?;
        state.put_mapping(name, &Value::Object(body))?;
        Ok(answers::acknowledged())
    }

    pub(super) fn aliases(&self, state: &mut State) -> ClusterResult<HttpAnswer> {
        let body: AliasesBody = self.body()?;
        let steps: Vec<AliasAction> = body.actions.into_iter().map(AliasAction::from).collect();
        aliases::update(state, &steps)?;
        Ok(answers::text(r#"{"acknowledged":true,"errors":false}"#))
    }

    pub(super) fn add_block(&self, state: &mut State, name: &str, block: &str) -> ClusterResult<HttpAnswer> {
        if !["metadata", "read", "read_only", "write"].contains(&block) {
            return Err(rejected(format!("No block found with name {block}")));
        }
        let blocked = state.add_block(name, block)?;
        let blocked: Vec<Value> = blocked.iter().map(|name| json!({ "name": name, "blocked": true })).collect();
        Ok(answers::ok(&json!({
            "acknowledged": true, "shards_acknowledged": !blocked.is_empty(), "indices": blocked,
        })))
    }

    pub(super) fn put_settings(&self, state: &mut State, name: &str) -> ClusterResult<HttpAnswer> {
        let body: Map<String, Value> = self.body()?;
        state.put_settings(name, &GivenSettings::from_json(&Value::Object(body))?)?;
        Ok(answers::acknowledged())
    }

    pub(super) fn close_index(&self, state: &mut State, name: &str) -> ClusterResult<HttpAnswer> {
        let closed = state.close_index(name)?;
        let indices: Map<String, Value> = closed.iter().map(|name| (name.clone(), json!({ "closed": true }))).collect();
        Ok(answers::ok(&json!({
            "acknowledged": true, "shards_acknowledged": !indices.is_empty(), "indices": indices,
        })))
    }

    pub(super) fn open_index(&self, state: &mut State, name: &str) -> ClusterResult<HttpAnswer> {
        state.open_index(name)?;
        Ok(answers::text(r#"{"acknowledged":true,"shards_acknowledged":true}"#))
    }

    pub(super) fn refresh(&self, state: &mut State, name: &str) -> ClusterResult<HttpAnswer> {
        let shards = state.refresh(name)?;
        Ok(answers::ok(&json!({ "_shards": { "total": shards, "successful": shards, "failed": 0 } })))
    }

    pub(super) fn stats(&self, state: &State, name: &str) -> ClusterResult<HttpAnswer> {
        let names = state.open(name, Level::MetadataRead)?;
        let indices: Map<String, Value> =
            names.iter().filter_map(|name| Some((name.clone(), stats_of(state.indices.get(name)?)))).collect();
        Ok(answers::ok(&json!({ "indices": indices })))
    }
}

fn made(name: &str) -> HttpAnswer {
    answers::ok(&json!({ "acknowledged": true, "shards_acknowledged": true, "index": name }))
}

fn described(name: &str, index: &Index) -> Value {
    let mut settings = index.settings.to_json();
    settings.insert("uuid".to_owned(), index.uuid.clone().into());
    settings.insert("provided_name".to_owned(), name.into());
    if index.is_closed {
        settings.insert("verified_before_close".to_owned(), "true".into());
    }
    json!({ "aliases": index.aliases, "mappings": index.mapping.to_json(), "settings": { "index": settings } })
}

fn stats_of(index: &Index) -> Value {
    let max_seq_no = i64::try_from(index.documents.write_count()).unwrap_or(i64::MAX) - 1;
    json!({ "uuid": index.uuid, "shards": { "0": [{
        "routing": { "state": "STARTED", "primary": true, "node": "memory", "relocating_node": null },
        "commit": { "user_data": { "history_uuid": index.history_uuid } },
        "seq_no": { "max_seq_no": max_seq_no, "local_checkpoint": max_seq_no, "global_checkpoint": max_seq_no },
        "retention_leases": { "primary_term": index.documents.primary_term() },
    }] } })
}
