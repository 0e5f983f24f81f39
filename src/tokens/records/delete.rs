use futures::StreamExt;
use futures::stream;

use super::{Records, is_conflict};
use crate::document::VersionToken;
use crate::repository::{Attempts, Delete, Filter, Find, ObjectKey, SavedObject, Unreadable};
use crate::tokens::identity::Identity;
use crate::tokens::{Revocation, TokenError, TokenId};
use crate::{Error, ErrorKind, Result};

/// How many records one search gives.
const PER_PAGE: u32 = 1000;
/// How many reads and revocations are under way at once.
const IN_FLIGHT: usize = 8;

impl<I: Identity> Records<I> {
    /// Deletes the token called `id`, and with it every other record of what it is called: an older one must not come to
    /// light in its place.
    pub(in crate::tokens) async fn delete_one(&self, id: &TokenId) -> Result<(), TokenError> {
        id.check_kind(I::KIND)?;
        match self.objects.get(id.uuid()).await {
            Ok(object) => self.delete_all(object.attributes.identity.filter()).await,
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(self.delete_corrupt(id.uuid()).await?),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes every record that the filter fits, readable or not, each at the version that was seen, until a search that
    /// misses no write finds none. Those that somebody else deletes meanwhile are deleted too.
    pub(in crate::tokens) async fn delete_all(&self, filter: Filter) -> Result<(), TokenError> {
        let mut attempts = Attempts::several(self.environment());
        loop {
            self.repository().refresh(I::TYPE).await?;
            // Not through the typed client: what does not fit the struct is deleted as well.
            let request = Find::new().filter(filter.clone()).per_page(PER_PAGE);
            let found = self.repository().find(&[I::TYPE], request).await?;
            let deleted = match found.objects.is_empty() {
                true if found.unreadable.is_empty() => return Ok(()),
                true => self.delete_unreadable(found.unreadable).await?,
                false => self.delete_each(&found.objects).await?,
            };
            if deleted == 0 && !attempts.wait_for_next().await {
                return Err(no_progress::<I>().into());
            }
        }
    }

    /// Deletes what is no well-formed object, and says how much. What is one and cannot be read, because software or keys are
    /// missing, stays.
    async fn delete_unreadable(&self, unreadable: Vec<Unreadable>) -> Result<usize> {
        let mut deleted = 0;
        for Unreadable { raw_id, error } in unreadable {
            let uuid = raw_id.strip_prefix(I::TYPE).and_then(|rest| rest.strip_prefix(':'));
            let Some(uuid) = uuid.filter(|_| error.kind() == ErrorKind::Corrupt) else {
                return Err(not_deleted(&raw_id, error));
            };
            match self.delete_corrupt(uuid).await {
                Ok(()) => deleted += 1,
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }

    async fn delete_corrupt(&self, uuid: &str) -> Result<()> {
        self.repository().delete(Delete::new(ObjectKey::new(I::TYPE, uuid)).force()).await
    }

    /// How many of `objects` were deleted as they were read.
    async fn delete_each(&self, objects: &[SavedObject]) -> Result<usize> {
        // Secrets are read before they are gone, and revoked after: what is still there must not be revoked.
        let revocations = self.revocations(objects).await;
        let mut deletions = Vec::with_capacity(objects.len());
        for (object, revocation) in objects.iter().zip(&revocations) {
            let seen = revocation.as_ref().map_or(object.version, |(version, _)| *version);
            deletions.push(Delete::of(object).version(seen).gone_is_done());
        }
        let outcomes = self.repository().delete_many(deletions).await;
        let (mut deleted, mut failure) = (Vec::with_capacity(objects.len()), None);
        for ((object, outcome), revocation) in objects.iter().zip(outcomes).zip(revocations) {
            match self.is_deleted(&object.id, outcome).await {
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

    /// Whether the record is gone after a deletion of what was seen of it; false if it is no longer so. Where the outcome is not known a
    /// look tells: what is gone is to be revoked. Of two who delete one record both may then revoke it, which does no harm.
    pub(super) async fn is_deleted(&self, uuid: &str, outcome: Result<()>) -> Result<bool> {
        match outcome {
            Ok(()) => Ok(true),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => match self.objects.get_opt(uuid).await {
                Ok(found) => Ok(found.is_none()),
                Err(_) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// What is to be revoked of each of the objects, if anything is.
    async fn revocations(&self, objects: &[SavedObject]) -> Vec<Option<(VersionToken, Revocation)>> {
        if self.revoker.is_none() {
            return vec![None; objects.len()];
        }
        let mut reads = Vec::with_capacity(objects.len());
        for object in objects {
            reads.push(self.revocation_of(&object.id));
        }
        stream::iter(reads).buffered(IN_FLIGHT).collect().await
    }

    /// What is to be revoked when a record is deleted at this version; none if nothing is, or nothing can be.
    async fn revocation_of(&self, uuid: &str) -> Option<(VersionToken, Revocation)> {
        match self.read(uuid).await {
            Ok(current) => {
                let token = current?.token.into_oauth().ok()?;
                Some((token.metadata.version, Revocation::of(&token)))
            }
            Err(error) => {
                let token = Self::token_id(uuid);
                tracing::warn!(%token, %error, "a token is deleted without being revoked, because it cannot be read");
                None
            }
        }
    }
}

fn not_deleted(raw_id: &str, error: Error) -> Error {
    Error::new(error.kind(), format!("the document {raw_id} was not deleted, because it cannot be read"))
        .with_cure("put right what keeps it from being read; `saved-objects verify` lists all such documents")
        .with_source(error)
}

fn no_progress<I: Identity>() -> Error {
    Error::new(ErrorKind::Conflict, format!("others go on writing the {} tokens that are to be deleted", I::KIND))
        .with_cure("stop what writes them, and delete again")
}
