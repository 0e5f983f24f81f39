//! The shared part of a cluster in memory: its state, holds, counters and environment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::hold::{self, Hold};
use super::state::State;
use super::write::Write;
use crate::cluster::{ClusterError, ClusterErrorKind, ClusterResult, ItemError, ItemErrorKind, ItemOutcome};
use crate::environment::Environment;

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) environment: Environment,
    pub(super) state: Mutex<State>,
    pub(super) holds: Mutex<Vec<Hold>>,
    pub(super) reads: AtomicU64,
    pub(super) writes: AtomicU64,
}

impl Inner {
    pub(super) fn now(&self) -> Duration {
        self.environment.clock().monotonic()
    }

    /// Returns the time that `now` means in a query.
    pub(super) fn wall(&self) -> Timestamp {
        self.environment.clock().now()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// Returns the state for a request that changes nothing, and counts the request.
    pub(super) fn read(&self) -> MutexGuard<'_, State> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.state()
    }

    pub(super) fn apply(&self, write: &Write) -> ClusterResult<Vec<ItemOutcome>> {
        let now = self.now();
        self.state().apply(write, now).map_err(|error| {
            let (method, path) = write.request();
            at(method, path, error)
        })
    }

    /// Does the write unless a hold keeps it, and counts the request.
    pub(super) fn write(&self, write: &Write) -> ClusterResult<Vec<ItemOutcome>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        if !hold::keep(&mut locked(&self.holds), write) {
            return self.apply(write);
        }
        let reason = "the write is held back";
        match write {
            Write::Bulk { operations, .. } => {
                let error = ItemError { kind: ItemErrorKind::OutcomeUnknown, reason: reason.to_owned() };
                Ok(vec![Err(error); operations.len()])
            }
            _ => {
                let (method, path) = write.request();
                Err(ClusterError::new(ClusterErrorKind::Timeout, method, path, reason))
            }
        }
    }
}

/// Returns the error with the request's method and path.
pub(super) fn at(method: &'static str, path: impl Into<String>, error: ClusterError) -> ClusterError {
    ClusterError { method, path: path.into(), ..error }
}

/// Locks a mutex. It ignores poisoning: no code panics while it changes the state.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
