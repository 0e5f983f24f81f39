//! The hook that asks a provider for a new token.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::ErrorKind;
use crate::encryption::Secret;
use crate::tokens::{ConnectorId, Grant, Scope, TokenType};

/// Gets new tokens from the provider of a connector. [`AccessTokens`](super::AccessTokens) decides when, and ensures
/// that among all callers that request a token, in all processes, one asks the provider.
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
///             return Err(ProviderError::Refused { reason: "there is no refresh token".to_owned() });
///         };
///         // … sends it, and returns the grant.
/// #       let _ = refresh_token;
/// #       Err(ProviderError::InvalidGrant)
///     }
/// }
/// ```
#[async_trait]
pub trait Refresher: Send + Sync + fmt::Debug {
    /// Asks the provider for a new grant. The call is dropped after the deadline of
    /// [`AccessTokens`](super::AccessTokens), so a time-out of its own must be shorter.
    ///
    /// # Errors
    /// [`ProviderError`], whose texts hold no secret.
    async fn refresh(&self, request: &RefreshRequest) -> Result<Grant, ProviderError>;

    /// Returns whether it needs a refresh token. If it does not (client credentials, JWT bearer), it is also asked for
    /// a token that is missing or cannot be read.
    fn needs_refresh_token(&self) -> bool {
        true
    }
}

/// The request for a new token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshRequest {
    /// The scope of the token.
    pub scope: Scope,
    /// The connector.
    pub connector_id: ConnectorId,
    /// The type of the token.
    pub token_type: TokenType,
    /// The stored refresh token. It is always present if the refresher [needs it](Refresher::needs_refresh_token).
    pub refresh_token: Option<Secret>,
}

/// The reason why a request to a provider failed. No text may hold a secret, since the texts are logged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// The provider answered `invalid_grant` (RFC 6749, 5.2) or the like: the refresh token was used, has expired, or
    /// was revoked.
    #[error("the provider does not accept the refresh token, code or assertion")]
    InvalidGrant,
    /// The provider was not reached, was too busy, or answered too late. Trying again may help.
    #[error("the provider could not be asked: {reason}; try again later")]
    Transient {
        /// What happened.
        reason: String,
        /// The pause that the provider asks for: before its end it is not asked for this token again.
        retry_after: Option<Duration>,
    },
    /// The provider refused the request, or its answer is malformed. Trying again does not help.
    #[error("the provider refused: {reason}; check the connector's configuration")]
    Refused {
        /// The provider's answer, without anything that may be secret.
        reason: String,
    },
}

impl ProviderError {
    /// Returns the name that metrics have.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::InvalidGrant => "invalid_grant",
            Self::Transient { .. } => "transient",
            Self::Refused { .. } => "refused",
        }
    }

    /// Returns the kind, which tells what a caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidGrant => ErrorKind::Forbidden,
            Self::Transient { .. } => ErrorKind::Unavailable,
            Self::Refused { .. } => ErrorKind::Invalid,
        }
    }
}
