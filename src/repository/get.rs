use super::{Action, ObjectKey, Repository, SavedObject, errors};
use crate::Result;
use crate::encryption::Secrets;
use crate::registry::TypeDefinition;

impl Repository {
    /// The object called `key`, without its secrets. One request; every write so far is seen.
    ///
    /// A document at an older model version is brought to the newest for the reader, one at a newer version is projected
    /// onto what this software knows; what is stored stays as it is.
    ///
    /// # Errors
    /// - [`NotFound`](crate::ErrorKind::NotFound) if there is none that is seen from the key's namespace, or if the index
    ///   does not exist.
    /// - [`Corrupt`](crate::ErrorKind::Corrupt) if the document is not a well-formed object or a transform refuses it.
    /// - [`Incompatible`](crate::ErrorKind::Incompatible) if this software cannot read the document's version.
    /// - [`Invalid`](crate::ErrorKind::Invalid) if the type is not available here or the id cannot be one,
    ///   [`Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn get(&self, key: &ObjectKey) -> Result<SavedObject> {
        self.get_opt(key).await?.ok_or_else(|| errors::not_found(key))
    }

    /// As [`get`](Self::get), with none for an object that is not there.
    ///
    /// # Errors
    /// Those of [`get`](Self::get); [`NotFound`](crate::ErrorKind::NotFound) means here that the index does not exist.
    pub async fn get_opt(&self, key: &ObjectKey) -> Result<Option<SavedObject>> {
        let definition = self.definition(&key.type_name)?;
        let admitted = self.admit(Action::Get, key).await?;
        let mut found = admitted.end(self.get_admitted(definition, key).await)?;
        self.leave_out_unseen(found.iter_mut().collect()).await;
        Ok(found)
    }

    async fn get_admitted(&self, definition: &TypeDefinition, key: &ObjectKey) -> Result<Option<SavedObject>> {
        let Some(fetched) = self.fetch(definition, key).await? else { return Ok(None) };
        let loaded = self.load(definition, &key.id, fetched).await?;
        self.view(definition, &key.id, loaded).map(Some)
    }

    /// The object called `key` and its decrypted secrets, by attribute. One request.
    ///
    /// # Errors
    /// Those of [`get`](Self::get), and [`Decrypt`](crate::ErrorKind::Decrypt) if a secret does not open.
    pub async fn get_with_secrets(&self, key: &ObjectKey) -> Result<(SavedObject, Secrets)> {
        self.get_with_secrets_opt(key).await?.ok_or_else(|| errors::not_found(key))
    }

    /// As [`get_with_secrets`](Self::get_with_secrets), with none for an object that is not there.
    ///
    /// # Errors
    /// Those of [`get_opt`](Self::get_opt), and [`Decrypt`](crate::ErrorKind::Decrypt) if a secret does not open.
    pub async fn get_with_secrets_opt(&self, key: &ObjectKey) -> Result<Option<(SavedObject, Secrets)>> {
        let definition = self.definition(&key.type_name)?;
        let admitted = self.admit(Action::GetSecrets, key).await?;
        let mut found = admitted.end(self.get_with_secrets_admitted(definition, key).await)?;
        self.leave_out_unseen(found.iter_mut().map(|(object, _)| object).collect()).await;
        Ok(found)
    }

    async fn get_with_secrets_admitted(
        &self,
        definition: &TypeDefinition,
        key: &ObjectKey,
    ) -> Result<Option<(SavedObject, Secrets)>> {
        let Some(fetched) = self.fetch(definition, key).await? else { return Ok(None) };
        let mut loaded = self.load_for_secrets(definition, &key.id, fetched).await?;
        let secrets = self.open(definition, &key.id, &mut loaded)?;
        Ok(Some((self.view(definition, &key.id, loaded)?, secrets)))
    }
}
