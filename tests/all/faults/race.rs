//! Five migrators at the same time in memory: two are killed or stall at random, one has another version, and a writer
//! is working.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use saved_objects::Start;
use saved_objects::cluster::{BulkRequest, Cluster, ItemOutcome};
use saved_objects::migrate::Outcome;

use super::deployment::{Deployment, Job, in_its_own_time, process};
use super::disturbed::{Call, Disturbed, Disturber, Fate};
use super::seed::{Dice, Named, seeds};
use super::tally::Tally;
use super::types::registry;
use super::writer::{Ledger, Writer, check_documents, check_objects};

/// A process on a slow network that is killed or stalls at one of its requests.
#[derive(Debug)]
struct Migrating {
    dice: Dice,
    end: Option<(usize, End)>,
    tally: Arc<Tally>,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Killed(Fate),
    Stalled,
}

#[async_trait]
impl Disturber for Migrating {
    async fn fate(&self, call: &Call) -> Fate {
        tokio::time::sleep(Duration::from_millis(self.dice.below(30))).await;
        if call.method == "create_index" && call.state == "prepare_fill" {
            self.tally.fill_created();
        }
        match self.end {
            Some((number, End::Killed(fate))) if number == call.number => fate,
            // Longer than any other process waits for it.
            Some((number, End::Stalled)) if number == call.number => {
                tokio::time::sleep(Duration::from_secs(40)).await;
                Fate::Done
            }
            _ => Fate::Done,
        }
    }

    fn done(&self, request: &BulkRequest<'_>, outcomes: &[ItemOutcome]) {
        self.tally.bulk(request, outcomes);
    }
}

/// A node on a slow network.
#[derive(Debug)]
struct Slow(Dice);

#[async_trait]
impl Disturber for Slow {
    async fn fate(&self, _: &Call) -> Fate {
        tokio::time::sleep(Duration::from_millis(self.0.below(30))).await;
        Fate::Done
    }
}

pub(crate) fn five_migrators_and_a_writer_lose_nothing() {
    let (mut done, mut refused, mut written) = (0, std::collections::BTreeMap::<String, u64>::new(), 0);
    for seed in seeds(1..31) {
        let _named = Named(seed);
        let (ledger, migrated) = in_its_own_time(race(seed));
        (done, written) = (done + ledger.done, written + migrated);
        ledger.refused.into_iter().for_each(|(kind, count)| *refused.entry(kind).or_default() += count);
    }
    println!("{written} writes of migrations; {done} writes done meanwhile; refused: {refused:?}");
    assert!(done > 0, "the writer never wrote");
}

async fn race(seed: u64) -> (Ledger, u64) {
    let dice = Dice::new(seed);
    let deployment = Deployment::with_release_1().await;
    let target = if dice.happens(50) { 2 } else { 3 };
    // Another version in addition: an older one, or a newer one that turns the migration into a copy.
    let other = if target == 3 { 2 } else { 1 };
    let tally = Arc::<Tally>::default();
    let mut migrators = Vec::new();
    for number in 0..5 {
        let at = dice.below(60) as usize;
        let fate = [Fate::Unsent, Fate::Unheard, Fate::Half][dice.below(3) as usize];
        let end = if dice.happens(50) { End::Killed(fate) } else { End::Stalled };
        let end = (number < 2).then_some((at, end));
        let release = if number == 2 { other } else { target };
        // With the lease the migrators take turns. Half of the races run without the lease, and all work at the same
        // time.
        let job = Job { release, delete_removed: false, take_over: false, without_lease: seed.is_multiple_of(2) };
        let disturber = Arc::new(Migrating { dice: Dice::new(seed * 1_000 + number), end, tally: tally.clone() });
        let (offset, deployment) = (Duration::from_millis(dice.below(300)), &deployment);
        migrators.push(async move {
            tokio::time::sleep(offset).await;
            (number, process(deployment, job, disturber).await)
        });
    }
    let ledger = Arc::new(Mutex::new(Ledger::of_release_1()));
    // In half of the races the writer's node is as old as the documents, in half it is new.
    let mut nodes = Vec::new();
    for release in if dice.happens(50) { vec![1, target] } else { vec![target] } {
        let cluster: Arc<dyn Cluster> = Arc::new(Disturbed::new(
            deployment.cluster(),
            Arc::new(Slow(Dice::new(seed * 7_000 + u64::from(release)))),
        ));
        nodes.push(deployment.repository(cluster, release, Start::Skip).await);
    }
    let writer = Writer { nodes, dice: Dice::new(seed * 9_000), ledger: ledger.clone() };
    let ended = writer.while_running(futures::future::join_all(migrators)).await;
    for (number, report) in ended {
        match report {
            None => assert!(number < 2, "nobody kills another one"),
            Some(report) if number == 2 => {
                assert_ne!(report.outcome, Outcome::Failed, "the other version: {report:#?}")
            }
            Some(report) => {
                let is_well = matches!(report.outcome, Outcome::Migrated | Outcome::NothingToDo | Outcome::Waited);
                assert!(is_well, "migrator {number}: {report:#?}");
            }
        }
    }
    let job = Job { release: target, delete_removed: false, take_over: false, without_lease: false };
    let quiet = || Arc::new(Slow(Dice::new(1)));
    let report = process(&deployment, job, quiet()).await.expect("it is not killed");
    assert!(matches!(report.outcome, Outcome::Migrated | Outcome::NothingToDo | Outcome::Waited), "{report:#?}");
    let again = process(&deployment, job, quiet()).await.expect("it is not killed");
    assert_eq!(again.outcome, Outcome::NothingToDo, "{again:#?}");
    // What the older node wrote after the last pass.
    let swept = deployment.migrator(deployment.cluster(), registry(target)).rescan().migrate().await;
    assert!(matches!(swept.outcome, Outcome::Migrated | Outcome::NothingToDo), "{swept:#?}");

    let ledger = std::mem::take(&mut *ledger.lock().expect("not poisoned"));
    check_objects(&deployment, &ledger, target).await;
    check_documents(&deployment, target).await;
    (ledger, tally.check())
}
