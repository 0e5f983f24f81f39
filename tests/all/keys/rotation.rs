//! Rotations: what they seal again, what they report, and what other nodes may do meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use saved_objects::cluster::{BulkAction, BulkOperation, BulkRequest, Gone, Refresh};
use saved_objects::encryption::Secret;
use saved_objects::environment::{Environment, SystemClock};
use saved_objects::migrate::{OnBad, Outcome as Migrated};
use saved_objects::repository::{Create, ObjectKey, SecretChange};
use saved_objects::rotation::{KeyCounts, KeyRotation, RotationOutcome};
use saved_objects::verify::{VerificationReport, Verifier};
use saved_objects::{ErrorKind, Repository, Start};
use serde_json::{Value, json};

use super::{NEW, OLD, id, in_use, keys_in, ring, rotate, rotation, sorted};
use crate::cli::run_with;
use crate::context::Context;
use crate::faults::deployment::Deployment;
use crate::faults::disturbed::{Call, Disturbed, Disturber, Fate};
use crate::faults::seed::Dice;
use crate::faults::types::{NEWEST, platform_files, registry, types};
use crate::migration::object;
use crate::unreadable::Counted;

async fn verified(context: &Context, primary: &str, others: &[&str]) -> VerificationReport {
    let verifier = Verifier::new(&context.engine(registry(NEWEST), ring(primary, others)));
    verifier.expect("it has keys").verify().await.expect("everything can be reached")
}

/// Writes the objects of release 1 under the old key.
async fn seeded(context: &Context) -> Deployment {
    Deployment::on(context.cluster(), context.prefix.clone()).seeded_with_release_1().await
}

/// Returns the document without its envelopes.
fn plain(document: &Value) -> Value {
    match document {
        Value::String(text) if text.starts_with("U09FA") => json!("an envelope"),
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Object(values) => values.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        other => other.clone(),
    }
}

fn counts(status: &saved_objects::rotation::KeyStatus, key: &str) -> (u64, u64, u64) {
    let of_key = status.keys.iter().find(|counts| counts.id.to_string() == id(key));
    of_key.map(|counts| (counts.documents, counts.quarantined, counts.kept)).unwrap_or_default()
}

pub(super) async fn everything_comes_under_the_new_key(context: Context) {
    let deployment = seeded(&context).await;
    // A document that cannot be converted from any version, although its secret can be decrypted.
    let mut bad = context.stored("vaults", "vault:v1").await;
    bad["vault"]["odd"] = json!(1);
    context.put("vaults", "vault:v1", &bad).await;
    let to = |release: u32| deployment.migrator(context.cluster(), registry(release)).on_bad(OnBad::Quarantine);
    for release in [2, 3] {
        let report = to(release).migrate().await;
        assert_eq!(report.outcome, Migrated::Migrated, "{report:?}");
    }
    let before = verified(&context, NEW, &[OLD]).await;
    assert_eq!((before.ok, before.quarantined.len()), (true, 1), "{before:?}");
    let token = "connector_token:00000000-0000-4000-8000-000000000003";
    let stored_before = context.stored("connectors", token).await;

    let status = rotation(&context, ring(NEW, &[OLD])).status().await.expect("counted");
    assert_eq!((counts(&status, OLD), counts(&status, NEW), status.ok), ((8, 1, 3), (0, 0, 0), true), "{status:?}");
    let without = rotation(&context, ring(NEW, &[])).status().await.expect("counted");
    assert_eq!((counts(&without, OLD), without.ok), ((8, 1, 3), false), "a key that is needed is not configured");

    let report = rotate(&context, ring(NEW, &[OLD])).await;
    assert_eq!((report.outcome, report.passes), (RotationOutcome::Rotated, 2), "{report:?}");
    assert_eq!((report.documents.rotated, report.documents.conflicts, report.quarantine.rotated), (8, 0, 1));
    assert_eq!(report.documents.read, 5 + 4 + 5, "each is counted once");
    assert!(report.not_rotated.is_empty() && report.dropped.is_empty(), "{report:?}");
    let kept = context.prefix.group("vaults").index(1);
    assert_eq!(
        report.kept.iter().map(|kept| kept.index.as_str()).collect::<Vec<_>>(),
        [&kept],
        "a generation that is kept is named"
    );
    let [KeyCounts { id: needed, documents: 0, quarantined: 0, kept: 3, in_use: true, .. }] = report.still_needed[..]
    else {
        panic!("{report:?}")
    };
    assert_eq!(needed.to_string(), id(OLD));
    assert_eq!(in_use(&context).await, sorted(&[OLD, NEW]));
    let stored = context.stored("connectors", token).await;
    assert_eq!(keys_in(&stored), [id(NEW)]);
    assert_eq!(plain(&stored), plain(&stored_before), "nothing but the envelope has changed, updated_at neither");

    let again = rotate(&context, ring(NEW, &[OLD])).await;
    assert_eq!(
        (again.outcome, again.passes, again.documents.rotated),
        (RotationOutcome::NothingToDo, 1, 0),
        "{again:?}"
    );
    assert!(again.dropped.is_empty());
    assert_eq!(context.stored("connectors", token).await, stored, "a second one rewrites nothing");

    let dropped = deployment.migrator(context.cluster(), registry(NEWEST)).drop_old().await;
    assert_eq!(dropped.outcome, Migrated::Dropped, "{dropped:?}");
    let last = rotate(&context, ring(NEW, &[OLD])).await;
    assert_eq!(last.dropped.iter().map(ToString::to_string).collect::<Vec<_>>(), [id(OLD)]);
    assert!(last.still_needed.is_empty());
    assert_eq!(in_use(&context).await, [id(NEW)]);

    let after = verified(&context, NEW, &[]).await;
    assert!(after.ok, "the old key is needed no more: {after:?}");
    assert_eq!(after.indices, before.indices, "nothing is lost");
    let store = context.builder(types(NEWEST)).key_ring(ring(NEW, &[])).start(Start::Migrate).await;
    let repository = store.expect("it starts without the old key").repository().clone();
    let quarantine = context.quarantine();
    let restored = quarantine.restore(&[]).await.expect("restored");
    assert_eq!((restored.restored.len(), restored.refused.len()), (1, 0), "{restored:?}");
    // The document is as bad as before, but its secret is under the new key.
    assert_eq!(keys_in(&context.stored("vaults", "vault:v1").await), [id(NEW)]);
    let (_, secrets) = repository.get_with_secrets(&ObjectKey::new("vault", "v2")).await.expect("readable");
    assert_eq!(secrets.get("password"), Some(&Secret::text("hidden")));
}

pub(super) async fn a_status_opens_and_seals_nothing(context: Context) {
    let deployment = seeded(&context).await;
    let mut bad = context.stored("vaults", "vault:v1").await;
    bad["vault"]["odd"] = json!(1);
    context.put("vaults", "vault:v1", &bad).await;
    let report = deployment.migrator(context.cluster(), registry(2)).on_bad(OnBad::Quarantine).migrate().await;
    assert_eq!(report.bad_total, 1, "{report:?}");
    let nonces = Arc::new(Counted::default());
    let environment = Environment::new(Arc::new(SystemClock::start()), nonces.clone());
    let counted = Context { environment, ..context.clone() };
    let engine = counted.engine(registry(NEWEST), ring(NEW, &[OLD]));
    let status = KeyRotation::new(&engine).status().await.expect("counted");
    assert_eq!(counts(&status, OLD).1, 1, "{status:?}");
    assert_eq!(nonces.0.load(Ordering::SeqCst), 0, "nothing was sealed, and so nothing opened");
}

pub(super) async fn what_cannot_be_opened_keeps_its_key(context: Context) {
    seeded(&context).await;
    let lost = "a key that nobody has any more: 0123456789abcdef";
    let store = context.builder(types(1)).key_ring(ring(lost, &[OLD])).start(Start::Skip).await.expect("started");
    let orphan = Create::new("vault", object(json!({"title": "o", "owner": "kim"}))).id("orphan");
    store.repository().create(orphan.secret("password", Secret::text("gone"))).await.expect("created");
    let changed = |field: &'static str, value: Value| {
        let context = context.clone();
        async move {
            let mut document = context.stored("vaults", "vault:v1").await;
            document["vault"][field] = value;
            document
        }
    };
    let bound = changed("title", json!("changed")).await;
    let plain = changed("password", json!("hunter2")).await;
    let good = context.stored("vaults", "vault:v1").await;
    for (id, document) in [("vault:bound", &bound), ("vault:plain", &plain), ("odd-id", &good)] {
        context.put("vaults", id, document).await;
    }

    // While the lost key counts as in use, it may also be a key that is missing from the configuration by mistake.
    let error = rotation(&context, ring(NEW, &[OLD])).rotate().await.expect_err("it lacks a key");
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
    assert!(error.to_string().contains("keys forget"), "{error}");
    rotation(&context, ring(NEW, &[OLD])).forget(ring(lost, &[]).primary_key_id()).await.expect("given up");
    let report = rotate(&context, ring(NEW, &[OLD])).await;
    let named: BTreeMap<&str, (Option<&str>, &str)> = report
        .not_rotated
        .iter()
        .map(|one| (one.id.as_str(), (one.attribute.as_deref(), one.reason.as_str())))
        .collect();
    let lost_id = id(lost);
    let unknown = format!("the envelope was made with the key {lost_id}, which is not configured");
    let expected = BTreeMap::from([
        (
            "vault:bound",
            (Some("password"), "the envelope, a bound attribute or the place of the attribute was changed"),
        ),
        ("odd-id", (None, "the _id does not have the form `vault:<id>`")),
        ("vault:orphan", (Some("password"), unknown.as_str())),
        ("vault:plain", (Some("password"), "the stored value is not an envelope")),
    ]);
    assert_eq!(named, expected, "{report:?}");
    assert!(!format!("{report:?}").contains("hunter2"));
    assert_eq!(report.documents.rotated, 9, "the others are not kept from it");
    assert!(report.dropped.is_empty());
    let needed: BTreeMap<String, u64> =
        report.still_needed.iter().map(|key| (key.id.to_string(), key.documents)).collect();
    assert_eq!(needed, BTreeMap::from([(id(OLD), 2), (id(lost), 1)]));
    assert_eq!(in_use(&context).await, sorted(&[OLD, NEW]), "what was given up stays so");

    let names = context.prefix.group("vaults");
    let cluster = context.cluster();
    for id in ["vault:bound", "odd-id", "vault:plain", "vault:orphan"] {
        let read = cluster.get(names.alias(), id).await.expect("answered").expect("there").sequence;
        let operations = [BulkOperation { id: id.to_owned(), action: BulkAction::Delete { read, gone: Gone::Done } }];
        let alias = names.write_alias(1);
        let request = BulkRequest { alias: &alias, operations: &operations, refresh: Refresh::Later };
        assert!(cluster.bulk(&request).await.expect("answered").iter().all(Result::is_ok));
    }
    let report = rotate(&context, ring(NEW, &[OLD])).await;
    assert!(report.not_rotated.is_empty(), "{report:?}");
    assert_eq!(report.dropped.iter().map(ToString::to_string).collect::<Vec<_>>(), [id(OLD)]);
    assert_eq!(in_use(&context).await, [id(NEW)]);
}

pub(super) async fn what_nobody_registered_keeps_its_key(context: Context) {
    seeded(&context).await;
    let tokens = types(1).into_iter().filter(|definition| definition.name() == "connector_token");
    let registry = saved_objects::registry::Registry::builder().with(tokens).build().expect("fine");
    let with_tokens_only = KeyRotation::new(&context.engine(registry, ring(NEW, &[OLD])));
    let report = with_tokens_only.rotate().await.expect("it ends");
    assert_eq!((report.documents.rotated, report.not_rotated.len()), (5, 4), "{report:?}");
    assert!(report.not_rotated.iter().all(|one| one.reason == "nobody registered its type here"), "{report:?}");
    assert!(report.dropped.is_empty());
    assert_eq!(in_use(&context).await, sorted(&[OLD, NEW]));
    // A longer prefix belongs to another platform.
    let longer = format!("{}-longer", context.prefix).parse().expect("a prefix");
    let other = Deployment::on(context.cluster(), longer).seeded_with_release_1().await;
    let report = rotate(&context, ring(NEW, &[OLD])).await;
    assert!(report.not_rotated.is_empty(), "{report:?}");
    assert_eq!(report.dropped.iter().map(ToString::to_string).collect::<Vec<_>>(), [id(OLD)]);
    other.remove().await;
}

/// Lets another node do the whole rotation before the first bulk of objects.
#[derive(Debug)]
struct Overtaken {
    context: Context,
    is_over: AtomicBool,
}

#[async_trait]
impl Disturber for Overtaken {
    async fn fate(&self, call: &Call) -> Fate {
        // The first bulk of a rotation writes its record in the control index.
        if call.method == "bulk" && call.operations > 1 && !self.is_over.swap(true, Ordering::AcqRel) {
            let other = rotate(&self.context, ring(NEW, &[OLD])).await;
            assert_eq!(other.dropped.iter().map(ToString::to_string).collect::<Vec<_>>(), [id(OLD)]);
        }
        Fate::Done
    }
}

pub(super) async fn a_rotation_that_is_overtaken_looks_again(context: Context) {
    seeded(&context).await;
    let disturber = Arc::new(Overtaken { context: context.clone(), is_over: AtomicBool::new(false) });
    let cluster = Arc::new(Disturbed::new(context.cluster(), disturber));
    let rotation = KeyRotation::new(&context.engine_on(cluster, registry(NEWEST), ring(NEW, &[OLD])));
    let report = rotation.rotate().await.expect("it ends");
    assert!(report.documents.conflicts > 0, "it was overtaken: {report:?}");
    assert!(report.still_needed.is_empty(), "nothing is under the old key any more: {report:?}");
    assert_eq!(in_use(&context).await, [id(NEW)], "a key that went out of use does not come back");
}

pub(super) async fn writers_and_other_rotations_lose_nothing(context: Context) {
    const VAULTS: u64 = 120;
    seeded(&context).await;
    let start = async |primary, others: &[&str]| {
        let store = context.builder(types(1)).key_ring(ring(primary, others)).start(Start::Skip).await;
        store.expect("started").repository().clone()
    };
    let before = start(OLD, &[]).await;
    for number in 0..VAULTS {
        let vault = Create::new("vault", object(json!({"title": "t", "owner": "kim"}))).id(format!("w{number}"));
        before.create(vault.secret("password", Secret::text("first"))).await.expect("created");
    }
    let (writer, is_done) = (start(NEW, &[OLD]).await, AtomicBool::new(false));
    let rotating = async {
        let (one, other) = (rotation(&context, ring(NEW, &[OLD])), rotation(&context, ring(NEW, &[OLD])));
        let (one, other) = futures::future::join(one.rotate(), other.rotate()).await;
        is_done.store(true, Ordering::Release);
        (one.expect("it ends"), other.expect("it ends"))
    };
    let ((one, other), expected) = futures::future::join(rotating, write(&writer, VAULTS, &is_done)).await;
    assert!(one.not_rotated.is_empty() && other.not_rotated.is_empty(), "{one:?} {other:?}");
    let left = rotate(&context, ring(NEW, &[OLD])).await;
    assert_eq!(left.outcome, RotationOutcome::NothingToDo, "{left:?}");
    assert_eq!(in_use(&context).await, [id(NEW)]);

    let after = start(NEW, &[]).await;
    for (number, (title, password)) in expected {
        let found = after.get_with_secrets_opt(&ObjectKey::new("vault", format!("w{number}"))).await.expect("readable");
        let (object, secrets) = found.expect("nothing is lost");
        assert_eq!(object.attributes["title"], json!(title), "w{number}");
        assert_eq!(secrets.get("password"), Some(&Secret::text(&password)), "w{number}");
    }
}

/// Writes until `is_done`, and returns the objects as they are then.
async fn write(writer: &Repository, vaults: u64, is_done: &AtomicBool) -> BTreeMap<u64, (String, String)> {
    let dice = Dice::new(1);
    let mut expected: BTreeMap<u64, (String, String)> =
        (0..vaults).map(|number| (number, ("t".to_owned(), "first".to_owned()))).collect();
    for round in 0_u64.. {
        if is_done.load(Ordering::Acquire) && round >= 20 {
            break;
        }
        // In memory no other call waits.
        tokio::task::yield_now().await;
        let number = dice.below(vaults);
        let key = ObjectKey::new("vault", format!("w{number}"));
        let of_number = expected.get_mut(&number).expect("it is one of them");
        if dice.happens(50) {
            of_number.0 = format!("t{round}");
        } else {
            of_number.1 = format!("secret {round}");
        }
        let (title, password) = of_number.clone();
        let update = writer.update(&key, |draft| {
            draft.attributes.insert("title".to_owned(), json!(title));
            draft.secret("password", SecretChange::Set(Secret::text(&password)));
            Ok(())
        });
        update.await.expect("updated");
    }
    expected
}

pub(super) async fn the_command_line_says_what_it_did(context: Context) {
    seeded(&context).await;
    let folder = tempfile::tempdir().expect("a folder");
    platform_files(1).iter().for_each(|files| files.write(folder.path()).expect("written"));
    let types = folder.path().to_string_lossy().into_owned();
    let keys = async |arguments: &[&str], keys: &[(&str, &str)]| {
        run_with(&context, &[&["keys"], arguments, &["--types", &types]].concat(), keys).await
    };
    let primary = "SAVED_OBJECTS_ENCRYPTION_KEY";
    let both = [(primary, NEW), ("SAVED_OBJECTS_DECRYPTION_ONLY_KEYS", OLD)];

    let missing = keys(&["status", "--json"], &[(primary, NEW)]).await;
    assert_eq!((missing.code, &missing.json()["ok"]), (2, &json!(false)), "{missing:?}");
    let blocked = run_with(&context, &["migrate", "--json", "--types", &types], &[(primary, NEW)]).await;
    assert_eq!((blocked.code, &blocked.json()["outcome"]), (2, &json!("blocked")), "{blocked:?}");
    assert!(blocked.json()["blockers"][0]["what"].as_str().is_some_and(|what| what.contains(&id(OLD))), "{blocked:?}");

    let status = keys(&["status"], &both).await;
    assert_eq!(status.code, 0, "{status:?}");
    assert!(status.out.contains(&id(OLD)) && status.out.contains(&id(NEW)), "{status:?}");
    let rotated = keys(&["rotate", "--json"], &both).await;
    assert_eq!((rotated.code, &rotated.json()["outcome"]), (0, &json!("rotated")), "{rotated:?}");
    assert_eq!(rotated.json()["dropped"], json!([id(OLD)]), "{rotated:?}");
    let status = keys(&["status", "--json"], &[(primary, NEW)]).await;
    let expected = json!([{
        "id": id(NEW), "configured": true, "in_use": true, "documents": 9, "quarantined": 0, "kept": 0
    }]);
    assert_eq!((status.code, &status.json()["keys"]), (0, &expected), "{status:?}");

    let mut changed = context.stored("vaults", "vault:v1").await;
    changed["vault"]["title"] = json!("changed");
    context.put("vaults", "vault:v1", &changed).await;
    let back = keys(&["rotate"], &[(primary, OLD), ("SAVED_OBJECTS_DECRYPTION_ONLY_KEYS", NEW)]).await;
    assert_eq!(back.code, 2, "something does not open: {back:?}");
    assert!(back.out.contains("vault:v1"), "{back:?}");
    let without = keys(&["rotate"], &[]).await;
    assert_eq!(without.code, 1, "there is no key to encrypt with: {without:?}");
    let forgotten = keys(&["forget", &id(NEW), "--json"], &[(primary, OLD)]).await;
    assert_eq!(
        (forgotten.code, forgotten.json()),
        (0, json!({ "dry_run": false, "forgotten": id(NEW) })),
        "{forgotten:?}"
    );
    assert_eq!(keys(&["forget", "hunter2"], &[]).await.code, 64);
    for ran in [&missing, &blocked, &status, &rotated, &back, &forgotten] {
        let text = format!("{}{}", ran.out, ran.err);
        assert!(!text.contains(OLD) && !text.contains(NEW), "{ran:?}");
    }
}
