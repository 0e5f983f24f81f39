//! A crash at every state: the cases are made from the requests of an undisturbed run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use saved_objects::cluster::memory::HeldBack;
use saved_objects::migrate::{Outcome, Report, State};

use super::deployment::{Deployment, Job, Stored, in_its_own_time, process};
use super::disturbed::{Call, Disturber, Fate};
use super::types::registry;
use saved_objects::cluster::Cluster;

/// A migration to disturb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    Create,
    InPlace,
    Copy,
    /// A copy that finds a bad document, and is undone.
    AbortedCopy,
    /// The documents of a removed type are deleted.
    Removal,
    /// An index that Kibana wrote is taken over.
    TakeOver,
    /// A take-over that finds a secret that cannot be decrypted, and is undone.
    AbortedTakeOver,
}

const SCENARIOS: [Scenario; 7] = [
    Scenario::Create,
    Scenario::InPlace,
    Scenario::Copy,
    Scenario::AbortedCopy,
    Scenario::Removal,
    Scenario::TakeOver,
    Scenario::AbortedTakeOver,
];

impl Scenario {
    async fn deployment(self) -> Deployment {
        match self {
            Self::Create => Deployment::new(),
            Self::InPlace | Self::Copy | Self::Removal => Deployment::with_release_1().await,
            Self::AbortedCopy => {
                let deployment = Deployment::with_release_1().await;
                deployment.add_bad_vault().await;
                deployment
            }
            Self::TakeOver => Deployment::of_kibana(true).await,
            Self::AbortedTakeOver => Deployment::of_kibana(false).await,
        }
    }

    fn job(self) -> Job {
        let release = match self {
            Self::Create | Self::Copy | Self::AbortedCopy => 3,
            Self::InPlace | Self::Removal => 2,
            Self::TakeOver | Self::AbortedTakeOver => 2,
        };
        let take_over = matches!(self, Self::TakeOver | Self::AbortedTakeOver);
        Job { release, delete_removed: self == Self::Removal, take_over, without_lease: false }
    }

    /// Returns whether a late write of this request is a case that no other scenario has: the requests of a take-over
    /// are slow, and its lease is that of a copy.
    fn is_late_of_its_own(self, call: &Call) -> bool {
        let is_take_over = matches!(self, Self::TakeOver | Self::AbortedTakeOver);
        !is_take_over || State::NAMES.contains(&call.state) && call.state != "ended"
    }

    fn is_ended_well(self, report: &Report) -> bool {
        match self {
            Self::AbortedCopy | Self::AbortedTakeOver => report.outcome == Outcome::Failed && report.bad_total > 0,
            _ => matches!(report.outcome, Outcome::Migrated | Outcome::NothingToDo | Outcome::Waited),
        }
    }
}

/// Lets every request be done, and records the requests.
#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Vec<Call>>);

#[async_trait]
impl Disturber for Recorder {
    async fn fate(&self, call: &Call) -> Fate {
        self.0.lock().expect("not poisoned").push(call.clone());
        Fate::Done
    }
}

/// Disturbs one request.
#[derive(Debug)]
struct Once {
    number: usize,
    fate: Fate,
    met: Mutex<Option<Call>>,
}

#[async_trait]
impl Disturber for Once {
    async fn fate(&self, call: &Call) -> Fate {
        if call.number != self.number {
            return Fate::Done;
        }
        *self.met.lock().expect("not poisoned") = Some(call.clone());
        self.fate
    }
}

/// Holds one write back, and kills its sender.
#[derive(Debug)]
struct HoldBack {
    deployment: Deployment,
    number: usize,
    held: Mutex<Option<HeldBack>>,
}

#[async_trait]
impl Disturber for HoldBack {
    async fn fate(&self, call: &Call) -> Fate {
        if call.number != self.number {
            return Fate::Done;
        }
        *self.held.lock().expect("not poisoned") = Some(self.deployment.memory().hold_back(|_| true));
        Fate::Unheard
    }
}

/// Lets a held write land before one of the requests of another process.
#[derive(Debug)]
pub(super) struct Land {
    pub(super) before: usize,
    pub(super) held: Mutex<Option<HeldBack>>,
}

#[async_trait]
impl Disturber for Land {
    async fn fate(&self, call: &Call) -> Fate {
        if call.number == self.before {
            let held = self.held.lock().expect("not poisoned").take();
            drop(held.and_then(HeldBack::land));
        }
        Fate::Done
    }
}

/// Starts undisturbed processes until one ends well. One process must do it; another finds nothing to do.
async fn restart(scenario: Scenario, deployment: &Deployment, what: &str) -> Stored {
    let report = process(deployment, scenario.job(), Arc::<Recorder>::default()).await.expect("it is not killed");
    assert!(scenario.is_ended_well(&report), "{what}: the restart did not end well: {report:#?}");
    if !matches!(scenario, Scenario::AbortedCopy | Scenario::AbortedTakeOver) {
        let again = process(deployment, scenario.job(), Arc::<Recorder>::default()).await.expect("it is not killed");
        assert_eq!(again.outcome, Outcome::NothingToDo, "{what}: once more: {again:#?}");
    }
    deployment.stored().await
}

/// Returns the requests of an undisturbed run, and what it stores.
async fn undisturbed(scenario: Scenario) -> (Vec<Call>, Stored) {
    let deployment = scenario.deployment().await;
    let recorder = Arc::<Recorder>::default();
    let report = process(&deployment, scenario.job(), recorder.clone()).await.expect("it is not killed");
    assert!(scenario.is_ended_well(&report), "{scenario:?}: {report:#?}");
    assert_eq!(deployment.memory().open_points_in_time(), 0, "{scenario:?}: a point in time was left open");
    let calls = std::mem::take(&mut *recorder.0.lock().expect("not poisoned"));
    (calls, deployment.stored().await)
}

pub(crate) fn a_crash_at_every_state_is_healed_by_the_next_start() {
    let points = [Fate::Unsent, Fate::Unheard, Fate::Heard, Fate::Lost];
    let mut reached: BTreeMap<Fate, BTreeSet<&'static str>> = BTreeMap::new();
    let mut cases = 0;
    for scenario in SCENARIOS {
        let (calls, expected) = in_its_own_time(undisturbed(scenario));
        for call in &calls {
            let half = (call.operations > 1).then_some(Fate::Half);
            for fate in points.into_iter().chain(half) {
                let met = in_its_own_time(crash(scenario, call, fate, &expected));
                reached.entry(fate).or_default().insert(met.state);
                cases += 1;
            }
        }
    }
    for fate in points {
        let missed: Vec<_> = State::NAMES.iter().filter(|name| !reached[&fate].contains(*name)).collect();
        assert!(missed.is_empty(), "no case of {fate:?} reached the states {missed:?}");
    }
    // The requests that write documents; the last ones delete those of removed types.
    for name in ["convert", "fill", "ended"] {
        assert!(reached[&Fate::Half].contains(name), "no bulk was cut in the state {name}");
    }
    println!("{cases} crashes");
}

async fn crash(scenario: Scenario, call: &Call, fate: Fate, expected: &Stored) -> Call {
    let what = format!("{scenario:?}, {fate:?} at {call:?}");
    let deployment = scenario.deployment().await;
    let once = Arc::new(Once { number: call.number, fate, met: Mutex::default() });
    let report = process(&deployment, scenario.job(), once.clone()).await;
    let met = once.met.lock().expect("not poisoned").take();
    let met = met.unwrap_or_else(|| panic!("{what}: the request was not sent: {report:?}"));
    let stored = restart(scenario, &deployment, &what).await;
    assert_eq!(&stored, expected, "{what}");
    met
}

pub(crate) fn a_write_that_lands_late_changes_nothing() {
    let mut cases = 0;
    for scenario in SCENARIOS {
        let (calls, expected) = in_its_own_time(undisturbed(scenario));
        for call in calls.iter().filter(|call| call.is_write() && scenario.is_late_of_its_own(call)) {
            // Before each request of the next process, until that process has ended.
            for before in 0.. {
                let landed = in_its_own_time(land_late(scenario, call, before, &expected));
                cases += 1;
                if !landed {
                    break;
                }
            }
        }
    }
    println!("{cases} writes landed late");
}

/// Returns whether the write landed while the second process was working; otherwise it lands after the process has
/// ended.
async fn land_late(scenario: Scenario, call: &Call, before: usize, expected: &Stored) -> bool {
    let what = format!("{scenario:?}, {call:?} lands before request {before} of the next process");
    let deployment = scenario.deployment().await;
    let hold_back = Arc::new(HoldBack { deployment: deployment.clone(), number: call.number, held: Mutex::default() });
    assert!(process(&deployment, scenario.job(), hold_back.clone()).await.is_none(), "{what}: it was not killed");
    let held = hold_back.held.lock().expect("not poisoned").take();
    let land = Arc::new(Land { before, held: Mutex::new(held) });
    let report = process(&deployment, scenario.job(), land.clone()).await.expect("it is not killed");
    let late = land.held.lock().expect("not poisoned").take();
    let landed = late.is_none();
    drop(late.and_then(HeldBack::land));
    let report = lift_late_block(scenario, call, &deployment, report).await;
    assert!(scenario.is_ended_well(&report), "{what}: {report:#?}");
    // It may have landed after everything that the process did.
    lift_late_block(scenario, call, &deployment, blocked_now(scenario, &deployment).await).await;
    let stored = restart(scenario, &deployment, &what).await;
    assert_eq!(&stored, expected, "{what}");
    landed
}

/// Returns what a start would report of the deployment.
async fn blocked_now(scenario: Scenario, deployment: &Deployment) -> Report {
    deployment.migrator(deployment.cluster(), registry(scenario.job().release)).describe().await
}

/// A write block that lands after its copy was undone has no mark: a start reports it, and the hint says how to lift
/// it.
async fn lift_late_block(scenario: Scenario, call: &Call, deployment: &Deployment, report: Report) -> Report {
    let is_blocked = report.blockers.iter().any(|blocker| blocker.what.contains("has a write block"));
    if call.method != "add_write_block" || !is_blocked {
        return report;
    }
    for (index, state) in deployment.memory().indices(&["*"]).await.expect("answered") {
        if state.write_blocked && report.blockers.iter().any(|blocker| blocker.hint.contains(&format!("/{index}/"))) {
            deployment.memory().remove_write_block(&index).await.expect("lifted");
        }
    }
    process(deployment, scenario.job(), Arc::<Recorder>::default()).await.expect("it is not killed")
}
