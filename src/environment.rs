//! Time, randomness and tasks. The library takes them only from here, so that tests control the time, the created ids
//! and the order of tasks. Lints forbid other sources.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::{AbortHandle, BoxFuture, Either, abortable, select};
use jiff::Timestamp;
use tokio::sync::{oneshot, watch};
use tracing::Instrument;
use uuid::Uuid;

use crate::{Error, ErrorKind};

/// The target of log lines about waiting. The command line also shows these lines to the user.
#[doc(hidden)]
pub const WAITING: &str = "saved_objects::waiting";
/// The waiting time before the first log line.
pub(crate) const UNTOLD: Duration = Duration::from_secs(1);
/// The time until the second log line. After each line the time doubles.
pub(crate) const TOLD_AGAIN: Duration = Duration::from_secs(5);

/// A source of time.
#[async_trait]
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns the wall-clock time, for stored time stamps.
    fn now(&self) -> Timestamp;
    /// Returns the time since a fixed moment, for measuring durations. It never goes backwards.
    fn monotonic(&self) -> Duration;
    /// Waits for `duration`.
    async fn sleep(&self, duration: Duration);
    /// Returns whether [`monotonic`](Self::monotonic) advances by itself, and not only during [`sleep`](Self::sleep).
    /// With such a clock the library notices that the process was suspended. Default: false.
    fn passes_by_itself(&self) -> bool {
        false
    }
}

/// A source of random bytes that are suitable for nonces and ids.
pub trait Rng: Send + Sync + fmt::Debug {
    /// Fills `bytes` with random bytes. An error means that the operating system has no randomness.
    fn fill(&self, bytes: &mut [u8]) -> crate::Result<()>;
}

/// Runs tasks and long computations.
pub trait Executor: Send + Sync + fmt::Debug {
    /// Runs a task to its end, concurrently with its caller.
    fn spawn(&self, task: BoxFuture<'static, ()>);
    /// Runs work that keeps a processor busy, without blocking other tasks.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>);
    /// Returns how many processors such work can use.
    fn parallelism(&self) -> usize;
}

/// Requests that long work ends early and cleanly. Operations in progress are finished or undone, points in time are
/// closed, and a lease is released. The work ends with an error whose source is [`Stopped`]; the error of a start has
/// the source [`FailedStart`](crate::FailedStart). Clones share the request. Dropping the future of the work is also
/// safe, like a crash: the next start resumes it.
#[derive(Debug, Clone, Default)]
pub struct Stop(watch::Sender<bool>);

/// The source of the error of work that ended because of a [`Stop`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was stopped before its end")
    }
}

impl std::error::Error for Stopped {}

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Self {
        Self::new(ErrorKind::Unavailable, stopped.to_string())
            .with_hint("start again: what is done stays done")
            .with_source(stopped)
    }
}

impl Stopped {
    /// Returns whether an error comes from work that was requested to stop.
    pub fn is_cause_of(error: &Error) -> bool {
        error.find_source::<Self>().is_some()
    }
}

impl Stop {
    /// Requests the stop. The request cannot be taken back.
    pub fn request(&self) {
        self.0.send_replace(true);
    }

    /// Returns whether a stop was requested.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until a stop is requested.
    pub async fn requested(&self) {
        // The sender lives as long as `self`, so this cannot fail.
        let _ = self.0.subscribe().wait_for(|is_requested| *is_requested).await;
    }

    /// Returns an error if a stop was requested.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) with the source [`Stopped`].
    pub(crate) fn check(&self) -> crate::Result<()> {
        if self.is_requested() { Err(Stopped.into()) } else { Ok(()) }
    }

    /// Waits for a future that may be dropped at any moment, unless a stop is requested first.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) with the source [`Stopped`] if the stop was requested.
    pub async fn or<T>(&self, wait: impl Future<Output = T>) -> crate::Result<T> {
        match select(pin!(wait), pin!(self.requested())).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(((), _)) => Err(Stopped.into()),
        }
    }
}

/// The clock, the randomness and the executor of a store. Clones share them.
#[derive(Debug, Clone)]
pub struct Environment {
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    executor: Arc<dyn Executor>,
    stop: Stop,
    process: Arc<ProcessName>,
}

/// The name of this process for operators who read messages of other processes, as in the lease of a migration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessName {
    /// The name of the machine, container or pod, if it is known.
    pub host: Option<String>,
    /// The id of the process on that host, if it is known.
    pub process_id: Option<u32>,
}

impl ProcessName {
    /// Returns the name of the current process.
    pub fn current() -> Self {
        Self { host: host_name().filter(|name| !name.is_empty()), process_id: Some(std::process::id()) }
    }
}

#[cfg(unix)]
fn host_name() -> Option<String> {
    Some(rustix::system::uname().nodename().to_string_lossy().into_owned())
}

#[cfg(not(unix))]
fn host_name() -> Option<String> {
    std::env::var("COMPUTERNAME").ok()
}

impl Environment {
    /// Creates an environment with the given clock and randomness. Its tasks run on tokio, and its process has no name.
    pub fn new(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { clock, rng, executor: Arc::new(Tokio), stop: Stop::default(), process: Arc::default() }
    }

    /// Creates the environment of the operating system. Its tasks run on tokio.
    pub fn system() -> Self {
        Self::new(Arc::new(SystemClock::start()), Arc::new(SystemRng)).with_process(ProcessName::current())
    }

    /// Sets the name of the process that other processes see.
    #[must_use]
    pub fn with_process(self, process: ProcessName) -> Self {
        Self { process: Arc::new(process), ..self }
    }

    /// Returns the name of the process.
    pub fn process(&self) -> &ProcessName {
        &self.process
    }

    /// Sets the executor of tasks.
    #[must_use]
    pub fn with_executor(self, executor: Arc<dyn Executor>) -> Self {
        Self { executor, ..self }
    }

    /// Returns the stop request for work in this environment.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Waits for `work`. If it takes longer than a second, the log repeatedly names what is waited for, as `what`
    /// describes it at that time, and the hint.
    pub(crate) async fn telling<T>(&self, what: impl Fn() -> String, hint: &str, work: impl Future<Output = T>) -> T {
        // With a clock that advances only during sleeps, nothing waits in real time.
        if !self.clock.passes_by_itself() {
            return work.await;
        }
        let telling = async {
            let (mut next, mut waited) = (UNTOLD, Duration::ZERO);
            loop {
                self.clock.sleep(next).await;
                waited = waited.saturating_add(next);
                tracing::info!(target: WAITING, "waiting for {}, {} s so far; {hint}", what(), waited.as_secs());
                next = if next == UNTOLD { TOLD_AGAIN } else { next.saturating_mul(2) };
            }
        };
        match select(pin!(work), pin!(telling)).await {
            Either::Left((done, _)) => done,
            Either::Right((never, _)) => never,
        }
    }

    /// Runs a task concurrently with its caller, in the caller's span. The task continues if the returned [`Task`] is
    /// dropped.
    pub fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Task<T> {
        let (sender, outcome) = oneshot::channel();
        let (future, abort) = abortable(future);
        self.executor.spawn(
            async move {
                if let Ok(done) = future.await {
                    // The owner of the task may have dropped it.
                    let _ = sender.send(done);
                }
            }
            .in_current_span()
            .boxed(),
        );
        Task { outcome, abort, ends_with_owner: false }
    }

    /// Runs work that keeps a processor busy, without blocking other tasks.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if the work panics, or if the process ends.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> crate::Result<T> {
        let (sender, outcome) = oneshot::channel();
        self.executor.spawn_blocking(Box::new(move || {
            // The caller may have dropped its future.
            let _ = sender.send(work());
        }));
        outcome.await.map_err(|_| Error::new(ErrorKind::Internal, "work was aborted before its end"))
    }

    /// Returns how many processors such work can use.
    pub fn parallelism(&self) -> usize {
        self.executor.parallelism()
    }

    /// Returns the clock.
    pub fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Starts to measure a duration.
    pub(crate) fn stopwatch(&self) -> Stopwatch {
        Stopwatch { started: self.clock.monotonic(), clock: self.clock.clone() }
    }

    /// Returns the source of randomness.
    pub fn rng(&self) -> &dyn Rng {
        self.rng.as_ref()
    }

    /// Returns the current time in its stored form: UTC with milliseconds and `Z`, such as `2021-01-01T12:16:40.000Z`.
    pub fn now_iso(&self) -> String {
        iso_millis(self.clock.now())
    }

    /// Returns a random UUID, version 4.
    pub fn random_uuid(&self) -> crate::Result<Uuid> {
        let mut bytes = [0; 16];
        self.rng.fill(&mut bytes)?;
        Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

/// Measures a duration, by the monotonic clock of an [`Environment`].
#[derive(Debug)]
pub(crate) struct Stopwatch {
    clock: Arc<dyn Clock>,
    started: Duration,
}

impl Stopwatch {
    /// Returns the time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.started)
    }
}

/// Returns whether `host`, in the form of a parsed URL, is this machine. In that form addresses are normalized, and
/// IPv6 addresses have brackets. `localhost` and names that end with `.localhost` are this machine (RFC 6761 section
/// 6.3).
pub(crate) fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let name = host.strip_suffix('.').unwrap_or(host);
    name == "localhost"
        || name.ends_with(".localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Returns `timestamp` in its stored form: UTC with milliseconds and `Z`.
#[doc(hidden)]
pub fn iso_millis(timestamp: Timestamp) -> String {
    format!("{timestamp:.3}")
}

/// A [spawned](Environment::spawn) task. As a future it waits for the task's result.
#[derive(Debug)]
pub struct Task<T> {
    outcome: oneshot::Receiver<T>,
    abort: AbortHandle,
    ends_with_owner: bool,
}

impl<T> Task<T> {
    /// Returns the task changed so that dropping it ends the task.
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

/// Runs tasks on tokio's runtime, and blocking work on its pool of blocking threads.
#[derive(Debug, Clone, Copy)]
pub struct Tokio;

impl Executor for Tokio {
    /// Runs the task, or drops it if there is no runtime.
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
    /// Creates a clock whose [`Clock::monotonic`] counts from now.
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

/// A clock for tests of waiting.
#[cfg(test)]
pub(crate) mod set_clock {
    use std::sync::Mutex;

    use super::{Clock, Duration, Timestamp, async_trait};

    /// A clock that advances only by `forward` and by sleeps.
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
