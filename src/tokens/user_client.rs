use std::collections::BTreeSet;
use std::sync::Arc;

use super::identity::{Identity, UserIdentity};
use super::records::Records;
use super::{
    ConnectorId, ConnectorToken, Grant, NewToken, OAuthCredentials, ProfileUid, Replacement, Revoker, TokenError,
    TokenId, TokenMetadata, TokenType, TokenUpdate,
};
use crate::Result;
use crate::repository::{Filter, Repository};
use crate::store::SavedObjects;

/// The tokens of single users: [`TokenClient`](super::TokenClient), which says what the methods promise, for
/// [`Scope::User`](super::Scope::User) only. A bare id means a user's token.
#[derive(Debug, Clone)]
pub struct UserTokenClient {
    records: Records<UserIdentity>,
}

impl UserTokenClient {
    /// The client over a store.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the store has no type `user_connector_token`: register
    /// [`types`](super::types).
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
    pub async fn create(
        &self,
        profile_uid: &ProfileUid,
        connector_id: &ConnectorId,
        token: NewToken,
    ) -> Result<TokenMetadata, TokenError> {
        self.records.create(identity(profile_uid, connector_id, token.token_type.as_ref()), token).await
    }

    /// Stores what a provider granted: see [`create_with_refresh_token`](super::TokenClient::create_with_refresh_token).
    ///
    /// # Errors
    /// Those named there.
    pub async fn create_with_refresh_token(
        &self,
        profile_uid: &ProfileUid,
        connector_id: &ConnectorId,
        grant: Grant,
    ) -> Result<TokenMetadata, TokenError> {
        self.records.create_from_grant(identity(profile_uid, connector_id, None), grant).await
    }

    /// The token of the type `oauth`: see [`get`](super::TokenClient::get).
    ///
    /// # Errors
    /// Those named there.
    pub async fn get(
        &self,
        profile_uid: &ProfileUid,
        connector_id: &ConnectorId,
    ) -> Result<Option<ConnectorToken>, TokenError> {
        self.records.get(&identity(profile_uid, connector_id, None)).await
    }

    /// The token of this type: see [`get_of_type`](super::TokenClient::get_of_type).
    ///
    /// # Errors
    /// Those named there.
    pub async fn get_of_type(
        &self,
        profile_uid: &ProfileUid,
        connector_id: &ConnectorId,
        token_type: &TokenType,
    ) -> Result<Option<ConnectorToken>, TokenError> {
        self.records.get(&identity(profile_uid, connector_id, Some(token_type))).await
    }

    /// The OAuth credentials: see [`get_oauth_credentials`](super::TokenClient::get_oauth_credentials).
    ///
    /// # Errors
    /// Those named there.
    pub async fn get_oauth_credentials(
        &self,
        profile_uid: &ProfileUid,
        connector_id: &ConnectorId,
    ) -> Result<Option<ConnectorToken<OAuthCredentials>>, TokenError> {
        self.records.get_oauth(&identity(profile_uid, connector_id, None)).await
    }

    /// Changes a token: see [`update`](super::TokenClient::update).
    ///
    /// # Errors
    /// Those named there, and [`Invalid`](crate::ErrorKind::Invalid) for the id of a shared token.
    pub async fn update(&self, id: &TokenId, update: TokenUpdate) -> Result<TokenMetadata, TokenError> {
        self.records.update(id, update).await
    }

    /// Changes a token to what a provider granted: see
    /// [`update_with_refresh_token`](super::TokenClient::update_with_refresh_token).
    ///
    /// # Errors
    /// Those named there, and [`Invalid`](crate::ErrorKind::Invalid) for the id of a shared token.
    pub async fn update_with_refresh_token(&self, id: &TokenId, grant: Grant) -> Result<TokenMetadata, TokenError> {
        self.records.update_from_grant(id, grant).await
    }

    /// Replaces a token as it was read: see [`replace`](super::TokenClient::replace).
    ///
    /// # Errors
    /// Those named there, and [`Invalid`](crate::ErrorKind::Invalid) for a shared token.
    pub async fn replace(&self, read: &TokenMetadata, token: NewToken) -> Result<TokenMetadata, TokenError> {
        self.records.replace(read, token).await
    }

    /// Updates a token or stores another: see [`update_or_replace`](super::TokenClient::update_or_replace).
    ///
    /// # Errors
    /// Those named there, and [`Invalid`](crate::ErrorKind::Invalid) for the id of a shared token.
    pub async fn update_or_replace(
        &self,
        profile_uid: &ProfileUid,
        connector_id: &ConnectorId,
        existing: Option<&TokenId>,
        replacement: Replacement,
    ) -> Result<(), TokenError> {
        self.records.update_or_replace(identity(profile_uid, connector_id, None), existing, replacement).await
    }

    /// Deletes one token: see [`delete_one`](super::TokenClient::delete_one).
    ///
    /// # Errors
    /// Those named there, and [`Invalid`](crate::ErrorKind::Invalid) for the id of a shared token.
    pub async fn delete_one(&self, id: &TokenId) -> Result<(), TokenError> {
        self.records.delete_one(id).await
    }

    /// Deletes the user's tokens for the connector: see [`delete`](super::TokenClient::delete).
    ///
    /// # Errors
    /// Those named there.
    pub async fn delete(
        &self,
        profile_uid: &ProfileUid,
        connector_id: &ConnectorId,
        token_type: Option<&TokenType>,
    ) -> Result<(), TokenError> {
        let of_user = Filter::equals("profileUid", profile_uid.as_str());
        self.records.delete_all(Filter::and([of_user, of_connector(connector_id, token_type)])).await
    }

    /// Deletes the connector's tokens of every user: see
    /// [`delete_for_all_users`](super::TokenClient::delete_for_all_users).
    ///
    /// # Errors
    /// Those named there.
    pub async fn delete_for_all_users(
        &self,
        connector_id: &ConnectorId,
        token_type: Option<&TokenType>,
    ) -> Result<(), TokenError> {
        self.records.delete_all(of_connector(connector_id, token_type)).await
    }

    /// Deletes all of the user's tokens: see [`delete_of_user`](super::TokenClient::delete_of_user).
    ///
    /// # Errors
    /// Those named there.
    pub async fn delete_of_user(&self, profile_uid: &ProfileUid) -> Result<(), TokenError> {
        self.records.delete_all(Filter::equals("profileUid", profile_uid.as_str())).await
    }

    /// The connectors for which the user has a token: see [`connectors_of_user`](super::TokenClient::connectors_of_user).
    ///
    /// # Errors
    /// Those named there.
    pub async fn connectors_of_user(&self, profile_uid: &ProfileUid) -> Result<BTreeSet<ConnectorId>, TokenError> {
        self.records.connectors(Filter::equals("profileUid", profile_uid.as_str())).await
    }
}

pub(super) fn identity(
    profile_uid: &ProfileUid,
    connector_id: &ConnectorId,
    token_type: Option<&TokenType>,
) -> UserIdentity {
    UserIdentity {
        profile_uid: profile_uid.clone(),
        connector_id: connector_id.clone(),
        token_type: token_type.cloned().unwrap_or_else(|| UserIdentity::KIND.default_token_type()),
    }
}

fn of_connector(connector_id: &ConnectorId, token_type: Option<&TokenType>) -> Filter {
    let of_connector = Filter::equals("connectorId", connector_id.as_str());
    let of_type = token_type.map(|token_type| Filter::equals("credentialType", token_type.as_str()));
    Filter::and([of_connector].into_iter().chain(of_type))
}
