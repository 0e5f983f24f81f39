//! The waiting times between attempts.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::environment::Rng;

/// Waiting times that double up to a limit. Each is random, so that processes that met once do not meet again. The
/// randomness is that of the environment, so that the seed of a test repeats the waiting times.
#[derive(Debug)]
pub(crate) struct Backoff {
    planned: ExponentialBackoff,
    longest: Duration,
    /// The part of a planned time that is waited in any case.
    fixed: f64,
}

impl Backoff {
    /// Plans `first`, then always twice the previous time, but at most `longest`. Between half of a planned time and
    /// all of it is waited.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        let planned = ExponentialBuilder::default()
            .with_min_delay(first)
            .with_max_delay(longest)
            .with_factor(2.0)
            .without_max_times()
            .build();
        Self { planned, longest, fixed: 0.5 }
    }

    /// Lets the time that is waited be any part of the planned time, for many processes that change one document.
    pub(crate) fn with_full_jitter(self) -> Self {
        Self { fixed: 0.0, ..self }
    }

    /// Returns how long to wait before the next attempt.
    pub(crate) fn next_wait(&mut self, rng: &dyn Rng) -> Duration {
        let planned = self.planned.next().unwrap_or(self.longest);
        let mut random = [u8::MAX; 4];
        // If randomness fails, the whole planned time is fine.
        let _ = rng.fill(&mut random);
        let share = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
        planned.mul_f64(self.fixed + (1.0 - self.fixed) * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Randomness that is always the same byte, or fails.
    #[derive(Debug)]
    struct Always(Option<u8>);

    impl Rng for Always {
        fn fill(&self, bytes: &mut [u8]) -> crate::Result<()> {
            let byte = self.0.ok_or_else(|| crate::Error::new(crate::ErrorKind::Internal, "no randomness"))?;
            bytes.fill(byte);
            Ok(())
        }
    }

    fn waits(mut backoff: Backoff, byte: Option<u8>) -> Vec<u128> {
        (0..4).map(|_| backoff.next_wait(&Always(byte)).as_millis()).collect()
    }

    #[test]
    fn waiting_times_double_up_to_the_longest() {
        let backoff = || Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        assert_eq!(waits(backoff(), Some(u8::MAX)), [100, 200, 350, 350]);
        assert_eq!(waits(backoff(), Some(0)), [50, 100, 175, 175]);
        assert_eq!(waits(backoff().with_full_jitter(), Some(0)), [0; 4]);
        assert_eq!(waits(backoff().with_full_jitter(), None), [100, 200, 350, 350]);
    }
}
