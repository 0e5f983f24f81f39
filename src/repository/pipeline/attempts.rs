//! Repeats of a write that lost against other writers.

use std::time::Duration;

use crate::cluster::Backoff;
use crate::environment::Environment;

/// The attempts at a read-change-write that loses against other writers. In each attempt one of them wins, so this is
/// enough for several times as many writers of one object as there should ever be.
const MAX_ATTEMPTS: u32 = 10;
/// The attempts at raising a counter, which many callers may do at the same time.
const MAX_PATIENT_ATTEMPTS: u32 = 40;
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Counts attempts and waits between them.
pub(crate) struct Attempts<'a> {
    environment: &'a Environment,
    backoff: Backoff,
    made: u32,
    limit: u32,
}

impl<'a> Attempts<'a> {
    /// Begins the first of several attempts.
    pub(crate) fn several(environment: &'a Environment) -> Self {
        Self::with_limit(environment, MAX_ATTEMPTS)
    }

    /// Begins the first of many attempts, for an object that many callers count with.
    pub(in crate::repository) fn patient(environment: &'a Environment) -> Self {
        Self::with_limit(environment, MAX_PATIENT_ATTEMPTS)
    }

    fn with_limit(environment: &'a Environment, limit: u32) -> Self {
        let backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE).with_full_jitter();
        Self { environment, backoff, made: 1, limit }
    }

    /// Waits for the next attempt. Returns false, without waiting, if no attempt is left. The wait is random, so that
    /// writers that met once do not meet again.
    pub(crate) async fn wait_for_next(&mut self) -> bool {
        if self.made >= self.limit {
            return false;
        }
        let pause = self.backoff.next_wait(self.environment.rng()).max(SHORTEST_PAUSE);
        self.environment.clock().sleep(pause).await;
        self.made += 1;
        true
    }
}
