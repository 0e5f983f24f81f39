use super::Records;
use crate::Result;
use crate::tokens::identity::Identity;
use crate::tokens::{
    ConnectorToken, Grant, NewToken, OAuthCredentials, Replacement, TokenError, TokenId, TokenMetadata, TokenUpdate,
};

impl<I: Identity> Records<I> {
    /// Stores what a provider granted just now under `identity`.
    pub(in crate::tokens) async fn create_from_grant(
        &self,
        identity: I,
        grant: Grant,
    ) -> Result<TokenMetadata, TokenError> {
        self.create(identity, grant.into_new_token(self.environment().clock().now())?).await
    }

    /// Changes the token called `id` to what a provider granted just now.
    pub(in crate::tokens) async fn update_from_grant(
        &self,
        id: &TokenId,
        grant: Grant,
    ) -> Result<TokenMetadata, TokenError> {
        self.update(id, grant.into_update(self.environment().clock().now())?).await
    }

    /// Changes the token called `existing`, or stores one under `identity` if there is no such id.
    pub(in crate::tokens) async fn update_or_replace(
        &self,
        identity: I,
        existing: Option<&TokenId>,
        replacement: Replacement,
    ) -> Result<(), TokenError> {
        let expires_at = replacement.expires_at(self.environment().clock().now())?;
        match existing {
            Some(id) => self.update(id, TokenUpdate::token(replacement.token).expires_at(expires_at)).await?,
            None => self.create(identity, NewToken::token(replacement.token).expires_at(expires_at)).await?,
        };
        Ok(())
    }

    /// The token called `identity`, with its credentials narrowed to those of OAuth.
    pub(in crate::tokens) async fn get_oauth(
        &self,
        identity: &I,
    ) -> Result<Option<ConnectorToken<OAuthCredentials>>, TokenError> {
        self.get(identity).await?.map(ConnectorToken::into_oauth).transpose()
    }
}
