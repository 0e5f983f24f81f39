//! Requests that land long after they were sent, and other events that must not undo what users did meanwhile. In
//! memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use saved_objects::cluster::memory::{HeldBack, Write};
use saved_objects::cluster::{AliasAction, Cluster};
use saved_objects::layout::Mark;
use saved_objects::migrate::{Outcome, Report};
use saved_objects::registry::Registry;
use saved_objects::repository::{Draft, ObjectKey};
use saved_objects::{ErrorKind, SavedObjects, Start};

use super::crash::Recorder;
use super::deployment::{Deployment, Job, in_its_own_time, process};
use super::disturbed::{At, Call, Disturbed, Disturber, Fate};
use super::types::{registry, types};
use crate::context::key_ring;

/// A copy to the newest release.
pub(super) const COPY: Job = Job { release: 3, delete_removed: false, take_over: false, without_lease: false };
const IN_PLACE: Job = Job { release: 2, ..COPY };

fn is_well(report: &Report) -> bool {
    matches!(report.outcome, Outcome::Migrated | Outcome::NothingToDo | Outcome::Waited)
}

/// Holds back the first write that matches `is_meant`, and kills its sender.
#[derive(Debug)]
struct KillAt {
    deployment: Deployment,
    method: &'static str,
    state: &'static str,
    /// How many matching requests come before the held one.
    earlier: AtomicUsize,
    is_meant: fn(&Write) -> bool,
    held: Mutex<Option<HeldBack>>,
}

impl KillAt {
    fn new(
        deployment: &Deployment,
        (state, method, earlier): (&'static str, &'static str, usize),
        is_meant: fn(&Write) -> bool,
    ) -> Arc<Self> {
        let earlier = AtomicUsize::new(earlier);
        Arc::new(Self { deployment: deployment.clone(), method, state, earlier, is_meant, held: Mutex::default() })
    }

    fn held(&self) -> Option<HeldBack> {
        self.held.lock().expect("not poisoned").take()
    }
}

#[async_trait]
impl Disturber for KillAt {
    async fn fate(&self, call: &Call) -> Fate {
        let is_earlier = |left: usize| left.checked_sub(1);
        if (call.method, call.state) != (self.method, self.state)
            || self.earlier.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_earlier).is_ok()
        {
            return Fate::Done;
        }
        *self.held.lock().expect("not poisoned") = Some(self.deployment.memory().hold_back(self.is_meant));
        Fate::Unheard
    }
}

fn give_to_lee(draft: &mut Draft) -> saved_objects::Result<()> {
    draft.attributes.insert("owner".to_owned(), "lee".into());
    Ok(())
}

fn quiet() -> Arc<Recorder> {
    Arc::default()
}

/// A bulk of a copy is under way while another process ends the copy and a user deletes a copied object.
pub(crate) fn what_is_deleted_after_a_swap_stays_deleted() {
    in_its_own_time(async {
        let deployment = Deployment::with_release_1().await;
        let is_fill = |write: &Write| matches!(write, Write::Bulk { alias, .. } if alias.contains("-fill-"));
        let killed = KillAt::new(&deployment, ("fill", "bulk", 0), is_fill);
        assert!(process(&deployment, COPY, killed.clone()).await.is_none(), "it was to be killed while it fills");
        let report = process(&deployment, COPY, quiet()).await.expect("it is not killed");
        assert!(is_well(&report), "{report:#?}");
        let repository = deployment.repository(deployment.cluster(), 3, Start::Skip).await;
        // All objects, since the first bulk of a copy has one document, which may be any of them.
        let keys = (0..5).map(|number| ObjectKey::new("vault", format!("v{number}"))).collect::<Vec<_>>();
        for key in &keys {
            repository.delete(key).await.expect("deleted");
        }
        let outcomes = killed.held().and_then(HeldBack::land).expect("it was sent").expect("answered");
        assert!(!outcomes.is_empty() && outcomes.iter().all(Result::is_err), "{outcomes:?}");
        let none_is_back = async || {
            for key in &keys {
                assert_eq!(repository.get_opt(key).await.expect("answered"), None, "it is revived");
            }
        };
        none_is_back().await;
        let again = process(&deployment, COPY, quiet()).await.expect("it is not killed");
        assert_eq!(again.outcome, Outcome::NothingToDo, "{again:#?}");
        none_is_back().await;
    });
}

/// Lets a held swap land before one of the requests of another process. Records the state of that process, and whether
/// the swap was done.
#[derive(Debug)]
struct LateSwap {
    before: usize,
    held: Mutex<Option<HeldBack>>,
    landed: Mutex<Option<(&'static str, bool)>>,
}

#[async_trait]
impl Disturber for LateSwap {
    async fn fate(&self, call: &Call) -> Fate {
        if call.number == self.before {
            let held = self.held.lock().expect("not poisoned").take();
            let answer = held.and_then(HeldBack::land).expect("it was sent");
            *self.landed.lock().expect("not poisoned") = Some((call.state, answer.is_ok()));
        }
        Fate::Done
    }
}

/// An older node undoes a copy whose swap is still under way, a user writes, and the copy is made again.
pub(crate) fn a_swap_that_was_sent_long_ago_loses_no_update() {
    for before in 0.. {
        if !in_its_own_time(late_swap(before)) {
            assert!(before > 20, "it landed before {before} requests only");
            return;
        }
    }
}

/// Returns whether the swap landed before request `before` of the process that copies again; otherwise it lands after
/// the process has ended.
async fn late_swap(before: usize) -> bool {
    let deployment = Deployment::with_release_1().await;
    let is_swap = |write: &Write| match write {
        Write::UpdateAliases(actions) => actions
            .iter()
            .any(|action| matches!(action, AliasAction::Add { alias, .. } if alias.ends_with("-000002-write"))),
        _ => false,
    };
    let killed = KillAt::new(&deployment, ("swap", "update_aliases", 0), is_swap);
    assert!(process(&deployment, COPY, killed.clone()).await.is_none(), "it was to be killed while it swaps");
    let older = process(&deployment, Job { release: 1, ..COPY }, quiet()).await.expect("it is not killed");
    assert!(is_well(&older), "{older:#?}");
    let key = ObjectKey::new("vault", "v1");
    let old = deployment.repository(deployment.cluster(), 1, Start::Skip).await;
    old.update(&key, give_to_lee).await.expect("the index takes writes again");

    let land = Arc::new(LateSwap { before, held: Mutex::new(killed.held()), landed: Mutex::default() });
    let report = process(&deployment, COPY, land.clone()).await.expect("it is not killed");
    assert!(is_well(&report), "before {before}: {report:#?}");
    let late = land.held.lock().expect("not poisoned").take();
    let landed = *land.landed.lock().expect("not poisoned");
    assert!(!landed.is_some_and(|(_, is_done)| is_done), "before {before}: its mark was gone, and yet {landed:?}");
    drop(late.and_then(HeldBack::land));
    let again = process(&deployment, COPY, quiet()).await.expect("it is not killed");
    assert!(is_well(&again), "before {before}: {again:#?}");
    let new = deployment.repository(deployment.cluster(), 3, Start::Skip).await;
    let owner = new.get(&key).await.expect("it is there").attributes["owner"].clone();
    assert_eq!(owner, "lee", "the swap landed before request {before}, and an update is lost");
    landed.is_some()
}

/// What happens to the source of a copy before one of the copy's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    /// A removal of the write block, sent long ago, lands.
    Unblocked,
    /// Another process undoes the copy, a user writes, and a third process starts another copy.
    UndoneAndBegun,
    /// An operator restores the write alias by hand and lifts the block, and a user writes.
    OpenedByHand,
}

/// Does that once, before the first request of a method in a state.
#[derive(Debug)]
struct Before {
    deployment: Deployment,
    method: &'static str,
    state: &'static str,
    meanwhile: Meanwhile,
    times: AtomicUsize,
}

impl Before {
    fn new(deployment: &Deployment, (state, method): (&'static str, &'static str), meanwhile: Meanwhile) -> Arc<Self> {
        Arc::new(Self { deployment: deployment.clone(), method, state, meanwhile, times: AtomicUsize::new(0) })
    }

    async fn happen(&self) {
        let (memory, names) = (self.deployment.memory(), self.deployment.prefix.group("vaults"));
        let (source, write_alias) = (names.index(1), names.write_alias(1));
        let add = |alias: &str| AliasAction::Add { index: source.clone(), alias: alias.to_owned() };
        let remove = |alias: &str| AliasAction::Remove { index: source.clone(), alias: alias.to_owned() };
        let aliases = async |actions: &[AliasAction]| memory.update_aliases(actions).await.expect("changed");
        match self.meanwhile {
            Meanwhile::Unblocked => {}
            Meanwhile::UndoneAndBegun => {
                let found = memory.indices(&[&source]).await.expect("answered");
                let mark = found[&source].aliases.keys().find(|alias| alias.contains("-copying-")).expect("a mark");
                aliases(&[remove(mark), add(&write_alias)]).await;
            }
            Meanwhile::OpenedByHand => aliases(&[add(&write_alias)]).await,
        }
        memory.remove_write_block(&source).await.expect("lifted");
        let repository = self.deployment.repository(self.deployment.cluster(), 1, Start::Skip).await;
        let updated = repository.update(&ObjectKey::new("vault", "v1"), give_to_lee).await;
        match self.meanwhile {
            Meanwhile::Unblocked => {
                let error = updated.expect_err("the gate is closed, whatever became of the block");
                assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
            }
            _ => drop(updated.expect("it takes writes")),
        }
        if self.meanwhile == Meanwhile::UndoneAndBegun {
            aliases(&[remove(&write_alias), add(&names.mark(1, Mark::Copying, "another"))]).await;
            memory.add_write_block(&source).await.expect("blocked");
        }
    }
}

#[async_trait]
impl Disturber for Before {
    async fn fate(&self, call: &Call) -> Fate {
        if (call.method, call.state) == (self.method, self.state) && self.times.fetch_add(1, Ordering::Relaxed) == 0 {
            self.happen().await;
        }
        Fate::Done
    }
}

/// The requests of a copy between the closing of its source's gate and its swap.
const MOMENTS: [(&str, &str); 12] = [
    ("block_source", "refresh"),
    ("block_source", "history"),
    ("prepare_fill", "indices"),
    ("prepare_fill", "create_index"),
    ("fill", "open_point_in_time"),
    ("fill", "search"),
    ("fill", "bulk"),
    ("block_fill", "add_write_block"),
    ("clone", "clone_index"),
    ("clone", "history"),
    ("check_source", "history"),
    ("swap", "update_aliases"),
];

pub(crate) fn an_update_between_two_copies_is_copied() {
    for moment in MOMENTS {
        in_its_own_time(async {
            let deployment = Deployment::with_release_1().await;
            let before = Before::new(&deployment, moment, Meanwhile::UndoneAndBegun);
            let report = process(&deployment, COPY, before.clone()).await.expect("it is not killed");
            assert!(before.times.load(Ordering::Relaxed) > 0, "{moment:?} never came");
            assert!(is_well(&report), "{moment:?}: {report:#?}");
            let repository = deployment.repository(deployment.cluster(), 3, Start::Skip).await;
            let found = repository.get(&ObjectKey::new("vault", "v1")).await.expect("it is there");
            assert_eq!(found.attributes["owner"], "lee", "{moment:?}: the update is lost");
        });
    }
}

pub(crate) fn an_unblocking_that_lands_late_lets_nothing_through() {
    for moment in MOMENTS {
        in_its_own_time(async {
            let deployment = Deployment::with_release_1().await;
            let before = Before::new(&deployment, moment, Meanwhile::Unblocked);
            let report = process(&deployment, COPY, before.clone()).await.expect("it is not killed");
            assert!(before.times.load(Ordering::Relaxed) > 0, "{moment:?} never came");
            assert!(is_well(&report), "{moment:?}: {report:#?}");
        });
    }
}

pub(crate) fn a_write_that_was_let_through_by_hand_is_told() {
    in_its_own_time(async {
        let deployment = Deployment::with_release_1().await;
        let before = Before::new(&deployment, ("swap", "update_aliases"), Meanwhile::OpenedByHand);
        let report = process(&deployment, COPY, before).await.expect("it is not killed");
        let error = report.error.as_ref().unwrap_or_else(|| panic!("{report:#?}"));
        assert_eq!((report.outcome, error.kind), (Outcome::Failed, ErrorKind::Internal), "{error:?}");
        assert!(error.message.contains("took 1 writes") && error.hint.contains("--rollback"), "{error:?}");
        // Follows the hint.
        let back = deployment.migrator(deployment.cluster(), registry(3)).rollback().await;
        assert_eq!(back.outcome, Outcome::RolledBack, "{back:#?}");
        let again = process(&deployment, COPY, quiet()).await.expect("it is not killed");
        assert!(is_well(&again), "{again:#?}");
        let repository = deployment.repository(deployment.cluster(), 3, Start::Skip).await;
        let found = repository.get(&ObjectKey::new("vault", "v1")).await.expect("it is there");
        assert_eq!(found.attributes["owner"], "lee", "it is not lost");
    });
}

/// The process that undoes a copy is killed: at each of its writes, in each way.
pub(crate) fn an_undoing_that_was_killed_looks_like_no_block_of_somebody_else() {
    for method in ["delete_index", "remove_write_block", "update_aliases"] {
        for fate in [Fate::Unsent, Fate::Unheard] {
            for release in [1, 2] {
                in_its_own_time(killed_undoing(method, fate, release));
            }
        }
    }
    // A copy that was killed as soon as it had its block, too.
    in_its_own_time(killed_copy());
}

/// A copy finds a bad document and is killed while it is undone, and a node of another release starts.
async fn killed_undoing(method: &'static str, fate: Fate, release: u32) {
    let deployment = Deployment::with_release_1().await;
    deployment.add_bad_vault().await;
    let killed = process(&deployment, COPY, Arc::new(At(method, "abort_copy", fate))).await;
    assert!(killed.is_none(), "{method}, {fate:?}: it was not killed");
    let job = Job { release, ..COPY };
    let report = process(&deployment, job, quiet()).await.expect("it is not killed");
    // The bad document is bad for the second release too, and nothing else may be bad.
    let is_fine = if release == 1 { is_well(&report) } else { report.bad_total == 1 && report.blockers.is_empty() };
    assert!(is_fine, "{method}, {fate:?}, {release}: {report:#?}");
    takes_writes_again(&deployment, &format!("{method}, {fate:?}, {release}")).await;
}

async fn killed_copy() {
    let deployment = Deployment::with_release_1().await;
    let at = Arc::new(At("add_write_block", "block_source", Fate::Unheard));
    assert!(process(&deployment, COPY, at).await.is_none(), "it was not killed");
    let report = process(&deployment, Job { release: 1, ..COPY }, quiet()).await.expect("it is not killed");
    assert!(is_well(&report), "{report:#?}");
    takes_writes_again(&deployment, "a copy that only blocked").await;
}

/// Asserts that the index is usable for a node that knows nothing of the copy.
async fn takes_writes_again(deployment: &Deployment, what: &str) {
    let names = deployment.prefix.group("vaults");
    let indices = deployment.memory().indices(&[&names.any()]).await.expect("answered");
    let index = &indices[&names.index(1)];
    assert!(!index.write_blocked, "{what}: {indices:#?}");
    assert_eq!(index.aliases.keys().collect::<Vec<_>>(), [names.alias(), &names.write_alias(1)], "{what}");
    assert!(indices.keys().all(|name| !names.is_fill(name)), "{what}: {indices:#?}");
}

/// From one request on, refuses everything except the closing of points in time.
#[derive(Debug)]
struct RefusedFrom(usize);

#[async_trait]
impl Disturber for RefusedFrom {
    async fn fate(&self, call: &Call) -> Fate {
        if call.number >= self.0 && call.method != "close_point_in_time" { Fate::Refused } else { Fate::Done }
    }
}

pub(crate) fn an_error_anywhere_leaves_no_point_in_time_open() {
    for job in [IN_PLACE, COPY] {
        for from in 0.. {
            let ended = in_its_own_time(async {
                let deployment = Deployment::with_release_1().await;
                let report = process(&deployment, job, Arc::new(RefusedFrom(from))).await.expect("it is not killed");
                assert_eq!(
                    deployment.memory().open_points_in_time(),
                    0,
                    "{job:?}, refused from {from} on: {report:#?}"
                );
                is_well(&report)
            });
            if ended {
                assert!(from > 20, "{job:?} ended after {from} requests");
                break;
            }
        }
    }
}

/// Refuses every alias change, as if another process was always faster.
#[derive(Debug, Default)]
struct AlwaysMoved {
    swaps: AtomicUsize,
}

#[async_trait]
impl Disturber for AlwaysMoved {
    async fn fate(&self, call: &Call) -> Fate {
        if call.state != "swap" || call.method != "update_aliases" {
            return Fate::Done;
        }
        self.swaps.fetch_add(1, Ordering::Relaxed);
        Fate::Moved
    }
}

pub(crate) fn a_start_that_is_moved_again_and_again_ends() {
    in_its_own_time(async {
        let deployment = Deployment::with_release_1().await;
        let moved = Arc::<AlwaysMoved>::default();
        let begun = tokio::time::Instant::now();
        let report = process(&deployment, COPY, moved.clone()).await.expect("it is not killed");
        assert_eq!(report.error.as_ref().map(|error| error.kind), Some(ErrorKind::Conflict), "{report:#?}");
        let (tries, took) = (moved.swaps.load(Ordering::Relaxed), begun.elapsed());
        assert!((20..200).contains(&tries), "{tries} tries");
        assert!((5..60).contains(&took.as_secs()), "it took {took:?}");
    });
}

/// Does the first bulk of a copy, and does not answer its sender.
#[derive(Debug, Default)]
struct FirstFillUnknown(AtomicUsize);

#[async_trait]
impl Disturber for FirstFillUnknown {
    async fn fate(&self, call: &Call) -> Fate {
        let is_fill = (call.method, call.state) == ("bulk", "fill");
        if is_fill && self.0.fetch_add(1, Ordering::Relaxed) == 0 { Fate::Lost } else { Fate::Done }
    }
}

pub(crate) fn a_copy_goes_on_after_a_bulk_that_may_have_been_done() {
    in_its_own_time(async {
        let deployment = Deployment::with_release_1().await;
        let unknown = Arc::<FirstFillUnknown>::default();
        let report = process(&deployment, COPY, unknown.clone()).await.expect("it is not killed");
        assert_eq!(report.outcome, Outcome::Migrated, "{report:#?}");
        assert!(unknown.0.load(Ordering::Relaxed) > 1, "it is filled again");
        let again = process(&deployment, COPY, quiet()).await.expect("it is not killed");
        assert_eq!(again.outcome, Outcome::NothingToDo, "{again:#?}");
    });
}

pub(crate) fn a_deadline_ends_a_start_that_is_moved_again_and_again() {
    in_its_own_time(async {
        let deployment = Deployment::with_release_1().await;
        let cluster = Arc::new(Disturbed::new(deployment.cluster(), Arc::<AlwaysMovedAnywhere>::default()));
        let registry = Registry::builder().with(types(3)).build().expect("the types go together");
        let builder = SavedObjects::builder(registry).cluster(cluster).prefix(deployment.prefix.clone());
        let builder = builder.key_ring(key_ring()).environment(deployment.environment.clone());
        let begun = tokio::time::Instant::now();
        let error = builder.deadline(Duration::from_secs(3)).start(Start::Migrate).await.expect_err("it is too late");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(begun.elapsed() < Duration::from_secs(4), "it took {:?}", begun.elapsed());
    });
}

/// Like [`AlwaysMoved`], for a process that does not report its state.
#[derive(Debug, Default)]
struct AlwaysMovedAnywhere;

#[async_trait]
impl Disturber for AlwaysMovedAnywhere {
    async fn fate(&self, call: &Call) -> Fate {
        if call.method == "update_aliases" { Fate::Moved } else { Fate::Done }
    }
}
