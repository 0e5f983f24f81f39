//! The error of all calls about tokens.

use thiserror::Error;

use super::{ConnectorId, Grant, ProviderError, TokenId};
use crate::{Error, ErrorKind};

/// The error of all calls about tokens. Its text never holds a secret.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// There is a token, but its secrets cannot be decrypted or were stripped, or its record is malformed. This is
    /// never reported as "no token", and never for a server that does not answer. It is safe to replace the token by a
    /// new one.
    #[error("the token {id} exists but cannot be read; store it again, or resolve the source of this error")]
    Unreadable {
        /// The token.
        id: TokenId,
        /// The cause, of kind [`Decrypt`](ErrorKind::Decrypt) or [`Corrupt`](ErrorKind::Corrupt).
        source: Error,
    },
    /// The token's credentials are not those of OAuth, which have an access token that is a non-empty text, and perhaps
    /// a refresh token that is a text.
    #[error("the credentials of the token {id} are not those of OAuth; store them again, or read them with `get`")]
    NotOAuth {
        /// The token.
        id: TokenId,
    },
    /// There is no token. The user, or an administrator for a shared token, must authorize the connector.
    #[error("there is no token for the connector {connector_id}; authorize the connector")]
    NoToken {
        /// The connector.
        connector_id: ConnectorId,
    },
    /// The token has expired or was refused by its service, and has no refresh token.
    #[error("the token {id} is no longer valid, and has no refresh token; authorize the connector again")]
    Expired {
        /// The token.
        id: TokenId,
    },
    /// The token is no longer valid, and its refresh token has expired.
    #[error("the refresh token of {id} has expired; authorize the connector again")]
    RefreshExpired {
        /// The token.
        id: TokenId,
    },
    /// The provider no longer accepts the refresh token (`invalid_grant`), and no other one has been stored.
    #[error("the provider no longer accepts the refresh token of {id}; authorize the connector again")]
    Revoked {
        /// The token.
        id: TokenId,
    },
    /// The provider gave no new token. The stored token is unchanged.
    #[error("the token {id} could not be refreshed: {source}")]
    RefreshFailed {
        /// The token.
        id: TokenId,
        /// The error of the provider.
        source: ProviderError,
    },
    /// Another caller deleted the token while it was refreshed. The grant was not stored; the
    /// [`Revoker`](super::Revoker) got it, if there is one.
    #[error("the token {id} was deleted while it was refreshed; authorize the connector again")]
    Deleted {
        /// The token.
        id: TokenId,
    },
    /// The provider granted a new token, and all attempts to store it failed. The provider may no longer accept the
    /// stored refresh token. The access token can be used. This process keeps the grant, and its next refresh of the
    /// token stores it. If the process ends before, store the grant with
    /// [`update_with_refresh_token`](super::TokenClient::update_with_refresh_token), as long as the stored refresh
    /// token is the one from before.
    #[error(
        "the new grant of {id} could not be stored; keep the grant of this error, and store it when the server is back"
    )]
    NotStored {
        /// The token.
        id: TokenId,
        /// The grant of the provider.
        grant: Box<Grant>,
        /// The reason why it was not stored.
        source: Error,
    },
    /// Any other error of a stored object.
    #[error(transparent)]
    Other(#[from] Error),
}

impl TokenError {
    /// Returns the kind, which tells what a caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreadable { source, .. } => source.kind(),
            Self::NotOAuth { .. } => ErrorKind::Corrupt,
            Self::NoToken { .. } | Self::Deleted { .. } => ErrorKind::NotFound,
            Self::Expired { .. } | Self::RefreshExpired { .. } | Self::Revoked { .. } => ErrorKind::Forbidden,
            Self::RefreshFailed { source, .. } => source.kind(),
            Self::NotStored { source, .. } => source.kind(),
            Self::Other(error) => error.kind(),
        }
    }

    /// Returns the outcome of a refresh that metrics count.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } | Self::NotOAuth { .. } => "unreadable",
            Self::NoToken { .. } => "no_token",
            Self::Expired { .. } => "expired",
            Self::RefreshExpired { .. } => "refresh_expired",
            Self::Revoked { .. } => "revoked",
            Self::RefreshFailed { source: ProviderError::Transient { .. }, .. } => "transient",
            Self::RefreshFailed { .. } => "refused",
            Self::Deleted { .. } => "deleted",
            Self::NotStored { .. } => "not_stored",
            Self::Other(_) => "failed",
        }
    }

    /// Creates the error for one that occurred while the token `id` was read.
    pub(super) fn of_reading(id: TokenId, error: Error) -> Self {
        match error.kind() {
            ErrorKind::Decrypt | ErrorKind::Corrupt => Self::Unreadable { id, source: error },
            _ => Self::Other(error),
        }
    }
}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Other(error) => error,
            typed => Self::new(typed.kind(), typed.to_string()).with_source(typed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::ScopeKind;

    #[test]
    fn only_what_is_wrong_with_the_token_makes_it_unreadable() {
        let table = [
            (ErrorKind::Decrypt, true),
            (ErrorKind::Corrupt, true),
            (ErrorKind::Unavailable, false),
            (ErrorKind::NotFound, false),
            (ErrorKind::Incompatible, false),
        ];
        for (kind, is_unreadable) in table {
            let error = TokenError::of_reading(TokenId::new(ScopeKind::Shared, "x"), Error::new(kind, "why"));
            assert_eq!(matches!(error, TokenError::Unreadable { .. }), is_unreadable, "{kind:?}");
            assert_eq!(error.kind(), kind);
            let error = Error::from(error);
            assert_eq!(error.kind(), kind);
            assert_eq!(error.find_source::<TokenError>().is_some(), is_unreadable);
        }
    }
}
