use super::update::Changed;
use super::{Current, Records, is_conflict};
use crate::Result;
use crate::tokens::attributes::TokenSecrets;
use crate::tokens::identity::Identity;
use crate::tokens::{TokenError, TokenUpdate};

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
        let read = current.record.clone();
        let secrets = I::Secrets::new(current.token.credentials.clone())?.changed(&update.credentials)?;
        let mut attributes = read.attributes.clone();
        attributes.change(update, &self.environment().now_iso());
        let derived_id = attributes.identity.derived_id().to_string();
        let is_folding = read.id != derived_id;
        let changed = Changed { read: read.clone(), attributes, secrets };
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
}
