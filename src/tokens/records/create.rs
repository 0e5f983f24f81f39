//! Storing a token, whether there is one or not.

use super::Records;
use super::stored::Content;
use crate::environment::iso_millis;
use crate::tokens::attributes::{Times, TokenAttributes};
use crate::tokens::identity::Identity;
use crate::tokens::{Grant, NewToken, TokenError, TokenId, TokenMetadata, secrets};

impl Records {
    /// Stores a token and replaces the existing one: one conditional write, so there is a token at every moment.
    pub(in crate::tokens) async fn create(
        &self,
        identity: Identity,
        token: NewToken,
    ) -> Result<TokenMetadata, TokenError> {
        let kind = identity.kind();
        let credentials = secrets::in_stored_form(kind, token.credentials)?;
        let now = self.environment().now_iso();
        let times = Times {
            expires_at: token.expires_at.map(iso_millis),
            refresh_token_expires_at: token.refresh_token_expires_at.map(iso_millis),
            created_at: now.clone(),
            updated_at: now,
        };
        let attributes = TokenAttributes::new(identity, times);
        let record = self.write_derived(Content { attributes, credentials }, true).await?;
        self.delete_taken_over(&record.attributes.identity, &record.id).await;
        TokenMetadata::new(TokenId::new(kind, &record.id), &record.attributes, record.version)
    }

    /// Stores a grant that a provider gave just now.
    pub(in crate::tokens) async fn create_from_grant(
        &self,
        identity: Identity,
        grant: Grant,
    ) -> Result<TokenMetadata, TokenError> {
        self.create(identity, grant.into_new_token(self.environment().clock().now())?).await
    }
}
