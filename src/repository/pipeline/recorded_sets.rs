//! What model versions newer than this software encrypt and bind, as the `_meta` of an index records it (record 22,
//! record 25).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::Result;
use crate::encryption::EncryptionHistory;
use crate::engine::{Engine, conversion};
use crate::layout::IndexMeta;
use crate::registry::TypeDefinition;

/// How long plain reads assume that an index still lacks a record that it lacked, so that a page of such documents does
/// not ask for each.
const SILENCE: Duration = Duration::from_secs(1);

/// The sets of versions that were asked for. What an index records of a version never changes, so it is kept for good.
/// If the record was forged, the digest in the envelopes differs.
#[derive(Debug, Default)]
pub(in crate::repository) struct RecordedSets(RwLock<BTreeMap<Location, Recorded>>);

/// A version of a type in an index, which its group and generation name.
type Location = (String, u32, String, u32);

#[derive(Debug, Clone)]
enum Recorded {
    Sets(Arc<EncryptionHistory>),
    /// The index had no record of it at this time of the monotonic clock.
    NothingAt(Duration),
}

impl RecordedSets {
    fn get(&self, location: &Location) -> Option<Recorded> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(location).cloned()
    }

    fn remember(&self, location: Location, recorded: Recorded) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(location, recorded);
    }

    /// Returns the sets up to a version that this software does not know. Empty if the index does not record them, now
    /// or a moment ago.
    pub(in crate::repository) async fn sets(
        &self,
        engine: &Engine,
        definition: &TypeDefinition,
        generation: u32,
        version: u32,
    ) -> Result<Option<Arc<EncryptionHistory>>> {
        let location = location(definition, generation, version);
        if let Some(Recorded::NothingAt(asked)) = self.get(&location)
            && engine.environment.clock().monotonic().saturating_sub(asked) < SILENCE
        {
            return Ok(None);
        }
        self.sets_now(engine, definition, generation, version).await
    }

    /// Returns the sets up to a version that this software does not know. Empty if the index does not record them.
    /// Sends at most one request, and none for a version whose sets are known.
    pub(in crate::repository) async fn sets_now(
        &self,
        engine: &Engine,
        definition: &TypeDefinition,
        generation: u32,
        version: u32,
    ) -> Result<Option<Arc<EncryptionHistory>>> {
        let location = location(definition, generation, version);
        if let Some(Recorded::Sets(sets)) = self.get(&location) {
            return Ok(Some(sets));
        }
        let index = engine.prefix.group(definition.group()).index(generation);
        let state = engine.cluster.indices(&[&index]).await?.remove(&index);
        let meta = state.map(|state| IndexMeta::from_mapping(&state.mapping)).transpose()?.unwrap_or_default();
        let sets = conversion::recorded_sets(definition, &meta, version).map(Arc::new);
        let recorded = match &sets {
            Some(sets) => Recorded::Sets(Arc::clone(sets)),
            None => Recorded::NothingAt(engine.environment.clock().monotonic()),
        };
        self.remember(location, recorded);
        Ok(sets)
    }
}

fn location(definition: &TypeDefinition, generation: u32, version: u32) -> Location {
    (definition.group().to_owned(), generation, definition.name().to_owned(), version)
}
