//! Holds: each waits for one write, and keeps it instead of letting it be done.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::write::Write;

/// Which write to hold, and where to keep it once it is sent.
pub(super) struct Hold {
    is_meant: Box<dyn Fn(&Write) -> bool + Send + Sync>,
    kept: Arc<Mutex<Option<Write>>>,
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").finish_non_exhaustive()
    }
}

impl Hold {
    pub(super) fn new(
        is_meant: impl Fn(&Write) -> bool + Send + Sync + 'static,
        kept: Arc<Mutex<Option<Write>>>,
    ) -> Self {
        Self { is_meant: Box::new(is_meant), kept }
    }
}

/// Keeps `write` if a hold waits for it. Each hold keeps one write.
pub(super) fn keep(holds: &mut Vec<Hold>, write: &Write) -> bool {
    let Some(position) = holds.iter().position(|hold| (hold.is_meant)(write)) else { return false };
    let hold = holds.remove(position);
    *hold.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(write.clone());
    true
}
