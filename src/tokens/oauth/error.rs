use thiserror::Error;

use crate::tokens::{ConnectorId, Grant, ProviderError, Scope};
use crate::{Error, ErrorKind};

/// Why an authorization came to nothing. No secret is ever in its text.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuthorizationError {
    /// There is no such authorization: it was finished before, it was cleaned up because it had expired, or it was not begun
    /// here.
    #[error("the authorization was used already, or is none of this platform's; authorize the connector again")]
    AlreadyUsed,
    /// The user came back too late.
    #[error("the authorization has expired; authorize the connector again")]
    Expired,
    /// Somebody else began it. It is left as it is.
    #[error("the authorization was begun by another user; authorize the connector as the user who began it")]
    OtherUser,
    /// The authorization was begun with another provider than the one that its code would go to, or the callback names another one.
    /// The code was not sent.
    #[error(
        "the authorization belongs to another provider; use the client that began it, and authorize the connector again; if the provider \
         names itself in its callbacks (`iss`), configure that name with `Provider::issuer`"
    )]
    OtherProvider,
    /// The provider, or the user there, said no.
    #[error(
        "the provider did not authorize the connector ({code}); authorize it again, or ask who administers it there"
    )]
    Denied {
        /// The error code (RFC 6749 4.1.2.1), if it is one that is known.
        code: &'static str,
    },
    /// The provider did not give a token for the code.
    #[error("the code was not exchanged: {0}")]
    Provider(#[from] ProviderError),
    /// The provider granted a token, and it could not be stored, however often that was tried. What was stored before is as it
    /// was. Store the grant with
    /// [`create_with_refresh_token`](crate::tokens::TokenClient::create_with_refresh_token) when the server is back.
    #[error(
        "the new grant for the connector {connector_id} could not be stored; keep what this error holds, and store it later"
    )]
    NotStored {
        /// Whose token it is.
        scope: Scope,
        /// The connector.
        connector_id: ConnectorId,
        /// What the provider granted.
        grant: Box<Grant>,
        /// Why it was not stored.
        source: Error,
    },
    /// Whatever else can go wrong, as with any stored object.
    #[error(transparent)]
    Other(#[from] Error),
}

impl AuthorizationError {
    /// What a caller can do about it.
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
