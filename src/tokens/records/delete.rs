//! Deleting tokens, and revoking them at their providers.

use futures::StreamExt;
use futures::stream;

use super::{Records, is_conflict, uuid_of};
use crate::document::VersionToken;
use crate::repository::{Attempts, Delete, Filter, Find, SavedObject, Unreadable};
use crate::tokens::{ConnectorId, ProfileUid, Revocation, Scope, ScopeKind, TokenError, TokenId, TokenType};
use crate::{Error, ErrorKind, Result};

/// The number of records that one search returns.
const PER_PAGE: u32 = 1000;
/// The number of concurrent reads, and of concurrent revocations.
const IN_FLIGHT: usize = 8;

impl Records {
    /// Deletes the token `id` of the scope, and every other record of its identity: otherwise an older one would become
    /// visible.
    pub(in crate::tokens) async fn delete_one(&self, kind: ScopeKind, id: &TokenId) -> Result<(), TokenError> {
        id.check_kind(kind)?;
        match self.get_record(kind, id.uuid()).await {
            Ok(record) => self.delete_all(kind, record.attributes.identity.filter()).await,
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(self.delete_corrupt(kind, id.uuid()).await?),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes the connector's tokens in the scope.
    pub(in crate::tokens) async fn delete(
        &self,
        scope: &Scope,
        connector_id: &ConnectorId,
        token_type: Option<&TokenType>,
    ) -> Result<(), TokenError> {
        let kind = scope.kind();
        self.delete_all(kind, kind.filter(scope.user(), Some(connector_id), token_type)).await
    }

    /// Deletes the connector's tokens of every user.
    pub(in crate::tokens) async fn delete_for_all_users(
        &self,
        connector_id: &ConnectorId,
        token_type: Option<&TokenType>,
    ) -> Result<(), TokenError> {
        let kind = ScopeKind::PerUser;
        self.delete_all(kind, kind.filter(None, Some(connector_id), token_type)).await
    }

    /// Deletes the user's tokens for every connector.
    pub(in crate::tokens) async fn delete_of_user(&self, profile_uid: &ProfileUid) -> Result<(), TokenError> {
        let kind = ScopeKind::PerUser;
        self.delete_all(kind, kind.filter(Some(profile_uid), None, None)).await
    }

    /// Deletes every record that the filter matches, readable or not, each at the version that was found, until a
    /// search that misses no write finds none. A record that another caller deletes meanwhile counts as deleted.
    async fn delete_all(&self, kind: ScopeKind, filter: Filter) -> Result<(), TokenError> {
        let mut attempts = Attempts::several(self.environment());
        loop {
            self.repository.refresh(kind.stored_type()).await?;
            // The attributes are not read, so malformed ones are deleted as well.
            let request = Find::new().filter(filter.clone()).per_page(PER_PAGE);
            let found = self.repository.find(&[kind.stored_type()], request).await?;
            let deleted = match found.objects.is_empty() {
                true if found.unreadable.is_empty() => return Ok(()),
                true => self.delete_unreadable(kind, found.unreadable).await?,
                false => self.delete_each(kind, &found.objects).await?,
            };
            if deleted == 0 && !attempts.wait_for_next().await {
                return Err(no_progress(kind).into());
            }
        }
    }

    /// Deletes documents that are not well-formed objects, and returns how many. An object that is well-formed but
    /// cannot be read, because software or keys are missing, stays.
    async fn delete_unreadable(&self, kind: ScopeKind, unreadable: Vec<Unreadable>) -> Result<usize> {
        let mut deleted = 0;
        for Unreadable { raw_id, error } in unreadable {
            let Some(uuid) = uuid_of(kind, &raw_id).filter(|_| error.kind() == ErrorKind::Corrupt) else {
                return Err(not_deleted(&raw_id, error));
            };
            match self.delete_corrupt(kind, uuid).await {
                Ok(()) => deleted += 1,
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }

    /// Deletes objects as they were read, and returns how many.
    async fn delete_each(&self, kind: ScopeKind, objects: &[SavedObject]) -> Result<usize> {
        // The secrets are read before the deletion and revoked after it: a token that is still stored must not be
        // revoked.
        let revocations = self.revocations(kind, objects).await;
        let mut deletions = Vec::with_capacity(objects.len());
        for (object, revocation) in objects.iter().zip(&revocations) {
            let seen = revocation.as_ref().map_or(object.version, |(version, _)| *version);
            deletions.push(Delete::of(object).version(seen).gone_is_done());
        }
        let outcomes = self.repository.delete_many(deletions).await;
        let (mut deleted, mut failure) = (Vec::with_capacity(objects.len()), None);
        for ((object, outcome), revocation) in objects.iter().zip(outcomes).zip(revocations) {
            match self.is_deleted(kind, &object.id, outcome).await {
                Ok(true) => deleted.push(revocation.map(|(_, revocation)| revocation)),
                Ok(false) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let mut revoking = Vec::new();
        for revocation in deleted.iter().flatten() {
            revoking.push(self.revoke(revocation));
        }
        stream::iter(revoking).buffer_unordered(IN_FLIGHT).collect::<()>().await;
        failure.map_or(Ok(deleted.len()), Err)
    }

    /// Returns whether a deletion removed the record; false if the record was changed since it was read. If the outcome
    /// is unknown, reads the record: a token that is gone must be revoked. If two callers delete one record, both may
    /// revoke it, which does no harm.
    pub(super) async fn is_deleted(&self, kind: ScopeKind, uuid: &str, outcome: Result<()>) -> Result<bool> {
        match outcome {
            Ok(()) => Ok(true),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => match self.get_record_opt(kind, uuid).await {
                Ok(found) => Ok(found.is_none()),
                Err(_) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Returns what must be revoked of each object, if anything.
    async fn revocations(&self, kind: ScopeKind, objects: &[SavedObject]) -> Vec<Option<(VersionToken, Revocation)>> {
        if self.revoker.is_none() {
            return vec![None; objects.len()];
        }
        let mut reads = Vec::with_capacity(objects.len());
        for object in objects {
            reads.push(self.revocation_of(kind, &object.id));
        }
        stream::iter(reads).buffered(IN_FLIGHT).collect().await
    }

    /// Returns what must be revoked when a record is deleted at this version; `None` if there is nothing to revoke, or
    /// the record cannot be read.
    async fn revocation_of(&self, kind: ScopeKind, uuid: &str) -> Option<(VersionToken, Revocation)> {
        match self.read(kind, uuid).await {
            Ok(current) => {
                let token = current?.token.into_oauth().ok()?;
                Some((token.metadata.version, Revocation::of(&token)))
            }
            Err(error) => {
                let token = TokenId::new(kind, uuid);
                tracing::warn!(%token, %error, "a token is deleted without being revoked, because it cannot be read");
                None
            }
        }
    }
}

fn not_deleted(raw_id: &str, error: Error) -> Error {
    Error::new(error.kind(), format!("the document {raw_id} was not deleted, because it cannot be read"))
        .with_hint("resolve the cause; `saved-objects verify` lists all such documents")
        .with_source(error)
}

fn no_progress(kind: ScopeKind) -> Error {
    Error::new(ErrorKind::Conflict, format!("other callers keep writing the {kind} tokens that are being deleted"))
        .with_hint("stop these writes, and delete again")
}
