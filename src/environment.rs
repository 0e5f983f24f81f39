//! Time and randomness, given at the start (design decision 25). Everything else in the library takes them from here, so
//! that tests decide what time it is and which ids are made; lints forbid reaching for them elsewhere.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

/// A source of time.
#[async_trait]
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock, for time stamps that are stored.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment, for measuring how long something takes. It never goes backwards.
    fn monotonic(&self) -> Duration;
    /// Waits for `duration`.
    async fn sleep(&self, duration: Duration);
}

/// A source of random bytes, fit for nonces and ids.
pub trait Rng: Send + Sync + fmt::Debug {
    /// Fills `bytes` with random bytes. An error means that the operating system has no randomness to give.
    fn fill(&self, bytes: &mut [u8]) -> crate::Result<()>;
}

/// The time and randomness a store works with. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Environment {
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

impl Environment {
    /// An environment of the given parts.
    pub fn new(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { clock, rng }
    }

    /// The clock and the randomness of the operating system.
    pub fn system() -> Self {
        Self::new(Arc::new(SystemClock::start()), Arc::new(SystemRng))
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

/// `timestamp` as it is stored: UTC with milliseconds and `Z`.
pub fn iso_millis(timestamp: Timestamp) -> String {
    format!("{timestamp:.3}")
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
