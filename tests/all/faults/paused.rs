//! A migration that is paused before any of its requests: users continue to write, nothing stays open, and it continues
//! when the pause ends, on this node or on another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use saved_objects::migrate::{Migrator, Outcome, Report};
use saved_objects::{ErrorKind, SavedObjects, Start};

use super::deployment::{Deployment, Stored, in_its_own_time};
use super::disturbed::{Call, Disturbed, Disturber, Fate};
use super::stopped::assert_takes_writes;
use super::types::registry;
use crate::context::key_ring;

/// How long the operator waits before ending the pause, or killing the node: much longer than a node takes to find it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pauses migrations before the request with this number, and delays that request until the node has found the pause.
#[derive(Debug)]
struct PausesAt {
    number: usize,
    deployment: Deployment,
    met: AtomicBool,
}

#[async_trait]
impl Disturber for PausesAt {
    async fn fate(&self, call: &Call) -> Fate {
        if call.number == self.number {
            self.met.store(true, Ordering::Relaxed);
            operator(&self.deployment, 1).pause("kim").await.expect("paused");
            self.deployment.environment.clock().sleep(Duration::from_secs(3)).await;
        }
        Fate::Done
    }
}

/// Returns a migrator of another process.
fn operator(deployment: &Deployment, release: u32) -> Migrator {
    let process = deployment.another_process();
    process.migrator(process.cluster(), registry(release))
}

async fn stored_without_a_pause(release: u32) -> Stored {
    let deployment = Deployment::with_release_1().await;
    assert_eq!(operator(&deployment, release).migrate().await.outcome, Outcome::Migrated);
    deployment.stored().await
}

pub(crate) fn a_migration_that_is_paused_anywhere_waits_and_loses_nothing() {
    for release in [2, 3] {
        let expected = in_its_own_time(stored_without_a_pause(release));
        let mut paused = 0;
        for number in 0.. {
            match in_its_own_time(paused_at(release, number, &expected)) {
                Some(true) => paused += 1,
                Some(false) => {}
                None => break,
            }
        }
        println!("release {release}: {paused} migrations were paused");
        assert!(paused > 10, "release {release}: only {paused} migrations were paused");
    }
}

/// Returns whether the migration waited, or `None` if it had fewer requests.
async fn paused_at(release: u32, number: usize, expected: &Stored) -> Option<bool> {
    let what = format!("release {release}, request {number}");
    let deployment = Deployment::with_release_1().await;
    let pauses = PausesAt { number, deployment: deployment.clone(), met: AtomicBool::default() };
    let pauses = Arc::new(pauses);
    let cluster = Arc::new(Disturbed::new(deployment.cluster(), pauses.clone()));
    let migrator = deployment.migrator(cluster, registry(release));
    let resuming = async {
        deployment.environment.clock().sleep(PATIENCE).await;
        let operator = operator(&deployment, release);
        let status = operator.status().await.expect("answered");
        let waits = status.lease.as_ref().is_some_and(|lease| lease.held);
        if waits {
            assert!(status.lease.is_some_and(|lease| lease.note.paused), "{what}");
            assert_eq!(status.paused.as_ref().map(|pause| pause.by.as_str()), Some("kim"), "{what}");
            let is_named = status.blockers.iter().any(|blocker| blocker.what.starts_with("migrations are paused"));
            assert!(is_named, "{what}: {:?}", status.blockers);
            assert_takes_writes(&deployment, &what).await;
        }
        operator.resume().await.expect("resumed");
        waits
    };
    let (report, has_waited) = futures::join!(migrator.migrate(), resuming);
    let is_met = pauses.met.load(Ordering::Relaxed);
    assert_eq!(report.outcome, Outcome::Migrated, "{what}: {report:?}");
    assert_eq!(has_waited, Duration::from_millis(report.elapsed_ms) >= PATIENCE, "{what}: {report:?}");
    assert!(is_met || !has_waited, "{what}");
    assert_eq!(&deployment.stored().await, expected, "{what}");
    assert_takes_writes(&deployment, &what).await;
    if release == 2 {
        let written: u64 = report.indices.iter().map(|index| index.documents.written).sum();
        assert_eq!(written, 10, "{what}: each document is counted once: {report:?}");
    }
    is_met.then_some(has_waited)
}

async fn killed_while_paused(release: u32) -> Report {
    let deployment = Deployment::with_release_1().await;
    let pauses = PausesAt { number: 20, deployment: deployment.clone(), met: AtomicBool::default() };
    let cluster = Arc::new(Disturbed::new(deployment.cluster(), Arc::new(pauses)));
    let migrator = deployment.migrator(cluster, registry(release));
    tokio::select! {
        report = migrator.migrate() => panic!("it was to wait: {report:?}"),
        () = deployment.environment.clock().sleep(PATIENCE) => {}
    }
    assert_takes_writes(&deployment, "a dead node").await;
    let status = operator(&deployment, release).status().await.expect("answered");
    assert!(
        status.paused.is_some() && !status.lease.is_some_and(|lease| lease.held),
        "it is dead, and the pause stays"
    );
    let next = operator(&deployment, release);
    let (report, resumed) = futures::join!(next.migrate(), async {
        deployment.environment.clock().sleep(PATIENCE).await;
        let status = operator(&deployment, release).status().await.expect("answered");
        assert!(status.lease.is_some_and(|lease| lease.held && lease.note.paused), "the next node waits in its place");
        operator(&deployment, release).resume().await.expect("resumed")
    });
    assert_eq!(resumed.map(|pause| pause.by).as_deref(), Some("kim"));
    assert_eq!(deployment.stored().await, stored_without_a_pause(release).await);
    report
}

pub(crate) fn a_node_that_dies_while_it_is_paused_is_replaced() {
    for release in [2, 3] {
        let report = in_its_own_time(killed_while_paused(release));
        assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
        assert!(Duration::from_millis(report.elapsed_ms) >= PATIENCE, "{report:?}");
    }
}

pub(crate) fn a_start_whose_deadline_passes_in_a_pause_names_it() {
    in_its_own_time(async {
        let deployment = Deployment::with_release_1().await;
        operator(&deployment, 1).pause("kim").await.expect("paused");
        for start in [Start::Migrate, Start::WaitOnly] {
            let builder = SavedObjects::builder((*registry(2)).clone()).cluster(deployment.cluster());
            let builder = builder.prefix(deployment.prefix.clone()).key_ring(key_ring());
            let builder = builder.environment(deployment.environment.clone()).deadline(Duration::from_secs(60));
            let error = builder.start(start).await.expect_err("it is paused");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.to_string().contains("by kim"), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("migrate --resume")), "{error}");
        }
        // What has nothing to convert does not wait.
        assert_eq!(operator(&deployment, 1).migrate().await.outcome, Outcome::NothingToDo);
    });
}

pub(crate) fn a_pause_has_one_beginning_and_one_end() {
    in_its_own_time(async {
        let deployment = Deployment::new();
        let (one, other) = (operator(&deployment, 1), operator(&deployment, 1));
        assert_eq!(one.resume().await.expect("answered"), None);
        let (first, second) = futures::join!(one.pause("kim"), other.pause("lee"));
        let first = first.expect("paused");
        assert_eq!(second.expect("paused"), first, "the earlier one stays");
        assert_eq!(other.paused().await.expect("answered"), Some(first.clone()));
        assert_eq!(other.resume().await.expect("resumed"), Some(first));
        assert_eq!((one.resume().await.expect("answered"), one.paused().await.expect("answered")), (None, None));
    });
}
