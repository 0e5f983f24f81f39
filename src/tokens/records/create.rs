use super::{Records, is_conflict};
use crate::Result;
use crate::document::VersionToken;
use crate::environment::iso_millis;
use crate::repository::Find;
use crate::tokens::attributes::{Times, TokenAttributes, TokenSecrets};
use crate::tokens::identity::Identity;
use crate::tokens::{NewToken, TokenError, TokenMetadata};

/// How many taken-over records one write deletes at most; the next write goes on.
const LEFTOVERS: u32 = 100;

impl<I: Identity> Records<I> {
    /// Stores a token under `identity`, in the place of one that is there: one conditional write, so that there is a token
    /// at every moment.
    pub(in crate::tokens) async fn create(&self, identity: I, token: NewToken) -> Result<TokenMetadata, TokenError> {
        let derived_id = identity.derived_id().to_string();
        let secrets = I::Secrets::new(token.credentials)?;
        let now = self.environment().now_iso();
        let times = Times {
            expires_at: token.expires_at.map(iso_millis),
            refresh_token_expires_at: token.refresh_token_expires_at.map(iso_millis),
            created_at: now.clone(),
            updated_at: now,
        };
        let attributes = TokenAttributes::new(identity, times);
        let object =
            self.objects.create_with(&attributes, secrets, |request| request.id(&derived_id).overwrite()).await?;
        self.delete_taken_over(&attributes.identity, &derived_id).await;
        TokenMetadata::new(Self::token_id(&derived_id), &object.attributes, object.version)
    }

    /// Deletes the records of `identity` at other ids than the derived one. The token is stored by now, so a failure is not
    /// the caller's: what remains does not count, and the next write deletes it.
    async fn delete_taken_over(&self, identity: &I, derived_id: &str) {
        let request = Find::new().filter(identity.filter()).per_page(LEFTOVERS);
        let found = match self.repository().find(&[I::TYPE], request).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(token = %Self::token_id(derived_id), %error, "older records of a token were not looked for");
                return;
            }
        };
        for leftover in found.objects.iter().filter(|object| object.id != derived_id) {
            self.delete_leftover(&leftover.id, leftover.version).await;
        }
    }

    /// Deletes a record that no longer counts, if it still is as it was read.
    pub(super) async fn delete_leftover(&self, uuid: &str, version: VersionToken) {
        match self.objects.delete_seen(uuid, version).await {
            Err(error) if !is_conflict(&error) => {
                tracing::warn!(token = %Self::token_id(uuid), %error, "an older record of a token was not deleted");
            }
            _ => {}
        }
    }
}
