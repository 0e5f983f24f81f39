//! Ctrl-C and SIGTERM: the command ends or undoes its work in progress, and the next command does not have to wait.

use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use libtest_mimic::Trial;
use saved_objects::encryption::Secret;
use saved_objects::repository::Create;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{self, run_with};
use crate::cli_sight::{folder, path, platform, run};
use crate::context::{Context, KEY};
use crate::kill::{run_until_killed, signal};
use crate::migration::object;
use crate::named_trials;
use crate::proxy::{Fault, Proxy, Seen};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_copy_that_is_stopped_is_undone,
        a_migration_in_place_that_is_stopped_is_gone_on_with,
        commands_that_read_everything_close_what_they_opened,
        an_import_that_is_stopped_says_where,
        a_start_that_waits_for_another_node_stops_at_once,
        a_second_signal_ends_at_once,
        a_copy_that_was_killed_is_a_blocker,
    )
}

/// The number of vaults, which makes several pages.
const VAULTS: usize = 2_500;

/// Creates a platform of release 1 with many vaults.
async fn seeded(context: &Context) {
    let (store, _) = platform(context).await;
    let vault = |number: usize| {
        let create = Create::new("vault", object(json!({"title": "v", "owner": "kim"}))).id(format!("v{number}"));
        create.secret("password", Secret::text("s3cret"))
    };
    let created = store.repository().create_many((0..VAULTS).map(vault).collect::<Vec<_>>()).await;
    assert!(created.iter().all(Result::is_ok));
}

/// Runs a command through a proxy that sends the process a signal at matching request number `at`, and delays that
/// request. Returns how the command ended, and the requests that it sent.
async fn stopped(
    context: &Context,
    types: &TempDir,
    arguments: &[&str],
    (name, code): (&'static str, i32),
    is_meant: impl Fn(&Seen) -> bool + Send + Sync + 'static,
) -> (Output, Vec<String>) {
    let (process, count) = (Arc::new(AtomicU32::new(0)), AtomicUsize::new(0));
    let for_rule = process.clone();
    let proxy = Proxy::start(&context.url, move |seen, _| {
        if !is_meant(seen) || count.fetch_add(1, Ordering::Relaxed) != 1 {
            return Fault::None;
        }
        signal(name, for_rule.load(Ordering::Acquire));
        Fault::Delay(Duration::from_millis(300))
    })
    .await;
    let child = spawn(context, proxy.url(), types, arguments);
    process.store(child.id().expect("it was not waited for"), Ordering::Release);
    let output = child.wait_with_output().await.expect("it ends");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    (output, proxy.seen())
}

fn spawn(context: &Context, url: &str, types: &TempDir, arguments: &[&str]) -> tokio::process::Child {
    cli::spawn(url, &context.prefix, &[arguments, &["--types", path(types.path())]].concat(), &[])
}

/// Deletes the indices, and with them the points in time that a killed process left open.
async fn remove(context: &Context) {
    let cluster = context.cluster();
    for name in cluster.indices(&[&format!("{}-*", context.prefix)]).await.expect("answered").keys() {
        cluster.delete_index(name).await.expect("deleted");
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Asserts that every opened point in time was closed.
fn assert_closed(seen: &[String]) {
    let opened = seen.iter().filter(|request| request.starts_with("POST ") && request.contains("/_pit")).count();
    let closed = seen.iter().filter(|request| request.starts_with("DELETE /_pit")).count();
    assert!(opened > 0 && opened == closed, "{opened} were opened, {closed} closed: {seen:?}");
}

/// Asserts that the index of the vaults takes writes, and that no node holds the lease.
async fn assert_open(context: &Context) {
    let index = context.index("vaults");
    let state = context.raw("GET", &format!("/{index}"), None).await;
    assert_eq!(state[&index]["settings"]["index"]["blocks"], Value::Null, "{state}");
    let write = context.prefix.group("vaults").write_alias(1);
    assert!(state[&index]["aliases"].get(&write).is_some(), "{state}");
    let lease = context.raw("GET", &format!("/{}-control/_doc/lease:migration", context.prefix), None).await;
    assert_eq!(lease["_source"]["body"]["owner"], Value::Null, "{lease}");
}

fn is_bulk_to(part: &'static str) -> impl Fn(&Seen) -> bool + Send + Sync + 'static {
    move |seen| seen.path.contains(part) && seen.path.contains("/_bulk")
}

async fn a_copy_that_is_stopped_is_undone(context: Context) {
    seeded(&context).await;
    let third = folder(3);
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let (output, seen) =
            stopped(&context, &third, &["migrate", "--json"], (name, code), is_bulk_to("-fill-")).await;
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        assert_eq!(report["outcome"], "failed", "{report}");
        let error = report["error"]["message"].as_str().expect("a message");
        assert!(error.contains("stopped"), "{report}");
        assert_closed(&seen);
        assert_open(&context).await;
        let left = context.raw("GET", &format!("/{}-vaults-fill-*?expand_wildcards=all", context.prefix), None).await;
        assert_eq!(left, json!({}), "{left}");
    }
    let status = run(&context, &["status", "--types", path(third.path()), "--json"]).await;
    assert_eq!((status.code, &status.json()["blockers"]), (0, &json!([])), "{status:?}");
    let started = std::time::Instant::now();
    let ran = run(&context, &["migrate", "--types", path(third.path()), "--json"]).await;
    assert_eq!((ran.code, &ran.json()["outcome"]), (0, &json!("migrated")), "{ran:?}");
    println!("the next migration took {} ms", started.elapsed().as_millis());
    assert!(!ran.err.contains("waiting for the node that migrates"), "{ran:?}");
    assert_eq!(context.documents("vaults").await, VAULTS as u64 + 1);
}

async fn a_migration_in_place_that_is_stopped_is_gone_on_with(context: Context) {
    seeded(&context).await;
    let second = folder(2);
    let is_meant = is_bulk_to("-vaults-000001-write");
    let (output, seen) = stopped(&context, &second, &["migrate"], ("-INT", 130), is_meant).await;
    let told = said(&output);
    assert!(told.contains("Ctrl-C: what is under way is ended or undone"), "{told}");
    assert!(told.contains("documents converted in place") && !told.contains(" 0 documents converted"), "{told}");
    assert!(told.contains("start again"), "{told}");
    assert_closed(&seen);
    assert_open(&context).await;
    let ran = run(&context, &["migrate", "--types", path(second.path()), "--json"]).await;
    let written = ran.json()["indices"][1]["documents"]["written"].as_u64().expect("a number");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(written > 0 && written < VAULTS as u64, "what was done stays done: {ran:?}");
}

async fn commands_that_read_everything_close_what_they_opened(context: Context) {
    seeded(&context).await;
    let (first, second) = (folder(1), folder(2));
    let file = first.path().join("out.ndjson");
    std::fs::write(&file, "before").expect("written");
    let is_page = |seen: &Seen| seen.path.starts_with("/_search");
    let table: [(&[&str], &TempDir); 6] = [
        (&["verify"], &first),
        (&["keys", "status"], &first),
        (&["keys", "rotate"], &first),
        (&["export", path(&file)], &first),
        (&["migrate", "--plan"], &second),
        (&["tokens", "clean-up", "--dry-run"], &first),
    ];
    for (command, types) in table {
        let (output, seen) = stopped(&context, types, command, ("-INT", 130), is_page).await;
        assert!(said(&output).contains("stopped before"), "{command:?}: {output:?}");
        assert_closed(&seen);
    }
    assert_eq!(std::fs::read_to_string(&file).expect("readable"), "before", "a cut export takes no file's place");
    assert_eq!(std::fs::read_dir(first.path()).expect("a folder").count(), 3, "nothing else is left");
}

async fn an_import_that_is_stopped_says_where(context: Context) {
    seeded(&context).await;
    let first = folder(1);
    let file = first.path().join("out.ndjson");
    let types = ["--types", path(first.path())];
    let exported = run(&context, &[&["export", path(&file), "--secrets", "encrypted"][..], &types].concat()).await;
    assert_eq!(exported.code, 0, "{exported:?}");
    let other = Context { prefix: format!("{}-other", context.prefix).parse().expect("a prefix"), ..context.clone() };
    assert_eq!(run(&other, &[&["migrate"][..], &types].concat()).await.code, 0);
    let import = ["import", path(&file), "--json"];
    let (output, _) = stopped(&other, &first, &import, ("-TERM", 143), is_bulk_to("-vaults-000001-write")).await;
    let summary: Value = serde_json::from_slice(&output.stdout).expect("a summary");
    let (done, line) = (summary["successCount"].as_u64(), summary["stoppedAtLine"].as_u64());
    assert!(done.is_some_and(|done| done > 0) && line == done.map(|done| done + 1), "{summary}");
    assert_eq!(other.documents("vaults").await, done.expect("a number"), "as many as it says");
    let resumed = run(&other, &[&["import", path(&file), "--resume", "--json"][..], &types].concat()).await;
    assert_eq!((resumed.code, resumed.json()["alreadyThereCount"].as_u64()), (0, done), "{resumed:?}");
}

async fn a_start_that_waits_for_another_node_stops_at_once(context: Context) {
    seeded(&context).await;
    let second = folder(2);
    // Another node holds the lease, and is killed.
    let is_meant = is_bulk_to("-vaults-000001-write");
    let start = |url: &str| spawn(&context, url, &second, &["migrate"]);
    let (killed, _) = run_until_killed(&context.url, is_meant, Some(0), Fault::LoseRequest, start).await;
    assert_eq!(killed.status.code(), None, "{killed:?}");
    let is_look = |seen: &Seen| seen.path.contains("_doc/lease");
    let started = std::time::Instant::now();
    let (output, _) = stopped(&context, &second, &["migrate"], ("-INT", 130), is_look).await;
    assert!(started.elapsed() < Duration::from_secs(5), "it waited on: {output:?}");
    assert!(said(&output).contains("stopped before its end"), "{output:?}");
    let ran = run(&context, &["migrate", "--types", path(second.path())]).await;
    assert!(ran.code == 0 && ran.err.contains("waiting for the node that migrates"), "the wait is told: {ran:?}");
    remove(&context).await;
}

async fn a_second_signal_ends_at_once(context: Context) {
    seeded(&context).await;
    let third = folder(3);
    // From the middle of a copy on the server answers nothing.
    let (process, is_over) = (Arc::new(AtomicU32::new(0)), AtomicUsize::new(0));
    let for_rule = process.clone();
    let is_meant = is_bulk_to("-fill-");
    let proxy = Proxy::start(&context.url, move |seen, _| {
        if is_meant(seen) && is_over.fetch_add(1, Ordering::Relaxed) == 0 {
            signal("-INT", for_rule.load(Ordering::Acquire));
        }
        match is_over.load(Ordering::Relaxed) {
            0 => Fault::None,
            _ => Fault::Delay(Duration::from_secs(30)),
        }
    })
    .await;
    let child = spawn(&context, proxy.url(), &third, &["migrate"]);
    let id = child.id().expect("it was not waited for");
    process.store(id, Ordering::Release);
    let ending = tokio::spawn(child.wait_with_output());
    while !proxy.seen().iter().any(|request| request.contains("-fill-") && request.contains("/_bulk")) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!ending.is_finished(), "it waits for what is under way");
    let started = std::time::Instant::now();
    signal("-TERM", id);
    let output = ending.await.expect("no panic").expect("it ends");
    assert_eq!(output.status.code(), Some(143), "{output:?}");
    assert!(started.elapsed() < Duration::from_secs(3), "{output:?}");
    drop(proxy);
    let ran = run(&context, &["migrate", "--types", path(third.path()), "--json"]).await;
    assert_eq!((ran.code, &ran.json()["outcome"]), (0, &json!("migrated")), "{ran:?}");
    remove(&context).await;
}

async fn a_copy_that_was_killed_is_a_blocker(context: Context) {
    seeded(&context).await;
    let third = folder(3);
    let start = |url: &str| spawn(&context, url, &third, &["migrate"]);
    let (killed, _) = run_until_killed(&context.url, is_bulk_to("-fill-"), Some(1), Fault::LoseRequest, start).await;
    assert_eq!(killed.status.code(), None, "{killed:?}");
    let arguments = ["status", "--types", path(third.path())];
    let status = run(&context, &[&arguments[..], &["--json"]].concat()).await;
    let report = status.json();
    assert_eq!(status.code, 2, "{status:?}");
    let blocker = &report["blockers"][0];
    let what = blocker["what"].as_str().expect("a blocker");
    assert!(what.contains(&format!("{} takes no writes", context.index("vaults"))), "{report}");
    assert!(blocker["hint"].as_str().is_some_and(|hint| hint.contains("saved-objects migrate")), "{report}");
    assert_eq!(report["lease"]["held"], json!(false), "{report}");
    assert!(status.err.contains("waiting for a sign of the node that holds the lease"), "{status:?}");
    let words = run_with(&context, &arguments, &[("SAVED_OBJECTS_ENCRYPTION_KEY", KEY)]).await;
    assert!(!words.out.contains("about to migrate"), "{words:?}");
    let ran = run(&context, &["migrate", "--types", path(third.path())]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(context.documents("vaults").await, VAULTS as u64 + 1);
    remove(&context).await;
}
