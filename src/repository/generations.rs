use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// The current generation of each index group, as far as it is known. It is only a memory: a write through the alias of a
/// generation that is gone fails, and is looked up then.
#[derive(Debug, Default)]
pub(super) struct Generations(RwLock<BTreeMap<String, u32>>);

impl Generations {
    pub(super) fn get(&self, group: &str) -> Option<u32> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(group).copied()
    }

    pub(super) fn remember(&self, group: &str, generation: u32) {
        if self.get(group) != Some(generation) {
            self.0.write().unwrap_or_else(PoisonError::into_inner).insert(group.to_owned(), generation);
        }
    }

    pub(super) fn forget(&self, group: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(group);
    }
}
