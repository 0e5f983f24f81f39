//! Storing a refreshed token over the record that was read before the refresh.

use super::update::Changed;
use super::{Current, Records, is_conflict};
use crate::Result;
use crate::repository::SecretChange;
use crate::tokens::{CredentialsChange, TokenError, TokenUpdate, secrets};

/// The outcome of storing a refreshed token.
#[derive(Debug)]
pub(in crate::tokens) enum Stored {
    Done,
    /// The record was changed or deleted since it was read.
    Conflict,
}

impl Records {
    /// Stores `update` over the record that was read, if that is still the current one; creates no record again. Sends
    /// one request, if the record has the derived id.
    ///
    /// A record with another id moves: if another caller deletes it meanwhile, the derived one is deleted too.
    pub(in crate::tokens) async fn store_over(
        &self,
        current: &Current,
        update: &TokenUpdate,
    ) -> Result<Stored, TokenError> {
        let changed = self.changed_over(current, update)?;
        let is_moving = changed.is_moving();
        let written = match self.write(changed).await {
            Ok(record) => record,
            Err(error) if is_conflict(&error) => return Ok(Stored::Conflict),
            Err(error) => return Err(error.into()),
        };
        let read = &current.record;
        if is_moving && !self.complete_move(&read.id, read.version, &written).await? {
            return Ok(Stored::Conflict);
        }
        Ok(Stored::Done)
    }

    /// Refuses if no update could be stored over the record that was read: because the index takes no writes, the
    /// record cannot be moved or does not satisfy its schema, or the keys are not those in use. Sends one request,
    /// unless no key is known to be in use.
    pub(in crate::tokens) async fn check_can_store_over(&self, current: &Current) -> Result<()> {
        self.repository.check_takes_writes(&current.record.type_name).await?;
        let same = current.token.clone().into_oauth()?.credentials;
        let refresh_token = same.refresh_token.map_or(SecretChange::Keep, SecretChange::Set);
        let same = CredentialsChange::Token { token: same.access_token, refresh_token };
        let update = TokenUpdate::new(same).expires_at(self.environment().clock().now());
        let changed = self.changed_over(current, &update)?;
        let is_moving = changed.is_moving();
        match self.repository.check_copyable(&changed.read) {
            Ok(()) => self.check_replaceable(&changed.read, changed.content).await,
            // A record of newer software is merged with, and cannot move.
            Err(error) if is_moving => Err(error),
            Err(_) => Ok(()),
        }
    }

    fn changed_over(&self, current: &Current, update: &TokenUpdate) -> Result<Changed> {
        let kind = current.token.metadata.scope.kind();
        let credentials = secrets::in_stored_form(kind, current.token.credentials.clone())?;
        self.changed(current.record.clone(), credentials, update)
    }
}
