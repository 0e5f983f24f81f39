//! The calls that a copy of an index needs: write blocks, clones, and the history that shows whether documents changed.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::connection::{Connection, Request, Verb};
use super::indices::{PUBLISH_TIMEOUT, clone_settings, hidden_aliases, indices, publishing, settled, wait_for_health};
use crate::cluster::{CloneIndex, ClusterError, ClusterErrorKind, ClusterResult, Health, History};

pub(super) async fn add_write_block(connection: &Connection, index: &str) -> ClusterResult<()> {
    connection.send(&publishing(Verb::Put, format!("{index}/_block/write"))).await.map(drop)
}

pub(super) async fn remove_write_block(connection: &Connection, index: &str) -> ClusterResult<()> {
    let request = publishing(Verb::Put, format!("{index}/_settings")).json(&json!({ "index.blocks.write": null }));
    connection.send(&request).await.map(drop)
}

pub(super) async fn clone_index(connection: &Connection, clone: &CloneIndex) -> ClusterResult<()> {
    let body = json!({ "settings": { "index": clone_settings(clone) }, "aliases": hidden_aliases(&clone.aliases) });
    let request = publishing(Verb::Put, format!("{}/_clone/{}", clone.source, clone.target))
        .query("wait_for_active_shards", "1")
        .json(&body);
    match connection.waiting_for(&clone.target, connection.send(&request)).await {
        Ok(_) => Ok(()),
        Err(error) => {
            settled(error, &[ClusterErrorKind::IndexExists], is_cloned(connection, clone)).await?;
            wait_for_health(connection, &clone.target, Health::Yellow, PUBLISH_TIMEOUT).await.map(drop)
        }
    }
}

async fn is_cloned(connection: &Connection, clone: &CloneIndex) -> ClusterResult<bool> {
    let found = indices(connection, &[&clone.source, &clone.target]).await?;
    let meta = |index: &str| found.get(index).map(|state| state.mapping.get("_meta"));
    let (source, target) = (meta(&clone.source), meta(&clone.target));
    Ok(target.is_some() && source == target)
}

pub(super) async fn history(connection: &Connection, index: &str) -> ClusterResult<History> {
    let mut attempts = connection.attempts();
    loop {
        if let Some(history) = attempts.during(history_now(connection, index)).await? {
            return Ok(history);
        }
        // The shards of an index that another node has just created are about to start.
        if !attempts.wait_for_next("no_shard", None).await {
            return Err(no_primary(format!("{index}/_stats")));
        }
    }
}

/// Returns `None` while a primary shard has not started.
async fn history_now(connection: &Connection, index: &str) -> ClusterResult<Option<History>> {
    #[derive(Deserialize)]
    struct StatsAnswer {
        #[serde(default)]
        indices: BTreeMap<String, IndexStats>,
    }
    #[derive(Deserialize)]
    struct IndexStats {
        shards: BTreeMap<String, Vec<ShardStats>>,
    }
    #[derive(Deserialize)]
    struct ShardStats {
        routing: Routing,
        seq_no: Option<SequenceStats>,
        #[serde(default)]
        commit: Commit,
        #[serde(default)]
        retention_leases: RetentionLeases,
    }
    #[derive(Deserialize)]
    struct Routing {
        primary: bool,
    }
    #[derive(Deserialize)]
    struct SequenceStats {
        /// -1 before the first write.
        max_seq_no: i64,
    }
    #[derive(Default, Deserialize)]
    struct Commit {
        #[serde(default)]
        user_data: UserData,
    }
    #[derive(Default, Deserialize)]
    struct UserData {
        #[serde(default)]
        history_uuid: String,
    }
    #[derive(Default, Deserialize)]
    struct RetentionLeases {
        #[serde(default)]
        primary_term: u64,
    }
    const FIELDS: &str = "indices.*.shards.*.routing.primary,indices.*.shards.*.seq_no.max_seq_no,\
        indices.*.shards.*.commit.user_data.history_uuid,indices.*.shards.*.retention_leases.primary_term";
    let request =
        Request::read(Verb::Get, format!("{index}/_stats")).query("level", "shards").query("filter_path", FIELDS);
    let answer: StatsAnswer = connection.send(&request).await?.parse()?;
    let mut history = History::default();
    let mut ids = Vec::new();
    for copies in answer.indices.into_values().flat_map(|index| index.shards.into_values()) {
        let primary = copies.into_iter().find(|copy| copy.routing.primary);
        let writes = primary.as_ref().and_then(|primary| primary.seq_no.as_ref()).map(|stats| stats.max_seq_no);
        let (Some(primary), Some(highest)) = (primary, writes) else { return Ok(None) };
        history.writes = history.writes.saturating_add(u64::try_from(highest.saturating_add(1)).unwrap_or_default());
        history.primary_term = history.primary_term.max(primary.retention_leases.primary_term);
        ids.push(primary.commit.user_data.history_uuid);
    }
    if ids.is_empty() {
        return Ok(None);
    }
    history.id = ids.join(",");
    Ok(Some(history))
}

fn no_primary(path: String) -> ClusterError {
    ClusterError::new(ClusterErrorKind::Unavailable, "GET", path, "a primary shard gives no sequence number")
}
