//! Several nodes and one migration: the lease, waiting nodes, and what older nodes leave behind.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use libtest_mimic::Trial;
use saved_objects::environment::{Environment, SystemRng};
use saved_objects::migrate::{OnBad, Outcome, Report};
use saved_objects::{ErrorKind, Start};
use serde_json::json;

use crate::clock::ImpatientClock;
use crate::context::{Context, MEMORY};
use crate::faults;
use crate::migration::{current, notes_before_and_after, seed_version_1, source, version_1};
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    let mut trials = named_trials!(
        url,
        one_migrates_and_the_others_wait,
        it_is_right_without_the_lease,
        a_start_can_only_wait,
        a_start_that_waits_is_helped_by_another_node,
        a_start_that_waits_names_what_blocks_it,
        a_start_that_no_other_node_can_help_does_not_wait,
        a_start_tells_how_far_it_is,
        a_rescan_converts_what_an_older_node_wrote_late,
    );
    if url != MEMORY {
        trials.extend(named_trials!(
            url,
            a_dead_node_is_taken_over_from,
            the_last_failure_is_told_until_a_migration_succeeds,
        ));
    }
    trials
}

const DOCUMENTS: u64 = 40;

fn written(reports: &[Report]) -> u64 {
    reports.iter().flat_map(|report| &report.indices).map(|index| index.documents.written).sum()
}

fn control(context: &Context) -> String {
    format!("{}-control", context.prefix)
}

async fn one_migrates_and_the_others_wait(context: Context) {
    let ids = seed_version_1(&context).await;
    let migrators: Vec<_> = (0..5).map(|_| context.migrator(current())).collect();
    let reports = join_all(migrators.iter().map(|migrator| migrator.migrate())).await;
    let with = |outcome| reports.iter().filter(|report| report.outcome == outcome).count();
    assert_eq!(with(Outcome::Migrated), 1, "{reports:#?}");
    assert_eq!(with(Outcome::Migrated) + with(Outcome::Waited) + with(Outcome::NothingToDo), 5);
    assert_eq!(written(&reports), DOCUMENTS);
    let first = source(&context, &format!("connector_token:{}", ids[0])).await;
    assert_eq!(first["typeMigrationVersion"], "10.2.0");
    assert_eq!(context.migrator(current()).status().await.expect("readable").lease, None);
}

async fn it_is_right_without_the_lease(context: Context) {
    seed_version_1(&context).await;
    let migrators: Vec<_> = (0..5).map(|_| context.migrator(current()).without_lease()).collect();
    let reports = join_all(migrators.iter().map(|migrator| migrator.migrate())).await;
    assert!(
        reports.iter().all(|report| matches!(report.outcome, Outcome::Migrated | Outcome::NothingToDo)),
        "{reports:#?}"
    );
    assert_eq!(written(&reports), DOCUMENTS, "conditional writes let each document be written once");
    assert_eq!(context.migrator(current()).migrate().await.outcome, Outcome::NothingToDo);
    let found = context.cluster().get(&control(&context), "lease:migration").await.expect("the keys in use are there");
    assert!(found.is_none(), "there is no lease");
}

async fn a_dead_node_is_taken_over_from(context: Context) {
    seed_version_1(&context).await;
    let left = json!({"kind": "lease", "body": {"owner": "a dead node", "ttl_ms": 6000, "renewals": 3, "note": {
        "digest": "another", "progress": {"alias": "x", "outdated": 9, "read": 5, "written": 4}, "last_failure": null}}});
    let index = format!("{}-000001", control(&context));
    let hidden = json!({"settings": {"index.hidden": true}, "aliases": {control(&context): {"is_hidden": true}}});
    context.raw("PUT", &format!("/{index}"), Some(hidden)).await;
    context.raw("PUT", &format!("/{index}/_doc/lease:migration"), Some(left)).await;
    let status = context.migrator(current()).status().await.expect("readable").lease.expect("it is held");
    assert!(!status.held, "it gives no sign");
    assert_eq!(status.note.holder, None, "older software does not say who it is");
    assert_eq!(status.note.progress.map(|progress| (progress.written, progress.outdated)), Some((4, 9)));

    let clock = Arc::new(ImpatientClock::default());
    let environment = Environment::new(clock.clone(), Arc::new(SystemRng));
    let report = Context { environment, ..context.clone() }.migrator(current()).migrate().await;
    assert_eq!((report.outcome, written(std::slice::from_ref(&report))), (Outcome::Migrated, DOCUMENTS), "{report:?}");
    assert!(clock.slept() >= Duration::from_secs(6), "it was given its time: {:?}", clock.slept());
    assert_eq!(context.migrator(current()).status().await.expect("readable").lease, None);
}

async fn the_last_failure_is_told_until_a_migration_succeeds(context: Context) {
    let ids = seed_version_1(&context).await;
    let (index, id) = (context.index("connectors"), format!("connector_token:{}", ids[3]));
    let good = source(&context, &id).await;
    let mut bad = good.clone();
    bad["connector_token"]["connectorId"] = json!(7);
    context.raw("PUT", &format!("/{index}/_doc/{id}?refresh=true"), Some(bad)).await;
    assert_eq!(context.migrator(current()).migrate().await.outcome, Outcome::Failed);
    let lease = context.migrator(current()).status().await.expect("readable").lease.expect("it is told");
    assert!(!lease.held);
    let holder = lease.note.holder.expect("this process had it");
    let process = context.environment.process();
    assert_eq!((&holder.host, holder.process_id), (&process.host, Some(std::process::id())), "{holder:?}");
    assert!(holder.host.is_some() && holder.since <= holder.renewed_at && !holder.since.is_empty(), "{holder:?}");
    let failure = lease.note.last_failure.expect("it is told");
    assert!(failure.message.contains("cannot be converted") && !failure.hint.is_empty(), "{failure:?}");

    context.raw("PUT", &format!("/{index}/_doc/{id}?refresh=true"), Some(good)).await;
    assert_eq!(context.migrator(current()).migrate().await.outcome, Outcome::Migrated);
    assert_eq!(context.migrator(current()).status().await.expect("readable").lease, None);
}

async fn a_start_can_only_wait(context: Context) {
    seed_version_1(&context).await;
    let alone = context.builder(current()).deadline(Duration::from_millis(300)).start(Start::WaitOnly).await;
    let error = alone.expect_err("nobody migrates");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(context.migrator(current()).plan().await.is_ok_and(|plan| !plan.is_nothing_to_do()), "it wrote nothing");

    let waiting = context.builder(current()).start(Start::WaitOnly);
    let other = context.migrator(current());
    let (waited, migrated) = tokio::join!(waiting, other.migrate());
    assert_eq!(migrated.outcome, Outcome::Migrated);
    let store = waited.expect("the other did it");
    let outcome = store.start_report().expect("it looked").outcome;
    assert!(matches!(outcome, Outcome::Waited | Outcome::NothingToDo), "{outcome:?}");
}

async fn a_start_that_waits_is_helped_by_another_node(context: Context) {
    let (before, after) = notes_before_and_after();
    context.store(before.clone()).await;
    // A copy died: the index has its block, and a node that only waits may not lift it.
    faults::killed_at_swap(&context, after, OnBad::Fail).await;
    let waiting = context.builder(before.clone()).start(Start::WaitOnly);
    let healing = async {
        let index = context.index("notes");
        let is_blocked = async || context.cluster().indices(&[&index]).await.expect("answered")[&index].write_blocked;
        assert!(is_blocked().await);
        let healed = context.migrator(before.clone()).migrate().await;
        assert!(!is_blocked().await);
        healed
    };
    let (waited, healed) = tokio::join!(waiting, healing);
    assert_eq!(healed.outcome, Outcome::Migrated, "{healed:?}");
    let outcome = waited.expect("the other did it").start_report().expect("it looked").outcome;
    assert!(matches!(outcome, Outcome::Waited | Outcome::NothingToDo), "{outcome:?}");
}

async fn a_start_that_waits_names_what_blocks_it(context: Context) {
    seed_version_1(&context).await;
    context.cluster().add_write_block(&context.index("connectors")).await.expect("blocked");
    let waiting = context.builder(current()).deadline(Duration::from_millis(300)).start(Start::WaitOnly);
    let error = waiting.await.expect_err("somebody may lift it, and nobody does");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("has a write block"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("index.blocks.write")), "{error}");
}

async fn a_start_that_no_other_node_can_help_does_not_wait(context: Context) {
    let (before, after) = notes_before_and_after();
    context.store(after).await;
    let error = context.builder(before).start(Start::WaitOnly).await.expect_err("it cannot read what is there");
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
    assert!(error.to_string().contains("no forward schema"), "{error}");
}

async fn a_start_tells_how_far_it_is(context: Context) {
    seed_version_1(&context).await;
    let builder = context.builder(current());
    let progress = builder.progress();
    let (store, told) = tokio::join!(builder.start(Start::Migrate), progress.collect::<Vec<_>>());
    assert_eq!(store.expect("it starts").start_report().expect("migrated").outcome, Outcome::Migrated);
    let last = told.iter().rfind(|progress| progress.read > 0).expect("it was told");
    assert_eq!((last.outdated, last.read, last.written), (DOCUMENTS, DOCUMENTS, DOCUMENTS));
}

async fn a_rescan_converts_what_an_older_node_wrote_late(context: Context) {
    let ids = seed_version_1(&context).await;
    let id = format!("connector_token:{}", ids[5]);
    let old = source(&context, &id).await;
    assert_eq!(context.migrator(current()).migrate().await.outcome, Outcome::Migrated);
    context.put("connectors", &id, &old).await;

    let older = context.migrator(version_1()).migrate().await;
    assert_eq!(older.outcome, Outcome::NothingToDo, "an older node that starts late changes nothing: {older:?}");
    assert_eq!(context.migrator(current()).migrate().await.outcome, Outcome::NothingToDo, "a start does not look");
    assert_eq!(source(&context, &id).await, old);
    let report = context.migrator(current()).rescan().migrate().await;
    assert_eq!((report.outcome, written(std::slice::from_ref(&report))), (Outcome::Migrated, 1), "{report:?}");
    assert_eq!(source(&context, &id).await["typeMigrationVersion"], "10.2.0");
    let again = context.migrator(current()).rescan().migrate().await;
    assert_eq!(again.outcome, Outcome::NothingToDo, "{again:?}");
}
