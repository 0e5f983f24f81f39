//! The open points in time of the cluster in memory, and their expiry.

use std::collections::BTreeMap;
use std::time::Duration;

use super::documents::Searched;
use super::refusals::{refusal, rejected};
use crate::cluster::{ClusterResult, PointInTime};

/// The points in time that are open.
#[derive(Debug, Default)]
pub(super) struct PointsInTime {
    open: BTreeMap<u64, Open>,
    opened: u64,
}

#[derive(Debug)]
struct Open {
    searched: Vec<Searched>,
    expires: Duration,
}

const ID_START: &str = "point-in-time-";

impl PointsInTime {
    pub(super) fn open(&mut self, searched: Vec<Searched>, keep_alive: Duration, now: Duration) -> PointInTime {
        self.forget_expired(now);
        self.opened += 1;
        self.open.insert(self.opened, Open { searched, expires: now + keep_alive });
        PointInTime { id: format!("{ID_START}{}", self.opened), keep_alive }
    }

    /// Returns what a point in time reads, and extends its expiry.
    pub(super) fn use_again(&mut self, point_in_time: &PointInTime, now: Duration) -> ClusterResult<Vec<Searched>> {
        self.forget_expired(now);
        let Some(open) = self.open.get_mut(&number(point_in_time)?) else {
            return Err(refusal(404, "search_phase_execution_exception", "all shards failed"));
        };
        open.expires = now + point_in_time.keep_alive;
        Ok(open.searched.clone())
    }

    /// Closes a point in time. Returns whether it was open.
    pub(super) fn close(&mut self, point_in_time: &PointInTime, now: Duration) -> ClusterResult<bool> {
        self.forget_expired(now);
        Ok(self.open.remove(&number(point_in_time)?).is_some())
    }

    /// Closes the points in time on an index whose shards are closed.
    pub(super) fn forget_index(&mut self, uuid: &str) {
        self.open.retain(|_, open| open.searched.iter().all(|searched| searched.uuid != uuid));
    }

    /// Returns the number of points in time that are open and have not expired.
    pub(super) fn count(&mut self, now: Duration) -> usize {
        self.forget_expired(now);
        self.open.len()
    }

    fn forget_expired(&mut self, now: Duration) {
        self.open.retain(|_, open| open.expires > now);
    }
}

fn number(point_in_time: &PointInTime) -> ClusterResult<u64> {
    let number = point_in_time.id.strip_prefix(ID_START).and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| rejected("invalid id: [the id of a point in time]"))
}
