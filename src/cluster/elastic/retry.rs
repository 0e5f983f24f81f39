//! How often and how long a request is repeated.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::future::{Either, select};

use crate::environment::Environment;

/// How often and how long a request is repeated. Whichever limit is met first ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub max_attempts: u32,
    /// Time from the first attempt after which none is begun. The time for which the process was suspended does not count.
    pub max_elapsed: Duration,
    /// The longest wait before the second attempt; it doubles from there.
    pub first_wait: Duration,
    /// The longest wait before any attempt.
    pub longest_wait: Duration,
}

impl Default for RetryPolicy {
    /// 10 attempts within 15 s, waiting 100 ms at first and 3 s at most.
    fn default() -> Self {
        Self {
            max_attempts: 10,
            max_elapsed: Duration::from_secs(15),
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(3),
        }
    }
}

/// How often an attempt that is under way looks at the clock.
const PULSE: Duration = Duration::from_secs(1);
/// The longest time between two looks that counts. In the rest of it the process was suspended.
const LONGEST_BEAT: Duration = Duration::from_secs(2);

/// The attempts at one request: counts them, and says how long to wait before the next.
///
/// A process can be suspended in the middle of a request: by a signal, by a container that is frozen, by a virtual machine that
/// is moved. What it then finds failed says nothing of the server as it is now, so only the time counts in which it ran.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    environment: &'a Environment,
    policy: RetryPolicy,
    waits: backon::ExponentialBackoff,
    started: Duration,
    /// Time in which the process ran.
    spent: Duration,
    made: u32,
}

impl<'a> Attempts<'a> {
    pub(super) fn start(policy: RetryPolicy, environment: &'a Environment) -> Self {
        let waits = ExponentialBuilder::default()
            .with_min_delay(policy.first_wait)
            .with_max_delay(policy.longest_wait)
            .with_factor(2.0)
            .without_max_times()
            .build();
        Self { environment, policy, waits, started: environment.clock().monotonic(), spent: Duration::ZERO, made: 1 }
    }

    pub(super) fn made(&self) -> u32 {
        self.made
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.environment.clock().monotonic().saturating_sub(self.started)
    }

    /// Makes an attempt, and counts the time that it takes.
    pub(super) async fn during<T>(&mut self, attempt: impl Future<Output = T>) -> T {
        let clock = self.environment.clock();
        let is_watched = clock.passes_by_itself();
        let mut attempt = pin!(attempt);
        let mut seen = clock.monotonic();
        loop {
            let pulse = pin!(async {
                match is_watched {
                    true => clock.sleep(PULSE).await,
                    false => pending().await,
                }
            });
            let ended = select(attempt.as_mut(), pulse).await;
            let now = clock.monotonic();
            let beat = now.saturating_sub(seen);
            self.spent += if is_watched { beat.min(LONGEST_BEAT) } else { beat };
            seen = now;
            if let Either::Left((answer, _)) = ended {
                return answer;
            }
        }
    }

    /// Waits before the next attempt, at least as long as the server asked for. False if there is none to be made.
    pub(super) async fn wait_for_next(&mut self, server_asks: Option<Duration>) -> bool {
        let planned = self.waits.next().unwrap_or(self.policy.longest_wait);
        let wait = self.with_jitter(planned).max(server_asks.unwrap_or_default());
        if self.made >= self.policy.max_attempts || self.spent.saturating_add(wait) > self.policy.max_elapsed {
            return false;
        }
        self.environment.clock().sleep(wait).await;
        self.spent += wait;
        self.made += 1;
        true
    }

    /// Between half of `wait` and all of it, so that many nodes do not come back in step.
    fn with_jitter(&self, wait: Duration) -> Duration {
        let mut byte = [u8::MAX];
        // Without randomness all of the wait is as good.
        let _ = self.environment.rng().fill(&mut byte);
        wait.mul_f64(0.5 + f64::from(byte[0]) / 510.0)
    }
}
