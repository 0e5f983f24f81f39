//! The generations and mappings that this process knows of.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The current generation of each index group, as far as it is known. It saves requests and decides nothing: a write
/// through the alias of a generation that is gone fails, and then the generation is looked up.
#[derive(Debug, Default)]
pub(in crate::repository) struct Generations {
    current: RwLock<BTreeMap<String, u32>>,
    mapped: RwLock<BTreeMap<String, Mapped>>,
}

/// The versions of the mappings of a generation's types, as its index records them. They only grow.
#[derive(Debug, Default)]
struct Mapped {
    generation: u32,
    versions: BTreeMap<String, u32>,
}

impl Generations {
    pub(in crate::repository) fn get(&self, group: &str) -> Option<u32> {
        read(&self.current).get(group).copied()
    }

    pub(in crate::repository) fn remember(&self, group: &str, generation: u32) {
        if self.get(group) != Some(generation) {
            write(&self.current).insert(group.to_owned(), generation);
        }
    }

    pub(in crate::repository) fn forget(&self, group: &str) {
        write(&self.current).remove(group);
    }

    /// Remembers that the index of `generation` has the mappings of these types at these versions.
    pub(in crate::repository) fn remember_mapped(&self, group: &str, generation: u32, versions: BTreeMap<String, u32>) {
        write(&self.mapped).insert(group.to_owned(), Mapped { generation, versions });
    }

    /// Returns whether the index of `generation` is known to have the mapping of a type at `version` or a later one.
    pub(in crate::repository) fn is_mapped(&self, group: &str, generation: u32, type_name: &str, version: u32) -> bool {
        let mapped = read(&self.mapped);
        let of_generation = mapped.get(group).filter(|mapped| mapped.generation == generation);
        of_generation.and_then(|mapped| mapped.versions.get(type_name)).is_some_and(|known| *known >= version)
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
