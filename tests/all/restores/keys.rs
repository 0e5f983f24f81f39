//! Keys and restores: a snapshot from before a rotation, and the runbook for a leaked key.

use saved_objects::ErrorKind;
use serde_json::json;

use super::page::{Operator, Step, steps};
use super::{BAD, assert_whole, digests, digests_in, migrated, seeded, so_with, started_with};
use crate::backup::{Backup, lose};
use crate::context::{Context, KEY};
use crate::faults::single_node;
use crate::keys::{NEW, id, in_use, ring};

const PRIMARY: &str = "SAVED_OBJECTS_ENCRYPTION_KEY";
const BOTH: [(&str, &str); 2] = [(PRIMARY, NEW), ("SAVED_OBJECTS_DECRYPTION_ONLY_KEYS", KEY)];
const NEW_ALONE: [(&str, &str); 1] = [(PRIMARY, NEW)];

pub(super) async fn a_snapshot_from_before_a_rotation_needs_the_old_key(context: Context) {
    let (_turn, _, context) = single_node(&context).await;
    seeded(&context).await;
    assert_eq!(migrated(&context, 2).await.code, 0);
    let under_the_old_key = digests(&context, 2).await;
    let rotate = async || {
        let ran = so_with(&context, 2, &["keys", "rotate", "--json"], &BOTH).await;
        assert_eq!((ran.code, &ran.json()["dropped"]), (0, &json!([id(KEY)])), "{ran:?}");
    };
    let verified = async || {
        let ran = so_with(&context, 2, &["verify", "--json"], &NEW_ALONE).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        digests_in(&ran.json())
    };
    let backup = Backup::of_store(&context).await;
    rotate().await;
    let rotated = verified().await;
    assert_ne!(rotated, under_the_old_key, "digests depend on the primary key");
    started_with(&context, 2, ring(NEW, &[])).await.expect("the old key is needed no more");

    lose(&context).await;
    backup.restore_store().await;
    let refused = started_with(&context, 2, ring(NEW, &[])).await.expect_err("it lacks the old key");
    assert_eq!(refused.kind(), ErrorKind::Incompatible, "{refused}");
    assert!(refused.to_string().contains(&id(KEY)), "{refused}");
    for command in [&["status"][..], &["keys", "status"], &["migrate"]] {
        assert_eq!(so_with(&context, 2, command, &NEW_ALONE).await.code, 2, "{command:?}");
    }
    started_with(&context, 2, ring(NEW, &[KEY])).await.expect("it has both");
    rotate().await;
    assert_eq!(verified().await, rotated);
    let store = started_with(&context, 2, ring(NEW, &[])).await.expect("the old key is needed no more");
    assert_whole(&context, &store).await;
    backup.delete().await;
}

pub(super) async fn a_leaked_key_is_replaced_as_the_page_says(context: Context) {
    const PAGE: &str = include_str!("../../../docs/encryption.md");
    let (_turn, _, context) = single_node(&context).await;
    seeded(&context).await;
    for release in [2, 3] {
        assert_eq!(migrated(&context, release).await.code, 0);
    }
    // What an attacker who has the key can write.
    let planted = context.stored("vaults", "vault:w").await;

    let runbook = steps(PAGE, "### A leaked key");
    let names: Vec<String> = runbook.iter().map(Step::name).collect();
    let both = ["keys status", "migrate --drop-old", "keys rotate"];
    let alone = ["keys status", "verify", "tokens list"];
    assert_eq!(names, [both, alone].concat());
    let (rotating, after) = runbook.split_at(both.len());
    Operator { context: &context, release: 3, keys: &BOTH }.follow(rotating).await;
    assert_eq!(in_use(&context).await, [id(NEW)]);
    Operator { context: &context, release: 3, keys: &NEW_ALONE }.follow(after).await;
    let store = started_with(&context, 3, ring(NEW, &[])).await.expect("the leaked key is needed no more");
    assert_whole(&context, &store).await;

    // From now on nothing opens that is under the leaked key, in quarantine neither.
    let path = format!("/{}/_doc/vault:w?refresh=true", context.prefix.group("vaults").alias());
    context.raw("PUT", &path, Some(planted)).await;
    let ran = so_with(&context, 3, &["verify", "--json"], &NEW_ALONE).await;
    let unreadable = &ran.json()["unreadable"];
    assert_eq!((ran.code, &unreadable[0]["id"], &unreadable[1]), (2, &json!("vault:w"), &json!(null)), "{ran:?}");
    assert_eq!(ran.json()["quarantined"][0]["id"], BAD, "{ran:?}");
}
