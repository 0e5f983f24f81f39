use std::collections::BTreeMap;

use super::inspect::Inspected;
use super::report::DocumentCounts;
use crate::encryption::KeyId;
use crate::verify::Unreadable;

/// How many documents that could not be encrypted anew a report names: some 30 MB of them.
const MAX_NAMED: usize = 100_000;

/// How many documents have a secret under each key.
pub(super) type ByKey = BTreeMap<KeyId, u64>;

/// What is known of the documents looked at so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) by_key: ByKey,
    pub(super) counts: DocumentCounts,
    pub(super) not_rotated: Vec<Unreadable>,
    pub(super) not_named: u64,
    /// Documents that others kept changing: the next look shows what they are.
    pub(super) unsettled: u64,
}

impl Tally {
    /// Counts the document `id` of `alias`.
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
        let room = MAX_NAMED.saturating_sub(self.not_rotated.len());
        self.not_named += other.not_rotated.len().saturating_sub(room) as u64;
        self.not_rotated.extend(other.not_rotated.into_iter().take(room));
    }
}

pub(super) fn add_counts(sum: &mut ByKey, other: &ByKey) {
    for (key, documents) in other {
        *sum.entry(*key).or_default() += documents;
    }
}
