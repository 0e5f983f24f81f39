use std::sync::Arc;

use super::identity::{Identity, SharedIdentity};
use super::records::Records;
use super::{
    ConnectorId, ConnectorToken, Grant, NewToken, OAuthCredentials, Replacement, Revoker, TokenError, TokenId,
    TokenMetadata, TokenType, TokenUpdate,
};
use crate::Result;
use crate::repository::{Filter, Repository};
use crate::store::SavedObjects;

/// The tokens that all users of a connector share: [`TokenClient`](super::TokenClient), which says what the methods
/// promise, for [`Scope::Shared`](super::Scope::Shared) only. A bare id means a shared token.
#[derive(Debug, Clone)]
pub struct SharedTokenClient {
    records: Records<SharedIdentity>,
}

impl SharedTokenClient {
    /// The client over a store.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the store has no type `connector_token`: register [`types`](super::types).
    pub fn new(store: &SavedObjects) -> Result<Self> {
        Self::over(store.repository())
    }

    pub(super) fn over(repository: &Repository) -> Result<Self> {
        Ok(Self { records: Records::over(repository)? })
    }

    /// Lets every token that is deleted be revoked at its provider: see
    /// [`ConnectorTokens::revoking`](super::ConnectorTokens::revoking).
    #[must_use]
    pub fn revoking(self, revoker: Arc<dyn Revoker>) -> Self {
        Self { records: self.records.revoking(revoker) }
    }

    /// Stores a token: see [`create`](super::TokenClient::create).
    ///
    /// # Errors
    /// Those named there.
    pub async fn create(&self, connector_id: &ConnectorId, token: NewToken) -> Result<TokenMetadata, TokenError> {
        self.records.create(identity(connector_id, token.token_type.as_ref()), token).await
    }

    /// Stores what a provider granted: see [`create_with_refresh_token`](super::TokenClient::create_with_refresh_token).
    ///
    /// # Errors
    /// Those named there.
    pub async fn create_with_refresh_token(
        &self,
        connector_id: &ConnectorId,
        grant: Grant,
    ) -> Result<TokenMetadata, TokenError> {
        self.records.create_from_grant(identity(connector_id, None), grant).await
    }

    /// The token of the type `access_token`: see [`get`](super::TokenClient::get).
    ///
    /// # Errors
    /// Those named there.
    pub async fn get(&self, connector_id: &ConnectorId) -> Result<Option<ConnectorToken>, TokenError> {
        self.records.get(&identity(connector_id, None)).await
    }

    /// The token of this type: see [`get_of_type`](super::TokenClient::get_of_type).
    ///
    /// # Errors
    /// Those named there.
    pub async fn get_of_type(
        &self,
        connector_id: &ConnectorId,
        token_type: &TokenType,
    ) -> Result<Option<ConnectorToken>, TokenError> {
        self.records.get(&identity(connector_id, Some(token_type))).await
    }

    /// The OAuth credentials: see [`get_oauth_credentials`](super::TokenClient::get_oauth_credentials).
    ///
    /// # Errors
    /// Those named there.
    pub async fn get_oauth_credentials(
        &self,
        connector_id: &ConnectorId,
    ) -> Result<Option<ConnectorToken<OAuthCredentials>>, TokenError> {
        self.records.get_oauth(&identity(connector_id, None)).await
    }

    /// Changes a token: see [`update`](super::TokenClient::update).
    ///
    /// # Errors
    /// Those named there, and [`Invalid`](crate::ErrorKind::Invalid) for the id of a user's token.
    pub async fn update(&self, id: &TokenId, update: TokenUpdate) -> Result<TokenMetadata, TokenError> {
        self.records.update(id, update).await
    }

    /// Changes a token to what a provider granted: see
    /// [`update_with_refresh_token`](super::TokenClient::update_with_refresh_token).
    ///
    /// # Errors
    /// Those named there, and [`Invalid`](crate::ErrorKind::Invalid) for the id of a user's token.
    pub async fn update_with_refresh_token(&self, id: &TokenId, grant: Grant) -> Result<TokenMetadata, TokenError> {
        self.records.update_from_grant(id, grant).await
    }

    /// Replaces a token as it was read: see [`replace`](super::TokenClient::replace).
    ///
    /// # Errors
    /// Those named there, and [`Invalid`](crate::ErrorKind::Invalid) for a user's token.
    pub async fn replace(&self, read: &TokenMetadata, token: NewToken) -> Result<TokenMetadata, TokenError> {
        self.records.replace(read, token).await
    }

    /// Updates a token or stores another: see [`update_or_replace`](super::TokenClient::update_or_replace).
    ///
    /// # Errors
    /// Those named there, and [`Invalid`](crate::ErrorKind::Invalid) for the id of a user's token.
    pub async fn update_or_replace(
        &self,
        connector_id: &ConnectorId,
        existing: Option<&TokenId>,
        replacement: Replacement,
    ) -> Result<(), TokenError> {
        self.records.update_or_replace(identity(connector_id, None), existing, replacement).await
    }

    /// Deletes one token: see [`delete_one`](super::TokenClient::delete_one).
    ///
    /// # Errors
    /// Those named there, and [`Invalid`](crate::ErrorKind::Invalid) for the id of a user's token.
    pub async fn delete_one(&self, id: &TokenId) -> Result<(), TokenError> {
        self.records.delete_one(id).await
    }

    /// Deletes the connector's shared tokens: see [`delete`](super::TokenClient::delete).
    ///
    /// # Errors
    /// Those named there.
    pub async fn delete(&self, connector_id: &ConnectorId, token_type: Option<&TokenType>) -> Result<(), TokenError> {
        let of_connector = Filter::equals("connectorId", connector_id.as_str());
        let of_type = token_type.map(|token_type| Filter::equals("tokenType", token_type.as_str()));
        self.records.delete_all(Filter::and([of_connector].into_iter().chain(of_type))).await
    }
}

pub(super) fn identity(connector_id: &ConnectorId, token_type: Option<&TokenType>) -> SharedIdentity {
    SharedIdentity {
        connector_id: connector_id.clone(),
        token_type: token_type.cloned().unwrap_or_else(|| SharedIdentity::KIND.default_token_type()),
    }
}
