//! Five migrators at the same time on the real server: two processes are killed (`kill -9`) or stopped (`kill -STOP`)
//! at random, and the stopped ones resume much later; one migrator has another version, and a writer is working.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use futures::future::join_all;
use saved_objects::Start;
use saved_objects::cluster::Elastic;
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

use super::deployment::Deployment;
use super::processes::{definitions, deployment, migrate, outcome};
use super::seed::{Dice, Named, seeds};
use super::tally::Tally;
use super::types::registry;
use super::writer::{Ledger, Writer, check_documents, check_objects};
use crate::context::Context;
use crate::kill::signal;
use crate::proxy::{Fault, Proxy, Seen};

/// The number of races that run at the same time.
const AT_ONCE: usize = 4;
/// About half of a migration's usual number of requests, without those for the lease.
const REQUESTS: u64 = 24;

/// The sums over all races.
#[derive(Debug, Default)]
struct Sum {
    killed: usize,
    stopped: usize,
    migrated: u64,
    done: u64,
    refused: BTreeMap<String, u64>,
}

pub(super) async fn five_migrators_and_a_writer_lose_nothing_on_the_server(context: Context) {
    let sum = Mutex::new(Sum::default());
    let races = seeds(1..9).map(|seed| race(&context, seed, &sum));
    let races = futures::stream::iter(races).buffer_unordered(AT_ONCE).count().await;
    let sum = sum.lock().expect("not poisoned");
    println!("{races} races: {sum:?}");
    // A replayed seed may write nothing.
    assert!(sum.migrated > 0, "the writes of migrations are not seen");
    assert!(races < 8 || (sum.killed > 0 && sum.stopped > 0 && sum.done > 0), "{sum:?}");
}

/// What happens to a process at one of its requests.
#[derive(Debug, Clone, Copy)]
struct End {
    /// The number of the request, without those for the lease.
    at: usize,
    is_killed: bool,
    fault: Fault,
    /// How many requests the other migrators send before a stopped process resumes; it resumes at the latest when they
    /// have ended.
    pause: usize,
}

/// One race.
struct Race<'a> {
    context: &'a Context,
    deployment: Deployment,
    tally: Arc<Tally>,
    /// How many requests all migrators have sent, and how many of the undisturbed migrators have ended.
    requests: watch::Sender<usize>,
    ended: watch::Sender<usize>,
}

async fn race(context: &Context, seed: u64, sum: &Mutex<Sum>) {
    let _named = Named(seed);
    let dice = Dice::new(seed);
    let deployment = deployment(context, &seed.to_string()).await;
    let race = Race {
        context,
        deployment,
        tally: Arc::default(),
        requests: watch::Sender::new(0),
        ended: watch::Sender::new(0),
    };
    // Every second race is a copy. In half of each kind the undisturbed migrators are tasks without the lease, which
    // all work at the same time.
    let (target, without_lease) = (if seed.is_multiple_of(2) { 2 } else { 3 }, (seed / 2).is_multiple_of(2));
    let other = if target == 3 { 2 } else { 1 };
    let (types, others_types) = (definitions(target), definitions(other));
    let doomed = (0..2).map(|_| race.doomed(&types, End::drawn(&dice))).collect::<Vec<_>>();
    let mut healthy = vec![race.healthy(&others_types, other, without_lease)];
    healthy.extend((0..2).map(|_| race.healthy(&types, target, without_lease)));

    let ledger = Arc::new(Mutex::new(Ledger::of_release_1()));
    let mut nodes = Vec::new();
    for release in if dice.happens(50) { vec![1, target] } else { vec![target] } {
        nodes.push(race.deployment.repository(context.cluster(), release, Start::Skip).await);
    }
    let writer = Writer { nodes, dice: Dice::new(seed * 9_000), ledger: ledger.clone() };
    let (doomed, healthy) = writer.while_running(futures::future::join(join_all(doomed), join_all(healthy))).await;
    let is_well = |outcome: &str| ["migrated", "nothing_to_do", "waited"].contains(&outcome);
    for (number, ended) in doomed.iter().enumerate() {
        let is_fine = ended.outcome.as_deref().map_or(ended.is_killed, is_well);
        assert!(is_fine, "doomed migrator {number}: {ended:?}");
    }
    assert!(healthy[1..].iter().all(|outcome| is_well(outcome)), "{healthy:?}");
    assert_ne!(healthy[0], "failed", "the other version");

    let output = migrate(&context.url, &race.deployment, &types).wait_with_output().await.expect("it ends");
    assert!(is_well(&outcome(&output)), "{output:?}");
    let again = migrate(&context.url, &race.deployment, &types).wait_with_output().await.expect("it ends");
    assert_eq!(outcome(&again), "nothing_to_do", "{again:?}");
    // What the older node wrote after the last pass.
    let swept = race.deployment.migrator(context.cluster(), registry(target)).rescan().migrate().await;
    assert!(swept.error.is_none() && swept.blockers.is_empty(), "{swept:#?}");

    let ledger = std::mem::take(&mut *ledger.lock().expect("not poisoned"));
    check_objects(&race.deployment, &ledger, target).await;
    check_documents(&race.deployment, target).await;
    let migrated = race.tally.check();
    race.deployment.remove().await;
    let mut sum = sum.lock().expect("not poisoned");
    sum.killed += doomed.iter().filter(|ended| ended.is_killed).count();
    sum.stopped += doomed.iter().filter(|ended| ended.is_stopped).count();
    sum.migrated += migrated;
    sum.done += ledger.done;
    ledger.refused.into_iter().for_each(|(kind, count)| *sum.refused.entry(kind).or_default() += count);
}

impl End {
    fn drawn(dice: &Dice) -> Self {
        Self {
            at: dice.below(REQUESTS) as usize,
            is_killed: dice.happens(50),
            fault: [Fault::None, Fault::LoseRequest, Fault::LoseAnswer][dice.below(3) as usize],
            pause: dice.below(200) as usize,
        }
    }
}

/// How a process that was to be killed or stopped ended.
#[derive(Debug)]
struct Doomed {
    is_killed: bool,
    is_stopped: bool,
    /// `None` if it was killed.
    outcome: Option<String>,
}

impl Race<'_> {
    /// Starts a proxy in front of the server for one migrator.
    async fn proxy(&self, rule: impl Fn(&Seen) -> Fault + Send + Sync + 'static) -> Proxy {
        let (requests, tally) = (self.requests.clone(), self.tally.clone());
        let rule = move |seen: &Seen, _| {
            requests.send_modify(|count| *count += 1);
            rule(seen)
        };
        let listener = move |path: &str, request: &[u8], answer: &[u8]| tally.exchange(path, request, answer);
        Proxy::listening(&self.context.url, rule, Arc::new(listener)).await
    }

    /// Runs a process that is killed or stopped, or ends before.
    async fn doomed(&self, types: &TempDir, end: End) -> Doomed {
        let (process, count) = (Arc::new(AtomicU32::new(0)), AtomicUsize::new(0));
        let (sender, hit) = oneshot::channel();
        let (for_rule, sender) = (process.clone(), Mutex::new(Some(sender)));
        let proxy = self
            .proxy(move |seen| {
                // The number of requests for the lease depends on the time that a node waits.
                if seen.path.contains("-control/") || count.fetch_add(1, Ordering::Relaxed) != end.at {
                    return Fault::None;
                }
                signal(if end.is_killed { "-KILL" } else { "-STOP" }, for_rule.load(Ordering::Acquire));
                let sender = sender.lock().expect("not poisoned").take();
                let _ = sender.map(|sender| sender.send(()));
                end.fault
            })
            .await;
        let child = migrate(proxy.url(), &self.deployment, types);
        let pid = child.id().expect("it was not waited for");
        process.store(pid, Ordering::Release);
        let mut ended = std::pin::pin!(child.wait_with_output());
        let (output, is_hit) = tokio::select! {
            Ok(()) = hit => {
                if !end.is_killed {
                    self.pause(end.pause).await;
                    signal("-CONT", pid);
                }
                (ended.await, true)
            }
            output = &mut ended => (output, false),
        };
        let output = output.expect("it ends");
        let is_killed = output.status.code().is_none();
        Doomed { is_killed, is_stopped: is_hit && !end.is_killed, outcome: (!is_killed).then(|| outcome(&output)) }
    }

    /// Waits until the others have sent `requests` more requests, or have ended.
    async fn pause(&self, requests: usize) {
        let (mut count, mut ended) = (self.requests.subscribe(), self.ended.subscribe());
        let due = *count.borrow() + requests;
        let (due, over) = (count.wait_for(|count| *count >= due), ended.wait_for(|ended| *ended == 3));
        // The senders are in `self`, so they cannot be dropped.
        tokio::select! {
            due = due => drop(due),
            over = over => drop(over),
        }
    }

    /// Runs an undisturbed migrator: a process, or a task without the lease.
    async fn healthy(&self, types: &TempDir, release: u32, without_lease: bool) -> String {
        let proxy = self.proxy(|_| Fault::None).await;
        let outcome = if without_lease {
            let cluster = Arc::new(Elastic::builder(proxy.url()).build().expect("a fine URL"));
            let report = self.deployment.migrator(cluster, registry(release)).without_lease().migrate().await;
            if let Some(error) = &report.error {
                eprintln!("a migrator failed: {error:?}");
            }
            serde_json::to_value(report.outcome).expect("JSON").as_str().expect("a name").to_owned()
        } else {
            outcome(&migrate(proxy.url(), &self.deployment, types).wait_with_output().await.expect("it ends"))
        };
        self.ended.send_modify(|ended| *ended += 1);
        outcome
    }
}
