//! The rehearsal: backup, loss, restore and start, in the order of the page.

use saved_objects::repository::ObjectKey;

use super::page::{Operator, Step, steps};
use super::{assert_whole, blockers, digests_in, follow_hint, migrated, seeded, started, vault};
use crate::backup::{indices, lose};
use crate::context::{Context, KEY};
use crate::faults::single_node;

const PAGE: &str = include_str!("../../../docs/deploying.md");

/// Returns the steps of a chapter, which must have these names.
fn chapter(heading: &str, expected: &[&str]) -> Vec<Step> {
    let found = steps(PAGE, heading);
    let names: Vec<String> = found.iter().map(Step::name).collect();
    assert_eq!(names, expected, "the steps of {heading:?}");
    found
}

pub(super) async fn a_lost_store_is_restored_as_the_page_says(context: Context) {
    let (_turn, _, context) = single_node(&context).await;
    seeded(&context).await;
    assert_eq!(migrated(&context, 2).await.code, 0);
    let keys = [("SAVED_OBJECTS_ENCRYPTION_KEY", KEY)];
    let operator = Operator { context: &context, release: 2, keys: &keys };
    let backing_up =
        chapter("## Backing up", &["PUT /_snapshot/backups", "PUT /_snapshot/backups/monday", "verify --json"]);
    let before = operator.follow(&backing_up).await.remove(0);
    assert_eq!((&before["ok"], before["quarantined"].as_array().map(Vec::len)), (&true.into(), Some(1)), "{before}");
    let stored = indices(&context).await;

    // Next to the live store, which goes on.
    let trying = chapter(
        "### Trying a restore",
        &[
            "POST /_snapshot/backups/monday/_restore",
            "status --prefix drill",
            "status --prefix drill",
            "verify --prefix drill --json",
            "GET /_cat/indices/drill-*",
            "DELETE /<each",
        ],
    );
    operator.follow(&trying[..1]).await;
    assert_eq!(operator.run(&trying[1]).await.code, 2);
    let drill = Operator::drill(&context);
    for (_, hint) in blockers(&migrated(&drill, 2).await) {
        follow_hint(&context, &hint).await;
    }
    let drilled = operator.follow(&trying[2..]).await.remove(0);
    assert_eq!(digests_in(&drilled), digests_in(&before));
    assert_eq!(drilled["quarantined"].as_array().map(Vec::len), Some(1), "{drilled}");
    assert_eq!(indices(&drill).await, Vec::<String>::new());
    assert_eq!(indices(&context).await, stored);
    let live = started(&context, 2).await;
    live.repository().create(vault("later")).await.expect("the live store takes writes");

    // A node that started after the loss created empty indices, which are in the way of the restore.
    lose(&context).await;
    started(&context, 2).await;
    let restoring = chapter(
        "## Restoring",
        &[
            "GET /_cat/indices/saved-objects-*",
            "DELETE /<each",
            "POST /_snapshot/backups/monday/_restore",
            "status",
            "keys status",
            "verify --json",
            "migrate",
            "verify",
        ],
    );
    let Step::Request { method, path, body } = &restoring[2] else { panic!("{restoring:?}") };
    let path = path.replace("backups", &context.prefix.to_string());
    let body = body.as_ref().map(|body| body.to_string().replace("saved-objects", &context.prefix.to_string()));
    let body = body.map(|body| serde_json::from_str(&body).expect("JSON"));
    let refused = context.raw(method, &path, body).await;
    assert_eq!(refused["error"]["type"], "snapshot_restore_exception", "{refused}");

    let after = operator.follow(&restoring).await.remove(0);
    assert_eq!(after, before, "nothing is lost, and everything is as it was");
    assert_eq!(indices(&context).await, stored);
    let store = started(&context, 2).await;
    assert_whole(&context, &store).await;
    let later = store.repository().get_opt(&ObjectKey::new("vault", "later")).await.expect("answered");
    assert!(later.is_none(), "it was written after the snapshot");
    let repository = format!("/_snapshot/{}", context.prefix);
    for path in [format!("{repository}/monday"), repository] {
        context.raw("DELETE", &path, None).await;
    }
}
