//! The counts of a scan, and the documents that could not be encrypted again.

use super::inspect::Inspected;
use super::report::{ByKey, RotationCounts};
use crate::maintenance::verify::Unreadable;

/// The largest number of documents that a report names because they could not be encrypted again. They take some 30 MB.
const MAX_NAMED: usize = 100_000;

/// The counts of the documents that were read so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) by_key: ByKey,
    pub(super) counts: RotationCounts,
    pub(super) not_rotated: Vec<Unreadable>,
    pub(super) not_named: u64,
    /// The number of documents that other processes kept changing. The next pass reads them again.
    pub(super) unsettled: u64,
}

impl Tally {
    /// Counts the document `id` of `alias`, and names what could not be encrypted again.
    pub(super) fn count(&mut self, alias: &str, id: &str, inspected: Inspected) {
        for key in inspected.keys {
            *self.by_key.entry(key).or_default() += 1;
        }
        let type_name = inspected.type_name;
        let named = inspected.defects.into_iter().map(|defect| Unreadable {
            alias: alias.to_owned(),
            id: id.to_owned(),
            type_name: type_name.clone(),
            attribute: defect.attribute,
            reason: defect.reason,
        });
        self.not_rotated.extend(named);
    }

    pub(super) fn add(&mut self, other: Self) {
        add_counts(&mut self.by_key, &other.by_key);
        self.counts.add(other.counts);
        self.unsettled += other.unsettled;
        self.not_named += other.not_named;
        let left = MAX_NAMED.saturating_sub(self.not_rotated.len());
        self.not_named += other.not_rotated.len().saturating_sub(left) as u64;
        self.not_rotated.extend(other.not_rotated.into_iter().take(left));
    }
}

pub(super) fn add_counts(sum: &mut ByKey, other: &ByKey) {
    for (key, documents) in other {
        *sum.entry(*key).or_default() += documents;
    }
}
