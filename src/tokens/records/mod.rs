//! The stored records of tokens, with each operation on tokens once: at most one record for each identity, at the id
//! that is derived from it.
//!
//! Records that were taken over from Kibana have random ids. They are found by their identity while no record has the
//! derived id. The next write moves them: it first writes the record with the derived id, and then deletes the other. A
//! crash in between leaves both. Then the derived one counts, and the next write deletes the other.

mod create;
mod delete;
mod list;
mod read;
mod refreshed;
mod replace;
mod stored;
mod taken_over;
mod update;

use std::fmt;
use std::sync::Arc;

pub(super) use read::Current;
pub(super) use refreshed::Stored;

use super::{Revocation, Revoker, ScopeKind, revocation};
use crate::environment::Environment;
use crate::repository::Repository;
use crate::store::SavedObjects;
use crate::{ErrorKind, Result};

/// The records of tokens in a store.
#[derive(Clone)]
pub(super) struct Records {
    repository: Repository,
    /// Receives every token that is deleted.
    revoker: Option<Arc<dyn Revoker>>,
}

impl Records {
    /// Creates the records of both scopes.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the store does not have their types.
    pub(super) fn new(store: &SavedObjects) -> Result<Self> {
        Self::of_kinds(store, &ScopeKind::ALL)
    }

    /// Creates the records of some scopes. No operation may name another scope.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the store does not have their types.
    pub(super) fn of_kinds(store: &SavedObjects, kinds: &[ScopeKind]) -> Result<Self> {
        // The types are hidden.
        let types: Vec<_> = kinds.iter().map(|kind| kind.stored_type()).collect();
        Ok(Self { repository: store.repository().including(&types)?, revoker: None })
    }

    /// Passes every token that is deleted to `revoker`.
    pub(super) fn revoking(self, revoker: Arc<dyn Revoker>) -> Self {
        Self { revoker: Some(revoker), ..self }
    }

    /// Informs the revoker, if there is one.
    pub(super) async fn revoke(&self, revocation: &Revocation) {
        if let Some(revoker) = &self.revoker {
            revocation::revoke(revoker.as_ref(), revocation, self.environment().clock()).await;
        }
    }

    pub(super) fn repository(&self) -> &Repository {
        &self.repository
    }

    pub(super) fn environment(&self) -> &Environment {
        self.repository.environment()
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("revoker", &self.revoker).finish_non_exhaustive()
    }
}

/// Returns the id of the object in a token record, without the type that the `_id` begins with.
fn uuid_of(kind: ScopeKind, raw_id: &str) -> Option<&str> {
    raw_id.strip_prefix(kind.stored_type())?.strip_prefix(':')
}

/// Returns whether a conditional write found a record that was changed or deleted since it was read.
fn is_conflict(error: &crate::Error) -> bool {
    error.kind() == ErrorKind::Conflict
}
