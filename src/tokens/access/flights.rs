use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::AccessToken;
use crate::encryption::Secret;
use crate::tokens::TokenError;

/// How the last refresh of one token ended, for those who waited for it.
#[derive(Debug, Default)]
pub(super) struct Flight {
    ended: Option<Ended>,
}

#[derive(Debug)]
struct Ended {
    /// When, by the monotonic clock.
    at: Duration,
    outcome: Result<AccessToken, TokenError>,
}

impl Flight {
    /// Remembers how it ended.
    pub(super) fn end(&mut self, at: Duration, outcome: &Result<AccessToken, TokenError>) {
        self.ended = Some(Ended { at, outcome: outcome.clone() });
    }

    /// The outcome, if it is news for somebody who began to look at `began` and was refused this token.
    pub(super) fn outcome_since(
        &self,
        began: Duration,
        refused: Option<&Secret>,
    ) -> Option<Result<AccessToken, TokenError>> {
        let Ended { at, outcome } = self.ended.as_ref()?;
        let is_refused = outcome.as_ref().is_ok_and(|token| Some(&token.token) == refused);
        (*at >= began && !is_refused).then(|| outcome.clone())
    }
}

pub(super) type Slot = Arc<tokio::sync::Mutex<Flight>>;

/// One slot for each token that is being refreshed in this process: whoever holds its lock refreshes.
#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<String, Weak<tokio::sync::Mutex<Flight>>>>>);

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flights")
    }
}

impl Flights {
    /// The slots that somebody has.
    pub(super) fn all(&self) -> Vec<Slot> {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.values().filter_map(Weak::upgrade).collect()
    }

    /// The slot of `key`. It lives as long as somebody has it.
    pub(super) fn slot(&self, key: &str) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(key).and_then(Weak::upgrade) {
            return slot;
        }
        slots.retain(|_, slot| slot.strong_count() > 0);
        let slot = Slot::default();
        slots.insert(key.to_owned(), Arc::downgrade(&slot));
        slot
    }
}
