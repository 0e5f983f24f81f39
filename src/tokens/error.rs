use thiserror::Error;

use super::{ConnectorId, Grant, ProviderError, TokenId};
use crate::{Error, ErrorKind};

/// The error of every call about tokens. No secret is ever in it.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// There is a token, but its secrets do not open, were stripped, or its record is malformed. This is never reported as
    /// "no token", and never for a server that does not answer: to store a new token in its place is safe.
    #[error(
        "the token {id} is there but cannot be read; store it anew, or put right what the source of this error names"
    )]
    Unreadable {
        /// The token.
        id: TokenId,
        /// Why: of kind [`Decrypt`](ErrorKind::Decrypt) or [`Corrupt`](ErrorKind::Corrupt).
        source: Error,
    },
    /// The token's credentials are not those of OAuth: an access token that is a text and not empty, and if there is a
    /// refresh token, that is a text too.
    #[error("the credentials of the token {id} are not those of OAuth; store them anew, or read them with `get`")]
    NotOAuth {
        /// The token.
        id: TokenId,
    },
    /// There is no token: the user, or an administrator for a shared one, must authorize the connector.
    #[error("there is no token for the connector {connector_id}; authorize the connector")]
    NoToken {
        /// The connector.
        connector_id: ConnectorId,
    },
    /// The token has expired, or its service refused it, and there is no refresh token to get another one for.
    #[error("the token {id} is no longer good, and has no refresh token; authorize the connector again")]
    Expired {
        /// The token.
        id: TokenId,
    },
    /// The token is no longer good, and neither is its refresh token.
    #[error("the refresh token of {id} has expired; authorize the connector again")]
    RefreshExpired {
        /// The token.
        id: TokenId,
    },
    /// The provider takes the refresh token no longer (`invalid_grant`), and nobody has stored another one.
    #[error("the provider no longer accepts the refresh token of {id}; authorize the connector again")]
    Revoked {
        /// The token.
        id: TokenId,
    },
    /// The provider gave no new token. What is stored is as it was.
    #[error("the token {id} could not be refreshed: {source}")]
    RefreshFailed {
        /// The token.
        id: TokenId,
        /// Why.
        source: ProviderError,
    },
    /// Somebody deleted the token while it was refreshed. What the provider granted was not stored; it was given to
    /// the [`Revoker`](super::Revoker), if there is one.
    #[error("the token {id} was deleted while it was refreshed; authorize the connector again")]
    Deleted {
        /// The token.
        id: TokenId,
    },
    /// The provider granted a new token and it could not be stored, however often that was tried. The stored refresh token may
    /// be worth nothing now. The access token can be used, and this process keeps the grant: its next refresh of the token stores
    /// it. If the process ends before, store it with
    /// [`update_with_refresh_token`](super::TokenClient::update_with_refresh_token), as long as the stored refresh token is the
    /// one from before.
    #[error(
        "the new grant of {id} could not be stored; keep what this error holds, and store it when the server is back"
    )]
    NotStored {
        /// The token.
        id: TokenId,
        /// What the provider granted.
        grant: Box<Grant>,
        /// Why it was not stored.
        source: Error,
    },
    /// Whatever else can go wrong with a stored object.
    #[error(transparent)]
    Other(#[from] Error),
}

impl TokenError {
    /// What a caller can do about it.
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

    /// `error`, which came up when the token `id` was read.
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
