//! What model versions beyond this software encrypt and bind, as the `_meta` of an index says (design decisions 6 and 15).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::Repository;
use crate::Result;
use crate::conversion;
use crate::encryption::EncryptionHistory;
use crate::layout::IndexMeta;
use crate::registry::TypeDefinition;

/// How long a plain read takes it that an index still does not say what it did not say a moment ago, so that a page of such
/// documents does not ask for each.
const SILENCE: Duration = Duration::from_secs(1);

/// The sets of versions that were asked for. What an index says of a version never changes, so it is remembered for good. If
/// somebody made it up, the digest in the envelopes is another one.
#[derive(Debug, Default)]
pub(super) struct RecordedSets(RwLock<BTreeMap<Place, Recorded>>);

/// An index, by group and generation, and in it a type's version.
type Place = (String, u32, String, u32);

#[derive(Debug, Clone)]
enum Recorded {
    Sets(Arc<EncryptionHistory>),
    /// The index said nothing of it at this time of the monotonic clock.
    NothingAt(Duration),
}

impl RecordedSets {
    fn get(&self, place: &Place) -> Option<Recorded> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(place).cloned()
    }

    fn remember(&self, place: Place, recorded: Recorded) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(place, recorded);
    }
}

impl Repository {
    /// The sets up to a version that this software does not know: none if the index does not say, now or a moment ago.
    pub(super) async fn recorded_sets(
        &self,
        definition: &TypeDefinition,
        generation: u32,
        version: u32,
    ) -> Result<Option<Arc<EncryptionHistory>>> {
        let place = place(definition, generation, version);
        if let Some(Recorded::NothingAt(asked)) = self.shared.recorded_sets.get(&place)
            && self.shared.environment.clock().monotonic().saturating_sub(asked) < SILENCE
        {
            return Ok(None);
        }
        self.recorded_sets_now(definition, generation, version).await
    }

    /// The sets up to a version that this software does not know: none if the index does not say. At most one request; none
    /// for a version that was asked for before.
    pub(super) async fn recorded_sets_now(
        &self,
        definition: &TypeDefinition,
        generation: u32,
        version: u32,
    ) -> Result<Option<Arc<EncryptionHistory>>> {
        let place = place(definition, generation, version);
        if let Some(Recorded::Sets(sets)) = self.shared.recorded_sets.get(&place) {
            return Ok(Some(sets));
        }
        let index = self.names(definition).index(generation);
        let state = self.shared.cluster.indices(&[&index]).await?.remove(&index);
        let meta = state.map(|state| IndexMeta::from_mapping(&state.mapping)).transpose()?.unwrap_or_default();
        let sets = conversion::recorded_sets(definition, &meta, version).map(Arc::new);
        let recorded = match &sets {
            Some(sets) => Recorded::Sets(Arc::clone(sets)),
            None => Recorded::NothingAt(self.shared.environment.clock().monotonic()),
        };
        self.shared.recorded_sets.remember(place, recorded);
        Ok(sets)
    }
}

fn place(definition: &TypeDefinition, generation: u32, version: u32) -> Place {
    (definition.group().to_owned(), generation, definition.name().to_owned(), version)
}
