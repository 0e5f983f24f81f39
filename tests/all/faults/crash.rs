//! A crash at every state (design section 7): the cases are made from what an undisturbed run asks of the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use saved_objects::cluster::memory::HeldBack;
use saved_objects::migrate::{Outcome, Report, State};

use super::disturbed::{Call, Disturber, Fate};
use super::room::{Job, Room, Stored, in_its_own_time, process};
use super::types::registry;
use saved_objects::cluster::Cluster;

/// A migration that is disturbed.
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
    /// A take-over that finds a secret that does not open, and is undone.
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
    async fn room(self) -> Room {
        match self {
            Self::Create => Room::new(),
            Self::InPlace | Self::Copy | Self::Removal => Room::with_release_1().await,
            Self::AbortedCopy => {
                let room = Room::with_release_1().await;
                room.add_bad_vault().await;
                room
            }
            Self::TakeOver => Room::of_kibana(true).await,
            Self::AbortedTakeOver => Room::of_kibana(false).await,
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

    /// Whether a late write of it is one that no other scenario has: a take-over's cost milliseconds each, and its lease is
    /// that of a copy.
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

/// Lets everything be done, and remembers what was asked.
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

/// Holds back one write, and kills its sender.
#[derive(Debug)]
struct HoldBack {
    room: Room,
    number: usize,
    held: Mutex<Option<HeldBack>>,
}

#[async_trait]
impl Disturber for HoldBack {
    async fn fate(&self, call: &Call) -> Fate {
        if call.number != self.number {
            return Fate::Done;
        }
        *self.held.lock().expect("not poisoned") = Some(self.room.memory().hold_back(|_| true));
        Fate::Unheard
    }
}

/// Lets a held back write land before one of the requests of another process.
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

/// Starts processes that nobody disturbs until one ends well: one must do, another finds nothing to do.
async fn restart(scenario: Scenario, room: &Room, what: &str) -> Stored {
    let report = process(room, scenario.job(), Arc::<Recorder>::default()).await.expect("nobody kills it");
    assert!(scenario.is_ended_well(&report), "{what}: the restart did not end well: {report:#?}");
    if !matches!(scenario, Scenario::AbortedCopy | Scenario::AbortedTakeOver) {
        let again = process(room, scenario.job(), Arc::<Recorder>::default()).await.expect("nobody kills it");
        assert_eq!(again.outcome, Outcome::NothingToDo, "{what}: once more: {again:#?}");
    }
    room.stored().await
}

/// What an undisturbed run asks, and what it leaves.
async fn undisturbed(scenario: Scenario) -> (Vec<Call>, Stored) {
    let room = scenario.room().await;
    let recorder = Arc::<Recorder>::default();
    let report = process(&room, scenario.job(), recorder.clone()).await.expect("nobody kills it");
    assert!(scenario.is_ended_well(&report), "{scenario:?}: {report:#?}");
    assert_eq!(room.memory().open_points_in_time(), 0, "{scenario:?}: a point in time was left open");
    let calls = std::mem::take(&mut *recorder.0.lock().expect("not poisoned"));
    (calls, room.stored().await)
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
    // Those that write documents; at the end, those of removed types are deleted.
    for name in ["convert", "fill", "ended"] {
        assert!(reached[&Fate::Half].contains(name), "no bulk was cut in the state {name}");
    }
    println!("{cases} crashes");
}

async fn crash(scenario: Scenario, call: &Call, fate: Fate, expected: &Stored) -> Call {
    let what = format!("{scenario:?}, {fate:?} at {call:?}");
    let room = scenario.room().await;
    let once = Arc::new(Once { number: call.number, fate, met: Mutex::default() });
    let report = process(&room, scenario.job(), once.clone()).await;
    let met = once.met.lock().expect("not poisoned").take();
    let met = met.unwrap_or_else(|| panic!("{what}: the request was not sent: {report:?}"));
    let stored = restart(scenario, &room, &what).await;
    assert_eq!(&stored, expected, "{what}");
    met
}

pub(crate) fn a_write_that_lands_late_changes_nothing() {
    let mut cases = 0;
    for scenario in SCENARIOS {
        let (calls, expected) = in_its_own_time(undisturbed(scenario));
        for call in calls.iter().filter(|call| call.is_write() && scenario.is_late_of_its_own(call)) {
            // Before each request of the next process, until that has ended.
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

/// Whether the write landed while the second process was at work; else it does after it has ended.
async fn land_late(scenario: Scenario, call: &Call, before: usize, expected: &Stored) -> bool {
    let what = format!("{scenario:?}, {call:?} lands before request {before} of the next process");
    let room = scenario.room().await;
    let hold_back = Arc::new(HoldBack { room: room.clone(), number: call.number, held: Mutex::default() });
    assert!(process(&room, scenario.job(), hold_back.clone()).await.is_none(), "{what}: it was not killed");
    let held = hold_back.held.lock().expect("not poisoned").take();
    let land = Arc::new(Land { before, held: Mutex::new(held) });
    let report = process(&room, scenario.job(), land.clone()).await.expect("nobody kills it");
    let late = land.held.lock().expect("not poisoned").take();
    let landed = late.is_none();
    drop(late.and_then(HeldBack::land));
    let report = lift_late_block(scenario, call, &room, report).await;
    assert!(scenario.is_ended_well(&report), "{what}: {report:#?}");
    // It may have landed after all that the process did.
    lift_late_block(scenario, call, &room, blocked_now(scenario, &room).await).await;
    let stored = restart(scenario, &room, &what).await;
    assert_eq!(&stored, expected, "{what}");
    landed
}

/// What a start would say of the room.
async fn blocked_now(scenario: Scenario, room: &Room) -> Report {
    room.migrator(room.cluster(), registry(scenario.job().release)).describe().await
}

/// A write block that lands after its copy was undone has no mark: a start names it, and it is lifted as the hint says.
async fn lift_late_block(scenario: Scenario, call: &Call, room: &Room, report: Report) -> Report {
    let is_blocked = report.blockers.iter().any(|blocker| blocker.what.contains("has a write block"));
    if call.method != "add_write_block" || !is_blocked {
        return report;
    }
    for (index, state) in room.memory().indices(&["*"]).await.expect("answered") {
        if state.write_blocked && report.blockers.iter().any(|blocker| blocker.cure.contains(&format!("/{index}/"))) {
            room.memory().remove_write_block(&index).await.expect("lifted");
        }
    }
    process(room, scenario.job(), Arc::<Recorder>::default()).await.expect("nobody kills it")
}
