//! The error of authorizations.

use thiserror::Error;

use crate::tokens::{ConnectorId, Grant, ProviderError, Scope};
use crate::{Error, ErrorKind};

/// The reason why an authorization failed. Its text never holds a secret.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuthorizationError {
    /// There is no such authorization: it was finished before, it expired and was cleaned up, or it was not begun here.
    #[error("the authorization was already used, or does not belong to this platform; authorize the connector again")]
    AlreadyUsed,
    /// The user came back after the authorization expired.
    #[error("the authorization has expired; authorize the connector again")]
    Expired,
    /// Another user began the authorization. It stays as it is.
    #[error("the authorization was begun by another user; authorize the connector as the user who began it")]
    OtherUser,
    /// The authorization was begun with another provider than that of the client, or the callback names another one.
    /// The code was not sent.
    #[error(
        "the authorization belongs to another provider; use the client that began it, and authorize the connector \
         again; if the provider names itself in its callbacks (`iss`), configure that name with `Provider::issuer`"
    )]
    OtherProvider,
    /// The provider, or the user there, denied the authorization.
    #[error(
        "the provider did not authorize the connector ({code}); authorize it again, or ask who administers it there"
    )]
    Denied {
        /// The error code (RFC 6749 4.1.2.1); for an unknown one, a text that says so.
        code: &'static str,
    },
    /// The provider gave no token for the code.
    #[error("the code was not exchanged: {0}")]
    Provider(#[from] ProviderError),
    /// The provider granted a token, and all attempts to store it failed. The stored token, if there is one, is
    /// unchanged. Store the grant with
    /// [`create_with_refresh_token`](crate::tokens::TokenClient::create_with_refresh_token) when the server is back.
    #[error(
        "the new grant for the connector {connector_id} could not be stored; keep the grant of this error, and store \
         it later"
    )]
    NotStored {
        /// The scope of the token.
        scope: Scope,
        /// The connector.
        connector_id: ConnectorId,
        /// The grant of the provider.
        grant: Box<Grant>,
        /// The reason why it was not stored.
        source: Error,
    },
    /// Any other error of a stored object.
    #[error(transparent)]
    Other(#[from] Error),
}

impl AuthorizationError {
    /// Returns the kind, which tells what a caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::AlreadyUsed => ErrorKind::Conflict,
            Self::Expired | Self::OtherUser | Self::OtherProvider | Self::Denied { .. } => ErrorKind::Forbidden,
            Self::Provider(error) => error.kind(),
            Self::NotStored { source, .. } => source.kind(),
            Self::Other(error) => error.kind(),
        }
    }
}

impl From<AuthorizationError> for Error {
    fn from(error: AuthorizationError) -> Self {
        match error {
            AuthorizationError::Other(error) => error,
            typed => Self::new(typed.kind(), typed.to_string()).with_source(typed),
        }
    }
}
