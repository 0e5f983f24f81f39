//! The clients of one scope: [`SharedConnectorTokenClient`] and [`UserConnectorTokenClient`].

use std::collections::BTreeSet;
use std::sync::Arc;

use super::identity::Identity;
use super::records::Records;
use super::{
    ConnectorId, ConnectorToken, Grant, NewToken, OAuthCredentials, ProfileUid, Replacement, Revoker, Scope, ScopeKind,
    TokenError, TokenId, TokenMetadata, TokenType, TokenUpdate,
};
use crate::Result;
use crate::store::SavedObjects;

/// The scope of a client's calls: that of the user, if they name one.
macro_rules! scope {
    () => {
        Scope::Shared
    };
    ($user:ident) => {
        Scope::User($user.clone())
    };
}

/// Defines a client of one scope. If the scope has a user, the calls that do not take an id take the user first.
macro_rules! scoped_client {
    ($(#[$documentation:meta])* $client:ident, $kind:expr $(, $user:ident)?) => {
        $(#[$documentation])*
        #[derive(Debug, Clone)]
        pub struct $client {
            records: Records,
        }

        impl $client {
            /// Creates a client of the tokens in a store.
            ///
            /// # Errors
            /// [`Invalid`](crate::ErrorKind::Invalid) if the store does not have the type of these tokens: register
            /// [`types`](super::types).
            pub fn new(store: &SavedObjects) -> Result<Self> {
                Ok(Self { records: Records::of_kinds(store, &[$kind])? })
            }

            /// Revokes every token that is deleted at its provider: see
            /// [`ConnectorTokenClient::revoking`](super::ConnectorTokenClient::revoking).
            #[must_use]
            pub fn revoking(self, revoker: Arc<dyn Revoker>) -> Self {
                Self { records: self.records.revoking(revoker) }
            }

            /// Stores a token: see [`TokenClient::create`](super::TokenClient::create).
            ///
            /// # Errors
            /// Those of that method.
            pub async fn create(
                &self,
                $($user: &ProfileUid,)?
                connector_id: &ConnectorId,
                token: NewToken,
            ) -> Result<TokenMetadata, TokenError> {
                let identity = Identity::new(scope!($($user)?), connector_id, token.token_type.as_ref());
                self.records.create(identity, token).await
            }

            /// Stores what a provider granted: see
            /// [`TokenClient::create_with_refresh_token`](super::TokenClient::create_with_refresh_token).
            ///
            /// # Errors
            /// Those of that method.
            pub async fn create_with_refresh_token(
                &self,
                $($user: &ProfileUid,)?
                connector_id: &ConnectorId,
                grant: Grant,
            ) -> Result<TokenMetadata, TokenError> {
                self.records.create_from_grant(Identity::new(scope!($($user)?), connector_id, None), grant).await
            }

            /// Returns the token of the scope's default type: see [`TokenClient::get`](super::TokenClient::get).
            ///
            /// # Errors
            /// Those of that method.
            pub async fn get(
                &self,
                $($user: &ProfileUid,)?
                connector_id: &ConnectorId,
            ) -> Result<Option<ConnectorToken>, TokenError> {
                self.records.get(&Identity::new(scope!($($user)?), connector_id, None)).await
            }

            /// Returns the token of a type: see [`TokenClient::get_of_type`](super::TokenClient::get_of_type).
            ///
            /// # Errors
            /// Those of that method.
            pub async fn get_of_type(
                &self,
                $($user: &ProfileUid,)?
                connector_id: &ConnectorId,
                token_type: &TokenType,
            ) -> Result<Option<ConnectorToken>, TokenError> {
                self.records.get(&Identity::new(scope!($($user)?), connector_id, Some(token_type))).await
            }

            /// Returns the token with OAuth credentials: see
            /// [`TokenClient::get_oauth_credentials`](super::TokenClient::get_oauth_credentials).
            ///
            /// # Errors
            /// Those of that method.
            pub async fn get_oauth_credentials(
                &self,
                $($user: &ProfileUid,)?
                connector_id: &ConnectorId,
            ) -> Result<Option<ConnectorToken<OAuthCredentials>>, TokenError> {
                self.records.get_oauth(&Identity::new(scope!($($user)?), connector_id, None)).await
            }

            /// Changes a token: see [`TokenClient::update`](super::TokenClient::update).
            ///
            /// # Errors
            /// Those of that method, and [`Invalid`](crate::ErrorKind::Invalid) for an id of the other scope.
            pub async fn update(&self, id: &TokenId, update: TokenUpdate) -> Result<TokenMetadata, TokenError> {
                self.records.update($kind, id, update).await
            }

            /// Changes a token to what a provider granted: see
            /// [`TokenClient::update_with_refresh_token`](super::TokenClient::update_with_refresh_token).
            ///
            /// # Errors
            /// Those of that method, and [`Invalid`](crate::ErrorKind::Invalid) for an id of the other scope.
            pub async fn update_with_refresh_token(
                &self,
                id: &TokenId,
                grant: Grant,
            ) -> Result<TokenMetadata, TokenError> {
                self.records.update_from_grant($kind, id, grant).await
            }

            /// Replaces a token as it was read: see [`TokenClient::replace`](super::TokenClient::replace).
            ///
            /// # Errors
            /// Those of that method, and [`Invalid`](crate::ErrorKind::Invalid) for a token of the other scope.
            pub async fn replace(&self, read: &TokenMetadata, token: NewToken) -> Result<TokenMetadata, TokenError> {
                self.records.replace($kind, read, token).await
            }

            /// Updates a token or stores another one: see
            /// [`TokenClient::update_or_replace`](super::TokenClient::update_or_replace).
            ///
            /// # Errors
            /// Those of that method, and [`Invalid`](crate::ErrorKind::Invalid) for an id of the other scope.
            pub async fn update_or_replace(
                &self,
                $($user: &ProfileUid,)?
                connector_id: &ConnectorId,
                existing: Option<&TokenId>,
                replacement: Replacement,
            ) -> Result<(), TokenError> {
                let identity = Identity::new(scope!($($user)?), connector_id, None);
                self.records.update_or_replace(identity, existing, replacement).await
            }

            /// Deletes one token: see [`TokenClient::delete_one`](super::TokenClient::delete_one).
            ///
            /// # Errors
            /// Those of that method, and [`Invalid`](crate::ErrorKind::Invalid) for an id of the other scope.
            pub async fn delete_one(&self, id: &TokenId) -> Result<(), TokenError> {
                self.records.delete_one($kind, id).await
            }

            /// Deletes the connector's tokens in the scope: see [`TokenClient::delete`](super::TokenClient::delete).
            ///
            /// # Errors
            /// Those of that method.
            pub async fn delete(
                &self,
                $($user: &ProfileUid,)?
                connector_id: &ConnectorId,
                token_type: Option<&TokenType>,
            ) -> Result<(), TokenError> {
                self.records.delete(&scope!($($user)?), connector_id, token_type).await
            }
        }
    };
}

scoped_client! {
    /// The tokens that all users of a connector share: the operations of [`TokenClient`](super::TokenClient) for
    /// [`Scope::Shared`]. A bare id means a shared token.
    SharedConnectorTokenClient, ScopeKind::Shared
}

scoped_client! {
    /// The tokens of single users: the operations of [`TokenClient`](super::TokenClient) for [`Scope::User`]. A bare id
    /// means a user's token.
    UserConnectorTokenClient, ScopeKind::PerUser, profile_uid
}

impl UserConnectorTokenClient {
    /// Deletes the connector's tokens of every user: see
    /// [`TokenClient::delete_for_all_users`](super::TokenClient::delete_for_all_users).
    ///
    /// # Errors
    /// Those of that method.
    pub async fn delete_for_all_users(
        &self,
        connector_id: &ConnectorId,
        token_type: Option<&TokenType>,
    ) -> Result<(), TokenError> {
        self.records.delete_for_all_users(connector_id, token_type).await
    }

    /// Deletes all tokens of the user: see [`TokenClient::delete_of_user`](super::TokenClient::delete_of_user).
    ///
    /// # Errors
    /// Those of that method.
    pub async fn delete_of_user(&self, profile_uid: &ProfileUid) -> Result<(), TokenError> {
        self.records.delete_of_user(profile_uid).await
    }

    /// Returns the connectors for which the user has a token: see
    /// [`TokenClient::connectors_of_user`](super::TokenClient::connectors_of_user).
    ///
    /// # Errors
    /// Those of that method.
    pub async fn connectors_of_user(&self, profile_uid: &ProfileUid) -> Result<BTreeSet<ConnectorId>, TokenError> {
        self.records.connectors_of_user(profile_uid).await
    }
}
