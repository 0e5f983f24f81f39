//! Retries: how often and how long a request is repeated.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};

use crate::cluster::{Backoff, ClusterError};
use crate::environment::{Environment, TOLD_AGAIN, UNTOLD, WAITING};
use crate::telemetry;

/// The limits for repeating a request. The first limit reached ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The number of attempts, the first included.
    pub max_attempts: u32,
    /// The time from the first attempt after which no other begins. Time in which the process was suspended does not
    /// count.
    pub max_elapsed: Duration,
    /// The longest wait before the second attempt. It doubles with each attempt.
    pub first_wait: Duration,
    /// The longest wait before any attempt.
    pub longest_wait: Duration,
}

impl Default for RetryPolicy {
    /// 10 attempts within 15 s, with waits of at most 100 ms at first and 3 s later.
    fn default() -> Self {
        Self {
            max_attempts: 10,
            max_elapsed: Duration::from_secs(15),
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(3),
        }
    }
}

/// The interval at which a running attempt reads the clock.
const PULSE: Duration = Duration::from_secs(1);
/// The time for which a request may be repeated once a stop was requested.
const LAST_ELAPSED: Duration = Duration::from_secs(3);
/// The most time that counts between two readings of the clock. Beyond that the process was suspended.
const LONGEST_BEAT: Duration = Duration::from_secs(2);

/// The attempts at one request: counts them, and decides how long to wait before the next.
///
/// A process can be suspended during a request: by a signal, a frozen container, or the migration of a virtual machine.
/// The failures that it then sees say nothing about the server's current state, so only the time in which it ran
/// counts.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    environment: &'a Environment,
    policy: RetryPolicy,
    backoff: Backoff,
    started: Duration,
    /// The time in which the process ran.
    spent: Duration,
    made: u32,
    /// When the log last said that the request is repeated.
    told: Duration,
}

impl<'a> Attempts<'a> {
    pub(super) fn start(policy: RetryPolicy, environment: &'a Environment) -> Self {
        Self {
            environment,
            policy,
            backoff: Backoff::new(policy.first_wait, policy.longest_wait),
            started: environment.clock().monotonic(),
            spent: Duration::ZERO,
            made: 1,
            told: Duration::ZERO,
        }
    }

    pub(super) fn made(&self) -> u32 {
        self.made
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.environment.clock().monotonic().saturating_sub(self.started)
    }

    /// Logs that the request is repeated, and why, if that takes longer than a second.
    pub(super) fn tell(&mut self, error: &ClusterError) {
        tracing::debug!(attempt = self.made, %error, "repeating a request");
        let elapsed = self.elapsed();
        if elapsed >= if self.told.is_zero() { UNTOLD } else { self.told.saturating_add(TOLD_AGAIN) } {
            self.told = elapsed;
            tracing::info!(target: WAITING, "trying again, {} s so far: {error}", elapsed.as_secs());
        }
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

    /// Waits before the next attempt, at least as long as the server asked for. Returns false if no attempt is left.
    /// Otherwise the metrics count a repeat, for this reason.
    pub(super) async fn wait_for_next(&mut self, reason: &'static str, server_asks: Option<Duration>) -> bool {
        let wait = self.backoff.next_wait(self.environment.rng()).max(server_asks.unwrap_or_default());
        if self.made >= self.policy.max_attempts || self.spent.saturating_add(wait) > self.max_elapsed() {
            return false;
        }
        let stop = self.environment.stop();
        match stop.is_requested() {
            // The last requests before the process ends are worth a wait.
            true => self.environment.clock().sleep(wait).await,
            false => drop(stop.or(self.environment.clock().sleep(wait)).await),
        }
        self.spent += wait;
        self.made += 1;
        let is_left = self.spent <= self.max_elapsed();
        if is_left {
            telemetry::repeated(reason);
        }
        is_left
    }

    /// Returns the time that may be spent. It is shorter once a stop was requested.
    fn max_elapsed(&self) -> Duration {
        match self.environment.stop().is_requested() {
            true => self.policy.max_elapsed.min(LAST_ELAPSED),
            false => self.policy.max_elapsed,
        }
    }
}
