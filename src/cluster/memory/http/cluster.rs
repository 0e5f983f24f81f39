//! Answers about the cluster: product, node, settings and health.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::answers;
use crate::cluster::DEFAULT_MAX_CONTENT_LENGTH;
use crate::cluster::elastic::HttpAnswer;
use crate::cluster::memory::state::State;

/// The value of `cluster.max_shards_per_node` if the cluster in memory has no limit: more than any test needs.
const MANY_SHARDS: usize = 1_000_000;

pub(super) fn product() -> HttpAnswer {
    let version = json!({ "number": crate::cluster::memory::VERSION, "build_flavor": "default" });
    answers::ok(&json!({ "name": "memory", "version": version }))
}

pub(super) fn node(state: &State) -> HttpAnswer {
    let limit = state.request_limit.unwrap_or(DEFAULT_MAX_CONTENT_LENGTH);
    answers::ok(&json!({ "nodes": { "memory": {
        "name": "memory", "version": crate::cluster::memory::VERSION, "http": { "max_content_length_in_bytes": limit },
    } } }))
}

/// Returns the time of the one node. It has no disk.
pub(super) fn nodes_stats(now: Timestamp) -> HttpAnswer {
    answers::ok(&json!({ "nodes": { "memory": { "name": "memory", "timestamp": now.as_millisecond() } } }))
}

pub(super) fn settings(state: &State) -> HttpAnswer {
    let limit = state.shard_limit.unwrap_or(MANY_SHARDS).to_string();
    answers::ok(&json!({ "persistent": {}, "transient": {}, "defaults": { "cluster": {
        "max_shards_per_node": limit, "routing": { "allocation": { "enable": "all" } },
    } } }))
}

/// Returns the health: every existing index is green. A missing one is red when the time is over.
pub(super) fn health(state: &State, name: Option<&str>) -> HttpAnswer {
    let shards = match name {
        None => state.indices.len(),
        Some(name) => state.behind(name).len(),
    };
    let is_missing = name.is_some() && shards == 0;
    let health: Value = json!({
        "cluster_name": "memory", "status": if is_missing { "red" } else { "green" }, "timed_out": is_missing,
        "number_of_nodes": 1, "number_of_data_nodes": 1, "active_primary_shards": shards, "active_shards": shards,
        "relocating_shards": 0, "initializing_shards": 0, "unassigned_shards": 0,
    });
    answers::with_status(if is_missing { 408 } else { 200 }, &health)
}
