use std::time::Duration;

use crate::environment::Environment;

/// The attempts at a read-change-write that lost against other writers. At each attempt one of them wins, so this suffices
/// for several times as many writers of one object as there should ever be.
const MAX_ATTEMPTS: u32 = 10;
/// The attempts at raising a counter, which many may do at once.
const MAX_PATIENT_ATTEMPTS: u32 = 40;
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Counts attempts and waits between them.
pub(crate) struct Attempts<'a> {
    environment: &'a Environment,
    made: u32,
    limit: u32,
}

impl<'a> Attempts<'a> {
    /// The first of several attempts is under way.
    pub(crate) fn several(environment: &'a Environment) -> Self {
        Self { environment, made: 1, limit: MAX_ATTEMPTS }
    }

    /// The first of many attempts is under way: everybody counts with the same object.
    pub(super) fn patient(environment: &'a Environment) -> Self {
        Self { environment, made: 1, limit: MAX_PATIENT_ATTEMPTS }
    }

    /// The only attempt is under way: the caller named the version to be changed, so another one is not what they saw.
    pub(super) fn one(environment: &'a Environment) -> Self {
        Self { environment, made: 1, limit: 1 }
    }

    /// Waits, and tells whether there is to be another attempt. The wait is random, so that writers who met once do not
    /// meet again.
    pub(crate) async fn wait_for_next(&mut self) -> bool {
        if self.made >= self.limit {
            return false;
        }
        let longest = LONGEST_PAUSE.min(FIRST_PAUSE.saturating_mul(1 << self.made.min(16)));
        let mut random = [0; 4];
        // Without randomness the pause is at its shortest, which is still a pause.
        let _ = self.environment.rng().fill(&mut random);
        let share = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
        self.environment.clock().sleep(FIRST_PAUSE.max(longest.mul_f64(share))).await;
        self.made += 1;
        true
    }
}
