use std::fmt;

use async_trait::async_trait;
use thiserror::Error;

use crate::ErrorKind;
use crate::encryption::Secret;
use crate::tokens::Grant;

/// Gets new tokens from the provider of a connector. [`AccessTokens`](super::AccessTokens) decides when, and sees to it that
/// of all who ask for one token, in whichever process, one asks the provider.
#[async_trait]
pub trait Refresher: Send + Sync + fmt::Debug {
    /// Asks the provider for a new grant. It is given up after the deadline of [`AccessTokens`](super::AccessTokens).
    ///
    /// # Errors
    /// [`RefreshError`], whose texts hold no secret.
    async fn refresh(&self, refresh_token: &Secret) -> Result<Grant, RefreshError>;

    /// Tells the provider that a grant is no longer used, because its token was deleted. The token is gone whatever comes of
    /// this; nothing is done unless an implementation does something.
    async fn revoke(&self, grant: &Grant) {
        let _ = grant;
    }
}

/// Why a provider gave no grant. Neither text may hold a secret: they are logged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// The provider says `invalid_grant`: the refresh token was used, has expired, or was revoked.
    #[error("the provider does not accept the refresh token")]
    InvalidGrant,
    /// The provider was not reached, is too busy, or answered too late. Trying again may help.
    #[error("the provider could not be asked: {reason}; try again later")]
    Transient {
        /// What happened.
        reason: String,
    },
    /// The provider refuses the request, or its answer is none. Trying again does not help.
    #[error("the provider refused: {reason}; check the connector's configuration")]
    Refused {
        /// What the provider said, as far as it is no secret.
        reason: String,
    },
}

impl RefreshError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidGrant => ErrorKind::Forbidden,
            Self::Transient { .. } => ErrorKind::Unavailable,
            Self::Refused { .. } => ErrorKind::Invalid,
        }
    }
}
