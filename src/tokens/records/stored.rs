//! One stored record: read, written and deleted by its object id.

use super::Records;
use crate::Result;
use crate::document::VersionToken;
use crate::repository::{Create, Delete, ObjectKey, Replace, SavedObject, SecretChange, Update, difference};
use crate::tokens::attributes::TokenAttributes;
use crate::tokens::{Credentials, ScopeKind, secrets};

/// A record without its secrets.
pub(super) type Record = SavedObject<TokenAttributes>;

/// The new content of a record: attributes, and credentials in their stored form.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) attributes: TokenAttributes,
    pub(super) credentials: Credentials,
}

impl Records {
    pub(super) async fn get_record(&self, kind: ScopeKind, uuid: &str) -> Result<Record> {
        typed(kind, self.repository.get(&key(kind, uuid)).await?)
    }

    pub(super) async fn get_record_opt(&self, kind: ScopeKind, uuid: &str) -> Result<Option<Record>> {
        let object = self.repository.get_opt(&key(kind, uuid)).await?;
        object.map(|object| typed(kind, object)).transpose()
    }

    pub(super) async fn get_content(&self, kind: ScopeKind, uuid: &str) -> Result<(Record, Credentials)> {
        let (object, secrets) = self.repository.get_with_secrets(&key(kind, uuid)).await?;
        Ok((typed(kind, object)?, secrets::to_credentials(kind, secrets)?))
    }

    pub(super) async fn get_content_opt(&self, kind: ScopeKind, uuid: &str) -> Result<Option<(Record, Credentials)>> {
        let Some((object, secrets)) = self.repository.get_with_secrets_opt(&key(kind, uuid)).await? else {
            return Ok(None);
        };
        Ok(Some((typed(kind, object)?, secrets::to_credentials(kind, secrets)?)))
    }

    /// Creates the record with the derived id; with `overwrite`, also if there is one.
    pub(super) async fn write_derived(&self, content: Content, overwrite: bool) -> Result<Record> {
        let Content { attributes, credentials } = content;
        let kind = attributes.identity.kind();
        let request = Create::new(kind.stored_type(), attributes.to_stored())
            .id(attributes.identity.derived_id())
            .secrets(secrets::of_credentials(credentials));
        let request = if overwrite { request.overwrite() } else { request };
        typed(kind, self.repository.create(request).await?)
    }

    /// Replaces a record, if it is still at the version that was read.
    pub(super) async fn replace_record(&self, read: &Record, content: Content) -> Result<Record> {
        let kind = content.attributes.identity.kind();
        typed(kind, self.repository.replace(replacement(read, content)).await?)
    }

    /// Refuses what [`replace_record`](Self::replace_record) would refuse before it sends the record.
    pub(super) async fn check_replaceable(&self, read: &Record, content: Content) -> Result<()> {
        self.repository.check_replaceable(&replacement(read, content)).await
    }

    /// Replaces the record with the derived id, if it is still at `version`. The content says when it was created.
    pub(super) async fn replace_derived(&self, version: VersionToken, content: Content) -> Result<Record> {
        let Content { attributes, credentials } = content;
        let (kind, uuid) = (attributes.identity.kind(), attributes.identity.derived_id());
        let created_at = attributes.times.created_at.clone();
        let request = Replace::unread(key(kind, &uuid), version, created_at, attributes.to_stored());
        typed(kind, self.repository.replace(request.secrets(secrets::of_credentials(credentials))).await?)
    }

    /// Changes a record, if it is still at the version that was read, and keeps what this software does not know of it.
    pub(super) async fn merge_into_record(&self, read: &Record, content: Content) -> Result<Record> {
        let Content { attributes, credentials } = content;
        let kind = attributes.identity.kind();
        let (after, secrets) = (attributes.to_stored(), secrets::of_credentials(credentials));
        let request = Update::new(key(kind, &read.id)).version(read.version);
        let merged = self.repository.update(request, |draft| {
            for name in secrets::names(kind) {
                draft.secret(*name, secrets.get(*name).cloned().map_or(SecretChange::Remove, SecretChange::Set));
            }
            let before = TokenAttributes::from_stored(kind, draft.attributes.clone())?.to_stored();
            difference::apply(&before, &after, &mut draft.attributes);
            Ok(())
        });
        typed(kind, merged.await?)
    }

    /// Writes a record again as it is, if it is still at `version`. Returns its new version.
    pub(super) async fn touch_record(
        &self,
        kind: ScopeKind,
        uuid: &str,
        version: VersionToken,
    ) -> Result<VersionToken> {
        let touched = self.repository.update(Update::new(key(kind, uuid)).version(version), |_| Ok(())).await?;
        Ok(touched.version)
    }

    /// Deletes a record, if it is still at `version`. A record that is gone after the answer was lost counts as
    /// deleted, whichever caller deleted it.
    pub(super) async fn delete_record(&self, kind: ScopeKind, uuid: &str, version: VersionToken) -> Result<()> {
        self.repository.delete(Delete::new(key(kind, uuid)).version(version).gone_is_done()).await
    }

    /// Deletes a record that cannot be read.
    pub(super) async fn delete_corrupt(&self, kind: ScopeKind, uuid: &str) -> Result<()> {
        self.repository.delete(Delete::new(key(kind, uuid)).force()).await
    }
}

/// Reads the attributes of a record.
pub(super) fn typed(kind: ScopeKind, object: SavedObject) -> Result<Record> {
    let key = object.key();
    object.try_map(|attributes| {
        TokenAttributes::from_stored(kind, attributes).map_err(|error| error.context(format!("saved object {key}")))
    })
}

fn key(kind: ScopeKind, uuid: &str) -> ObjectKey {
    ObjectKey::new(kind.stored_type(), uuid)
}

fn replacement(read: &Record, content: Content) -> Replace {
    let Content { attributes, credentials } = content;
    Replace::of(read, attributes.to_stored()).secrets(secrets::of_credentials(credentials))
}
