//! Runs the tasks of all nodes on one thread, in virtual time. The dice decide which ready task is polled next.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::BoxFuture;

use crate::dice::Dice;

/// A world whose tasks are polled more often than this does not end.
const MAX_POLLS: u64 = 3_000_000;

/// The owner of tasks: one life of one node. A node that starts again is another owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) u32);

/// The owner of what belongs to no node: the network, and the script of the world.
pub(crate) const WORLD: NodeId = NodeId(0);

/// The executor. Clones share it.
#[derive(Clone)]
pub(crate) struct Simulator(Arc<Shared>);

struct Shared {
    dice: Dice,
    state: Mutex<State>,
    ready: Arc<Mutex<Vec<(u64, NodeId)>>>,
}

struct Task {
    node: NodeId,
    waker: Arc<TaskWaker>,
    /// `None` while it is polled.
    future: Option<BoxFuture<'static, ()>>,
}

#[derive(Default)]
struct State {
    now: Duration,
    tasks: BTreeMap<u64, Task>,
    timers: BTreeMap<(Duration, u64), Waker>,
    last_id: u64,
    /// The time until which a node's tasks are not polled.
    stalled: BTreeMap<NodeId, Duration>,
    dead: BTreeSet<NodeId>,
    polls: u64,
    trace: DefaultHasher,
    panic: Option<String>,
}

struct TaskWaker {
    id: u64,
    node: NodeId,
    is_queued: AtomicBool,
    ready: Arc<Mutex<Vec<(u64, NodeId)>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::Relaxed) {
            lock(&self.ready).push((self.id, self.node));
        }
    }
}

/// Waits for a spawned task's outcome, which is `None` if the node was killed before.
pub(crate) type Join<T> = BoxFuture<'static, Option<T>>;

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").finish_non_exhaustive()
    }
}

impl Simulator {
    /// Creates an executor without tasks, at time zero.
    pub(crate) fn new(dice: Dice) -> Self {
        Self(Arc::new(Shared { dice, state: Mutex::default(), ready: Arc::default() }))
    }

    /// Returns the virtual time.
    pub(crate) fn now(&self) -> Duration {
        lock(&self.0.state).now
    }

    /// Adds an event to the hash of the trace.
    pub(crate) fn record(&self, happened: impl Hash) {
        happened.hash(&mut lock(&self.0.state).trace);
    }

    /// Returns the hash of all events so far.
    pub(crate) fn trace_hash(&self) -> u64 {
        lock(&self.0.state).trace.finish()
    }

    /// Spawns a task of a node. A task of a dead node is dropped.
    pub(crate) fn spawn(&self, node: NodeId, future: BoxFuture<'static, ()>) {
        let mut state = lock(&self.0.state);
        if state.dead.contains(&node) {
            drop(state);
            return drop(future);
        }
        state.last_id += 1;
        let id = state.last_id;
        let waker = Arc::new(TaskWaker { id, node, is_queued: AtomicBool::new(false), ready: self.0.ready.clone() });
        state.tasks.insert(id, Task { node, waker: waker.clone(), future: Some(future) });
        drop(state);
        waker.wake();
    }

    /// Spawns a task of a node, and returns its outcome.
    pub(crate) fn spawn_joined<T: Send + 'static>(
        &self,
        node: NodeId,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Join<T> {
        let (sender, outcome) = oneshot::channel();
        self.spawn(node, async move { drop(sender.send(future.await)) }.boxed());
        outcome.map(Result::ok).boxed()
    }

    /// Waits in virtual time, without a node's skew.
    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        Sleep { simulator: self.clone(), until: self.now().saturating_add(duration), timer: None }
    }

    /// Polls no task of `node` for `duration`.
    pub(crate) fn stall(&self, node: NodeId, duration: Duration) {
        let mut state = lock(&self.0.state);
        let until = state.now + duration;
        state.stalled.insert(node, until);
    }

    /// Drops all tasks of `node`, now and from now on.
    pub(crate) fn kill(&self, node: NodeId) {
        let mut state = lock(&self.0.state);
        state.dead.insert(node);
        let ids: Vec<u64> = state.tasks.iter().filter(|(_, task)| task.node == node).map(|(id, _)| *id).collect();
        let killed: Vec<Task> = ids.into_iter().filter_map(|id| state.tasks.remove(&id)).collect();
        drop(state);
        drop(killed);
    }

    /// Runs until `root` has ended, and then drops the remaining tasks.
    ///
    /// # Errors
    /// Says why it cannot end: a task panicked, all tasks wait for each other, or they never end.
    pub(crate) fn run<T: Send + 'static>(&self, root: impl Future<Output = T> + Send + 'static) -> Result<T, String> {
        let mut root = self.spawn_joined(WORLD, root);
        let mut never = Context::from_waker(Waker::noop());
        let ended = loop {
            if let Poll::Ready(Some(done)) = root.poll_unpin(&mut never) {
                break Ok(done);
            }
            if let Some(panic) = lock(&self.0.state).panic.take() {
                break Err(panic);
            }
            match self.pick() {
                Some(id) => self.poll(id),
                None if self.advance() => {}
                None => break Err("every task waits for another one".to_owned()),
            }
            if lock(&self.0.state).polls > MAX_POLLS {
                break Err(format!("after {MAX_POLLS} polls the world has not ended"));
            }
        };
        let left = std::mem::take(&mut lock(&self.0.state).tasks);
        drop(left);
        lock(&self.0.state).timers.clear();
        ended
    }

    /// Picks one of the ready tasks whose node is not stalled.
    fn pick(&self) -> Option<u64> {
        let (mut ready, mut state) = (lock(&self.0.ready), lock(&self.0.state));
        let may_run: Vec<usize> = (0..ready.len()).filter(|&at| !state.stalled.contains_key(&ready[at].1)).collect();
        if may_run.is_empty() {
            return None;
        }
        let at = may_run[self.0.dice.below(may_run.len() as u64) as usize];
        state.polls += 1;
        Some(ready.swap_remove(at).0)
    }

    fn poll(&self, id: u64) {
        let (waker, future) = {
            let mut state = lock(&self.0.state);
            let now = state.now;
            (id, now).hash(&mut state.trace);
            let Some(task) = state.tasks.get_mut(&id) else { return };
            task.waker.is_queued.store(false, Ordering::Relaxed);
            (task.waker.clone(), task.future.take())
        };
        let Some(mut future) = future else { return };
        let waker = Waker::from(waker);
        let polled = catch_unwind(AssertUnwindSafe(|| future.poll_unpin(&mut Context::from_waker(&waker))));
        let mut state = lock(&self.0.state);
        let ended = match polled {
            Ok(Poll::Pending) => match state.tasks.get_mut(&id) {
                Some(task) => {
                    task.future = Some(future);
                    None
                }
                // The task killed its own node.
                None => Some(future),
            },
            Ok(Poll::Ready(())) => {
                state.tasks.remove(&id);
                Some(future)
            }
            Err(panic) => {
                let words = panic.downcast_ref::<String>().map(String::as_str);
                let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
                state.panic = Some(format!("a task panicked: {words}"));
                Some(future)
            }
        };
        drop(state);
        drop(ended);
    }

    /// Advances to the next moment at which something can happen. Returns false if there is none.
    fn advance(&self) -> bool {
        let mut state = lock(&self.0.state);
        let timer = state.timers.keys().next().map(|(at, _)| *at);
        let Some(next) = timer.into_iter().chain(state.stalled.values().copied()).min() else { return false };
        state.now = state.now.max(next);
        let now = state.now;
        state.stalled.retain(|_, until| *until > now);
        let later = state.timers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut state.timers, later);
        drop(state);
        due.into_values().for_each(Waker::wake);
        true
    }
}

/// See [`Simulator::sleep`].
pub(crate) struct Sleep {
    simulator: Simulator,
    until: Duration,
    timer: Option<(Duration, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.simulator.0.state);
        if state.now >= self.until {
            return Poll::Ready(());
        }
        let timer = self.timer.unwrap_or_else(|| {
            state.last_id += 1;
            (self.until, state.last_id)
        });
        state.timers.insert(timer, context.waker().clone());
        drop(state);
        self.timer = Some(timer);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            let dropped = lock(&self.simulator.0.state).timers.remove(&timer);
            drop(dropped);
        }
    }
}

/// Locks a mutex that only one thread uses.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
