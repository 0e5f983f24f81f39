//! Time, randomness and tasks, given at the start. Everything else in the library takes them from here, so that tests decide
//! what time it is, which ids are made and which task runs next; lints forbid reaching for them elsewhere.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::{AbortHandle, BoxFuture, abortable};
use jiff::Timestamp;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::{Error, ErrorKind};

/// A source of time.
#[async_trait]
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock, for time stamps that are stored.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment, for measuring how long something takes. It never goes backwards.
    fn monotonic(&self) -> Duration;
    /// Waits for `duration`.
    async fn sleep(&self, duration: Duration);
    /// Returns whether [`monotonic`](Self::monotonic) advances by itself, and not only during [`sleep`](Self::sleep). With such a
    /// clock the library notices that the process was suspended. Default: false.
    fn passes_by_itself(&self) -> bool {
        false
    }
}

/// A source of random bytes, fit for nonces and ids.
pub trait Rng: Send + Sync + fmt::Debug {
    /// Fills `bytes` with random bytes. An error means that the operating system has no randomness to give.
    fn fill(&self, bytes: &mut [u8]) -> crate::Result<()>;
}

/// Runs tasks and work that takes long.
pub trait Executor: Send + Sync + fmt::Debug {
    /// Runs a task to its end, beside its caller.
    fn spawn(&self, task: BoxFuture<'static, ()>);
    /// Does work that keeps a processor busy, where it keeps no task from its turn.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>);
    /// Returns how many processors such work can keep busy.
    fn parallelism(&self) -> usize;
}

/// The time, the randomness and the tasks that a store works with. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Environment {
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    executor: Arc<dyn Executor>,
}

impl Environment {
    /// Creates an environment of the given clock and randomness, whose tasks run on tokio.
    pub fn new(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { clock, rng, executor: Arc::new(Tokio) }
    }

    /// Creates the environment of the operating system, whose tasks run on tokio.
    pub fn system() -> Self {
        Self::new(Arc::new(SystemClock::start()), Arc::new(SystemRng))
    }

    /// Runs tasks by `executor`.
    #[must_use]
    pub fn with_executor(self, executor: Arc<dyn Executor>) -> Self {
        Self { executor, ..self }
    }

    /// Runs a task beside its caller. It goes on if the returned [`Task`] is dropped.
    pub fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Task<T> {
        let (sender, outcome) = oneshot::channel();
        let (future, abort) = abortable(future);
        self.executor.spawn(
            async move {
                if let Ok(done) = future.await {
                    // The task's owner may be gone.
                    let _ = sender.send(done);
                }
            }
            .boxed(),
        );
        Task { outcome, abort, ends_with_owner: false }
    }

    /// Does work that keeps a processor busy, where it keeps no task from its turn.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if the work panics, or if the process ends.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> crate::Result<T> {
        let (sender, outcome) = oneshot::channel();
        self.executor.spawn_blocking(Box::new(move || {
            // The caller may be gone.
            let _ = sender.send(work());
        }));
        outcome.await.map_err(|_| Error::new(ErrorKind::Internal, "work was aborted before its end"))
    }

    /// Returns how many processors work can keep busy.
    pub fn parallelism(&self) -> usize {
        self.executor.parallelism()
    }

    /// The clock.
    pub fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// The source of randomness.
    pub fn rng(&self) -> &dyn Rng {
        self.rng.as_ref()
    }

    /// The current time as it is stored: UTC with milliseconds and `Z`, as `2021-01-01T12:16:40.000Z`.
    pub fn now_iso(&self) -> String {
        iso_millis(self.clock.now())
    }

    /// A random UUID, version 4.
    pub fn random_uuid(&self) -> crate::Result<Uuid> {
        let mut bytes = [0; 16];
        self.rng.fill(&mut bytes)?;
        Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

/// Returns whether `host`, as a parsed URL writes it, is this machine: addresses are in one form there, and IPv6 has brackets. Names
/// that end with `localhost` are this machine's (RFC 6761 section 6.3).
pub(crate) fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let name = host.strip_suffix('.').unwrap_or(host);
    name == "localhost"
        || name.ends_with(".localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// `timestamp` as it is stored: UTC with milliseconds and `Z`.
pub fn iso_millis(timestamp: Timestamp) -> String {
    format!("{timestamp:.3}")
}

/// A task that was [spawned](Environment::spawn): waits for its outcome.
#[derive(Debug)]
pub struct Task<T> {
    outcome: oneshot::Receiver<T>,
    abort: AbortHandle,
    ends_with_owner: bool,
}

impl<T> Task<T> {
    /// Ends the task when this is dropped.
    #[must_use]
    pub fn ending_with_owner(self) -> Self {
        let mut task = self;
        task.ends_with_owner = true;
        task
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if self.ends_with_owner {
            self.abort.abort();
        }
    }
}

impl<T> Future for Task<T> {
    type Output = crate::Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = self.outcome.poll_unpin(context);
        outcome.map_err(|_| Error::new(ErrorKind::Internal, "a task was aborted before its end"))
    }
}

/// Runs tasks on tokio's runtime, and long work on its pool of blocking threads.
#[derive(Debug, Clone, Copy)]
pub struct Tokio;

impl Executor for Tokio {
    /// Drops the task where there is no runtime.
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(task));
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is where tasks come from")]
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        drop(tokio::task::spawn_blocking(work));
    }

    #[expect(clippy::disallowed_methods, reason = "this is where it comes from")]
    fn parallelism(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}

/// The operating system's clock, with tokio's timer.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    /// A clock whose [`Clock::monotonic`] counts from now.
    #[expect(clippy::disallowed_methods, reason = "this is where the clock comes from")]
    pub fn start() -> Self {
        Self { started: std::time::Instant::now() }
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the clock comes from")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is where the clock comes from")]
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn passes_by_itself(&self) -> bool {
        true
    }
}

/// The operating system's randomness.
#[derive(Debug)]
pub struct SystemRng;

impl Rng for SystemRng {
    #[expect(clippy::disallowed_methods, reason = "this is where randomness comes from")]
    fn fill(&self, bytes: &mut [u8]) -> crate::Result<()> {
        getrandom::fill(bytes).map_err(|error| {
            crate::Error::new(crate::ErrorKind::Internal, format!("the operating system gave no randomness: {error}"))
        })
    }
}

/// For tests of what waits.
#[cfg(test)]
pub(crate) mod set_clock {
    use std::sync::Mutex;

    use super::{Clock, Duration, Timestamp, async_trait};

    /// A clock that goes only when it is told to, or when somebody sleeps by it.
    #[derive(Debug, Default)]
    pub(crate) struct SetClock(Mutex<Duration>);

    impl SetClock {
        pub(crate) fn forward(&self, by: Duration) {
            *self.0.lock().expect("no test panics with the lock") += by;
        }
    }

    #[async_trait]
    impl Clock for SetClock {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }

        fn monotonic(&self) -> Duration {
            *self.0.lock().expect("no test panics with the lock")
        }

        async fn sleep(&self, duration: Duration) {
            self.forward(duration);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_times_have_milliseconds_and_z() {
        let time: Timestamp = "2021-01-01T12:16:40Z".parse().expect("a valid time");
        assert_eq!(iso_millis(time), "2021-01-01T12:16:40.000Z");
    }

    #[test]
    fn random_uuids_are_version_4_and_differ() {
        let environment = Environment::system();
        let (a, b) = (environment.random_uuid().expect("random"), environment.random_uuid().expect("random"));
        assert_eq!(a.get_version_num(), 4);
        assert_ne!(a, b);
    }
}
