//! The record of the keys in use: when it is written, and how it protects against a missing or wrong key.

use saved_objects::encryption::Secret;
use saved_objects::migrate::{Migrator, Outcome};
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::{Create, Draft, ObjectKey};
use saved_objects::{ErrorKind, SavedObjects, SavedObjectsBuilder, Start};
use serde_json::json;
use tracing::instrument::WithSubscriber;

use super::{NEW, OLD, id, in_use, keys_in, ring, rotation, sorted};
use crate::context::{Context, registry};
use crate::faults::types::types;
use crate::log::Log;
use crate::migration::object;

pub(super) fn vault(id: &str, secret: &str) -> Create {
    Create::new("vault", object(json!({"title": id, "owner": "kim"}))).id(id).secret("password", Secret::text(secret))
}

fn bare(id: &str) -> Create {
    Create::new("vault", object(json!({"title": id, "owner": "kim"}))).id(id)
}

fn builder(context: &Context, primary: &str, others: &[&str]) -> SavedObjectsBuilder {
    context.builder(types(1)).key_ring(ring(primary, others))
}

pub(super) async fn a_key_is_recorded_before_it_is_used(context: Context) {
    assert!(in_use(&context).await.is_empty());
    let store = builder(&context, OLD, &[]).start(Start::Migrate).await.expect("started");
    store.repository().create(bare("b")).await.expect("created");
    assert!(in_use(&context).await.is_empty(), "nothing is under it");
    let wrong = builder(&context, NEW, &[]).start(Start::Migrate).await;
    wrong.expect("a key that was configured by mistake for a while locks no node out");
    store.repository().create(vault("v", "hidden")).await.expect("created");
    assert_eq!(in_use(&context).await, [id(OLD)]);

    // A migration that encrypts nothing records nothing, like a start that skips the migration.
    let engine = context.engine(registry(types(1)), ring(NEW, &[OLD]));
    let report = Migrator::new(&engine).migrate().await;
    assert_eq!(report.outcome, Outcome::NothingToDo, "{report:?}");
    assert_eq!(in_use(&context).await, [id(OLD)]);
    let third = "a third key for tests only: 0123456789abcdef";
    let skipping = builder(&context, third, &[OLD]).start(Start::Skip).await.expect("started");
    skipping.repository().create(bare("bare")).await.expect("created");
    let retitled = |draft: &mut Draft| {
        draft.attributes.insert("title".to_owned(), json!("another"));
        Ok(())
    };
    skipping.repository().update(&ObjectKey::new("vault", "bare"), retitled).await.expect("updated");
    assert_eq!(in_use(&context).await, [id(OLD)], "nothing was sealed");
    skipping.repository().create(vault("skipping", "hidden")).await.expect("created");
    assert_eq!(in_use(&context).await, sorted(&[OLD, third]));

    // A process that finds its key recorded writes no record.
    let before = context.stored("control", "keys:in-use").await;
    let store = builder(&context, third, &[OLD]).start(Start::Migrate).await.expect("started");
    assert_eq!(store.start_report().expect("a report").outcome, Outcome::NothingToDo);
    store.repository().create(vault("again", "hidden")).await.expect("created");
    assert_eq!(context.stored("control", "keys:in-use").await, before);
}

/// The document of the keys in use may be lost, and a command may have another key by mistake.
pub(super) async fn a_rotation_that_opens_nothing_records_nothing(context: Context) {
    let store = builder(&context, OLD, &[]).start(Start::Migrate).await.expect("started");
    store.repository().create(vault("v", "hidden")).await.expect("created");
    rotation(&context, ring(NEW, &[])).forget(ring(OLD, &[]).primary_key_id()).await.expect("given up");
    let report = rotation(&context, ring(NEW, &[])).rotate().await.expect("it ends");
    assert_eq!(report.not_rotated.len(), 1, "{report:?}");
    assert!(in_use(&context).await.is_empty(), "nothing is under the new key");
    builder(&context, OLD, &[]).start(Start::Migrate).await.expect("the right key is not locked out");
    // A rotation that has the key which it finds records it.
    rotation(&context, ring(OLD, &[])).rotate().await.expect("there is nothing to do");
    assert_eq!(in_use(&context).await, [id(OLD)]);
}

/// Returns types without secrets.
fn without_secrets() -> Vec<TypeDefinition> {
    types(1).into_iter().filter(|definition| !definition.encrypts()).collect()
}

/// The log has one warning, and none if no type has secrets.
pub(super) async fn a_start_without_a_key_warns_once(context: Context) {
    for (types, warnings) in [(types(1), 1), (without_secrets(), 0)] {
        let log = Log::new();
        let builder = SavedObjects::builder(registry(types)).prefix(context.prefix.clone()).cluster(context.cluster());
        let started = builder.start(Start::Migrate).with_subscriber(log.subscriber()).await;
        started.expect("nothing is to be encrypted");
        let text = log.text();
        let warned = text.lines().filter(|line| line.contains(" WARN ") && line.contains("no encryption key"));
        assert_eq!(warned.count(), warnings, "{text}");
    }
}

/// Starts a node with the old key, and stores a secret.
async fn begin(context: &Context) -> SavedObjects {
    let store = builder(context, OLD, &[]).start(Start::Migrate).await.expect("started");
    store.repository().create(vault("begun", "hidden")).await.expect("created");
    store
}

pub(super) async fn a_node_that_lacks_a_key_is_refused(context: Context) {
    begin(&context).await;
    let before = in_use(&context).await;
    for start in [Start::Migrate, Start::WaitOnly] {
        let error = builder(&context, NEW, &[]).start(start).await.expect_err("it lacks a key");
        assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
        let text = error.to_string();
        for part in [id(OLD), id(NEW), "does not have".to_owned(), "decryption-only".to_owned()] {
            assert!(text.contains(&part), "{part}: {text}");
        }
        assert!(!text.contains(OLD) && !text.contains(NEW), "{text}");
    }
    assert_eq!(in_use(&context).await, before, "a refused node leaves no trace");
}

/// A command with a wrong key does not lock out the nodes with the right key.
pub(super) async fn a_wrong_key_encrypts_nothing(context: Context) {
    begin(&context).await;
    let wrong = builder(&context, NEW, &[]).start(Start::Skip).await.expect("it may read what there is");
    let error = wrong.repository().create(vault("v", "hidden")).await.expect_err("it lacks a key");
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
    assert!(error.to_string().contains(&id(OLD)) && error.to_string().contains(&id(NEW)), "{error}");
    let key = ObjectKey::new("vault", "v");
    assert_eq!(wrong.repository().get(&key).await.expect_err("not written").kind(), ErrorKind::NotFound);
    let error = rotation(&context, ring(NEW, &[])).rotate().await.expect_err("it lacks a key");
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
    assert_eq!(in_use(&context).await, [id(OLD)]);
}

pub(super) async fn a_rotation_of_nothing_records_nothing(context: Context) {
    let store = context.builder(types(1)).start(Start::Migrate).await.expect("started");
    store.repository().create(bare("bare")).await.expect("created");
    let report = rotation(&context, ring(NEW, &[])).rotate().await.expect("there is nothing to do");
    assert_eq!(report.outcome, saved_objects::rotation::RotationOutcome::NothingToDo, "{report:?}");
    assert!(in_use(&context).await.is_empty());
}

pub(super) async fn keys_are_changed_without_a_restart(context: Context) {
    let store = builder(&context, OLD, &[]).start(Start::Migrate).await.expect("started");
    // A client that was created before the change.
    let client = store.repository().clone();
    client.create(vault("before", "hidden 1")).await.expect("created");

    let refused = store.reload_keys(ring(NEW, &[])).await.expect_err("it lacks the old key");
    assert_eq!(refused.kind(), ErrorKind::Incompatible);
    assert!(refused.to_string().contains(&id(OLD)) && refused.to_string().contains(&id(NEW)), "{refused}");
    assert_eq!(in_use(&context).await, [id(OLD)]);
    client.create(vault("between", "hidden 2")).await.expect("created");
    assert_eq!(keys_in(&context.stored("vaults", "vault:between").await), [id(OLD)], "the old keys stay");

    store.reload_keys(ring(NEW, &[OLD])).await.expect("changed");
    assert_eq!(in_use(&context).await, [id(OLD)], "nothing is under the new one yet");
    client.create(vault("after", "hidden 3")).await.expect("created");
    assert_eq!(in_use(&context).await, sorted(&[OLD, NEW]));
    assert_eq!(keys_in(&context.stored("vaults", "vault:after").await), [id(NEW)]);
    for (name, secret) in [("before", "hidden 1"), ("between", "hidden 2"), ("after", "hidden 3")] {
        let object = client.get_with_secrets(&ObjectKey::new("vault", name)).await.expect("readable");
        assert_eq!(object.1.get("password"), Some(&Secret::text(secret)), "{name}");
    }
}

pub(super) async fn a_lost_key_is_given_up(context: Context) {
    begin(&context).await;
    let with_it = rotation(&context, ring(NEW, &[OLD]));
    let old = ring(OLD, &[]).primary_key_id();
    assert_eq!(with_it.forget(old).await.expect_err("it is not lost").kind(), ErrorKind::Invalid);
    let without = rotation(&context, ring(NEW, &[]));
    let unknown = "0123456789abcdef".parse().expect("an id");
    assert_eq!(without.forget(unknown).await.expect_err("not in use").kind(), ErrorKind::NotFound);
    without.forget(old).await.expect("given up");
    let store = builder(&context, NEW, &[]).start(Start::Migrate).await.expect("nothing keeps it from starting");
    store.repository().create(vault("new", "hidden")).await.expect("created");
    assert_eq!(in_use(&context).await, [id(NEW)]);
}
