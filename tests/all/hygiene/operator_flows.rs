//! The flows of operators: take-over, damaged documents, other keys, migration, rotation, and the command line.

use std::path::Path;
use std::sync::Arc;

use saved_objects::encryption::{EncryptionService, KeyRing, Secret};
use saved_objects::internals::Engine;
use saved_objects::migrate::{Migrator, OnBad};
use saved_objects::repository::{Find, ObjectKey};
use saved_objects::rotation::KeyRotation;
use saved_objects::verify::Verifier;
use saved_objects::{SavedObjects, Start};
use serde_json::{Value, json};

use super::OTHER_KEY;
use super::flows::{IN_CLEAR, PASSWORD, login, registry, ring, show, show_error};
use crate::cli::run_with;
use crate::context::{Context, KEY, key_ring};
use crate::take_over::kibana::{CORRUPT, Kibana, broken, documents, keys as kibana_keys};

/// Takes over an index that Kibana wrote: with secrets that can be decrypted, secrets that cannot, and documents that
/// are no objects.
pub(super) async fn take_over(context: &Context, folder: &Path) {
    let context = Context { prefix: format!("{}x", context.prefix).parse().expect("a prefix"), ..context.clone() };
    let kibana = Kibana::with(context.cluster().as_ref(), &format!("{}-source", context.prefix), &of_kibana()).await;
    let (types, argument) = (folder.to_string_lossy().into_owned(), kibana.argument());
    let files = [kibana_keys(false), kibana_keys(true)];
    for (file, more) in
        files.iter().zip([&["--plan"][..], &["--on-unreadable", "quarantine", "--on-bad", "quarantine"]])
    {
        let path = file.path().to_string_lossy().into_owned();
        let variables =
            [("RUST_LOG", "trace"), ("SAVED_OBJECTS_ENCRYPTION_KEY", KEY), ("SAVED_OBJECTS_KIBANA_KEYS_FILE", &path)];
        let arguments = [&["migrate", "--take-over", &argument, "--types", &types][..], more].concat();
        let ran = run_with(&context, &arguments, &variables).await;
        println!("{arguments:?} ended with {}\n{}\n{}", ran.code, ran.out, ran.err);
        assert!(ran.err.contains("TRACE") && ran.out.contains("connector_token"), "it did something");
    }
    command_line(&context, folder, &["verify", "quarantine list"]).await;
}

/// Returns some tokens of each kind as Kibana stores them, by `_id`.
pub(super) fn of_kibana() -> Vec<(String, Value)> {
    let broken = broken();
    let is_wanted = |id: &str| id.contains("connector_token");
    let (odd, fine): (Vec<_>, Vec<_>) = documents()
        .into_iter()
        .filter(|(id, _)| is_wanted(id))
        .partition(|(id, _)| broken.contains(id) || CORRUPT.contains(&id.as_str()));
    odd.into_iter().chain(fine.into_iter().step_by(80).take(12)).collect()
}

/// Stores documents that other software changed: with secrets in clear where an envelope or another attribute belongs.
pub(super) async fn odd_documents(context: &Context, store: &SavedObjects) {
    let good = context.stored("logins", "login:b").await;
    let with = |pointer: &str, value: Value| {
        let mut source = good.clone();
        *source.pointer_mut(pointer).expect("there") = value;
        source
    };
    let odd = [
        ("in-clear", with("/login/password", json!(IN_CLEAR))),
        ("object", with("/login/password", json!({ IN_CLEAR: IN_CLEAR }))),
        ("bound", with("/login/user", json!("mallory"))),
        ("moved", with("/login/hint", good["login"]["password"].clone())),
        ("unknown", {
            let mut source = good.clone();
            source["login"]["more"] = json!("odd");
            source
        }),
        ("references", with("/references", json!([{ "name": IN_CLEAR }]))),
    ];
    for (id, source) in &odd {
        context.put("logins", &format!("login:{id}"), source).await;
        let key = ObjectKey::new("login", *id);
        let (read, with_secrets) =
            (store.repository().get(&key).await, store.repository().get_with_secrets(&key).await);
        show("odd", &read);
        show("odd with secrets", &with_secrets);
        let update = store.repository().update(&key, |draft| {
            draft.attributes.insert("user".to_owned(), json!("lee"));
            Ok(())
        });
        show("odd updated", &update.await);
    }
    show("found", &store.repository().find(&["login"], Find::new()).await);
    let rank = with("/login/user", json!("kim"));
    let mut rank = rank;
    rank["login"]["rank"] = json!(IN_CLEAR);
    // The server's message quotes a value that a mapping refuses.
    let names = context.prefix.group("logins");
    let action = saved_objects::cluster::BulkAction::Put { source: rank.to_string().into() };
    let operations = [saved_objects::cluster::BulkOperation { id: "login:rank".to_owned(), action }];
    let alias = names.write_alias(1);
    let refresh = saved_objects::cluster::Refresh::Later;
    let request = saved_objects::cluster::BulkRequest { alias: &alias, operations: &operations, refresh };
    let outcome = context.cluster().bulk(&request).await.expect("answered").remove(0);
    show_error("mapping", outcome.map_err(|error| saved_objects::Error::invalid(format!("{error:?}"), "none")));
}

pub(super) async fn other_keys(context: &Context, folder: &Path) {
    let builder = |ring: KeyRing| {
        SavedObjects::builder(registry(folder))
            .elasticsearch(&context.url)
            .prefix(context.prefix.clone())
            .key_ring(ring)
    };
    show_error("refused", builder(ring(OTHER_KEY, &[])).start(Start::Migrate).await);
    let store = builder(ring(OTHER_KEY, &[])).start(Start::Skip).await.expect("started");
    let key = ObjectKey::new("login", "b");
    show_error("wrong keys", store.repository().get_with_secrets(&key).await);
    show_error("reloaded", store.reload_keys(ring(OTHER_KEY, &[])).await);
    let without = SavedObjects::builder(registry(folder)).elasticsearch(&context.url).prefix(context.prefix.clone());
    let without = without.start(Start::Skip).await.expect("started");
    show_error("no keys", without.repository().get_with_secrets(&key).await);
    show_error("no keys", without.repository().create(login("c")).await);
}

pub(super) async fn migrations(context: &Context, folder: &Path) {
    let migrator = |ring| Migrator::new(&context.engine(registry(folder), ring));
    let failing = migrator(key_ring());
    show("migrator", &failing);
    show("plan", &failing.describe().await);
    show("failed", &failing.migrate().await);
    show("status", &failing.status().await);
    show("wrong keys", &migrator(ring(OTHER_KEY, &[])).migrate().await);
    show("quarantined", &migrator(key_ring()).on_bad(OnBad::Quarantine).migrate().await);
    let quarantine = context.quarantine();
    show("quarantine", &quarantine);
    show("in quarantine", &quarantine.list().await);
    for ring in [key_ring(), ring(OTHER_KEY, &[])] {
        let verifier = Verifier::new(&context.engine(registry(folder), ring)).expect("made");
        show("verifier", &verifier);
        show("verified", &verifier.verify().await);
    }
}

pub(super) async fn rotation(context: &Context, folder: &Path, store: &SavedObjects) {
    store.reload_keys(ring(OTHER_KEY, &[KEY])).await.expect("changed");
    let encryption = EncryptionService::new(Some(ring(OTHER_KEY, &[KEY])), context.environment.clone());
    let (registry, prefix) = (Arc::new(registry(folder)), context.prefix.clone());
    let engine = Engine::new(context.cluster(), registry, prefix, encryption.clone(), context.environment.clone());
    let rotation = KeyRotation::new(&engine);
    show("rotation", &rotation);
    show("key status", &rotation.status().await.expect("counted"));
    show("rotated", &rotation.rotate().await.expect("ended"));
    show("encryption", &encryption);
    let key = ObjectKey::new("login", "b");
    let (_, secrets) = store.repository().get_with_secrets(&key).await.expect("under the new key");
    assert_eq!(secrets["password"], Secret::text(PASSWORD));
}

/// Runs commands, each with its own log at trace level, with and without `--json`.
pub(super) async fn command_line(context: &Context, folder: &Path, commands: &[&str]) {
    let types = folder.to_string_lossy().into_owned();
    let file = folder.join("in.ndjson");
    let line =
        json!({"type": "login", "id": "imported", "attributes": {"user": "kim"}, "secrets": {"password": PASSWORD}});
    let odd = json!({"type": "login", "id": "odd", "attributes": {"user": "kim"}, "secrets": {"more": PASSWORD}});
    std::fs::write(&file, format!("{line}\n{odd}\n")).expect("written");
    let out = folder.join("out.ndjson");
    let import = format!("import {}", file.display());
    let exports = ["strip", "encrypted", "clear --i-know-this-prints-secrets"]
        .map(|form| format!("export {} --secrets {form}", out.display()));
    let variables = [
        ("RUST_LOG", "trace"),
        ("SAVED_OBJECTS_ENCRYPTION_KEY", OTHER_KEY),
        ("SAVED_OBJECTS_DECRYPTION_ONLY_KEYS", KEY),
    ];
    let before = [("RUST_LOG", "trace"), ("SAVED_OBJECTS_ENCRYPTION_KEY", KEY)];
    let variables: &[(&str, &str)] = if commands.contains(&"keys rotate") { &variables } else { &before };
    for command in commands.iter().map(|command| (*command).to_owned()).chain([import]).chain(exports) {
        for json in [&[][..], &["--json"]] {
            let arguments: Vec<&str> =
                command.split(' ').chain(["--types", &types]).chain(json.iter().copied()).collect();
            let ran = run_with(context, &arguments, variables).await;
            println!("{arguments:?} ended with {}\n{}\n{}", ran.code, ran.out, ran.err);
            assert!(ran.err.contains("TRACE"), "{command} logs at trace level");
        }
    }
}
