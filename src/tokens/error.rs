use thiserror::Error;

use super::TokenId;
use crate::{Error, ErrorKind};

/// The error of every call about tokens. No secret is ever in it.
#[derive(Debug, Error)]
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
