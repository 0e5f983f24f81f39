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

/// Tells the provider of a connector that tokens are no longer used, because they were deleted (RFC 7009). What is stored is
/// gone by then, and stays so whatever comes of this.
#[async_trait]
pub trait Revoker: Send + Sync + fmt::Debug {
    /// Revokes what is given. A provider without such an endpoint has nothing to do.
    ///
    /// # Errors
    /// [`ProviderError`]: it is logged, and nothing else.
    async fn revoke(&self, revocation: &Revocation) -> Result<(), ProviderError>;
}

/// The secrets of a token that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Whose token it was.
    pub scope: Scope,
    /// The connector.
    pub connector_id: ConnectorId,
    /// The access token as it was stored: with its scheme, if it was stored as the value of a header.
    pub access_token: Secret,
    /// The refresh token, if there was one.
    pub refresh_token: Option<Secret>,
}

impl Revocation {
    /// That of a stored token.
    pub(super) fn of(token: &ConnectorToken<OAuthCredentials>) -> Self {
        Self {
            scope: token.metadata.scope.clone(),
            connector_id: token.metadata.connector_id.clone(),
            access_token: token.credentials.access_token.clone(),
            refresh_token: token.credentials.refresh_token.clone(),
        }
    }
}

/// How long a provider may take for it.
const DEADLINE: Duration = Duration::from_secs(10);

/// Revokes, and logs what comes of it: nobody depends on that.
pub(super) async fn revoke(revoker: &dyn Revoker, revocation: &Revocation, clock: &dyn Clock) {
    // The tokens are gone already: a revoker that panics is one that fails, and what it says then may be a secret.
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
