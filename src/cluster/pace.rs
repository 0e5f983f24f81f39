//! The pace of work that shares a live cluster with users: a limit on the documents written in a second, and a pause.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::environment::Environment;
use crate::{Error, ErrorKind, Result};

/// The number of pages that are written in a second, so that the documents of a second do not come all at once.
const PAGES_A_SECOND: u32 = 10;

/// The pace of scans and of the writes that follow. Clones share the limit and the pause. Documents that are only read
/// do not count: writing costs a server far more (record 10), and a scan reads one page at a time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace {
    /// The largest number of documents that are written in a second.
    max_rate: Option<NonZeroU32>,
    /// The earliest time of the next page, by the monotonic clock.
    next: Arc<Mutex<Duration>>,
    is_paused: Arc<AtomicBool>,
}

/// The source of the error of work that ended because of a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paused;

impl fmt::Display for Paused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was paused before its end")
    }
}

impl std::error::Error for Paused {}

impl From<Paused> for Error {
    fn from(paused: Paused) -> Self {
        Self::new(ErrorKind::Unavailable, paused.to_string())
            .with_hint("see `saved-objects status`; `saved-objects migrate --resume` ends the pause")
            .with_source(paused)
    }
}

impl Paused {
    /// Returns whether an error comes from work that was paused.
    pub(crate) fn is_cause_of(error: &Error) -> bool {
        error.find_source::<Self>().is_some()
    }
}

impl Pace {
    /// Creates a pace of at most `max_rate` written documents in a second.
    pub(crate) fn at_most(max_rate: NonZeroU32) -> Self {
        Self { max_rate: Some(max_rate), ..Self::default() }
    }

    /// Returns the same pace without the limit.
    pub(crate) fn unlimited(&self) -> Self {
        Self { max_rate: None, ..self.clone() }
    }

    /// Returns whether there is a limit.
    pub(crate) fn is_limited(&self) -> bool {
        self.max_rate.is_some()
    }

    /// Pauses the scans: each one ends before its next page, with an error whose source is [`Paused`].
    pub(crate) fn pause(&self) {
        self.is_paused.store(true, Ordering::Relaxed);
    }

    /// Ends the pause. Scans that it has ended do not begin again.
    pub(crate) fn resume(&self) {
        self.is_paused.store(false, Ordering::Relaxed);
    }

    /// Returns an error if the scans are paused.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) with the source [`Paused`].
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_paused.load(Ordering::Relaxed) { Err(Paused.into()) } else { Ok(()) }
    }

    /// Returns the largest number of documents of a page, of which `max` are allowed without a limit.
    pub(super) fn page(&self, max: u32) -> u32 {
        self.max_rate.map_or(max, |rate| (rate.get() / PAGES_A_SECOND).clamp(1, max))
    }

    /// Waits until `documents` may be written. Time that passed without a write is not made up for.
    pub(crate) async fn admit(&self, documents: usize, environment: &Environment) {
        let Some(max_rate) = self.max_rate.filter(|_| documents > 0) else { return };
        let now = environment.clock().monotonic();
        let wait = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = now.max(*next);
            *next = turn.saturating_add(Duration::from_secs(documents as u64) / max_rate.get());
            turn.saturating_sub(now)
        };
        if !wait.is_zero() {
            // Work that is stopped writes what it has read without further waits.
            let _ = environment.stop().or(environment.clock().sleep(wait)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures::FutureExt;
    use proptest::prelude::*;

    use super::*;
    use crate::environment::SystemRng;
    use crate::environment::set_clock::SetClock;

    /// Returns the times at which pages of these sizes are admitted, if processing each takes `pauses` in turn.
    async fn times(max_rate: u32, pages: &[usize], pauses: &[u64]) -> Vec<Duration> {
        let clock = Arc::new(SetClock::default());
        let environment = Environment::new(clock.clone(), Arc::new(SystemRng));
        let pace = Pace::at_most(NonZeroU32::new(max_rate).expect("a rate"));
        let mut times = Vec::new();
        for (page, pause) in pages.iter().zip(pauses.iter().cycle()) {
            pace.admit(*page, &environment).await;
            times.push(environment.clock().monotonic());
            clock.forward(Duration::from_millis(*pause));
        }
        times
    }

    proptest! {
        #[test]
        fn no_second_has_more_than_the_rate_and_one_page(
            max_rate in 1_u32..5_000,
            sizes in prop::collection::vec(0.0..=1.0_f64, 1..200),
            pauses in prop::collection::vec(0_u64..2_000, 1..5),
        ) {
            let pace = Pace::at_most(NonZeroU32::new(max_rate).expect("a rate"));
            let largest = pace.page(1_000) as usize;
            let pages: Vec<usize> = sizes.iter().map(|size| ((largest as f64 * size) as usize).max(1)).collect();
            let times = times(max_rate, &pages, &pauses).now_or_never().expect("this clock never waits");
            let mut second: VecDeque<(Duration, usize)> = VecDeque::new();
            for (time, page) in times.into_iter().zip(pages) {
                second.push_back((time, page));
                while second.front().is_some_and(|(first, _)| time.saturating_sub(*first) >= Duration::from_secs(1)) {
                    second.pop_front();
                }
                let documents: usize = second.iter().map(|(_, page)| page).sum();
                prop_assert!(documents <= max_rate as usize + largest, "{documents} within {second:?}");
            }
        }
    }

    #[tokio::test]
    async fn the_whole_takes_as_long_as_the_rate_says() {
        let times = times(250, &[25; 101], &[3]).await;
        assert_eq!(times.first(), Some(&Duration::ZERO), "the first page does not wait");
        assert_eq!(times.last(), Some(&Duration::from_secs(10)), "2,500 documents before the last page");
    }

    #[test]
    fn pages_are_a_tenth_of_a_second() {
        let pages = [1, 9, 10, 55, 2_000, 1_000_000].map(|rate| {
            let pace = Pace::at_most(NonZeroU32::new(rate).expect("a rate"));
            (pace.page(1_000), pace.unlimited().page(1_000))
        });
        assert_eq!(pages, [(1, 1_000), (1, 1_000), (1, 1_000), (5, 1_000), (200, 1_000), (1_000, 1_000)]);
    }

    #[test]
    fn clones_share_a_pause_and_the_error_is_recognized() {
        let pace = Pace::default();
        let other = pace.unlimited();
        assert!(other.check().is_ok());
        pace.pause();
        let error = other.check().expect_err("paused");
        assert!(Paused::is_cause_of(&error.context("x")));
        other.resume();
        assert!(pace.check().is_ok());
    }
}
