//! A rotation whose process is killed three times while a writer works.

use std::sync::atomic::{AtomicBool, Ordering};

use saved_objects::cluster::{BulkAction, BulkOperation, BulkRequest, Refresh};
use saved_objects::encryption::{Descriptor, Secret, Secrets};
use saved_objects::repository::{Create, Delete, ObjectKey};
use saved_objects::verify::Verifier;
use saved_objects::{Repository, Start};
use serde_json::{Value, json};

use super::in_use::vault;
use super::{NEW, OLD, encryption, id, in_use, ring, sorted};
use crate::cli::spawn;
use crate::cli_sight::path;
use crate::context::Context;
use crate::faults::seed::Dice;
use crate::faults::types::{platform_files, registry, types};
use crate::kill::run_until_killed;
use crate::migration::object;
use crate::proxy::{Fault, Seen};

/// The variable with the number of documents.
const DOCUMENTS: &str = "SAVED_OBJECTS_TEST_ROTATION_DOCUMENTS";
const KILLS: usize = 3;

fn documents() -> usize {
    std::env::var(DOCUMENTS).map_or(5_000, |text| text.parse().expect("a number"))
}

pub(super) async fn a_killed_rotation_is_gone_on_with(context: Context) {
    let count = documents();
    let writer = context.builder(types(1)).key_ring(ring(NEW, &[OLD])).start(Start::Migrate).await.expect("started");
    // The old key was in use before.
    let old = context.builder(types(1)).key_ring(ring(OLD, &[NEW])).start(Start::Migrate).await.expect("started");
    old.repository().create(vault("first", "hidden")).await.expect("created");
    old.repository().delete(&ObjectKey::new("vault", "first")).await.expect("deleted");
    seed(&context, count).await;
    let before = verified(&context, &[OLD]).await;
    let folder = tempfile::tempdir().expect("a folder");
    platform_files(1).iter().for_each(|files| files.write(folder.path()).expect("written"));

    let is_done = AtomicBool::new(false);
    let rotating = async {
        let bulks = count / 1_000 + 2;
        for kill in 0..KILLS {
            let lost = if kill % 2 == 0 { Fault::LoseRequest } else { Fault::LoseAnswer };
            let at = Some((bulks / (KILLS + 1)).max(1));
            let killed = run_until(&context, folder.path(), at, lost).await;
            assert_eq!(killed.status.code(), None, "kill {kill}: it was to be killed: {killed:?}");
            assert_eq!(
                in_use(&context).await,
                sorted(&[OLD, NEW]),
                "kill {kill}: the old key is in use until it is done"
            );
        }
        let started = std::time::Instant::now();
        let last = run_until(&context, folder.path(), None, Fault::None).await;
        println!("the last of {} runs took {:?} for {count} documents", KILLS + 1, started.elapsed());
        is_done.store(true, Ordering::Release);
        last
    };
    let (last, writes) = futures::future::join(rotating, write(writer.repository(), count, &is_done)).await;
    let report: Value = serde_json::from_slice(&last.stdout).unwrap_or_else(|error| panic!("{error}: {last:?}"));
    println!("{writes} writes by others; {report}");
    assert_eq!(last.status.code(), Some(0), "{report}");
    assert_eq!(report["dropped"], json!([id(OLD)]), "{report}");
    let rotated = report["documents"]["rotated"].as_u64().expect("a count");
    assert!(rotated > 0 && rotated < count as u64, "what was done before the kills stays done: {report}");
    assert_eq!(in_use(&context).await, [id(NEW)]);
    // No node has the old key any more: everything is under the new one, and nothing is lost.
    assert_eq!(verified(&context, &[]).await, before);
    // This also deletes the points in time that the killed processes left open.
    let cluster = context.cluster();
    for name in cluster.indices(&[&format!("{}-*", context.prefix)]).await.expect("answered").keys() {
        cluster.delete_index(name).await.expect("deleted");
    }
}

/// Returns the counts and digests of what is stored.
async fn verified(context: &Context, others: &[&str]) -> Vec<saved_objects::verify::IndexReport> {
    let verifier = Verifier::new(&context.engine(registry(1), ring(NEW, others)));
    let report = verifier.expect("it has keys").verify().await.expect("everything can be reached");
    assert!(report.ok, "{:?}", report.unreadable);
    report.indices
}

/// Stores vaults under the old key.
async fn seed(context: &Context, count: usize) {
    let (encryption, registry) = (encryption(context, ring(OLD, &[])), registry(1));
    let definition = registry.get("vault").expect("registered");
    let alias = context.prefix.group("vaults").write_alias(1);
    let cluster = context.cluster();
    let numbers: Vec<usize> = (0..count).collect();
    for some in numbers.chunks(1_000) {
        let operation = |number: &usize| {
            let id = format!("v{number}");
            let mut attributes = object(json!({"title": format!("t{number}"), "owner": "kim"}));
            let secrets =
                Secrets::from([("password".to_owned(), Secret::text(&format!("hidden {number} {}", "x".repeat(500))))]);
            let descriptor = Descriptor { type_name: "vault", namespace: None, id: &id };
            encryption.seal(&descriptor, definition.encryption(), &mut attributes, &secrets).expect("sealed");
            let source = json!({
                "type": "vault", "vault": attributes, "references": [], "typeMigrationVersion": "10.1.0",
                "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z",
            });
            BulkOperation {
                id: format!("vault:{id}"),
                action: BulkAction::Create { source: source.to_string().into() },
            }
        };
        let operations: Vec<_> = some.iter().map(operation).collect();
        let request = BulkRequest { alias: &alias, operations: &operations, refresh: Refresh::Later };
        let outcomes = cluster.bulk(&request).await.expect("answered");
        assert!(outcomes.iter().all(Result::is_ok), "written");
    }
}

/// Runs `saved-objects keys rotate` as a process that is killed at the bulk with this number.
async fn run_until(
    context: &Context,
    types: &std::path::Path,
    kill_at: Option<usize>,
    lost: Fault,
) -> std::process::Output {
    // The first bulk of a process may write its record in the control index.
    let is_of_objects = |seen: &Seen| seen.path.contains("_bulk") && seen.body_bytes > 10_000;
    let rotate = |url: &str| {
        let keys = [("SAVED_OBJECTS_ENCRYPTION_KEY", NEW), ("SAVED_OBJECTS_DECRYPTION_ONLY_KEYS", OLD)];
        spawn(url, &context.prefix, &["keys", "rotate", "--json", "--types", path(types)], &keys)
    };
    run_until_killed(&context.url, is_of_objects, kill_at, lost, rotate).await.0
}

/// Writes until `is_done`, and restores the old values. Returns the number of writes.
async fn write(repository: &Repository, count: usize, is_done: &AtomicBool) -> usize {
    let dice = Dice::new(2);
    let mut writes = 0;
    let title = async |number: u64, title: String| {
        let key = ObjectKey::new("vault", format!("v{number}"));
        let update = repository.update(&key, |draft| {
            draft.attributes.insert("title".to_owned(), json!(title));
            Ok(())
        });
        update.await.expect("updated");
    };
    while !is_done.load(Ordering::Acquire) {
        let number = dice.below(count as u64);
        // The title is bound: each write encrypts the secret again.
        title(number, format!("changed {writes}")).await;
        let extra = Create::new("vault", object(json!({"title": "x", "owner": "kim"}))).id("extra");
        repository.create(extra.secret("password", Secret::text("more"))).await.expect("created");
        title(number, format!("t{number}")).await;
        repository.delete(Delete::new(ObjectKey::new("vault", "extra"))).await.expect("deleted");
        writes += 4;
    }
    writes
}
