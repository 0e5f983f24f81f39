//! Real kills: `kill -9` of migrating processes, and of the server's nodes during a migration.

use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use saved_objects::migrate::Outcome;
use serde_json::Value;
use tempfile::TempDir;

use super::deployment::{Deployment, Stored};
use super::seed::{Dice, Named, seeds};
use super::types::{platform_files, registry};
use crate::cli::spawn;
use crate::cli_sight::path;
use crate::context::Context;
use crate::kill::{run_until_killed, signal};
use crate::proxy::{Fault, Proxy, Seen};
use crate::server::Server;

/// The number of deployments that migrate at the same time. Most of the time they wait for the lease of a killed
/// process.
const AT_ONCE: usize = 8;
/// How many processes must really be killed in the middle of a migration.
const MOST_KILLS: usize = 24;
const LEAST_KILLS: usize = 20;
/// How many migrating processes are killed in one deployment, one after the other.
const KILLS: usize = 2;

/// Creates a folder with the definitions of a release, for the command line.
pub(super) fn definitions(release: u32) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    platform_files(release).iter().for_each(|files| files.write(folder.path()).expect("written"));
    folder
}

/// Starts `saved-objects migrate` as a process.
pub(super) fn migrate(url: &str, deployment: &Deployment, types: &TempDir) -> tokio::process::Child {
    spawn(url, &deployment.prefix, &["migrate", "--json", "--types", path(types.path())], &[])
}

pub(super) fn outcome(output: &Output) -> String {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    report["outcome"].as_str().unwrap_or_else(|| panic!("{report}")).to_owned()
}

/// Creates a deployment on the server, with the documents of release 1.
pub(super) async fn deployment(context: &Context, name: &str) -> Deployment {
    let deployment = Deployment::on(context.cluster(), format!("{}-{name}", context.prefix).parse().expect("a prefix"));
    deployment.seeded_with_release_1().await
}

/// Returns what an undisturbed process stores, and how many requests it sends.
async fn undisturbed(context: &Context, release: u32) -> (Stored, usize) {
    let deployment = deployment(context, &format!("calm-{release}")).await;
    let proxy = Proxy::start(&context.url, |_, _| Fault::None).await;
    let output = migrate(proxy.url(), &deployment, &definitions(release)).wait_with_output().await.expect("it ends");
    assert_eq!(outcome(&output), "migrated", "{output:?}");
    let stored = deployment.stored_anywhere().await;
    deployment.remove().await;
    (stored, proxy.seen().iter().filter(|seen| is_of_migration(seen)).count())
}

/// Lets processes migrate until one of them ends well, and compares what is stored.
async fn finish(context: &Context, deployment: &Deployment, release: u32, expected: &Stored, what: &str) {
    let output = migrate(&context.url, deployment, &definitions(release)).wait_with_output().await.expect("it ends");
    assert!(["migrated", "nothing_to_do", "waited"].contains(&outcome(&output).as_str()), "{what}: {output:?}");
    let again = deployment.migrator(context.cluster(), registry(release)).migrate().await;
    // The command line registers one more type than this process, which changes nothing for the others.
    assert_eq!(again.outcome, Outcome::NothingToDo, "{what}: {again:#?}");
    assert_eq!(&deployment.stored_anywhere().await, expected, "{what}");
}

pub(super) async fn killed_processes_leave_what_the_next_one_finishes(context: Context) {
    let calm = [undisturbed(&context, 2).await, undisturbed(&context, 3).await];
    let killed = AtomicUsize::new(0);
    let run = |seed: u64| {
        let release = if seed.is_multiple_of(2) { 2 } else { 3 };
        let (expected, requests) = &calm[release as usize - 2];
        let (context, killed) = (&context, &killed);
        async move {
            if killed.load(Ordering::Relaxed) < MOST_KILLS {
                kill_processes(context, release, seed, (expected, *requests), killed).await;
            }
        }
    };
    let seeds = seeds(1..61);
    let is_replayed = seeds.end - seeds.start < 60;
    futures::stream::iter(seeds.map(run)).buffer_unordered(AT_ONCE).collect::<()>().await;
    let killed = killed.load(Ordering::Relaxed);
    println!("{killed} processes killed");
    assert!(killed >= LEAST_KILLS || is_replayed, "only {killed} processes were killed in the middle");
}

/// Returns whether a request belongs to the migration itself. The number of requests for the lease depends on the time
/// that a node waits.
fn is_of_migration(request: &str) -> bool {
    !request.contains("-control/")
}

async fn kill_processes(context: &Context, release: u32, seed: u64, calm: (&Stored, usize), killed: &AtomicUsize) {
    let _named = Named(seed);
    let (expected, requests) = calm;
    let (dice, deployment, types) =
        (Dice::new(seed), deployment(context, &seed.to_string()).await, definitions(release));
    let mut left = requests;
    for kill in 0..KILLS {
        let at = dice.below(left as u64) as usize;
        let fault = if dice.happens(50) { Fault::LoseRequest } else { Fault::LoseAnswer };
        left = (left - at).max(8);
        let is_meant = |seen: &Seen| is_of_migration(&seen.path);
        let start = |url: &str| migrate(url, &deployment, &types);
        let (output, proxy) = run_until_killed(&context.url, is_meant, Some(at), fault, start).await;
        let sent = proxy.seen().iter().filter(|seen| is_of_migration(seen)).count();
        match output.status.code() {
            None => drop(killed.fetch_add(1, Ordering::Relaxed)),
            // Fewer requests were left than should pass before the kill.
            Some(code) => assert!(code == 0 && sent <= at, "seed {seed}, kill {kill}: {output:?}"),
        }
    }
    finish(context, &deployment, release, expected, &format!("seed {seed}")).await;
    deployment.remove().await;
}

/// A server with one node for tests that kill it or change its settings, started by the first of them. The holder of
/// this lock has its turn: servers that start at the same time take each other's ports.
static OWN_SERVER: tokio::sync::Mutex<Option<Arc<Server>>> = tokio::sync::Mutex::const_new(None);

pub(crate) type Turn = tokio::sync::MutexGuard<'static, Option<Arc<Server>>>;

/// Stops the server with one node, if it runs.
pub(crate) fn stop_own_server() {
    drop(OWN_SERVER.blocking_lock().take());
}

/// The folder of the server's snapshots.
macro_rules! snapshots {
    () => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/elasticsearch-faults/snapshots")
    };
}

/// The server accepts requests of 1 MB at most, and snapshots.
const LIMITED: &[&str] =
    &["--setting", "http.max_content_length=1mb", "--setting", concat!("path.repo=", snapshots!())];

/// Returns the server with one node, for as long as the turn is held.
pub(crate) async fn single_node(context: &Context) -> (Turn, Arc<Server>, Context) {
    let mut turn = OWN_SERVER.lock().await;
    let server = match &*turn {
        Some(server) => server.clone(),
        None => turn.insert(start_own(LIMITED).await).clone(),
    };
    let context = Context { url: server.url().to_owned(), ..context.clone() };
    (turn, server, context)
}

async fn start_own(options: &'static [&str]) -> Arc<Server> {
    let start = move || {
        // A test that failed leaves its snapshot there, whose name would be taken.
        match std::fs::remove_dir_all(snapshots!()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("the old snapshots: {error}"),
            _ => Server::start_own("elasticsearch-faults", options).expect("the server starts"),
        }
    };
    Arc::new(tokio::task::spawn_blocking(start).await.expect("started"))
}

/// Starts the killed nodes again. A port that another process took meanwhile is no reason to give up immediately.
async fn revive(server: &Arc<Server>) {
    let revive = |server: Arc<Server>| tokio::task::spawn_blocking(move || server.revive());
    for _ in 0..2 {
        if revive(server.clone()).await.expect("asked").is_ok() {
            return;
        }
    }
    revive(server.clone()).await.expect("asked").expect("the node is back");
}

pub(super) async fn a_killed_server_loses_nothing_of_a_migration(context: Context) {
    let (_turn, server, context) = single_node(&context).await;
    kill_nodes(&server, &context, seeds(1..6), |dice, nodes| dice.below(nodes) as usize).await;
}

pub(super) async fn a_killed_node_of_three_loses_nothing_of_a_migration(context: Context) {
    let mut turn = OWN_SERVER.lock().await;
    // In the folder of the other server, which ends: the classes that it leaves let these nodes start in half the time.
    let other = turn.take();
    tokio::task::spawn_blocking(move || drop(other)).await.expect("stopped");
    let server = start_own(&["--nodes", "3"]).await;
    let context = Context { url: server.url().to_owned(), ..context };
    // Not the first node, which the proxy sends requests to.
    kill_nodes(&server, &context, seeds(1..6), |dice, nodes| 1 + dice.below(nodes - 1) as usize).await;
}

async fn kill_nodes(
    server: &Arc<Server>,
    context: &Context,
    seeds: std::ops::Range<u64>,
    choose: fn(&Dice, u64) -> usize,
) {
    let calm = [undisturbed(context, 2).await, undisturbed(context, 3).await];
    for seed in seeds {
        let _named = Named(seed);
        let release = if seed % 2 == 0 { 2 } else { 3 };
        let (expected, requests) = &calm[release as usize - 2];
        let (dice, deployment) = (Dice::new(seed), deployment(context, &seed.to_string()).await);
        let (at, asked) = (requests / 3 + dice.below(*requests as u64 * 2 / 3) as usize, server.clone());
        let nodes = tokio::task::spawn_blocking(move || asked.processes()).await.expect("asked").expect("answered");
        let node = nodes[choose(&dice, nodes.len() as u64)];
        let (count, (sender, killed)) = (AtomicUsize::new(0), tokio::sync::oneshot::channel());
        let sender = Mutex::new(Some(sender));
        let proxy = Proxy::start(&context.url, move |seen, _| {
            if is_of_migration(&seen.path) && count.fetch_add(1, Ordering::Relaxed) == at {
                signal("-KILL", node);
                let sender = sender.lock().expect("not poisoned").take();
                let _ = sender.expect("it is killed once").send(());
            }
            Fault::None
        })
        .await;
        let types = definitions(release);
        let ended = migrate(proxy.url(), &deployment, &types).wait_with_output();
        let mut ended = std::pin::pin!(ended);
        tokio::select! {
            killed = killed => killed.expect("the proxy tells"),
            output = &mut ended => panic!("seed {seed}: it ended before request {at}: {output:?}"),
        }
        let since = std::time::Instant::now();
        revive(server).await;
        let revived = since.elapsed();
        // The process may or may not have outlived the kill.
        let output = ended.await.expect("it ends");
        let took = since.elapsed();
        println!(
            "seed {seed}: the node was killed at request {at} and back after {revived:.1?}; the migration: {} after {took:.1?}",
            outcome(&output)
        );
        finish(context, &deployment, release, expected, &format!("seed {seed}")).await;
        println!("seed {seed}: all is well after {:.1?}", since.elapsed());
        deployment.remove().await;
    }
}
