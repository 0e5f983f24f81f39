use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::ErrorKind;
use crate::encryption::Secret;
use crate::tokens::{ConnectorId, Grant, Scope, TokenType};

/// Gets new tokens from the provider of a connector. [`AccessTokens`](super::AccessTokens) decides when, and sees to it that
/// of all who ask for one token, in whichever process, one asks the provider.
///
/// ```
/// use async_trait::async_trait;
/// use saved_objects::tokens::{Grant, ProviderError, RefreshRequest, Refresher};
///
/// #[derive(Debug)]
/// struct MyProvider;
///
/// #[async_trait]
/// impl Refresher for MyProvider {
///     async fn refresh(&self, request: &RefreshRequest) -> Result<Grant, ProviderError> {
///         let Some(refresh_token) = &request.refresh_token else {
///             return Err(ProviderError::Refused { reason: "it wants a refresh token".to_owned() });
///         };
///         // … sends it, and gives what comes back.
/// #       let _ = refresh_token;
/// #       Err(ProviderError::InvalidGrant)
///     }
/// }
/// ```
#[async_trait]
pub trait Refresher: Send + Sync + fmt::Debug {
    /// Asks the provider for a new grant. It is given up after the deadline of [`AccessTokens`](super::AccessTokens): whoever
    /// has a time-out of its own sets it below that.
    ///
    /// # Errors
    /// [`ProviderError`], whose texts hold no secret.
    async fn refresh(&self, request: &RefreshRequest) -> Result<Grant, ProviderError>;

    /// Whether a refresh token is what it gets a new token for. One that has all it needs (client credentials, JWT bearer)
    /// says no; then a token that is missing or cannot be read is asked for as well.
    fn needs_refresh_token(&self) -> bool {
        true
    }
}

/// Which token a new one is wanted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshRequest {
    /// Whose token.
    pub scope: Scope,
    /// The connector.
    pub connector_id: ConnectorId,
    /// The type of the token.
    pub token_type: TokenType,
    /// The refresh token. There always is one if the refresher [needs it](Refresher::needs_refresh_token); else only if one is
    /// stored.
    pub refresh_token: Option<Secret>,
}

/// Why a provider did not do what it was asked for. No text may hold a secret: they are logged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// The provider says `invalid_grant` (RFC 6749, 5.2) or the like: the refresh token was used, has expired, or was revoked.
    #[error("the provider does not accept the refresh token, code or assertion")]
    InvalidGrant,
    /// The provider was not reached, is too busy, or answered too late. Trying again may help.
    #[error("the provider could not be asked: {reason}; try again later")]
    Transient {
        /// What happened.
        reason: String,
        /// How long the provider wants to be left alone, if it says so: until then it is not asked for this token again.
        retry_after: Option<Duration>,
    },
    /// The provider refuses the request, or its answer is none. Trying again does not help.
    #[error("the provider refused: {reason}; check the connector's configuration")]
    Refused {
        /// What the provider said, as far as it is no secret.
        reason: String,
    },
}

impl ProviderError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidGrant => ErrorKind::Forbidden,
            Self::Transient { .. } => ErrorKind::Unavailable,
            Self::Refused { .. } => ErrorKind::Invalid,
        }
    }
}
