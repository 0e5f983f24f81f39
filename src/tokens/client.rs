//! The trait of token clients, with the documentation of each operation.

use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;

use super::{
    ConnectorId, ConnectorToken, Grant, NewToken, OAuthCredentials, ProfileUid, Replacement, Scope, TokenError,
    TokenId, TokenMetadata, TokenType, TokenUpdate,
};

/// A client of the tokens of connectors, of both scopes. [`ConnectorTokenClient`](super::ConnectorTokenClient)
/// implements it over a store, and `ConnectorTokenClient::in_memory` is a fake for tests.
///
/// At most one token exists for a connector, a scope and a type. A read by these is one real-time request, which sees
/// every write that was answered before. Writes return metadata; only reads return secrets.
///
/// An id is a name and no permission, since it is derived from public names. [`update`](Self::update),
/// [`update_with_refresh_token`](Self::update_with_refresh_token), [`replace`](Self::replace) and
/// [`delete_one`](Self::delete_one) reach any token that their id names, so the platform must check whether the caller
/// may do this. The other methods take a scope and a connector, and reach no token of another one.
///
/// ```
/// use saved_objects::tokens::{ConnectorId, Scope, TokenClient};
///
/// async fn is_connected(tokens: &dyn TokenClient, connector: &ConnectorId) -> saved_objects::Result<bool> {
///     Ok(tokens.get(Scope::Shared, connector).await?.is_some())
/// }
/// ```
///
/// # Errors
/// Of every method, in addition to those that it names:
/// - [`Invalid`](crate::ErrorKind::Invalid) for values that cannot be stored; then nothing was sent to the server.
/// - [`Unavailable`](crate::ErrorKind::Unavailable); [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) of a write;
///   [`NotFound`](crate::ErrorKind::NotFound) if the index does not exist.
#[async_trait]
pub trait TokenClient: Send + Sync + fmt::Debug {
    /// Stores a token, and replaces the existing one of the same connector, scope and type; the times of creation and
    /// of the last write are then those of the new token. It is one conditional write, so there is a token at every
    /// moment, and of concurrent calls the last one counts. Records of the same token that were taken over with other
    /// ids are deleted afterwards. An empty token is refused.
    async fn create(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        token: NewToken,
    ) -> Result<TokenMetadata, TokenError>;

    /// Stores a grant that a provider gave just now, as [`create`](Self::create) does.
    ///
    /// If the grant has no lifetime, or one of zero, the token is stored without an expiry: providers use zero for
    /// tokens that do not expire.
    async fn create_with_refresh_token(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        grant: Grant,
    ) -> Result<TokenMetadata, TokenError>;

    /// Returns the token of the default type of the scope: `access_token` for shared tokens, `oauth` for those of
    /// users. It is returned even if it has expired.
    ///
    /// # Errors
    /// [`Unreadable`](TokenError::Unreadable) if there is a token and it cannot be read: its secrets cannot be
    /// decrypted, or one of its times is not a time.
    async fn get(&self, scope: Scope, connector_id: &ConnectorId) -> Result<Option<ConnectorToken>, TokenError>;

    /// Returns the token of a type.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    async fn get_of_type(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        token_type: &TokenType,
    ) -> Result<Option<ConnectorToken>, TokenError>;

    /// Returns what [`get`](Self::get) returns, with the credentials as those of OAuth. Other keys are left out.
    ///
    /// # Errors
    /// Those of [`get`](Self::get), and [`NotOAuth`](TokenError::NotOAuth) if the credentials have another form.
    async fn get_oauth_credentials(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
    ) -> Result<Option<ConnectorToken<OAuthCredentials>>, TokenError>;

    /// Changes the token `id`. Its connector, scope and type stay, since they name it. If another caller writes it
    /// meanwhile, it is read again and the change is made to the new content.
    ///
    /// The refresh token stays unless the update [sets or removes](super::CredentialsChange::Token) it. The other keys
    /// of a user's credentials stay too.
    ///
    /// The id is returned in the form in which it was given. A record that was taken over with another id moves to the
    /// derived id: then that one is returned, and the given id is no longer known.
    ///
    /// # Errors
    /// - [`NotFound`](crate::ErrorKind::NotFound) if there is no such token.
    /// - [`Unreadable`](TokenError::Unreadable) if the stored token cannot be read; [`create`](Self::create) replaces
    ///   it.
    /// - [`Conflict`](crate::ErrorKind::Conflict) if other callers keep writing it.
    /// - [`Incompatible`](crate::ErrorKind::Incompatible) if newer software wrote it in a form that this software does
    ///   not know.
    async fn update(&self, id: &TokenId, update: TokenUpdate) -> Result<TokenMetadata, TokenError>;

    /// Changes the token `id` to a grant that a provider gave just now, as [`update`](Self::update) does.
    ///
    /// If the grant has no refresh token, the stored one stays; so does its expiry, unless the grant has one. If the
    /// grant has a refresh token, its expiry is that of the grant, or none.
    ///
    /// # Errors
    /// Those of [`update`](Self::update).
    async fn update_with_refresh_token(&self, id: &TokenId, grant: Grant) -> Result<TokenMetadata, TokenError>;

    /// Replaces a token that was read, if it is still at that version. It is one request. Of the old token only the
    /// time of creation stays. `read` is what a read or a write returned. A record that was taken over with another id
    /// moves to the derived id.
    ///
    /// # Errors
    /// - [`Conflict`](crate::ErrorKind::Conflict) if it was changed or deleted since it was read.
    /// - [`Invalid`](crate::ErrorKind::Invalid) if the new token names another type.
    async fn replace(&self, read: &TokenMetadata, token: NewToken) -> Result<TokenMetadata, TokenError>;

    /// Updates the token `existing`. Without one, stores the replacement as [`create`](Self::create) does, with the
    /// default type of the scope, so that nothing has to be deleted before.
    ///
    /// # Errors
    /// Those of [`update`](Self::update) if `existing` is given, and [`NotFound`](crate::ErrorKind::NotFound) if it is
    /// a token of another scope or connector.
    async fn update_or_replace(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        existing: Option<&TokenId>,
        replacement: Replacement,
    ) -> Result<(), TokenError>;

    /// Deletes the token `id`, readable or not, and every older record of the same token, which would become visible
    /// otherwise.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such token, and those of [`delete`](Self::delete).
    async fn delete_one(&self, id: &TokenId) -> Result<(), TokenError>;

    /// Deletes the connector's tokens in the scope, of one type or of all. The number has no limit: it continues until
    /// a search that misses no write finds none. A token that another caller deletes meanwhile is no error.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) if other callers keep writing them;
    /// [`Corrupt`](crate::ErrorKind::Corrupt), after all others were deleted, if a document is not an object at all.
    async fn delete(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        token_type: Option<&TokenType>,
    ) -> Result<(), TokenError>;

    /// Deletes the connector's tokens of every user, as [`delete`](Self::delete) does for one.
    ///
    /// # Errors
    /// Those of [`delete`](Self::delete).
    async fn delete_for_all_users(
        &self,
        connector_id: &ConnectorId,
        token_type: Option<&TokenType>,
    ) -> Result<(), TokenError>;

    /// Deletes the connector's tokens, the shared ones and those of every user, as [`delete`](Self::delete) does. Call
    /// it before the connector itself is deleted, while its tokens can still be revoked.
    ///
    /// # Errors
    /// Those of [`delete`](Self::delete).
    async fn delete_of_connector(&self, connector_id: &ConnectorId) -> Result<(), TokenError>;

    /// Deletes the user's tokens for every connector, as [`delete`](Self::delete) does.
    ///
    /// # Errors
    /// Those of [`delete`](Self::delete).
    async fn delete_of_user(&self, profile_uid: &ProfileUid) -> Result<(), TokenError>;

    /// Returns the connectors for which the user has a token, of any type, expired or not, without reading secrets. It
    /// is a search, which finds a write after the next refresh of the index, usually within a second.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if one of the records is malformed, since the answer would be incomplete.
    async fn connectors_of_user(&self, profile_uid: &ProfileUid) -> Result<BTreeSet<ConnectorId>, TokenError>;
}
