use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use jiff::Timestamp;

use super::AccessToken;
use crate::encryption::Secret;
use crate::tokens::{Grant, TokenError};

/// How the last refresh of one token ended, for those who waited for it.
#[derive(Debug, Default)]
pub(super) struct Flight {
    ended: Option<Ended>,
}

#[derive(Debug)]
struct Ended {
    /// When, by the monotonic clock.
    at: Duration,
    /// The token that its service had refused to whoever began it.
    refused: Option<Secret>,
    outcome: Result<AccessToken, TokenError>,
}

impl Flight {
    /// Remembers how a refresh ended that was begun by somebody who was refused this token.
    pub(super) fn end(&mut self, at: Duration, refused: Option<Secret>, outcome: &Result<AccessToken, TokenError>) {
        self.ended = Some(Ended { at, refused, outcome: outcome.clone() });
    }

    /// The outcome, if it is news for somebody who began to look at `began` and was refused this token.
    pub(super) fn outcome_since(
        &self,
        began: Duration,
        refused: Option<&Secret>,
    ) -> Option<Result<AccessToken, TokenError>> {
        let ended = self.ended.as_ref().filter(|ended| ended.at >= began)?;
        // A provider that gives the refused token once more does so however often it is asked.
        let is_known = ended.refused.as_ref() != refused
            && ended.outcome.as_ref().is_ok_and(|token| Some(&token.token) == refused);
        (!is_known).then(|| ended.outcome.clone())
    }
}

pub(super) type Slot = Arc<tokio::sync::Mutex<Flight>>;

/// What a provider granted and could not be stored.
#[derive(Debug, Clone)]
pub(super) struct Unstored {
    /// The refresh token that it was granted for, which is worth nothing now.
    pub(super) granted_for: Option<Secret>,
    pub(super) grant: Grant,
    pub(super) asked_at: Timestamp,
}

/// Why a provider is not asked for a token for a while.
#[derive(Debug, Clone)]
pub(super) enum Pause {
    /// It wants to be left alone.
    Busy,
    /// It refused this refresh token.
    Refused(Secret),
}

/// The longest time for which a provider is left alone, whatever it says.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// One slot for each token that is being refreshed in this process: the task that holds its lock refreshes. Beside it, what refreshes
/// got and could not store, until the next one does, since the caller that was told so may have gone away; and the pauses after
/// which providers are asked again.
#[derive(Clone, Default)]
pub(super) struct Flights {
    slots: Arc<Mutex<HashMap<String, Weak<tokio::sync::Mutex<Flight>>>>>,
    unstored: Arc<Mutex<HashMap<String, Unstored>>>,
    /// With the ends of the pauses by the monotonic clock.
    pauses: Arc<Mutex<HashMap<String, (Pause, Duration)>>>,
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flights")
    }
}

impl Flights {
    /// The slots that somebody has.
    pub(super) fn all(&self) -> Vec<Slot> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.values().filter_map(Weak::upgrade).collect()
    }

    /// The slot of `key`. It lives as long as somebody has it.
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

    /// What was granted and not stored. To be asked by whoever holds the slot's lock.
    pub(super) fn unstored(&self, key: &str) -> Option<Unstored> {
        self.all_unstored().get(key).cloned()
    }

    /// Remembers what was granted and not stored.
    pub(super) fn keep_unstored(&self, key: String, unstored: Unstored) {
        self.all_unstored().insert(key, unstored);
    }

    /// It was stored, or is of no use any more.
    pub(super) fn forget_unstored(&self, key: &str) {
        self.all_unstored().remove(key);
    }

    /// Begins a pause of this length.
    pub(super) fn pause(&self, key: String, pause: Pause, length: Duration, now: Duration) {
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.retain(|_, (_, until)| *until > now);
        pauses.insert(key, (pause, now.saturating_add(length.min(LONGEST_PAUSE))));
    }

    /// The pause that there is at `now`, and how much longer it lasts.
    pub(super) fn paused(&self, key: &str, now: Duration) -> Option<(Pause, Duration)> {
        let pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        let (pause, until) = pauses.get(key).filter(|(_, until)| *until > now)?;
        Some((pause.clone(), until.saturating_sub(now)))
    }

    fn all_unstored(&self) -> MutexGuard<'_, HashMap<String, Unstored>> {
        self.unstored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
