//! The stored records of one token type: at most one a name, at the id that follows from the name.
//!
//! Records that were taken over from elsewhere have random ids. They are found by their identity as long as there is none at
//! the derived id, and fold into that one at the next write: first the derived record is written, then the other is deleted.
//! A crash in between leaves two, of which the derived one counts, and the next write deletes the other.

mod connectors;
mod create;
mod delete;
mod grant;
mod list;
mod read;
mod refreshed;
mod replace;
mod update;

use std::sync::Arc;

pub(super) use read::Current;
pub(super) use refreshed::Stored;

use super::attributes::TokenObject;
use super::identity::Identity;
use super::{Revocation, Revoker, TokenId, revocation};
use crate::environment::Environment;
use crate::objects::Objects;
use crate::repository::Repository;
use crate::{ErrorKind, Result};

/// The records of the type that `I` names.
#[derive(Debug, Clone)]
pub(super) struct Records<I: Identity> {
    objects: Objects<TokenObject<I>>,
    /// Hears of every token that is deleted.
    revoker: Option<Arc<dyn Revoker>>,
}

impl<I: Identity> Records<I> {
    /// The records in `repository`, even though their type is hidden.
    pub(super) fn over(repository: &Repository) -> Result<Self> {
        Ok(Self { objects: Objects::new(repository.including(&[I::TYPE])?)?, revoker: None })
    }

    /// Lets `revoker` hear of every token that is deleted.
    pub(super) fn revoking(self, revoker: Arc<dyn Revoker>) -> Self {
        Self { revoker: Some(revoker), ..self }
    }

    /// Tells the revoker, if there is one.
    pub(super) async fn revoke(&self, revocation: &Revocation) {
        if let Some(revoker) = &self.revoker {
            revocation::revoke(revoker.as_ref(), revocation, self.environment().clock()).await;
        }
    }

    pub(super) fn repository(&self) -> &Repository {
        self.objects.repository()
    }

    pub(super) fn environment(&self) -> &Environment {
        self.repository().environment()
    }

    /// The id of the token that the object `uuid` holds.
    fn token_id(uuid: &str) -> TokenId {
        TokenId::new(I::KIND, uuid)
    }
}

/// Whether a conditional write met a record that is no longer as it was read, or no longer there.
fn is_conflict(error: &crate::Error) -> bool {
    error.kind() == ErrorKind::Conflict
}
