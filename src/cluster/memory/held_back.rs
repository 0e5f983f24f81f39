//! Writes that land late: their sender has given up on them, and may have gone on, when they are done.

use std::fmt;
use std::sync::{Arc, Mutex};

use super::{Inner, Write, locked};
use crate::cluster::{ClusterResult, ItemOutcome};

/// Which write is meant, and where it is kept once it came.
pub(super) struct Hold {
    is_meant: Box<dyn Fn(&Write) -> bool + Send + Sync>,
    kept: Arc<Mutex<Option<Write>>>,
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").finish_non_exhaustive()
    }
}

/// A write that [`InMemory::hold_back`](super::InMemory::hold_back) waits for, or keeps.
#[derive(Debug)]
pub struct HeldBack {
    cluster: Arc<Inner>,
    kept: Arc<Mutex<Option<Write>>>,
}

impl HeldBack {
    pub(super) fn new(cluster: Arc<Inner>, is_meant: impl Fn(&Write) -> bool + Send + Sync + 'static) -> (Self, Hold) {
        let kept = Arc::new(Mutex::new(None));
        (Self { cluster, kept: kept.clone() }, Hold { is_meant: Box::new(is_meant), kept })
    }

    /// The write, once somebody has sent it.
    pub fn write(&self) -> Option<Write> {
        locked(&self.kept).clone()
    }

    /// Does the write now, and gives what it would have answered: the outcomes of a bulk, none for other writes. None if
    /// nobody has sent it.
    pub fn land(self) -> Option<ClusterResult<Vec<ItemOutcome>>> {
        let write = locked(&self.kept).take()?;
        Some(self.cluster.apply(&write))
    }
}

/// Keeps `write` if a hold waits for it. Each hold keeps one.
pub(super) fn keep(holds: &mut Vec<Hold>, write: &Write) -> bool {
    let Some(position) = holds.iter().position(|hold| (hold.is_meant)(write)) else { return false };
    let hold = holds.remove(position);
    *locked(&hold.kept) = Some(write.clone());
    true
}
