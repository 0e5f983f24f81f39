//! The revocation of deleted tokens at their providers.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::{Either, select};

use super::{ConnectorId, ConnectorToken, OAuthCredentials, ProviderError, Scope};
use crate::encryption::Secret;
use crate::environment::Clock;

/// Informs the provider of a connector that tokens are no longer used, because they were deleted (RFC 7009). The stored
/// tokens are gone by then, and stay so whatever the outcome.
#[async_trait]
pub trait Revoker: Send + Sync + fmt::Debug {
    /// Revokes the tokens. For a provider without such an endpoint, it does nothing.
    ///
    /// # Errors
    /// [`ProviderError`], which is only logged.
    async fn revoke(&self, revocation: &Revocation) -> Result<(), ProviderError>;
}

/// The secrets of a token that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The scope of the token.
    pub scope: Scope,
    /// The connector.
    pub connector_id: ConnectorId,
    /// The access token as it was stored: with its scheme if it was the value of a header.
    pub access_token: Secret,
    /// The refresh token, if there was one.
    pub refresh_token: Option<Secret>,
}

impl Revocation {
    /// Creates the revocation of a stored token.
    pub(super) fn of(token: &ConnectorToken<OAuthCredentials>) -> Self {
        Self {
            scope: token.metadata.scope.clone(),
            connector_id: token.metadata.connector_id.clone(),
            access_token: token.credentials.access_token.clone(),
            refresh_token: token.credentials.refresh_token.clone(),
        }
    }
}

/// The time that a provider has for a revocation.
const DEADLINE: Duration = Duration::from_secs(10);

/// Calls the revoker, and logs a failure. No caller depends on the outcome.
pub(super) async fn revoke(revoker: &dyn Revoker, revocation: &Revocation, clock: &dyn Clock) {
    // The tokens are already gone, so a panic of the revoker is a failure like any other. Its message may hold a
    // secret.
    let revoked = AssertUnwindSafe(async { revoker.revoke(revocation).await }).catch_unwind();
    let outcome = match select(pin!(revoked), clock.sleep(DEADLINE)).await {
        Either::Left((Ok(outcome), _)) => outcome,
        Either::Left((Err(_), _)) => Err(ProviderError::Refused { reason: "the revoker panicked".to_owned() }),
        Either::Right(_) => {
            let reason = format!("no answer within {} s", DEADLINE.as_secs());
            Err(ProviderError::Transient { reason, retry_after: None })
        }
    };
    if let Err(error) = outcome {
        let (connector, scope) = (&revocation.connector_id, revocation.scope.kind());
        tracing::warn!(%connector, %scope, %error, "a deleted token was not revoked at its provider");
    }
}
