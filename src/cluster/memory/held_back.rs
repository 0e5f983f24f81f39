//! Writes that land late: when they are done, their sender has already seen a time-out and may have continued.

use std::sync::{Arc, Mutex};

use super::hold::Hold;
use super::inner::{Inner, locked};
use super::write::Write;
use crate::cluster::{ClusterResult, ItemOutcome};

/// A write that [`InMemory::hold_back`](super::InMemory::hold_back) waits for or holds.
#[derive(Debug)]
pub struct HeldBack {
    cluster: Arc<Inner>,
    kept: Arc<Mutex<Option<Write>>>,
}

impl HeldBack {
    pub(super) fn new(cluster: Arc<Inner>, is_meant: impl Fn(&Write) -> bool + Send + Sync + 'static) -> (Self, Hold) {
        let kept = Arc::new(Mutex::new(None));
        (Self { cluster, kept: kept.clone() }, Hold::new(is_meant, kept))
    }

    /// Returns the write, once it has been sent.
    pub fn write(&self) -> Option<Write> {
        locked(&self.kept).clone()
    }

    /// Does the write now, and returns its answer: the outcomes of a bulk, an empty list for other writes.
    ///
    /// Returns `None` if the write has not been sent.
    pub fn land(self) -> Option<ClusterResult<Vec<ItemOutcome>>> {
        let write = locked(&self.kept).take()?;
        Some(self.cluster.apply(&write))
    }
}
