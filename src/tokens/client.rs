use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;

use super::{
    ConnectorId, ConnectorToken, Grant, NewToken, OAuthCredentials, ProfileUid, Replacement, Scope, TokenError,
    TokenId, TokenMetadata, TokenType, TokenUpdate,
};

/// The tokens of connectors, of both scopes. [`ConnectorTokens`](super::ConnectorTokens) is the one over a store; a platform
/// can put its own in its place, in tests for instance.
///
/// An id is a name and no permission, and follows from public names: [`update`](Self::update),
/// [`update_with_refresh_token`](Self::update_with_refresh_token), [`replace`](Self::replace) and
/// [`delete_one`](Self::delete_one) reach whatever token theirs names. Whether the caller may is the platform's to know; the other
/// methods are told scope and connector, and reach no token of another one.
///
/// There is at most one token for a connector, a scope and a type. A read by these is one real-time request, and sees every
/// write that was answered before. Writes answer with metadata; secrets come from reads only.
///
/// ```
/// use saved_objects::tokens::{ConnectorId, Scope, TokenClient};
///
/// async fn is_connected(tokens: &dyn TokenClient, user: Scope, connector: &ConnectorId) -> saved_objects::Result<bool> {
///     Ok(tokens.get(user, connector).await?.is_some())
/// }
/// ```
///
/// # Errors
/// Of every method, beside those that it names:
/// - [`Invalid`](crate::ErrorKind::Invalid) for what cannot be stored: nothing was sent to the server then.
/// - [`Unavailable`](crate::ErrorKind::Unavailable), [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) of a write, and
///   [`NotFound`](crate::ErrorKind::NotFound) if the index does not exist.
#[async_trait]
pub trait TokenClient: Send + Sync + fmt::Debug {
    /// Stores a token, in the place of one of the same connector, scope and type if there is one; both its times begin anew
    /// then. That is one conditional write, so at no moment there is no token, and of concurrent calls the last one counts.
    /// Records of the same token that were taken over with other ids are deleted afterwards.
    ///
    /// Kibana makes another record at each call, of which reads take the newest; to replace one, it deletes first. An empty
    /// token is refused here.
    async fn create(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        token: NewToken,
    ) -> Result<TokenMetadata, TokenError>;

    /// Stores what a provider granted just now, as [`create`](Self::create) does.
    ///
    /// A lifetime of zero is over at once; none means that the token does not expire, as far as is known. In Kibana zero
    /// means for ever.
    async fn create_with_refresh_token(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        grant: Grant,
    ) -> Result<TokenMetadata, TokenError>;

    /// The token of the type that is usual in the scope: `access_token` for shared tokens, `oauth` for users'. It is given
    /// whether it has expired or not.
    ///
    /// # Errors
    /// [`Unreadable`](TokenError::Unreadable) if there is a token and it cannot be read: its secrets do not open, or one of
    /// its times is not a time. Kibana answers these, and a server that is down, with the same flag.
    async fn get(&self, scope: Scope, connector_id: &ConnectorId) -> Result<Option<ConnectorToken>, TokenError>;

    /// The token of this type. Kibana looks at the newest of any type if none is given, and in the user's scope takes the
    /// type for something else; here a read is always of one type.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    async fn get_of_type(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        token_type: &TokenType,
    ) -> Result<Option<ConnectorToken>, TokenError>;

    /// As [`get`](Self::get), with the credentials narrowed to those of OAuth; other keys are left out.
    ///
    /// # Errors
    /// Those of [`get`](Self::get), and [`NotOAuth`](TokenError::NotOAuth) if the credentials have another form.
    async fn get_oauth_credentials(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
    ) -> Result<Option<ConnectorToken<OAuthCredentials>>, TokenError>;

    /// Changes the token called `id`. Connector, scope and type name a token, so they stay. If others write it meanwhile,
    /// it is read again and the change made to what they wrote; Kibana repeats with the version that it read first, which
    /// cannot succeed.
    ///
    /// The refresh token stays unless the update [sets or removes](super::CredentialsChange::Token) it, and so does what
    /// else is in a user's credentials; Kibana loses both.
    ///
    /// The id comes back in the form in which it was given. A record that was taken over with another id moves to the one
    /// that follows from what it is called: then the answer has that one, and the id given is no longer known.
    ///
    /// # Errors
    /// - [`NotFound`](crate::ErrorKind::NotFound) if there is no such token.
    /// - [`Unreadable`](TokenError::Unreadable) if what is stored cannot be read: [`create`](Self::create) replaces it.
    /// - [`Conflict`](crate::ErrorKind::Conflict) if others go on writing it.
    /// - [`Incompatible`](crate::ErrorKind::Incompatible) if newer software wrote it in a form that this one does not know.
    async fn update(&self, id: &TokenId, update: TokenUpdate) -> Result<TokenMetadata, TokenError>;

    /// Changes the token called `id` to what a provider granted just now, as [`update`](Self::update) does.
    ///
    /// Without a refresh token in the grant the stored one stays, and so does its expiry unless the grant has one. With one,
    /// its expiry is that of the grant or none; Kibana keeps the expiry of the token that was replaced.
    ///
    /// # Errors
    /// Those of [`update`](Self::update).
    async fn update_with_refresh_token(&self, id: &TokenId, grant: Grant) -> Result<TokenMetadata, TokenError>;

    /// Stores a token in the place of one that was read, if it still is at that version. One request, and nothing of the old
    /// one stays but when it was created. `read` is what a read or a write gave; a record that was taken over with another id
    /// moves to the one that follows from what it is called.
    ///
    /// # Errors
    /// - [`Conflict`](crate::ErrorKind::Conflict) if it was changed or deleted since it was read.
    /// - [`Invalid`](crate::ErrorKind::Invalid) if the token says another type.
    async fn replace(&self, read: &TokenMetadata, token: NewToken) -> Result<TokenMetadata, TokenError>;

    /// Updates the token called `existing`; without one, stores the replacement as [`create`](Self::create) does, so that
    /// nothing has to be deleted before. The type is the one that is usual in the scope.
    ///
    /// # Errors
    /// Those of [`update`](Self::update) if `existing` is given; [`NotFound`](crate::ErrorKind::NotFound) too if it is a token of
    /// another scope or connector.
    async fn update_or_replace(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        existing: Option<&TokenId>,
        replacement: Replacement,
    ) -> Result<(), TokenError>;

    /// Deletes the token called `id`, readable or not, and every older record of what it is called, which would come to light
    /// otherwise.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such token, and those of [`delete`](Self::delete).
    async fn delete_one(&self, id: &TokenId) -> Result<(), TokenError>;

    /// Deletes the connector's tokens in the scope, of this type or of all, however many: until a search that misses no
    /// write finds none. Tokens that somebody else deletes meanwhile are no error. Kibana deletes the first twenty, and
    /// fails if one is gone.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) if others go on writing them; [`Corrupt`](crate::ErrorKind::Corrupt), after all
    /// others were deleted, if one is no object at all.
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

    /// Deletes the connector's tokens, the shared ones and those of every user, as [`delete`](Self::delete) does: before the
    /// connector itself is deleted, while its tokens can still be revoked.
    ///
    /// # Errors
    /// Those of [`delete`](Self::delete).
    async fn delete_of_connector(&self, connector_id: &ConnectorId) -> Result<(), TokenError>;

    /// Deletes the user's tokens for every connector, as [`delete`](Self::delete) does.
    ///
    /// # Errors
    /// Those of [`delete`](Self::delete).
    async fn delete_of_user(&self, profile_uid: &ProfileUid) -> Result<(), TokenError>;

    /// The connectors for which the user has a token, of whatever type, expired or not; the secrets are not looked at. A
    /// search: it sees a write after the index's next refresh, within a second usually.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if one of the records is malformed: the answer would not be complete.
    async fn connectors_of_user(&self, profile_uid: &ProfileUid) -> Result<BTreeSet<ConnectorId>, TokenError>;
}
