//! A rolling upgrade of the server: the nodes of a cluster get a newer version one after the other, while migrations in
//! place and copies run and clients write.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use saved_objects::Start;
use saved_objects::cluster::Elastic;
use serde_json::Value;

use super::deployment::Deployment;
use super::processes::{cluster_of_three, definitions, migrate, outcome};
use super::seed::Dice;
use super::types::registry;
use super::writer::{Ledger, Writer, check_documents, check_objects};
use crate::context::Context;
use crate::proxy::{Fault, Proxy};
use crate::server::{Request, Server, send};

/// The versions before and after the upgrade.
const OLD: &str = "9.2.2";
const NEW: &str = "9.5.3";
/// The delay of each request of a migration. A migration, of some fifty requests, then takes as long as the restart of
/// a node.
const MIGRATION_DELAY: Duration = Duration::from_millis(250);
/// The delay of each request of a writer, so that the writers leave the processors to the nodes that start.
const WRITER_DELAY: Duration = Duration::from_millis(20);

pub(super) async fn a_rolling_upgrade_of_the_server_loses_nothing(context: Context) {
    let (_turn, server) = cluster_of_three(&["--nodes", "3", "--version", OLD]).await;
    let nodes = server.urls();
    let began = Instant::now();
    for number in 0..nodes.len() {
        let other = &nodes[(number + 1) % nodes.len()];
        let deployments = [
            seeded(&context, &nodes, &format!("{number}-in-place")).await,
            seeded(&context, &nodes, &format!("{number}-copy")).await,
        ];
        let migrations =
            deployments.iter().zip([2, 3]).map(|(deployment, release)| disturbed(&nodes, deployment, release));
        let upgrading = upgrade(&server, number);
        let (took, ledgers) = join(upgrading, join_all(migrations)).await;
        settle(other).await;
        println!("node {number} was upgraded in {took:.1?}; {:.1?} in all", began.elapsed());
        for ((deployment, release), ledger) in deployments.iter().zip([2, 3]).zip(ledgers) {
            check(&nodes, deployment, release, &ledger).await;
        }
    }
    let answer = get(&nodes[0], "/_nodes?filter_path=nodes.*.version").await;
    let versions: Vec<_> = answer["nodes"].as_object().expect("nodes").values().map(|node| &node["version"]).collect();
    assert!(versions.len() == 3 && versions.iter().all(|version| *version == NEW), "{versions:?}");
    let health = get(&nodes[0], "/_cluster/health?wait_for_status=green&timeout=30s").await;
    assert_eq!(health["status"], "green", "{health}");
}

async fn seeded(context: &Context, nodes: &[String], name: &str) -> Deployment {
    let cluster = Arc::new(Elastic::builder(nodes.join(",").as_str()).build().expect("fine URLs"));
    Deployment::on(cluster, format!("{}-{name}", context.prefix).parse().expect("a prefix"))
        .seeded_with_release_1()
        .await
}

/// Upgrades a node, and returns the time that it took.
async fn upgrade(server: &Arc<Server>, number: usize) -> Duration {
    let (server, began) = (server.clone(), Instant::now());
    tokio::task::spawn_blocking(move || server.upgrade(number, NEW)).await.expect("asked").expect("upgraded");
    began.elapsed()
}

/// Waits until no shard moves or starts. The cluster need not be green: a node of the old version takes no replica of an
/// index whose primary shard is on a node of the new one.
async fn settle(node: &str) {
    let path =
        "/_cluster/health?wait_for_nodes=3&wait_for_no_initializing_shards=true&wait_for_no_relocating_shards=true";
    let health = get(node, &format!("{path}&timeout=60s")).await;
    assert_eq!(health["timed_out"], false, "{health}");
}

async fn get(node: &str, path: &str) -> Value {
    send(node, Request { method: "GET", path, body: None }).await
}

/// Starts a proxy in front of each node, which delays each request.
async fn delayed(nodes: &[String], delay: Duration) -> (Vec<Proxy>, String) {
    let proxies = join_all(nodes.iter().map(|node| Proxy::start(node, move |_, _| Fault::Delay(delay)))).await;
    let urls = proxies.iter().map(Proxy::url).collect::<Vec<_>>().join(",");
    (proxies, urls)
}

/// Migrates a deployment and writes to it while a node restarts. Returns what was written.
async fn disturbed(nodes: &[String], deployment: &Deployment, release: u32) -> Ledger {
    let (_for_migration, slow) = delayed(nodes, MIGRATION_DELAY).await;
    let (_for_writer, quick) = delayed(nodes, WRITER_DELAY).await;
    let mut clients = Vec::new();
    for of_release in [1, release] {
        let cluster = Arc::new(Elastic::builder(quick.as_str()).build().expect("fine URLs"));
        clients.push(deployment.repository(cluster, of_release, Start::Skip).await);
    }
    let ledger = Arc::new(Mutex::new(Ledger::of_release_1().without_some_answers()));
    let writer = Writer { nodes: clients, dice: Dice::new(u64::from(release)), ledger: ledger.clone() };
    let types = definitions(release);
    let migration = migrate(&slow, deployment, &types).wait_with_output();
    let output = writer.while_running(migration).await.expect("it ends");
    let ledger = std::mem::take(&mut *ledger.lock().expect("not poisoned"));
    println!("to release {release}: {}; {} writes, refused {:?}", outcome(&output), ledger.done, ledger.refused);
    ledger
}

/// Asserts that nothing is lost once a start has done what the disturbed migration left.
async fn check(nodes: &[String], deployment: &Deployment, release: u32, ledger: &Ledger) {
    let types = definitions(release);
    let output = migrate(&nodes.join(","), deployment, &types).wait_with_output().await.expect("it ends");
    assert!(["migrated", "nothing_to_do"].contains(&outcome(&output).as_str()), "{output:?}");
    // What the older node wrote after the last pass.
    let swept = deployment.migrator(deployment.cluster(), registry(release)).rescan().migrate().await;
    assert!(swept.error.is_none() && swept.blockers.is_empty(), "{swept:#?}");
    check_objects(deployment, ledger, release).await;
    check_documents(deployment, release).await;
    deployment.remove().await;
}
