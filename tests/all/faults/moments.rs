//! A snapshot of any moment of a copy is restored after users have gone on: nothing that they wrote is deleted without the
//! operator, and what a start says leads to an end. In memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use saved_objects::Start;
use saved_objects::cluster::Cluster;
use saved_objects::cluster::memory::{RestoreOptions, Snapshot};
use saved_objects::migrate::{Blocker, Outcome};
use saved_objects::repository::{Create, ObjectKey, Repository};
use serde_json::json;

use super::disturbed::{Call, Disturber, Fate};
use super::late::COPY;
use super::room::{Room, in_its_own_time, process};
use super::types::registry;
use crate::context::{Context, MEMORY};
use crate::healing::cure;
use crate::migration::object;

/// How often a start may be blocked by something else before it must end well.
const MOST_BLOCKERS: usize = 8;

/// Takes a snapshot of all indices before one request of a process.
#[derive(Debug)]
struct SnapshotBefore {
    room: Room,
    number: usize,
    taken: Mutex<Option<(Snapshot, Vec<String>)>>,
}

#[async_trait]
impl Disturber for SnapshotBefore {
    async fn fate(&self, call: &Call) -> Fate {
        if call.number == self.number {
            let found = self.room.memory().indices(&["*"]).await.expect("answered");
            let names: Vec<&str> = found.keys().map(String::as_str).collect();
            let snapshot = self.room.memory().snapshot(&names).expect("they are there");
            *self.taken.lock().expect("not poisoned") = Some((snapshot, found.into_keys().collect()));
        }
        Fate::Done
    }
}

/// What an operator restores, how, and what the operator does next.
#[derive(Debug, Clone, Copy)]
struct Case {
    number: usize,
    /// All indices of the snapshot, or only the one that was copied.
    all: bool,
    /// Over the indices as they are, which are closed for it, or after their deletion.
    over_closed: bool,
    /// The release that is started.
    release: u32,
    /// Which generation the operator takes for the current one where there is a choice.
    newest: bool,
}

pub(crate) fn a_restored_moment_of_a_copy_loses_nothing() {
    let mut cases = 0;
    let (mut blocked, mut beside) = (0, 0);
    for number in 0.. {
        let mut is_reached = false;
        for (all, over_closed) in [(true, true), (true, false), (false, true), (false, false)] {
            for (release, newest) in [(1, false), (3, false), (3, true)] {
                let case = Case { number, all, over_closed, release, newest };
                let Some(told) = in_its_own_time(restored(case)) else { continue };
                is_reached = true;
                cases += 1;
                blocked += usize::from(told.blockers > 0);
                beside += usize::from(told.kept_beside);
            }
        }
        if !is_reached {
            break;
        }
    }
    println!("{cases} restored moments: {blocked} were blocked, {beside} kept a generation that users had written to");
    assert!(cases > 400 && blocked > 100 && beside > 50);
}

struct Told {
    blockers: usize,
    /// Whether what users wrote is in a generation that is not current.
    kept_beside: bool,
}

/// None if the copy has fewer requests.
async fn restored(case: Case) -> Option<Told> {
    let room = Room::with_release_1().await;
    let before = Arc::new(SnapshotBefore { room: room.clone(), number: case.number, taken: Mutex::default() });
    let report = process(&room, COPY, before.clone()).await.expect("nobody kills it");
    assert_eq!(report.outcome, Outcome::Migrated, "{case:?}: {report:?}");
    let (snapshot, mut names) = before.taken.lock().expect("not poisoned").take()?;
    create(&room.repository(room.cluster(), 3, Start::Skip).await, "late").await;
    let vaults = room.prefix.group("vaults");
    let (first, second) = (vaults.index(1), vaults.index(2));
    // What users wrote is gone only if the operator restored something else over it.
    names.retain(|name| case.all || *name == first);
    let is_kept = !names.contains(&second);
    restore(&room, &snapshot, &names, case.over_closed).await;

    let blockers = started(&room, case).await;
    let holds = async |index: &str| room.memory().get(index, "vault:late").await.ok().flatten().is_some();
    let is_current = holds(vaults.alias()).await;
    if is_kept {
        assert!(holds(&second).await, "{case:?}: what users wrote is gone");
        assert!(is_current || !case.newest, "{case:?}: the operator chose the newest generation");
    }
    // What was there from the beginning is in every generation, and users go on.
    let newest = room.migrator(room.cluster(), registry(3)).migrate().await;
    assert!(is_well(newest.outcome), "{case:?}: {newest:?}");
    let repository = room.repository(room.cluster(), 3, Start::Skip).await;
    for number in 0..5 {
        repository.get(&ObjectKey::new("vault", format!("v{number}"))).await.expect("not lost");
    }
    create(&repository, "end").await;
    if is_kept {
        assert!(holds(&second).await, "{case:?}: what users wrote is gone after another start");
    }
    Some(Told { blockers, kept_beside: is_kept && !is_current })
}

async fn create(repository: &Repository, id: &str) {
    let vault = Create::new("vault", object(json!({"title": "t", "owner": "kim"}))).id(id);
    repository.create(vault).await.expect("it takes writes");
}

async fn restore(room: &Room, snapshot: &Snapshot, names: &[String], over_closed: bool) {
    let memory = room.memory();
    for name in names {
        if !over_closed && memory.indices(&[name]).await.expect("answered").contains_key(name) {
            memory.delete_index(name).await.expect("deleted");
        }
        memory.restore(snapshot, name, RestoreOptions { with_aliases: true, over_closed }).expect("restored");
    }
}

fn is_well(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Migrated | Outcome::NothingToDo | Outcome::Waited)
}

/// Starts, and does what the hints say until a start ends well. Gives how many blockers there were.
async fn started(room: &Room, case: Case) -> usize {
    let mut release = case.release;
    for blockers in 0..MOST_BLOCKERS {
        let report = room.migrator(room.cluster(), registry(release)).migrate().await;
        if is_well(report.outcome) {
            return blockers;
        }
        assert_eq!(report.outcome, Outcome::Blocked, "{case:?}, release {release}: {report:?}");
        assert!(report.blockers.iter().all(|blocker| !blocker.cure.is_empty()), "{case:?}: {report:?}");
        let blocker = &report.blockers[0];
        if blocker.cure.starts_with("run software that knows the newer version") {
            release = 3;
        } else {
            follow(room, case, blocker).await;
        }
    }
    panic!("{case:?}: it was blocked {MOST_BLOCKERS} times");
}

/// Does what a hint says.
async fn follow(room: &Room, case: Case, blocker: &Blocker) {
    let context = Context {
        url: MEMORY.to_owned(),
        prefix: room.prefix.clone(),
        environment: room.environment.clone(),
        memory: Some(room.memory().clone()),
    };
    if blocker.what.contains("points to several indices: ") {
        let (start, all) = blocker.what.split_once(" points to several indices: ").expect("it is in it");
        let (older, newer) = all.split_once(", ").expect("two of them");
        let other = if case.newest { older } else { newer };
        let alias = start.trim_start_matches("the alias ");
        cure(&context, blocker, &[("<the other>", other), ("<alias>", alias)]).await;
    } else if let Some((other, rest)) = blocker.what.split_once(" still has its alias for writes, ") {
        let current = rest.split(" is the current index").next().and_then(|rest| rest.split(' ').next_back());
        let current = current.expect("it names the current one");
        // The newer one is kept, or the older one.
        let start = match (other > current) == case.newest {
            true => format!("If {other} holds"),
            false => format!("If {current} does"),
        };
        let at = blocker.cure.find(&start).unwrap_or_else(|| panic!("{start:?} is in {blocker:?}"));
        cure(&context, &Blocker { what: blocker.what.clone(), cure: blocker.cure[at..].to_owned() }, &[]).await;
    } else if let Some(rest) = blocker.what.strip_prefix("the index ").filter(|rest| rest.contains("has a write block"))
    {
        let index = rest.split(' ').next().expect("a name");
        cure(&context, blocker, &[("<index>", index)]).await;
    } else {
        panic!("{case:?}: nothing is known of {blocker:?}");
    }
}
