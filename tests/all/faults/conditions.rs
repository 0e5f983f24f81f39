//! Conditions of the whole cluster that keep a migration from starting, on a server whose settings a test may change.

use std::sync::Arc;

use saved_objects::cluster::Privileges;
use saved_objects::migrate::{CheckName, CheckState, Outcome};
use saved_objects::repository::Create;
use serde_json::{Value, json};

use super::crash::Recorder;
use super::deployment::{Deployment, process};
use super::disturbed::{At, Fate};
use super::late::COPY;
use super::processes::single_node;
use crate::context::Context;
use crate::hints::{blocker, hint, hint_on_page};
use crate::migration::{current, notes_before_and_after, object, seed_version_1};

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
    // One more shard is too few for a copy, which needs two.
    set(&context, "cluster.max_shards_per_node", json!(used + 1)).await;
    let shards = blocker(&context, || notes_before_and_after().1).await;
    assert!(shards.what.contains("takes 1 more shards"), "{shards:?}");
    hint(&context, &shards, &[("<more>", &(used + 100).to_string())]).await;
    let report = context.migrator(after).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    set(&context, "cluster.max_shards_per_node", Value::Null).await;

    set(&context, "cluster.routing.allocation.enable", json!("none")).await;
    let allocation = blocker(&context, current).await;
    assert!(allocation.what.contains("cluster.routing.allocation.enable"), "{allocation:?}");
    hint(&context, &allocation, &[]).await;
    let report = context.migrator(current()).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");

    // In place only the index of the lease is created. It was deleted.
    let prefix = format!("{}-in-place", context.prefix).parse().expect("a prefix");
    let context = Context { prefix, ..context };
    seed_version_1(&context).await;
    context.raw("DELETE", &format!("/{}-control-000001", context.prefix), None).await;
    set(&context, "cluster.routing.allocation.enable", json!("none")).await;
    let started = std::time::Instant::now();
    let allocation = blocker(&context, current).await;
    assert!(allocation.what.contains("cluster.routing.allocation.enable"), "{allocation:?}");
    assert!(started.elapsed().as_secs() < 10, "it waited for an index that is not made: {:?}", started.elapsed());
    hint(&context, &allocation, &[]).await;
    let report = context.migrator(current()).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
}

/// A cluster whose disks are above a watermark: a start begins nothing, and the doctor names the disks.
pub(super) async fn full_disks_are_told_before_an_index_is_made(context: Context) {
    let (_turn, _, context) = single_node(&context).await;
    let disk = |name: &str| format!("cluster.routing.allocation.disk.{name}");
    let watermarks = |high: &str, flood: &str| {
        json!({ disk("threshold_enabled"): true, disk("watermark.low"): "900tb", disk("watermark.high"): high,
            disk("watermark.flood_stage"): flood })
    };
    let set = async |settings: Value| {
        let answer = context.raw("PUT", "/_cluster/settings", Some(json!({ "persistent": settings }))).await;
        assert_eq!(answer["acknowledged"], true, "{answer}");
    };
    let diagnose = async || {
        let migrator = context.migrator(current());
        let diagnosis = migrator.diagnose("migrate", &Privileges::default()).await.expect("answered");
        diagnosis.checks.into_iter().filter(|finding| finding.check == CheckName::Disk).collect::<Vec<_>>()
    };
    set(watermarks("1mb", "1b")).await;
    let well = diagnose().await;
    assert!(well.len() == 1 && well[0].state == CheckState::Ok && well[0].what.contains("GiB free"), "{well:?}");
    set(watermarks("900tb", "1b")).await;
    let full = blocker(&context, current).await;
    assert!(full.what.contains("no data node has the disk space for a new index"), "{full:?}");
    assert!(hint_on_page(&full).contains("/_cat/allocation"));
    // No index has a shard that the server would block meanwhile.
    set(watermarks("900tb", "900tb")).await;
    let flooded = diagnose().await;
    let reset = ["threshold_enabled", "watermark.low", "watermark.high", "watermark.flood_stage"];
    set(reset.into_iter().map(|name| (disk(name), Value::Null)).collect::<serde_json::Map<_, _>>().into()).await;
    let told = flooded.iter().filter(|finding| finding.state == CheckState::Blocked).count();
    assert!(told == 2 && flooded.iter().any(|it| it.what.contains("above the flood stage")), "{flooded:?}");
    assert_eq!(context.migrator(current()).migrate().await.outcome, Outcome::Migrated);
}

/// A node undid a copy while the clone of another copy had no shard yet. Such a clone can never start, and until it is
/// deleted Elasticsearch 9.2 assigns no shard of any new index.
pub(super) async fn a_clone_whose_source_is_gone_is_deleted(context: Context) {
    let (_turn, _, context) = single_node(&context).await;
    let deployment = Deployment::on(context.cluster(), context.prefix.clone()).seeded_with_release_1().await;
    let killed = process(&deployment, COPY, Arc::new(At("clone_index", "clone", Fate::Unsent))).await;
    assert!(killed.is_none(), "it was to be killed before it clones");
    let names = deployment.prefix.group("vaults");
    let indices = deployment.cluster().indices(&[&names.any()]).await.expect("answered");
    let fill = indices.keys().find(|name| names.is_fill(name)).expect("a staging index");
    let clone = format!("/{fill}/_clone/{}?wait_for_active_shards=0", names.index(2));
    // No node may have its shard before its source is deleted.
    let settings = json!({"index.number_of_replicas": 0, "index.routing.allocation.require._name": "none"});
    let answer = context.raw("POST", &clone, Some(json!({"settings": settings}))).await;
    assert_eq!(answer["acknowledged"], true, "{answer}");
    context.raw("DELETE", &format!("/{fill}"), None).await;

    let report = process(&deployment, COPY, Arc::<Recorder>::default()).await.expect("it is not killed");
    assert_eq!(report.outcome, Outcome::Migrated, "{report:#?}");
    let health = context.raw("GET", &format!("/_cluster/health/{}-*", deployment.prefix), None).await;
    assert_eq!(health["unassigned_primary_shards"], 0, "{health}");
}
