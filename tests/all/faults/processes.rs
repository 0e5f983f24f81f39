//! Real kills: `kill -9` of migrating processes, and of the server's nodes while one migrates.

use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use saved_objects::migrate::Outcome;
use serde_json::Value;
use tempfile::TempDir;

use super::room::{Room, Stored};
use super::seed::{Dice, Named, seeds};
use super::types::{platform_files, registry};
use crate::context::{Context, KEY};
use crate::kill::{run_until_killed, signal};
use crate::proxy::{Fault, Proxy, Seen};
use crate::server::Server;

/// Rooms that are migrated at the same time. Most of the time they wait for the lease of somebody who was killed.
const AT_ONCE: usize = 8;
/// How many processes must really be killed in the middle of a migration.
const MOST_KILLS: usize = 24;
const LEAST_KILLS: usize = 20;
/// How often one migrating process after the other is killed in a room.
const KILLS: usize = 2;

/// The definitions of a release, for the command line.
pub(super) fn definitions(release: u32) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    platform_files(release).iter().for_each(|files| files.write(folder.path()).expect("written"));
    folder
}

/// `saved-objects migrate` as a process of its own.
pub(super) fn migrate(url: &str, room: &Room, types: &TempDir) -> tokio::process::Child {
    tokio::process::Command::new(env!("CARGO_BIN_EXE_saved-objects"))
        .args(["migrate", "--json", "--elasticsearch-url", url, "--prefix", &room.prefix.to_string(), "--types"])
        .arg(types.path())
        .env_remove("SAVED_OBJECTS_ENCRYPTION_KEY_FILE")
        .env("SAVED_OBJECTS_ENCRYPTION_KEY", KEY)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the command runs")
}

pub(super) fn outcome(output: &Output) -> String {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    report["outcome"].as_str().unwrap_or_else(|| panic!("{report}")).to_owned()
}

/// A room on a server, with what release 1 has written.
pub(super) async fn room(context: &Context, name: &str) -> Room {
    let room = Room::on(context.cluster(), format!("{}-{name}", context.prefix).parse().expect("a prefix"));
    room.seeded_with_release_1().await
}

/// What an undisturbed process leaves, and how many requests it sends.
async fn undisturbed(context: &Context, release: u32) -> (Stored, usize) {
    let room = room(context, &format!("calm-{release}")).await;
    let proxy = Proxy::start(&context.url, |_, _| Fault::None).await;
    let output = migrate(proxy.url(), &room, &definitions(release)).wait_with_output().await.expect("it ends");
    assert_eq!(outcome(&output), "migrated", "{output:?}");
    let stored = room.stored_anywhere().await;
    room.remove().await;
    (stored, proxy.seen().iter().filter(|seen| is_of_migration(seen)).count())
}

/// Lets processes migrate until one of them ends well, and compares.
async fn finish(context: &Context, room: &Room, release: u32, expected: &Stored, what: &str) {
    let output = migrate(&context.url, room, &definitions(release)).wait_with_output().await.expect("it ends");
    assert!(["migrated", "nothing_to_do", "waited"].contains(&outcome(&output).as_str()), "{what}: {output:?}");
    let again = room.migrator(context.cluster(), registry(release)).migrate().await;
    // The command line registers a type more than this does, which changes nothing for the others.
    assert_eq!(again.outcome, Outcome::NothingToDo, "{what}: {again:#?}");
    assert_eq!(&room.stored_anywhere().await, expected, "{what}");
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

/// Whether a request is one of the migration itself. Those for the lease are as many as a node has time to wait.
fn is_of_migration(request: &str) -> bool {
    !request.contains("-control/")
}

async fn kill_processes(context: &Context, release: u32, seed: u64, calm: (&Stored, usize), killed: &AtomicUsize) {
    let _named = Named(seed);
    let (expected, requests) = calm;
    let (dice, room, types) = (Dice::new(seed), room(context, &seed.to_string()).await, definitions(release));
    let mut left = requests;
    for kill in 0..KILLS {
        let at = dice.below(left as u64) as usize;
        let fault = if dice.happens(50) { Fault::LoseRequest } else { Fault::LoseAnswer };
        left = (left - at).max(8);
        let is_meant = |seen: &Seen| is_of_migration(&seen.path);
        let start = |url: &str| migrate(url, &room, &types);
        let (output, proxy) = run_until_killed(&context.url, is_meant, Some(at), fault, start).await;
        let sent = proxy.seen().iter().filter(|seen| is_of_migration(seen)).count();
        match output.status.code() {
            None => drop(killed.fetch_add(1, Ordering::Relaxed)),
            // There was less left to do than requests were to pass.
            Some(code) => assert!(code == 0 && sent <= at, "seed {seed}, kill {kill}: {output:?}"),
        }
    }
    finish(context, &room, release, expected, &format!("seed {seed}")).await;
    room.remove().await;
}

/// A server with one node for tests that kill it or change its settings, started by the first of them. Whoever holds this has
/// a turn: servers that start at once take each other's ports.
static OWN_SERVER: tokio::sync::Mutex<Option<Arc<Server>>> = tokio::sync::Mutex::const_new(None);

type Turn = tokio::sync::MutexGuard<'static, Option<Arc<Server>>>;

/// Stops the server with one node, if there is one.
pub(crate) fn stop_own_server() {
    drop(OWN_SERVER.blocking_lock().take());
}

/// It takes requests of 1 MB, and snapshots.
const LIMITED: &[&str] = &[
    "--setting",
    "http.max_content_length=1mb",
    "--setting",
    concat!("path.repo=", env!("CARGO_MANIFEST_DIR"), "/target/elasticsearch-faults/snapshots"),
];

/// The server with one node, for as long as the turn is held.
pub(super) async fn single_node(context: &Context) -> (Turn, Arc<Server>, Context) {
    let mut turn = OWN_SERVER.lock().await;
    let server = match &*turn {
        Some(server) => server.clone(),
        None => turn.insert(start_own(LIMITED).await).clone(),
    };
    let context = Context { url: server.url().to_owned(), ..context.clone() };
    (turn, server, context)
}

async fn start_own(options: &'static [&str]) -> Arc<Server> {
    let start = move || Server::start_own("elasticsearch-faults", options).expect("the server starts");
    Arc::new(tokio::task::spawn_blocking(start).await.expect("started"))
}

/// Starts what was killed. A port that somebody took meanwhile is no reason to give up at once.
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
    // Where the other one was, which ends: what it leaves of its classes lets these nodes start in half the time.
    let other = turn.take();
    tokio::task::spawn_blocking(move || drop(other)).await.expect("stopped");
    let server = start_own(&["--nodes", "3"]).await;
    let context = Context { url: server.url().to_owned(), ..context };
    // Not the first one, which the proxy asks.
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
        let (dice, room) = (Dice::new(seed), room(context, &seed.to_string()).await);
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
        let ended = migrate(proxy.url(), &room, &types).wait_with_output();
        let mut ended = std::pin::pin!(ended);
        tokio::select! {
            killed = killed => killed.expect("the proxy tells"),
            output = &mut ended => panic!("seed {seed}: it ended before request {at}: {output:?}"),
        }
        let since = std::time::Instant::now();
        revive(server).await;
        let revived = since.elapsed();
        // It may have outlived the kill, or not.
        let output = ended.await.expect("it ends");
        let took = since.elapsed();
        println!(
            "seed {seed}: the node was killed at request {at} and back after {revived:.1?}; the migration: {} after {took:.1?}",
            outcome(&output)
        );
        finish(context, &room, release, expected, &format!("seed {seed}")).await;
        println!("seed {seed}: all is well after {:.1?}", since.elapsed());
        room.remove().await;
    }
}
