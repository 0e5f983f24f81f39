//! A migration that is asked to stop at any of its requests: users continue to write, nothing stays open, and the next
//! start does not have to wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use saved_objects::environment::Stop;
use saved_objects::migrate::Outcome;

use super::deployment::{Deployment, in_its_own_time};
use super::disturbed::{Call, Disturbed, Disturber, Fate};
use super::types::registry;

/// Requests the stop before the request with this number.
#[derive(Debug)]
struct StopsAt {
    number: usize,
    stop: Stop,
    met: AtomicBool,
}

#[async_trait]
impl Disturber for StopsAt {
    async fn fate(&self, call: &Call) -> Fate {
        if call.number == self.number {
            self.met.store(true, Ordering::Relaxed);
            self.stop.request();
        }
        Fate::Done
    }
}

pub(crate) fn a_migration_that_is_stopped_anywhere_leaves_nothing_closed() {
    for release in [2, 3] {
        let mut stopped = 0;
        for number in 0.. {
            match in_its_own_time(stopped_at(release, number)) {
                Some(true) => stopped += 1,
                Some(false) => {}
                None => break,
            }
        }
        println!("release {release}: {stopped} starts were stopped");
        assert!(stopped > 10, "release {release}: only {stopped} starts were stopped");
    }
}

/// Returns whether the start ended early, or `None` if it had fewer requests.
async fn stopped_at(release: u32, number: usize) -> Option<bool> {
    let what = format!("release {release}, request {number}");
    let deployment = Deployment::with_release_1().await;
    let stops = StopsAt { number, stop: deployment.environment.stop().clone(), met: AtomicBool::default() };
    let stops = Arc::new(stops);
    let cluster = Arc::new(Disturbed::new(deployment.cluster(), stops.clone()));
    let report = deployment.migrator(cluster, registry(release)).migrate().await;
    if !stops.met.load(Ordering::Relaxed) {
        assert_eq!(report.outcome, Outcome::Migrated, "{what}: {report:?}");
        return None;
    }
    let has_ended_early = report.outcome == Outcome::Failed;
    if has_ended_early {
        let error = report.error.as_ref().expect("a reason");
        assert!(error.message.contains("stopped"), "{what}: {report:?}");
    } else {
        assert!(matches!(report.outcome, Outcome::Migrated), "{what}: {report:?}");
    }
    assert_takes_writes(&deployment, &what).await;
    let next = deployment.another_process();
    let status = next.migrator(next.cluster(), registry(release)).status().await.expect("answered");
    assert!(status.blockers.is_empty(), "{what}: {status:?}");
    assert!(!status.lease.is_some_and(|lease| lease.held), "{what}");
    let clock = next.environment.clock();
    let begun = clock.monotonic();
    let again = next.migrator(next.cluster(), registry(release)).migrate().await;
    assert!(matches!(again.outcome, Outcome::Migrated | Outcome::NothingToDo), "{what}: {again:?}");
    assert!(clock.monotonic() - begun < Duration::from_secs(2), "{what}: it waited");
    Some(has_ended_early)
}

/// Asserts that all indices take writes, and that no point in time is open.
pub(super) async fn assert_takes_writes(deployment: &Deployment, what: &str) {
    assert_eq!(deployment.memory().open_points_in_time(), 0, "{what}");
    for group in ["connectors", "vaults"] {
        let names = deployment.prefix.group(group);
        let found = deployment.cluster().indices(&[names.alias()]).await.expect("answered");
        let (index, state) = found.first_key_value().expect("it is there");
        let generation = names.generation(index).expect("a generation");
        assert!(state.aliases.contains_key(&names.write_alias(generation)), "{what}: {index}: {state:?}");
        assert!(!state.write_blocked, "{what}: {index}");
    }
}
