//! Time and randomness, given at the start (design decision 25). Everything else in the library takes them from here, so
//! that tests decide what time it is and which ids are made; lints forbid reaching for them elsewhere.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
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
    stock: Arc<Stock>,
}

impl Environment {
    /// An environment of the given parts.
    pub fn new(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { clock, rng, stock: Arc::default() }
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
        let mut block = Block::default();
        self.fill_blocks(std::slice::from_mut(&mut block))?;
        Ok(uuid::Builder::from_random_bytes(block).into_uuid())
    }

    /// Fills blocks with random bytes that were asked for many blocks at a time: to ask the operating system for one takes longer
    /// than most of what is done with it. For ids and nonces, not for what must stay secret: it lies in memory until it is used.
    pub(crate) fn fill_blocks(&self, blocks: &mut [Block]) -> crate::Result<()> {
        self.stock.take(&*self.rng, blocks)
    }
}

/// As many bytes as an id or a nonce has.
pub(crate) type Block = [u8; 16];

/// Random blocks that nobody has used.
#[derive(Default)]
struct Stock(Mutex<Vec<Block>>);

impl Stock {
    /// Blocks that are asked for at a time.
    const BLOCKS: usize = 64;

    fn take(&self, rng: &dyn Rng, blocks: &mut [Block]) -> crate::Result<()> {
        let mut stock = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if stock.len() < blocks.len() {
            let mut fresh = vec![Block::default(); blocks.len().max(Self::BLOCKS)];
            rng.fill(fresh.as_flattened_mut())?;
            stock.append(&mut fresh);
        }
        let left = stock.len() - blocks.len();
        blocks.copy_from_slice(&stock[left..]);
        stock.truncate(left);
        Ok(())
    }
}

impl fmt::Debug for Stock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stock").finish_non_exhaustive()
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

    /// Counts, and has nothing to give after so many times.
    #[derive(Debug)]
    struct Counting(Mutex<(u8, u8)>);

    impl Rng for Counting {
        fn fill(&self, bytes: &mut [u8]) -> crate::Result<()> {
            let (count, most) = &mut *self.0.lock().expect("no test panics with the lock");
            *count += 1;
            if *count > *most {
                return Err(crate::Error::new(crate::ErrorKind::Internal, "no randomness"));
            }
            bytes.chunks_mut(16).zip(0_u8..).for_each(|(block, at)| block.copy_from_slice(&[*count, at].repeat(8)));
            Ok(())
        }
    }

    #[test]
    fn blocks_are_asked_for_many_at_a_time_and_given_once() {
        let environment = Environment::new(Arc::new(SystemClock::start()), Arc::new(Counting(Mutex::new((0, 3)))));
        let mut given = std::collections::BTreeSet::new();
        for length in [1, 0, 62, 2, 100, 63] {
            let mut blocks = vec![Block::default(); length];
            environment.fill_blocks(&mut blocks).expect("random");
            given.extend(blocks);
        }
        assert_eq!(given.len(), 228, "one block was given twice");
        assert!(environment.random_uuid().is_err(), "it was asked for a fourth time, with none left");
    }

    #[test]
    fn random_uuids_are_version_4_and_differ() {
        let environment = Environment::system();
        let (a, b) = (environment.random_uuid().expect("random"), environment.random_uuid().expect("random"));
        assert_eq!(a.get_version_num(), 4);
        assert_ne!(a, b);
    }
}
