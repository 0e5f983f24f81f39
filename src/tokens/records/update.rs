//! Changing a token by its id.

use super::stored::{Content, Record};
use super::{Records, is_conflict};
use crate::repository::Attempts;
use crate::tokens::identity::Identity;
use crate::tokens::{
    Credentials, Grant, NewToken, Replacement, ScopeKind, TokenError, TokenId, TokenMetadata, TokenUpdate, secrets,
};
use crate::{Error, ErrorKind, Result};

/// A record as it was read, and its new content.
pub(super) struct Changed {
    pub(super) read: Record,
    pub(super) content: Content,
}

impl Changed {
    /// Returns whether the record has another id than the derived one, and so moves with this write.
    pub(super) fn is_moving(&self) -> bool {
        self.read.id != self.content.attributes.identity.derived_id()
    }
}

impl Records {
    /// Changes the token `id` of the scope.
    pub(in crate::tokens) async fn update(
        &self,
        kind: ScopeKind,
        id: &TokenId,
        update: TokenUpdate,
    ) -> Result<TokenMetadata, TokenError> {
        self.update_if(kind, id, update, |_| Ok(())).await
    }

    /// Changes the token `id` to a grant that a provider gave just now.
    pub(in crate::tokens) async fn update_from_grant(
        &self,
        kind: ScopeKind,
        id: &TokenId,
        grant: Grant,
    ) -> Result<TokenMetadata, TokenError> {
        self.update(kind, id, grant.into_update(self.environment().clock().now())?).await
    }

    /// Changes the token `existing`, if it belongs to the scope and the connector of `identity`; without `existing`,
    /// stores a token under `identity`. An id alone does not prove whose token the caller means, since ids are derived
    /// from names.
    pub(in crate::tokens) async fn update_or_replace(
        &self,
        identity: Identity,
        existing: Option<&TokenId>,
        replacement: Replacement,
    ) -> Result<(), TokenError> {
        let expires_at = replacement.expires_at(self.environment().clock().now())?;
        match existing {
            Some(id) => {
                let update = TokenUpdate::token(replacement.token).expires_at(expires_at);
                self.update_if(identity.kind(), id, update, |found| check_owner(id, &identity, found)).await?
            }
            None => self.create(identity, NewToken::token(replacement.token).expires_at(expires_at)).await?,
        };
        Ok(())
    }

    /// Changes the token `id`, if `check` accepts its identity. Each attempt computes the new content from what is
    /// stored by then, never from a version that another caller has replaced.
    async fn update_if(
        &self,
        kind: ScopeKind,
        id: &TokenId,
        update: TokenUpdate,
        check: impl Fn(&Identity) -> Result<()> + Send + Sync,
    ) -> Result<TokenMetadata, TokenError> {
        id.check_kind(kind)?;
        secrets::check_change(kind, &update.credentials)?;
        let mut id = id.clone();
        let mut leftover: Option<Record> = None;
        let mut attempts = Attempts::several(self.environment());
        loop {
            let changed = self.read_changed(kind, &id, &update).await?;
            check(&changed.read.attributes.identity)?;
            let (is_moving, read) = (changed.is_moving(), changed.read.clone());
            match self.write(changed).await {
                Ok(record) => {
                    // A caller that deleted the token meanwhile did not find the derived record. That one is deleted
                    // now, and the next read says that there is no token.
                    if is_moving && !self.complete_move(&read.id, read.version, &record).await? {
                        continue;
                    }
                    if let Some(older) = leftover {
                        self.delete_leftover(kind, &older.id, older.version).await;
                    }
                    return TokenMetadata::new(id.with_uuid(&record.id), &record.attributes, record.version);
                }
                // Another record has the derived id by now, and that one counts.
                Err(error) if is_conflict(&error) && is_moving => {
                    id = id.with_uuid(read.attributes.identity.derived_id());
                    leftover = Some(read);
                }
                Err(error) if is_conflict(&error) && attempts.wait_for_next().await => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn read_changed(&self, kind: ScopeKind, id: &TokenId, update: &TokenUpdate) -> Result<Changed, TokenError> {
        let unreadable = |error| TokenError::of_reading(id.clone(), error);
        let (read, credentials) = self.get_content(kind, id.uuid()).await.map_err(unreadable)?;
        self.changed(read, credentials, update).map_err(unreadable)
    }

    /// Makes an update to a record in memory. Attributes that its schema does not know are dropped, so that the record
    /// can be written; unless newer software wrote it, whose attributes stay.
    pub(super) fn changed(&self, read: Record, credentials: Credentials, update: &TokenUpdate) -> Result<Changed> {
        let credentials = secrets::changed(credentials, &update.credentials)?;
        let mut attributes = read.attributes.clone();
        attributes.change(update, &self.environment().now_iso());
        if self.repository.check_copyable(&read).is_ok() {
            let schema = self.repository.create_schema(&read.type_name)?;
            attributes.keep_known(|name| schema.is_open() || schema.attribute(name).is_some());
        }
        Ok(Changed { read, content: Content { attributes, credentials } })
    }

    /// Writes a record over the version that was read, or creates it with the derived id if it has another one. Sends
    /// one request, unless newer software wrote the record: then it is read again, so that what this software does not
    /// know of it stays.
    pub(super) async fn write(&self, changed: Changed) -> Result<Record> {
        let is_copyable = self.repository.check_copyable(&changed.read);
        if changed.is_moving() {
            is_copyable?;
            return self.write_derived(changed.content, false).await;
        }
        match is_copyable {
            Ok(()) => self.replace_record(&changed.read, changed.content).await,
            Err(_) => self.merge_into_record(&changed.read, changed.content).await,
        }
    }
}

/// Refuses a record of another scope or connector than `asked`. Its type does not matter.
fn check_owner(id: &TokenId, asked: &Identity, found: &Identity) -> Result<()> {
    if found.scope == asked.scope && found.connector_id == asked.connector_id {
        return Ok(());
    }
    let message = format!("the token {id} does not belong to the connector {} in this scope", asked.connector_id);
    Err(Error::new(ErrorKind::NotFound, message)
        .with_hint("use an id that a read of this scope and connector returned"))
}
