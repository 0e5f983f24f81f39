//! A node of the platform: it starts, users work through it, it is killed and starts again.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::Stream;
use saved_objects::cluster::Elastic;
use saved_objects::cluster::elastic::{Batches, RetryPolicy};
use saved_objects::encryption::KeyRing;
use saved_objects::environment::Environment;
use saved_objects::migrate::{Outcome, Progress};
use saved_objects::tokens::AccessTokens;
use saved_objects::{Result, SavedObjects, SavedObjectsBuilder, Start};
use secrecy::SecretString;

use crate::dice::Dice;
use crate::executor::{NodeId, lock};
use crate::journal::About;
use crate::network::Link;
use crate::request::Sent;
use crate::surroundings::environment;
use crate::types::registry;
use crate::world::World;

/// How long a start may take, by the node's own clock.
const DEADLINE: Duration = Duration::from_secs(240);

/// One life of a node, from its start until it ends or is killed.
pub(crate) struct Life {
    pub(crate) id: NodeId,
    /// Such as `n2.1 (release 3)`: the second node's first life.
    pub(crate) name: String,
    pub(crate) release: u32,
    progress: Mutex<Option<Pin<Box<dyn Stream<Item = Progress> + Send>>>>,
    state: Mutex<&'static str>,
    /// The number of writes to indices of objects.
    writes: AtomicU64,
    /// Whether it was stalled or has ended.
    is_disturbed: AtomicBool,
    /// The access tokens of the process.
    tokens: OnceLock<AccessTokens>,
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Life {
    pub(crate) fn new(id: NodeId, name: String, release: u32) -> Self {
        Self {
            id,
            name,
            release,
            progress: Mutex::default(),
            state: Mutex::new("-"),
            writes: AtomicU64::new(0),
            is_disturbed: AtomicBool::new(false),
            tokens: OnceLock::new(),
        }
    }

    /// Returns the state of its current migration; `-` outside of a migration.
    pub(crate) fn state(&self) -> &'static str {
        if let Some(progress) = lock(&self.progress).as_mut() {
            let mut context = Context::from_waker(Waker::noop());
            while let Poll::Ready(Some(now)) = progress.as_mut().poll_next(&mut context) {
                *lock(&self.state) = now.state.map_or("planning", |state| state.name());
            }
        }
        *lock(&self.state)
    }

    /// Watches the migration of a start.
    fn watch(&self, progress: impl Stream<Item = Progress> + Send + 'static) {
        *lock(&self.progress) = Some(Box::pin(progress));
        *lock(&self.state) = "planning";
    }

    fn has_started(&self) {
        *lock(&self.progress) = None;
        *lock(&self.state) = "-";
    }

    /// Returns whether it was stalled or has ended.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.is_disturbed.load(Ordering::Relaxed)
    }

    pub(crate) fn disturb(&self) {
        self.is_disturbed.store(true, Ordering::Relaxed);
    }

    /// Returns the access tokens of the process, which the first call creates.
    pub(crate) fn tokens(&self, make: impl FnOnce() -> AccessTokens) -> &AccessTokens {
        self.tokens.get_or_init(make)
    }

    pub(crate) fn count(&self, sent: &Sent) {
        if sent.is_write && !sent.request.path.contains("-control") {
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl World {
    /// Starts another life of the node `name`.
    pub(crate) fn life(&self, name: &str, release: u32) -> Arc<Life> {
        let number = {
            let mut lives = lock(&self.lives);
            *lives += 1;
            *lives
        };
        Arc::new(Life::new(NodeId(number), format!("{name} (release {release})"), release))
    }

    /// Returns the environment of a life.
    pub(crate) fn surroundings(&self, life: &Life) -> Environment {
        environment(&self.simulator, life.id, self.fork(u64::from(life.id.0)), self.profile.has_true_clocks)
    }

    /// Returns the cluster as a life reaches it.
    pub(crate) fn elastic(&self, life: &Arc<Life>, environment: &Environment) -> Elastic {
        let link = Link { network: self.network.clone(), life: life.clone(), environment: environment.clone() };
        let batches = Batches { page: self.profile.page, bulk: self.profile.bulk };
        Elastic::builder("http://simulated:9200")
            .transport(Arc::new(link))
            .environment(environment.clone())
            .request_timeout(self.profile.request_timeout)
            .retry(RetryPolicy::default())
            .batches(batches)
            .build()
            .expect("it can be built")
    }

    fn builder(&self, life: &Arc<Life>) -> SavedObjectsBuilder {
        let environment = self.surroundings(life);
        SavedObjects::builder(registry(life.release))
            .cluster(Arc::new(self.elastic(life, &environment)))
            .prefix(self.prefix.clone())
            .key_ring(key_ring(self))
            .environment(environment)
            .deadline(DEADLINE)
    }

    /// Starts a node. Checks what the start reports.
    pub(crate) async fn start(self: Arc<Self>, life: Arc<Life>, how: Start) -> Result<SavedObjects> {
        self.journal.act(&format!("start {how:?}"), || format!("{} starts: {how:?}", life.name));
        let builder = self.builder(&life);
        life.watch(builder.progress());
        let begun = self.simulator.now();
        let started = builder.start(how).await;
        life.has_started();
        let writes = life.writes.load(Ordering::Relaxed);
        let report = started.as_ref().ok().and_then(SavedObjects::start_report);
        let is_idle = report.is_some_and(|report| report.outcome == Outcome::NothingToDo);
        if is_idle && writes > 0 {
            let how = format!("{} says that there was nothing to do, and sent {writes} writes", life.name);
            self.journal.broken("what a start reports is true", "", how);
        }
        let took = self.simulator.now() - begun;
        // The node's clock may be slow, and it may have been stalled. After the deadline it undoes its copy, with up to
        // three requests that each wait for two minutes if their answers are lost.
        let most = DEADLINE.mul_f64(1.0 / 0.8) + Duration::from_secs(400);
        if took > most {
            let how = format!("{} took {took:.1?}", life.name);
            self.journal.broken("a start ends within its deadline", "", how);
        }
        self.journal.count(match (&started, report.map(|report| report.outcome)) {
            (Err(_), _) => "start failed",
            (Ok(_), Some(Outcome::Migrated)) => "start migrated",
            (Ok(_), Some(Outcome::Waited)) => "start waited",
            (Ok(_), Some(Outcome::NothingToDo)) => "start found nothing to do",
            (Ok(_), _) => "start skipped the migration",
        });
        self.journal.tell(|| {
            let words = match &started {
                Ok(_) => format!("has started: {:?}", report.map(|report| report.outcome)),
                Err(error) => format!("could not start: {error}"),
            };
            (About::Act, format!("{} {words}", life.name))
        });
        started
    }
}

/// Returns the keys of a node that starts now: all nodes have both keys, and encrypt with the new one after the
/// operator's decision.
pub(crate) fn key_ring(world: &World) -> KeyRing {
    let keys = ["a key for tests only: 0123456789abcdef", "another one for tests: 0123456789abcdef"];
    let [first, second] = if *lock(&world.is_key_new) { [keys[1], keys[0]] } else { keys };
    KeyRing::new(SecretString::from(first), vec![SecretString::from(second)]).expect("the keys are fine")
}

/// Runs a node that lives, dies and starts again until the end of the world's time.
pub(crate) async fn live(world: Arc<World>, number: usize, release: u32) {
    let dice: Dice = world.fork(1_000 + number as u64);
    world.simulator.sleep(Duration::from_millis(dice.below(world.profile.starts_within.as_millis() as u64))).await;
    for incarnation in 1.. {
        if world.is_over() {
            return;
        }
        let life = world.life(&format!("n{number}.{incarnation}"), release);
        let how = match dice.below(10) {
            0 => Start::Skip,
            1 => Start::WaitOnly,
            _ => Start::Migrate,
        };
        let starting = world.clone().start(life.clone(), how);
        let ended = match world.simulator.spawn_joined(life.id, starting).await {
            Some(Ok(store)) => {
                lock(&world.stores).push((life.clone(), store.clone()));
                let until =
                    world.simulator.now() + world.profile.shortest_life.mul_f64(1.0 + dice.below(200) as f64 / 100.0);
                let work = (0..world.profile.users).map(|user| {
                    let name = format!("n{number}.{incarnation}/{user}");
                    let working = crate::users::work(world.clone(), life.clone(), name, store.clone(), until);
                    world.simulator.spawn_joined(life.id, working)
                });
                futures::future::join_all(work).await.into_iter().flatten().count() > 0
            }
            Some(Err(_)) => false,
            None => false,
        };
        lock(&world.stores).retain(|(alive, _)| alive.id != life.id);
        life.disturb();
        world.simulator.kill(life.id);
        if ended && world.is_over() {
            return;
        }
        world.simulator.sleep(Duration::from_millis(500 + dice.below(4_000))).await;
    }
}
