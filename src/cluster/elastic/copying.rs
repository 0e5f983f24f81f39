//! What the copying of an index needs: write blocks, clones, and whether documents have changed.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::connection::{Connection, Request, Verb};
use super::indices::{
    PUBLISH_TIMEOUT, hidden_aliases, indices, publishing, purpose_settings, settled, wait_for_health,
};
use crate::cluster::{CloneIndex, ClusterError, ClusterErrorKind, ClusterResult, Health, IndexPurpose};

pub(super) async fn add_write_block(connection: &Connection, index: &str) -> ClusterResult<()> {
    connection.send(&publishing(Verb::Put, format!("{index}/_block/write"))).await.map(drop)
}

pub(super) async fn remove_write_block(connection: &Connection, index: &str) -> ClusterResult<()> {
    let request = publishing(Verb::Put, format!("{index}/_settings")).json(&json!({ "index.blocks.write": null }));
    connection.send(&request).await.map(drop)
}

pub(super) async fn clone_index(connection: &Connection, clone: &CloneIndex) -> ClusterResult<()> {
    let mut settings = purpose_settings(IndexPurpose::Serving);
    // The clone would take over the source's block.
    settings["blocks"] = json!({ "write": null });
    let body = json!({ "settings": { "index": settings }, "aliases": hidden_aliases(&clone.aliases) });
    let request = publishing(Verb::Put, format!("{}/_clone/{}", clone.source, clone.target))
        .query("wait_for_active_shards", "1")
        .json(&body);
    match connection.send(&request).await {
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

pub(super) async fn write_count(connection: &Connection, index: &str) -> ClusterResult<u64> {
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
    let path = format!("{index}/_stats");
    let request = Request::read(Verb::Get, path.clone())
        .query("level", "shards")
        .query("filter_path", "indices.*.shards.*.routing.primary,indices.*.shards.*.seq_no.max_seq_no");
    let answer: StatsAnswer = connection.send(&request).await?.parse()?;
    let primaries = answer.indices.into_values().flat_map(|index| index.shards.into_values()).map(|copies| {
        let primary = copies.into_iter().find(|copy| copy.routing.primary)?;
        u64::try_from(primary.seq_no?.max_seq_no + 1).ok()
    });
    let counts: Option<Vec<u64>> = primaries.collect();
    match counts.as_deref() {
        None | Some([]) => {
            let reason = "a primary shard gives no sequence number";
            Err(ClusterError::new(ClusterErrorKind::Unavailable, "GET", path, reason))
        }
        Some(counts) => Ok(counts.iter().sum()),
    }
}
