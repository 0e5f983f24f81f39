use super::{Records, is_conflict};
use crate::document::VersionToken;
use crate::environment::iso_millis;
use crate::objects::Change;
use crate::tokens::attributes::{Times, TokenAttributes, TokenSecrets};
use crate::tokens::identity::Identity;
use crate::tokens::records::update::Record;
use crate::tokens::{NewToken, TokenError, TokenMetadata};
use crate::{Error, ErrorKind, Result};

impl<I: Identity> Records<I> {
    /// Stores a token in the place of one that was read, if it still is as it was read. One request if it is at the derived
    /// id; else it moves there.
    pub(in crate::tokens) async fn replace(
        &self,
        read: &TokenMetadata,
        token: NewToken,
    ) -> Result<TokenMetadata, TokenError> {
        read.id.check_kind(I::KIND)?;
        let identity = I::of(read).ok_or_else(|| not_its_own(read))?;
        if token.token_type.as_ref().is_some_and(|token_type| token_type != identity.token_type()) {
            return Err(other_type(read).into());
        }
        let derived_id = identity.derived_id().to_string();
        let secrets = I::Secrets::new(token.credentials)?;
        let created_at = iso_millis(read.created_at);
        let times = Times {
            expires_at: token.expires_at.map(iso_millis),
            refresh_token_expires_at: token.refresh_token_expires_at.map(iso_millis),
            created_at: created_at.clone(),
            updated_at: self.environment().now_iso(),
        };
        let attributes = TokenAttributes::new(identity, times);
        let object = if read.id.uuid() == derived_id {
            self.objects.replace_unread(&derived_id, read.version, created_at, &attributes, secrets).await?
        } else {
            let object = self.objects.create_with(&attributes, secrets, |request| request.id(&derived_id)).await?;
            if !self.has_folded(read.id.uuid(), read.version, &object).await? {
                return Err(changed(read).into());
            }
            object
        };
        TokenMetadata::new(read.id.with_uuid(derived_id), &object.attributes, object.version)
    }

    /// Deletes the record that `derived` takes the place of. False if somebody deleted it before: then `derived` goes too.
    ///
    /// It is written over before, as it was read, so that an answer that gets lost does not make another one's deletion of the token
    /// this one's. Who deletes the token after that finds `derived` as well.
    pub(super) async fn has_folded(&self, uuid: &str, read: VersionToken, derived: &Record<I>) -> Result<bool> {
        let is_gone = async |error: &Error| match error.kind() {
            ErrorKind::NotFound => Ok(true),
            ErrorKind::Conflict => self.objects.get_opt(uuid).await.map(|found| found.is_none()),
            _ => Ok(false),
        };
        match self.objects.update(Change::new(uuid).version(read), |_| ()).await {
            Ok(marked) => self.delete_leftover(uuid, marked.version).await,
            Err(error) if is_gone(&error).await? => {
                return match self.objects.delete_seen(&derived.id, derived.version).await {
                    Err(error) if !is_conflict(&error) => Err(error),
                    _ => Ok(false),
                };
            }
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => return Err(error),
            // It was changed since, and stays.
            Err(error) if is_conflict(&error) => {}
            Err(_) => self.delete_leftover(uuid, read).await,
        }
        Ok(true)
    }
}

fn not_its_own(read: &TokenMetadata) -> Error {
    Error::invalid(format!("the token {} is not one of its scope", read.id), "give the metadata as a read gave it")
}

fn other_type(read: &TokenMetadata) -> Error {
    Error::invalid(
        format!("the type of the token {} cannot be changed", read.id),
        "store one of another type beside it, with `create`",
    )
}

fn changed(read: &TokenMetadata) -> Error {
    Error::new(ErrorKind::Conflict, format!("the token {} was changed or deleted since it was read", read.id))
        .with_cure("read it again and decide anew")
}
