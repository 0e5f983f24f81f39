//! What the credentials do not see is not taken for absent.

use saved_objects::cluster::Cluster;
use saved_objects::encryption::KeyRing;
use saved_objects::migrate::Outcome;
use saved_objects::rotation::KeyRotation;
use saved_objects::{ErrorKind, Start};
use serde_json::{Value, json};

use super::commands::clean;
use super::jobs::store_token;
use super::secured;
use crate::context::{Context, KEY, MEMORY, registry};
use crate::faults::types::platform_files;
use crate::migration::current;

/// Two groups, and an API key for one of them and for the control index.
pub(super) async fn half_of_the_indices_tell_nothing_of_the_others(context: Context) {
    let server = secured().await;
    let prefix = context.prefix.to_string();
    clean(&server, &prefix).await;
    let types = tempfile::tempdir().expect("a folder");
    platform_files(1).iter().for_each(|files| files.write(types.path()).expect("written"));
    let types = types.path().to_str().expect("UTF-8");
    let all = server.api_key(json!({ "name": "all" })).await;
    let ran = server.run_with_key(&context, &["migrate", "--types", types, "--json"], &all).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    store_token(&server, &prefix).await;
    let groups: Vec<String> = ran.json()["indices"]
        .as_array()
        .expect("indices")
        .iter()
        .filter_map(|it| it["alias"].as_str().map(str::to_owned))
        .collect();
    assert!(groups.len() > 1, "{groups:?}");
    let connectors = format!("{prefix}-connectors");
    let others: Vec<String> = groups.into_iter().filter(|group| *group != connectors).collect();
    let seen = [format!("{connectors}*"), format!("{prefix}-control*")];
    let half = server
        .key_with_role(json!({
            "cluster": ["monitor"],
            "indices": [{ "names": seen, "privileges": ["manage", "read", "write"] }],
        }))
        .await;
    let new_key = "a new key for tests only: 0123456789abcdef";
    let commands: [&[&str]; 11] = [
        &["status"],
        &["doctor"],
        &["migrate", "--plan"],
        &["migrate"],
        &["migrate", "--rollback"],
        &["migrate", "--drop-old", "--yes"],
        &["verify"],
        &["keys", "status"],
        &["keys", "rotate"],
        &["export"],
        &["tokens", "list"],
    ];
    for command in commands {
        for is_json in [true, false] {
            let mut arguments = [command, &["--types", types]].concat();
            if is_json {
                arguments.push("--json");
            }
            let variables = [
                ("SAVED_OBJECTS_ELASTICSEARCH_API_KEY", half.as_str()),
                ("SAVED_OBJECTS_ENCRYPTION_KEY", new_key),
                ("SAVED_OBJECTS_DECRYPTION_ONLY_KEYS", KEY),
            ];
            let ran = server.run(&context, &arguments, &variables).await;
            if command == ["tokens", "list"] {
                // Tokens are in the half that is seen.
                assert_eq!(ran.code, 0, "{ran:?}");
                continue;
            }
            let said = format!("{}{}", ran.out, ran.err);
            assert_eq!(ran.code, 2, "{command:?}: {said}");
            let names_them = others.iter().any(|group| said.contains(group)) || said.contains(&format!("{prefix}-*"));
            assert!(names_them, "{command:?}: {said}");
            for conclusion in ["create the index", "all well", "can be removed from", "nothing to do"] {
                assert!(
                    !said.contains(conclusion) || said.contains("not all well"),
                    "{command:?} concludes {conclusion}: {said}"
                );
            }
            println!("{command:?}: {said}");
        }
    }
    // No key was dropped, since secrets under it may be in unseen indices.
    let status = server.run_with_key(&context, &["keys", "status", "--json", "--types", types], &all).await;
    let in_use = |key: &&Value| key["in_use"] == json!(true);
    assert_eq!(status.json()["keys"].as_array().expect("keys").iter().filter(in_use).count(), 2, "{status:?}");
    // An API key for the other half: the tokens are unseen.
    let names: Vec<String> = others.iter().map(|group| format!("{group}*")).collect();
    let other_half = server
        .key_with_role(json!({ "indices": [{ "names": names, "privileges": ["manage", "read", "write"] }] }))
        .await;
    for command in [&["tokens", "list"][..], &["status"], &["verify"], &["keys", "status"]] {
        let ran = server.run_with_key(&context, &[command, &["--types", types]].concat(), &other_half).await;
        let said = format!("{}{}", ran.out, ran.err);
        assert_eq!(ran.code, 2, "{command:?}: {said}");
        assert!(said.contains(&prefix), "{command:?}: {said}");
    }
    clean(&server, &prefix).await;
}

/// The same in memory, and the requests of an ordinary start. What was done is reported, although the quarantine cannot
/// be read.
pub(super) async fn a_hidden_quarantine_is_told_in_memory(_: Context) {
    let context = Context::new(MEMORY, "hidden-quarantine");
    drop(context.store(current()).await);
    let memory = context.memory.clone().expect("in memory");
    memory.hide(&format!("{}-control-quarantine", context.prefix));
    let ring = KeyRing::new(KEY.into(), Vec::new()).expect("a fine key");
    let rotation = KeyRotation::new(&context.engine(registry(current()), ring));
    let status = rotation.status().await.expect("a status");
    assert!(!status.ok && !status.unseen.is_empty(), "{status:?}");
    let report = rotation.rotate().await.expect("rotated");
    assert!(!report.unseen.is_empty(), "{report:?}");
}

pub(super) async fn hidden_groups_are_told_in_memory(_: Context) {
    let context = Context::new(MEMORY, "hidden");
    let memory = context.memory.clone().expect("in memory");
    drop(context.store(current()).await);
    let migrator = context.migrator(current());
    let before = memory.requests().total();
    assert_eq!(migrator.migrate().await.outcome, Outcome::NothingToDo);
    let requests = memory.requests().total() - before;
    assert_eq!(requests, 2, "an ordinary start asks nothing more");
    memory.hide(&format!("{}-connectors", context.prefix));
    for report in
        [migrator.migrate().await, migrator.describe().await, migrator.drop_old().await, migrator.rollback().await]
    {
        assert_eq!(report.outcome, Outcome::Blocked, "{report:?}");
        assert!(report.indices.is_empty(), "nothing is said of them: {report:?}");
        let blocker = report.blockers.first().expect("a blocker");
        assert!(blocker.what.contains("-connectors") && blocker.hint.contains("view_index_metadata"), "{report:?}");
    }
    assert_eq!(migrator.wait().await.outcome, Outcome::Blocked, "no other node heals that");
    let status = migrator.status().await.expect("a status");
    assert!(status.indices.is_empty() && !status.blockers.is_empty(), "{status:?}");
    let verified = context.verifier(current()).verify().await.expect("verified");
    assert!(!verified.ok && verified.indices.is_empty() && !verified.unseen.is_empty(), "{verified:?}");
    let error = context.builder(current()).start(Start::Migrate).await.expect_err("blocked");
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
    assert!(error.to_string().contains("saved-objects privileges"), "{error}");
}
