//! A snapshot of any moment of a copy is restored after users have written more. Nothing that they wrote is deleted
//! without the operator, and following the messages of the starts leads to an end. In memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use saved_objects::Start;
use saved_objects::cluster::Cluster;
use saved_objects::cluster::memory::{RestoreOptions, Snapshot};
use saved_objects::migrate::{Blocker, Outcome};
use saved_objects::repository::{Create, ObjectKey, Repository};
use serde_json::json;

use super::deployment::{Deployment, in_its_own_time, process};
use super::disturbed::{Call, Disturber, Fate};
use super::late::COPY;
use super::types::registry;
use crate::context::{Context, MEMORY};
use crate::hints::hint;
use crate::migration::object;

/// How many blockers a start may report before it must end well.
const MOST_BLOCKERS: usize = 8;

/// Takes a snapshot of all indices before one request of a process.
#[derive(Debug)]
struct SnapshotBefore {
    deployment: Deployment,
    number: usize,
    taken: Mutex<Option<(Snapshot, Vec<String>)>>,
}

#[async_trait]
impl Disturber for SnapshotBefore {
    async fn fate(&self, call: &Call) -> Fate {
        if call.number == self.number {
            let found = self.deployment.memory().indices(&["*"]).await.expect("answered");
            let names: Vec<&str> = found.keys().map(String::as_str).collect();
            let snapshot = self.deployment.memory().snapshot(&names).expect("they are there");
            *self.taken.lock().expect("not poisoned") = Some((snapshot, found.into_keys().collect()));
        }
        Fate::Done
    }
}

/// What an operator restores, how, and what the operator does next.
#[derive(Debug, Clone, Copy)]
struct Case {
    number: usize,
    /// Whether all indices of the snapshot are restored, or only the copied one.
    all: bool,
    /// Whether the indices are closed and restored in place; otherwise they are deleted first.
    over_closed: bool,
    /// The release that is started.
    release: u32,
    /// Whether the operator makes the newest generation current where there is a choice.
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
                let Some(restored) = in_its_own_time(restore_and_start(case)) else { continue };
                is_reached = true;
                cases += 1;
                blocked += usize::from(restored.blockers > 0);
                beside += usize::from(restored.kept_beside);
            }
        }
        if !is_reached {
            break;
        }
    }
    println!("{cases} restored moments: {blocked} were blocked, {beside} kept a generation that users had written to");
    assert!(cases > 400 && blocked > 100 && beside > 50);
}

/// The result of a case.
struct Restored {
    blockers: usize,
    /// Whether a generation that is not current has what users wrote.
    kept_beside: bool,
}

/// Runs one case. Returns `None` if the copy has fewer requests.
async fn restore_and_start(case: Case) -> Option<Restored> {
    let deployment = Deployment::with_release_1().await;
    let before =
        Arc::new(SnapshotBefore { deployment: deployment.clone(), number: case.number, taken: Mutex::default() });
    let report = process(&deployment, COPY, before.clone()).await.expect("it is not killed");
    assert_eq!(report.outcome, Outcome::Migrated, "{case:?}: {report:?}");
    let (snapshot, mut names) = before.taken.lock().expect("not poisoned").take()?;
    create(&deployment.repository(deployment.cluster(), 3, Start::Skip).await, "late").await;
    let vaults = deployment.prefix.group("vaults");
    let (first, second) = (vaults.index(1), vaults.index(2));
    // What users wrote is lost only if the operator overwrote it by the restore.
    names.retain(|name| case.all || *name == first);
    let is_kept = !names.contains(&second);
    restore(&deployment, &snapshot, &names, case.over_closed).await;

    let blockers = started(&deployment, case).await;
    let holds = async |index: &str| deployment.memory().get(index, "vault:late").await.ok().flatten().is_some();
    let is_current = holds(vaults.alias()).await;
    if is_kept {
        assert!(holds(&second).await, "{case:?}: what users wrote is gone");
        assert!(is_current || !case.newest, "{case:?}: the operator chose the newest generation");
    }
    // The documents of release 1 are in every generation, and users continue to write.
    let newest = deployment.migrator(deployment.cluster(), registry(3)).migrate().await;
    assert!(is_well(newest.outcome), "{case:?}: {newest:?}");
    let repository = deployment.repository(deployment.cluster(), 3, Start::Skip).await;
    for number in 0..5 {
        repository.get(&ObjectKey::new("vault", format!("v{number}"))).await.expect("not lost");
    }
    create(&repository, "end").await;
    if is_kept {
        assert!(holds(&second).await, "{case:?}: what users wrote is gone after another start");
    }
    Some(Restored { blockers, kept_beside: is_kept && !is_current })
}

async fn create(repository: &Repository, id: &str) {
    let vault = Create::new("vault", object(json!({"title": "t", "owner": "kim"}))).id(id);
    repository.create(vault).await.expect("it takes writes");
}

async fn restore(deployment: &Deployment, snapshot: &Snapshot, names: &[String], over_closed: bool) {
    let memory = deployment.memory();
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

/// Starts, and follows the hints until a start ends well. Returns the number of blockers.
async fn started(deployment: &Deployment, case: Case) -> usize {
    let mut release = case.release;
    for blockers in 0..MOST_BLOCKERS {
        let report = deployment.migrator(deployment.cluster(), registry(release)).migrate().await;
        if is_well(report.outcome) {
            return blockers;
        }
        assert_eq!(report.outcome, Outcome::Blocked, "{case:?}, release {release}: {report:?}");
        assert!(report.blockers.iter().all(|blocker| !blocker.hint.is_empty()), "{case:?}: {report:?}");
        let blocker = &report.blockers[0];
        if blocker.hint.starts_with("run software that knows the newer version") {
            release = 3;
        } else {
            follow(deployment, case, blocker).await;
        }
    }
    panic!("{case:?}: it was blocked {MOST_BLOCKERS} times");
}

/// Follows a hint.
async fn follow(deployment: &Deployment, case: Case, blocker: &Blocker) {
    let context = Context {
        url: MEMORY.to_owned(),
        prefix: deployment.prefix.clone(),
        environment: deployment.environment.clone(),
        memory: Some(deployment.memory().clone()),
    };
    if blocker.what.contains("points to several indices: ") {
        let (start, all) = blocker.what.split_once(" points to several indices: ").expect("it is in it");
        let (older, newer) = all.split_once(", ").expect("two of them");
        let other = if case.newest { older } else { newer };
        let alias = start.trim_start_matches("the alias ");
        hint(&context, blocker, &[("<the other>", other), ("<alias>", alias)]).await;
    } else if let Some((other, rest)) = blocker.what.split_once(" still has its alias for writes, ") {
        let current = rest.split(" is the current index").next().and_then(|rest| rest.split(' ').next_back());
        let current = current.expect("it names the current one");
        // The operator keeps the newer or the older generation.
        let start = match (other > current) == case.newest {
            true => format!("If {other} holds"),
            false => format!("If {current} does"),
        };
        let at = blocker.hint.find(&start).unwrap_or_else(|| panic!("{start:?} is in {blocker:?}"));
        hint(&context, &Blocker { hint: blocker.hint[at..].to_owned(), ..blocker.clone() }, &[]).await;
    } else if let Some(rest) = blocker.what.strip_prefix("the index ").filter(|rest| rest.contains("has a write block"))
    {
        let index = rest.split(' ').next().expect("a name");
        hint(&context, blocker, &[("<index>", index)]).await;
    } else {
        panic!("{case:?}: nothing is known of {blocker:?}");
    }
}
