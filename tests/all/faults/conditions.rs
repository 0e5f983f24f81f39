//! What of the cluster as a whole keeps a migration from beginning: on a server whose settings may be changed.

use saved_objects::migrate::Outcome;
use saved_objects::repository::Create;
use serde_json::{Value, json};

use super::processes::single_node;
use crate::context::Context;
use crate::healing::{blocker, cure};
use crate::migration::{current, notes_before_and_after, object};

async fn set(context: &Context, setting: &str, value: Value) {
    let answer = context.raw("PUT", "/_cluster/settings", Some(json!({"persistent": {setting: value}}))).await;
    assert_eq!(answer["acknowledged"], true, "{answer}");
}

pub(super) async fn too_few_shards_and_no_allocation_are_blockers(context: Context) {
    let (_turn, _, context) = single_node(&context).await;
    let (before, after) = notes_before_and_after();
    let old = context.store(before).await;
    old.repository().create(Create::new("note", object(json!({"title": "t"}))).id("1")).await.expect("created");
    let health = context.raw("GET", "/_cluster/health", None).await;
    let count = |name: &str| health[name].as_u64().expect("a count");
    let used = count("active_shards") + count("initializing_shards") + count("unassigned_shards");
    // One shard more is too few for a copy, which needs two.
    set(&context, "cluster.max_shards_per_node", json!(used + 1)).await;
    let shards = blocker(&context, || notes_before_and_after().1).await;
    assert!(shards.what.contains("takes 1 more shards"), "{shards:?}");
    cure(&context, &shards, &[("<more>", &(used + 100).to_string())]).await;
    let report = context.migrator(after).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    set(&context, "cluster.max_shards_per_node", Value::Null).await;

    set(&context, "cluster.routing.allocation.enable", json!("none")).await;
    let allocation = blocker(&context, current).await;
    assert!(allocation.what.contains("cluster.routing.allocation.enable"), "{allocation:?}");
    cure(&context, &allocation, &[]).await;
    let report = context.migrator(current()).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
}
