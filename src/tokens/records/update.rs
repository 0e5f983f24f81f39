use super::{Records, is_conflict};
use crate::Result;
use crate::objects::{Change, SecretAttributes};
use crate::repository::{Attempts, SavedObject, SecretChange};
use crate::tokens::attributes::{TokenAttributes, TokenSecrets};
use crate::tokens::identity::Identity;
use crate::tokens::{TokenError, TokenId, TokenMetadata, TokenUpdate};

pub(super) type Record<I> = SavedObject<TokenAttributes<I>>;

/// A record as it was read, and what it is to become.
pub(super) struct Changed<I: Identity> {
    pub(super) read: Record<I>,
    pub(super) attributes: TokenAttributes<I>,
    pub(super) secrets: I::Secrets,
}

impl<I: Identity> Records<I> {
    /// Changes the token called `id`.
    pub(in crate::tokens) async fn update(
        &self,
        id: &TokenId,
        update: TokenUpdate,
    ) -> Result<TokenMetadata, TokenError> {
        self.update_if(id, update, |_| Ok(())).await
    }

    /// Changes the token called `id` if `check` takes what it is called. What it becomes is worked out at each attempt from what is
    /// stored by then, never from a version that somebody else has replaced.
    pub(super) async fn update_if(
        &self,
        id: &TokenId,
        update: TokenUpdate,
        check: impl Fn(&I) -> Result<()> + Send + Sync,
    ) -> Result<TokenMetadata, TokenError> {
        id.check_kind(I::KIND)?;
        I::Secrets::check(&update.credentials)?;
        let mut id = id.clone();
        let mut leftover: Option<Record<I>> = None;
        let mut attempts = Attempts::several(self.environment());
        loop {
            let changed = self.read_changed(&id, &update).await?;
            check(&changed.read.attributes.identity)?;
            let derived_id = changed.attributes.identity.derived_id().to_string();
            let is_folding = id.uuid() != derived_id;
            let read = changed.read.clone();
            let written = match is_folding {
                true => self.write_derived(changed, &derived_id).await,
                false => self.write_over(changed).await,
            };
            match written {
                Ok(object) => {
                    // Whoever deleted the token meanwhile did not see the derived record; that one is gone now, and the next
                    // read says so.
                    if is_folding && !self.has_folded(&read.id, read.version, &object).await? {
                        continue;
                    }
                    if let Some(older) = leftover {
                        self.delete_leftover(&older.id, older.version).await;
                    }
                    return TokenMetadata::new(id.with_uuid(derived_id), &object.attributes, object.version);
                }
                // There is a record at the derived id by now, and that one counts.
                Err(error) if is_conflict(&error) && is_folding => {
                    leftover = Some(read);
                    id = id.with_uuid(derived_id);
                }
                Err(error) if is_conflict(&error) && attempts.wait_for_next().await => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The token called `id`, with `update` made to it in memory.
    async fn read_changed(&self, id: &TokenId, update: &TokenUpdate) -> Result<Changed<I>, TokenError> {
        let unreadable = |error| TokenError::of_reading(id.clone(), error);
        let (read, secrets) = self.objects.get_with_secrets(id.uuid()).await.map_err(unreadable)?;
        self.changed(read, secrets, update).map_err(unreadable)
    }

    /// A record with `update` made to it in memory. What its schema does not know goes, so that the record can be written; unless
    /// newer software wrote it, whose attributes stay.
    pub(super) fn changed(&self, read: Record<I>, secrets: I::Secrets, update: &TokenUpdate) -> Result<Changed<I>> {
        let secrets = secrets.changed(&update.credentials)?;
        let mut attributes = read.attributes.clone();
        attributes.change(update, &self.environment().now_iso());
        if self.repository().check_copyable(&read).is_ok() {
            let schema = self.repository().create_schema(I::TYPE)?;
            attributes.keep_known(|name| schema.is_open() || schema.attribute(name).is_some());
        }
        Ok(Changed { read, attributes, secrets })
    }

    /// Writes a record over the version that was read: one request, unless newer software wrote it. What this one does not
    /// know of it is read again then, so that it stays.
    pub(super) async fn write_over(&self, changed: Changed<I>) -> Result<Record<I>> {
        if self.repository().check_copyable(&changed.read).is_ok() {
            return self.objects.replace(&changed.read, &changed.attributes, changed.secrets).await;
        }
        let mut secrets = changed.secrets.into_secrets();
        let change = I::Secrets::ATTRIBUTES.iter().fold(Change::of(&changed.read), |change, name| {
            let secret = secrets.remove(*name).map_or(SecretChange::Remove, SecretChange::Set);
            change.secret(*name, secret)
        });
        self.objects.update(change, |attributes| attributes.clone_from(&changed.attributes)).await
    }

    /// Writes a record that was read at another id to the derived one, where none is.
    pub(super) async fn write_derived(&self, changed: Changed<I>, derived_id: &str) -> Result<Record<I>> {
        self.repository().check_copyable(&changed.read)?;
        self.objects.create_with(&changed.attributes, changed.secrets, |request| request.id(derived_id)).await
    }
}
