//! The mistakes of a restore that the page lists: what follows, and that the page's remedy is one.

use saved_objects::encryption::KeyRing;
use saved_objects::repository::ObjectKey;
use saved_objects::{ErrorKind, SavedObjects};
use serde_json::{Value, json};

use super::{
    assert_whole, blockers, digests, follow_hint, migrated, seeded, so, so_with, started, started_with, vault,
};
use crate::backup::{Backup, indices, lose};
use crate::context::{Context, KEY};
use crate::faults::single_node;

/// A key that is not the store's.
const WRONG: &str = "a wrong key for tests only: 0123456789abcdef";

fn wrong() -> KeyRing {
    KeyRing::new(WRONG.into(), Vec::new()).expect("a key")
}

/// Creates a store at release 2, with a snapshot of it.
async fn backed_up(context: &Context) -> (Backup, Value) {
    seeded(context).await;
    assert_eq!(migrated(context, 2).await.code, 0);
    let before = digests(context, 2).await;
    (Backup::of_store(context).await, before)
}

pub(super) async fn a_restore_without_aliases_is_put_right_by_the_hints(context: Context) {
    let (_turn, _, context) = single_node(&context).await;
    let (backup, before) = backed_up(&context).await;
    lose(&context).await;
    let without = json!({"indices": format!("{}-*", context.prefix), "include_aliases": false});
    backup.restore_with(without).await;
    assert_eq!(so(&context, 2, &["status"]).await.code, 2);
    let blocked = blockers(&migrated(&context, 2).await);
    for (group, (what, hint)) in ["connectors", "vaults", "control", "control-quarantine"].into_iter().zip(&blocked) {
        assert!(what.starts_with(&format!("the alias {}-{group} is missing", context.prefix)), "{blocked:?}");
        follow_hint(&context, hint).await;
    }
    assert_eq!(blocked.len(), 4, "{blocked:?}");
    let ran = migrated(&context, 2).await;
    assert_eq!((ran.code, &ran.json()["outcome"]), (0, &json!("nothing_to_do")), "{ran:?}");
    assert_eq!(digests(&context, 2).await, before);
    let refused = started_with(&context, 2, wrong()).await.expect_err("the keys in use are known again");
    assert_eq!(refused.kind(), ErrorKind::Incompatible, "{refused}");
    assert_whole(&context, &started(&context, 2).await).await;
    backup.delete().await;
}

pub(super) async fn a_restore_with_the_global_state_brings_templates_back(context: Context) {
    let (_turn, _, context) = single_node(&context).await;
    seeded(&context).await;
    assert_eq!(migrated(&context, 2).await.code, 0);
    let template = format!("/_index_template/{}", context.prefix);
    let all = format!("{}-*", context.prefix);
    let theirs = json!({"index_patterns": [all], "priority": 7,
        "template": {"mappings": {"properties": {"theirs": {"type": "keyword"}}}}});
    context.raw("PUT", &template, Some(theirs)).await;
    let backup = Backup::with(&context, json!({"indices": all, "include_global_state": true})).await;
    context.raw("DELETE", &template, None).await;

    lose(&context).await;
    backup.restore_store().await;
    assert_eq!(context.raw("GET", &template, None).await["error"]["type"], "resource_not_found_exception");
    assert_whole(&context, &started(&context, 2).await).await;

    lose(&context).await;
    let with = json!({"indices": all, "include_aliases": true, "include_global_state": true});
    backup.restore_with(with).await;
    let blocked = blockers(&migrated(&context, 3).await);
    assert!(
        blocked.iter().any(|(what, _)| what.starts_with(&format!("the template _index_template/{}", context.prefix))),
        "{blocked:?}"
    );
    context.raw("DELETE", &template, None).await;
    assert_eq!(migrated(&context, 3).await.code, 0);
    assert_whole(&context, &started(&context, 3).await).await;
    backup.delete().await;
}

async fn writes(store: &SavedObjects, id: &str) -> saved_objects::Result<()> {
    store.repository().create(vault(id)).await.map(drop)
}

pub(super) async fn a_restore_beside_the_live_store_needs_other_aliases(context: Context) {
    let (_turn, _, context) = single_node(&context).await;
    let (backup, _) = backed_up(&context).await;
    let live = started(&context, 2).await;
    let drill = Context { prefix: format!("drill-{}", context.prefix).parse().expect("a prefix"), ..context.clone() };
    let renamed = json!({"indices": format!("{}-*", context.prefix), "include_global_state": false,
        "rename_pattern": format!("{}-(.+)", context.prefix), "rename_replacement": format!("{}-$1", drill.prefix)});
    backup.restore_with(renamed).await;
    let blocked = blockers(&migrated(&context, 2).await);
    assert!(blocked.iter().any(|(what, _)| what.contains("points to several indices")), "{blocked:?}");
    writes(&live, "between").await.expect_err("the live store's aliases lead to two indices");
    lose(&drill).await;
    assert_eq!(migrated(&context, 2).await.code, 0);
    writes(&live, "between").await.expect("the drill is gone");
    backup.delete().await;
}

pub(super) async fn a_snapshot_from_before_a_migration_is_migrated_again(context: Context) {
    let (_turn, _, context) = single_node(&context).await;
    let (backup, before) = backed_up(&context).await;
    assert_eq!(migrated(&context, 3).await.code, 0);
    let migrated_once = digests(&context, 3).await;
    let second = context.prefix.group("vaults").index(2);
    assert!(indices(&context).await.contains(&second), "release 3 is reached by a copy");
    writes(&started(&context, 3).await, "later").await.expect("it takes writes");

    lose(&context).await;
    backup.restore_store().await;
    assert_eq!(digests(&context, 2).await, before, "by the release of the snapshot");
    let ran = migrated(&context, 3).await;
    assert_eq!((ran.code, &ran.json()["outcome"]), (0, &json!("migrated")), "{ran:?}");
    assert_eq!(digests(&context, 3).await, migrated_once, "as by the first migration");
    assert!(indices(&context).await.contains(&second), "the number is used a second time");
    let store = started(&context, 3).await;
    let later = store.repository().get_opt(&ObjectKey::new("vault", "later")).await.expect("answered");
    assert!(later.is_none(), "it was written after the snapshot");
    assert_whole(&context, &store).await;
    backup.delete().await;

    // The other way: a snapshot of a newer release than that of the software.
    let backup = Backup::of_store(&context).await;
    lose(&context).await;
    backup.restore_store().await;
    let older = blockers(&migrated(&context, 2).await);
    assert!(older.iter().any(|(what, _)| what.contains("model version 3")), "{older:?}");
    assert_eq!(migrated(&context, 3).await.code, 0);
    backup.delete().await;
}

pub(super) async fn without_the_control_index_the_keys_in_use_are_recorded_by_a_rotation(context: Context) {
    let (_turn, _, context) = single_node(&context).await;
    let (backup, before) = backed_up(&context).await;
    lose(&context).await;
    backup.restore(&format!("{0}-*,-{0}-control-000001", context.prefix)).await;
    started_with(&context, 2, wrong()).await.expect("nothing says which keys are in use");
    let keys = [("SAVED_OBJECTS_ENCRYPTION_KEY", WRONG)];
    assert_eq!(so_with(&context, 2, &["keys", "status"], &keys).await.code, 2, "a stored secret names another key");

    let keys = [("SAVED_OBJECTS_ENCRYPTION_KEY", KEY)];
    let ran = so_with(&context, 2, &["keys", "rotate"], &keys).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let refused = started_with(&context, 2, wrong()).await.expect_err("the keys in use are known");
    assert_eq!(refused.kind(), ErrorKind::Incompatible, "{refused}");
    assert_eq!(digests(&context, 2).await, before);
    assert_whole(&context, &started(&context, 2).await).await;
    backup.delete().await;
}
