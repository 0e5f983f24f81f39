use super::update::Changed;
use super::{Current, Records, is_conflict};
use crate::Result;
use crate::repository::SecretChange;
use crate::tokens::attributes::TokenSecrets;
use crate::tokens::identity::Identity;
use crate::tokens::{CredentialsChange, TokenError, TokenUpdate};

/// What became of a refreshed token that was to be stored over the one read.
#[derive(Debug)]
pub(in crate::tokens) enum Stored {
    Done,
    /// What is stored is no longer what was read, or no longer there.
    Conflict,
}

impl<I: Identity> Records<I> {
    /// Stores `update` over the record that was read, if it still is the current one; nothing is re-created. One request, if
    /// the record is at the derived id.
    ///
    /// A record at another id folds: if somebody deletes it meanwhile, the derived one goes as well.
    pub(in crate::tokens) async fn store_over(
        &self,
        current: &Current<I>,
        update: &TokenUpdate,
    ) -> Result<Stored, TokenError> {
        let changed = self.changed_over(current, update)?;
        let read = changed.read.clone();
        let derived_id = changed.attributes.identity.derived_id().to_string();
        let is_folding = read.id != derived_id;
        let written = match is_folding {
            true => self.write_derived(changed, &derived_id).await,
            false => self.write_over(changed).await,
        };
        let object = match written {
            Ok(object) => object,
            Err(error) if is_conflict(&error) => return Ok(Stored::Conflict),
            Err(error) => return Err(error.into()),
        };
        if is_folding && !self.has_folded(&read.id, read.version, &object).await? {
            return Ok(Stored::Conflict);
        }
        Ok(Stored::Done)
    }

    /// Refuses if nothing could be stored over the record that was read, whatever it is: the index takes no writes, the record cannot
    /// be moved or does not satisfy its schema, or the keys are not those in use. One request, unless no key is known to be in use.
    pub(in crate::tokens) async fn check_can_store_over(&self, current: &Current<I>) -> Result<()> {
        self.repository().check_takes_writes(I::TYPE).await?;
        let same = current.token.clone().into_oauth()?.credentials;
        let refresh_token = same.refresh_token.map_or(SecretChange::Keep, SecretChange::Set);
        let same = CredentialsChange::Token { token: same.access_token, refresh_token };
        let update = TokenUpdate::new(same).expires_at(self.environment().clock().now());
        let Changed { read, attributes, secrets } = self.changed_over(current, &update)?;
        let is_folding = read.id != attributes.identity.derived_id().to_string();
        match self.repository().check_copyable(&read) {
            Ok(()) => self.objects.check_replaceable(&read, &attributes, secrets).await,
            // What newer software wrote is merged with, and moves nowhere.
            Err(error) if is_folding => Err(error),
            Err(_) => Ok(()),
        }
    }

    /// The record after `update`.
    fn changed_over(&self, current: &Current<I>, update: &TokenUpdate) -> Result<Changed<I>> {
        let secrets = I::Secrets::new(current.token.credentials.clone())?;
        self.changed(current.record.clone(), secrets, update)
    }
}
