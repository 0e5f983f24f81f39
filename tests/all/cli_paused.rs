//! `migrate --pause`, `--resume` and `--max-rate` as operators see them, on a server with several processes.

use std::time::Duration;

use libtest_mimic::Trial;
use saved_objects::encryption::Secret;
use saved_objects::repository::Create;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;

use crate::cli;
use crate::cli_sight::{folder, path, platform, run};
use crate::context::{Context, KEY};
use crate::kill::signal;
use crate::migration::object;
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_paused_process_waits_is_killed_and_is_replaced,
        a_start_in_a_pause_waits_and_is_told_why,
        options_that_do_not_go_together_are_64,
        a_limited_rate_is_kept_on_a_server,
    )
}

/// The number of vaults, next to the one of the platform.
const VAULTS: usize = 400;
/// The number of documents that release 2 converts: the vaults.
const DOCUMENTS: u64 = VAULTS as u64 + 1;

const NEW_KEY: &str = "a new key for tests only: 0123456789abcdef";

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

fn spawn(context: &Context, types: &TempDir, arguments: &[&str]) -> Child {
    cli::spawn(&context.url, &context.prefix, &[arguments, &["--types", path(types.path())]].concat(), &[])
}

/// Returns the note of the node that holds the lease.
async fn note(context: &Context) -> Value {
    let lease = context.raw("GET", &format!("/{}-control/_doc/lease:migration", context.prefix), None).await;
    let body = &lease["_source"]["body"];
    if body["owner"].is_null() { Value::Null } else { body["note"].clone() }
}

/// Waits until the note of the node that holds the lease is as meant.
async fn noted(context: &Context, is_meant: impl Fn(&Value) -> bool) -> Value {
    let waiting = async {
        loop {
            let note = note(context).await;
            if is_meant(&note) {
                return note;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("a node notes it")
}

fn is_paused(note: &Value) -> bool {
    note["paused"] == json!(true)
}

/// Ends a process with exit code 0, and returns its report.
async fn report(child: Child) -> (Value, String) {
    let output = child.wait_with_output().await.expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = serde_json::from_slice(&output.stdout).expect("a report");
    (report, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn written(report: &Value) -> u64 {
    let of_index = |index: &Value| index["documents"]["written"].as_u64();
    report["indices"].as_array().expect("indices").iter().filter_map(of_index).sum()
}

async fn a_paused_process_waits_is_killed_and_is_replaced(context: Context) {
    seeded(&context).await;
    let second = folder(2);
    let types = ["--types", path(second.path())];
    let child = spawn(&context, &second, &["migrate", "--max-rate", "40"]);
    noted(&context, |note| note["progress"]["written"].as_u64().is_some_and(|written| written > 0)).await;
    assert_eq!(run(&context, &["migrate", "--pause"]).await.code, 0);
    let note = noted(&context, is_paused).await;
    let done = note["progress"]["written"].as_u64().expect("a number");
    assert!(done > 0 && done < DOCUMENTS, "it is in the middle: {note}");

    let status = run(&context, &[&["status"][..], &types].concat()).await;
    assert_eq!(status.code, 2, "{status:?}");
    assert!(status.out.contains("blocker: migrations are paused since 20"), "{status:?}");
    assert!(status.out.contains("`saved-objects migrate --resume` lets them continue"), "{status:?}");
    let progress = format!("a node is paused in the migration of {}-vaults: {done} of ", context.prefix);
    assert!(status.out.contains(&progress), "{status:?}");
    let status = run(&context, &[&["status", "--json"][..], &types].concat()).await.json();
    let lease = &status["lease"];
    assert_eq!((&lease["held"], &lease["paused"]), (&json!(true), &json!(true)), "{status}");
    assert!(status["paused"]["by"].as_str().is_some_and(|by| by.contains(" on ")), "{status}");

    signal("-KILL", child.id().expect("it was not waited for"));
    let output = child.wait_with_output().await.expect("it ends");
    assert_eq!(output.status.code(), None, "{output:?}");
    let status = run(&context, &[&["status", "--json"][..], &types].concat()).await.json();
    assert_eq!(status["lease"]["held"], json!(false), "{status}");
    assert!(status["paused"].is_object(), "the pause outlives the process: {status}");

    let next = spawn(&context, &second, &["migrate", "--json"]);
    noted(&context, is_paused).await;
    let resumed = run(&context, &["migrate", "--resume", "--json"]).await;
    assert_eq!((resumed.code, &resumed.json()["resumed"]), (0, &status["paused"]), "{resumed:?}");
    let (report, _) = report(next).await;
    assert_eq!(report["outcome"], "migrated", "{report}");
    assert_eq!(written(&report), DOCUMENTS - done, "{report}");
    let verified = run(&context, &[&["verify"][..], &types].concat()).await;
    assert_eq!((verified.code, context.documents("vaults").await), (0, DOCUMENTS), "{verified:?}");
}

async fn a_start_in_a_pause_waits_and_is_told_why(context: Context) {
    seeded(&context).await;
    let second = folder(2);
    let types = ["--types", path(second.path())];
    let paused = run(&context, &["migrate", "--pause", "--json"]).await;
    assert_eq!(paused.code, 0, "{paused:?}");
    let again = run(&context, &["migrate", "--pause", "--json"]).await;
    assert_eq!((again.code, again.json()), (0, paused.json()), "the first one stays in force");
    let plan = run(&context, &[&["migrate", "--plan", "--json"][..], &types].concat()).await;
    assert_eq!((plan.code, &plan.json()["outcome"]), (2, &json!("blocked")), "{plan:?}");

    let child = spawn(&context, &second, &["migrate", "--json"]);
    noted(&context, is_paused).await;
    let status = run(&context, &[&["status"][..], &types].concat()).await;
    assert!(status.out.contains("a node waits for the end of the pause to migrate"), "{status:?}");
    // A line about the wait comes after a second of it.
    let first = context.raw("GET", &format!("/{}-control/_doc/lease:migration", context.prefix), None).await;
    let renewals = |lease: &Value| lease["_source"]["body"]["renewals"].as_u64().expect("a number");
    noted_renewal(&context, renewals(&first) + 1).await;
    assert_eq!(run(&context, &["migrate", "--resume"]).await.code, 0);
    let (report, log) = report(child).await;
    assert_eq!((&report["outcome"], written(&report)), (&json!("migrated"), DOCUMENTS), "{report}");
    assert!(log.contains("waiting for the end of a pause: migrations are paused since"), "{log}");

    // What has nothing to convert is not kept from anything.
    assert_eq!(run(&context, &["migrate", "--pause"]).await.code, 0);
    let status = run(&context, &[&["status"][..], &types].concat()).await;
    assert!(status.code == 0 && status.out.contains("migrations are paused since"), "{status:?}");
    let ran = run(&context, &[&["migrate", "--json"][..], &types].concat()).await;
    assert_eq!((ran.code, &ran.json()["outcome"]), (0, &json!("nothing_to_do")), "{ran:?}");
    assert_eq!(run(&context, &["migrate", "--resume"]).await.code, 0);
    let none = run(&context, &["migrate", "--resume", "--json"]).await;
    assert_eq!((none.code, none.json()), (0, json!({"resumed": null})), "{none:?}");
}

/// Waits until the lease was renewed so often.
async fn noted_renewal(context: &Context, renewals: u64) {
    let waiting = async {
        loop {
            let lease = context.raw("GET", &format!("/{}-control/_doc/lease:migration", context.prefix), None).await;
            if lease["_source"]["body"]["renewals"].as_u64().is_some_and(|now| now >= renewals) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("the lease is renewed");
}

async fn options_that_do_not_go_together_are_64(context: Context) {
    let table: [&[&str]; 8] = [
        &["migrate", "--pause", "--resume"],
        &["migrate", "--pause", "--plan"],
        &["migrate", "--resume", "--on-bad", "discard"],
        &["migrate", "--pause", "--max-rate", "9"],
        &["migrate", "--max-rate", "0"],
        &["migrate", "--max-rate", "9", "--take-over", "x"],
        &["migrate", "--max-rate", "9", "--rollback"],
        &["keys", "rotate", "--max-rate", "-1"],
    ];
    for arguments in table {
        let ran = run(&context, arguments).await;
        assert!(ran.code == 64 && ran.out.is_empty() && !ran.err.is_empty(), "{arguments:?}: {ran:?}");
    }
}

async fn a_limited_rate_is_kept_on_a_server(context: Context) {
    seeded(&context).await;
    let second = folder(2);
    let at_least = |documents: u64, rate: u64| (documents - rate / 10) * 1_000 / rate;
    let child = spawn(&context, &second, &["migrate", "--max-rate", "200", "--json"]);
    let (migrated, _) = report(child).await;
    assert_eq!(written(&migrated), DOCUMENTS, "{migrated}");
    assert!(migrated["elapsed_ms"].as_u64() >= Some(at_least(DOCUMENTS, 200)), "{migrated}");
    let (new, old) = (("SAVED_OBJECTS_ENCRYPTION_KEY", NEW_KEY), ("SAVED_OBJECTS_DECRYPTION_ONLY_KEYS", KEY));
    let arguments = ["keys", "rotate", "--max-rate", "400", "--json", "--types", path(second.path())];
    let child = cli::spawn(&context.url, &context.prefix, &arguments, &[new, old]);
    let (rotated, _) = report(child).await;
    assert_eq!(rotated["documents"]["rotated"].as_u64(), Some(DOCUMENTS + 1), "{rotated}");
    assert!(rotated["elapsed_ms"].as_u64() >= Some(at_least(DOCUMENTS, 400)), "{rotated}");
}
