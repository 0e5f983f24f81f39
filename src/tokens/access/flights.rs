//! The refreshes in this process: one at a time for each token, grants that could not be stored, and pauses of
//! providers.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use jiff::Timestamp;

use super::AccessToken;
use crate::encryption::Secret;
use crate::telemetry;
use crate::tokens::{Grant, TokenError};

/// The end of the last refresh of one token, for the callers that waited for it.
#[derive(Debug, Default)]
pub(super) struct Flight {
    ended: Option<Ended>,
}

#[derive(Debug)]
struct Ended {
    /// The time by the monotonic clock.
    at: Duration,
    /// The token that its service had refused to the caller that began the refresh.
    refused: Option<Secret>,
    outcome: Result<AccessToken, TokenError>,
}

impl Flight {
    /// Records the outcome of a refresh that was begun by a caller whose service had refused this token.
    pub(super) fn end(&mut self, at: Duration, refused: Option<Secret>, outcome: &Result<AccessToken, TokenError>) {
        self.ended = Some(Ended { at, refused, outcome: outcome.clone() });
    }

    /// Returns the outcome, if it is new for a caller that began at `began` and whose service had refused this token.
    pub(super) fn outcome_since(
        &self,
        began: Duration,
        refused: Option<&Secret>,
    ) -> Option<Result<AccessToken, TokenError>> {
        let ended = self.ended.as_ref().filter(|ended| ended.at >= began)?;
        // A provider that grants the refused token again does so however often it is asked.
        let is_known = ended.refused.as_ref() != refused
            && ended.outcome.as_ref().is_ok_and(|token| Some(&token.token) == refused);
        (!is_known).then(|| ended.outcome.clone())
    }
}

pub(super) type Slot = Arc<tokio::sync::Mutex<Flight>>;

/// A grant that could not be stored.
#[derive(Debug, Clone)]
pub(super) struct Unstored {
    /// The refresh token of the request, which the provider may no longer accept.
    pub(super) granted_for: Option<Secret>,
    pub(super) grant: Grant,
    pub(super) asked_at: Timestamp,
}

/// The reason why a provider is not asked for a token for some time.
#[derive(Debug, Clone)]
pub(super) enum Pause {
    /// It asked for a pause.
    Busy,
    /// It refused this refresh token.
    Refused(Secret),
}

impl Pause {
    /// Returns the name that metrics have.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Refused(_) => "refused",
        }
    }
}

/// The longest pause, whatever the provider asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// The refreshes of this process. Each token that is being refreshed has a slot; the task that holds its lock
/// refreshes. Grants that could not be stored are kept until the next refresh stores them, since the caller that got
/// the error may have gone away. The pauses say when providers are asked again.
#[derive(Clone, Default)]
pub(super) struct Flights {
    slots: Arc<Mutex<HashMap<String, Weak<tokio::sync::Mutex<Flight>>>>>,
    unstored: Arc<Mutex<HashMap<String, Unstored>>>,
    /// The pauses and their ends by the monotonic clock.
    pauses: Arc<Mutex<HashMap<String, (Pause, Duration)>>>,
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flights")
    }
}

impl Flights {
    /// Returns all slots in use.
    pub(super) fn all(&self) -> Vec<Slot> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.values().filter_map(Weak::upgrade).collect()
    }

    /// Returns the slot of `key`. It exists as long as it is in use.
    pub(super) fn slot(&self, key: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(key).and_then(Weak::upgrade) {
            return slot;
        }
        slots.retain(|_, slot| slot.strong_count() > 0);
        let slot = Slot::default();
        slots.insert(key.to_owned(), Arc::downgrade(&slot));
        slot
    }

    /// Returns the grant that could not be stored. Only the holder of the slot's lock may rely on it.
    pub(super) fn unstored(&self, key: &str) -> Option<Unstored> {
        self.all_unstored().get(key).cloned()
    }

    /// Keeps a grant that could not be stored.
    pub(super) fn add_unstored(&self, key: String, unstored: Unstored) {
        if self.all_unstored().insert(key, unstored).is_none() {
            telemetry::unstored_grants_changed(1);
        }
    }

    /// Drops a grant that was stored, or is of no use any more.
    pub(super) fn drop_unstored(&self, key: &str) {
        if self.all_unstored().remove(key).is_some() {
            telemetry::unstored_grants_changed(-1);
        }
    }

    /// Begins a pause.
    pub(super) fn pause(&self, key: String, pause: Pause, length: Duration, now: Duration) {
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.retain(|_, (_, until)| *until > now);
        pauses.insert(key, (pause, now.saturating_add(length.min(LONGEST_PAUSE))));
    }

    /// Returns the pause at `now`, and its remaining time.
    pub(super) fn paused(&self, key: &str, now: Duration) -> Option<(Pause, Duration)> {
        let pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        let (pause, until) = pauses.get(key).filter(|(_, until)| *until > now)?;
        Some((pause.clone(), until.saturating_sub(now)))
    }

    fn all_unstored(&self) -> MutexGuard<'_, HashMap<String, Unstored>> {
        self.unstored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
