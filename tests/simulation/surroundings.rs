//! The environment of a node: a clock that is skewed and runs faster or slower, randomness, and its tasks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use saved_objects::environment::{Clock, Environment, Executor, Rng};

use crate::dice::Dice;
use crate::executor::{NodeId, Simulator};

/// The time at which worlds begin: 2026-01-01.
const EPOCH_S: i64 = 1_767_225_600;

/// Creates the environment of one life of a node: all of it follows from `dice`, and `is_true` says that its clock is
/// right.
pub(crate) fn environment(simulator: &Simulator, node: NodeId, dice: Dice, is_true: bool) -> Environment {
    let is_true = is_true || dice.happens(30);
    let rate = if is_true { 1.0 } else { 0.8 + dice.below(60) as f64 / 100.0 };
    let skew = if is_true { 0 } else { dice.below(1_200) as i64 - 600 };
    let clock = NodeClock { simulator: simulator.clone(), rate, skew };
    let processors = 1 + dice.below(3) as usize;
    let executor = NodeExecutor { simulator: simulator.clone(), node, processors };
    Environment::new(Arc::new(clock), Arc::new(NodeRng(dice))).with_executor(Arc::new(executor))
}

#[derive(Debug)]
struct NodeClock {
    simulator: Simulator,
    /// How many of its seconds pass in one second.
    rate: f64,
    /// How many seconds it is ahead.
    skew: i64,
}

#[async_trait]
impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        let millis = (EPOCH_S + self.skew) * 1_000 + self.monotonic().as_millis() as i64;
        Timestamp::from_millisecond(millis).expect("within the years that there are")
    }

    fn monotonic(&self) -> Duration {
        self.simulator.now().mul_f64(self.rate)
    }

    async fn sleep(&self, duration: Duration) {
        self.simulator.sleep(duration.div_f64(self.rate)).await;
    }

    fn passes_by_itself(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct NodeRng(Dice);

impl Rng for NodeRng {
    fn fill(&self, bytes: &mut [u8]) -> saved_objects::Result<()> {
        bytes.fill_with(|| self.0.below(256) as u8);
        Ok(())
    }
}

#[derive(Debug)]
struct NodeExecutor {
    simulator: Simulator,
    node: NodeId,
    processors: usize,
}

impl Executor for NodeExecutor {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.simulator.spawn(self.node, task);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.simulator.spawn(self.node, async move { work() }.boxed());
    }

    fn parallelism(&self) -> usize {
        self.processors
    }
}
