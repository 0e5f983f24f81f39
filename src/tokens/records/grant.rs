use super::Records;
use crate::tokens::identity::Identity;
use crate::tokens::{
    ConnectorToken, Grant, NewToken, OAuthCredentials, Replacement, TokenError, TokenId, TokenMetadata, TokenUpdate,
};
use crate::{Error, ErrorKind, Result};

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

    /// Changes the token called `existing` if it is one of the scope and the connector that `identity` names; without it, stores one
    /// under `identity`. Ids follow from names, so that one alone says nothing of whose token its caller means.
    pub(in crate::tokens) async fn update_or_replace(
        &self,
        identity: I,
        existing: Option<&TokenId>,
        replacement: Replacement,
    ) -> Result<(), TokenError> {
        let expires_at = replacement.expires_at(self.environment().clock().now())?;
        match existing {
            Some(id) => {
                let update = TokenUpdate::token(replacement.token).expires_at(expires_at);
                self.update_if(id, update, |found| check_owner(id, &identity, found)).await?
            }
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

/// Checks that a record is one of the scope and the connector of `asked`, whatever its type.
fn check_owner<I: Identity>(id: &TokenId, asked: &I, found: &I) -> Result<()> {
    if found.scope() == asked.scope() && found.connector_id() == asked.connector_id() {
        return Ok(());
    }
    let message = format!("the token {id} is none of the connector {} in this scope", asked.connector_id());
    Err(Error::new(ErrorKind::NotFound, message).with_cure("give the id that a read of this scope and connector gave"))
}
