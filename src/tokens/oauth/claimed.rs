use std::fmt;
use std::time::Duration;

use super::{AuthorizationError, OAuthClient};
use crate::encryption::Secret;
use crate::environment::Environment;
use crate::tokens::{ConnectorId, ConnectorTokens, Grant, ProviderError, Scope, TokenClient, TokenMetadata};
use crate::{Error, ErrorKind};

/// The pauses between the attempts to store a grant before it is given to the caller instead: ten seconds.
const PAUSES_MS: [u64; 7] = [100, 200, 400, 800, 1_500, 3_000, 4_000];

/// An authorization that is this caller's alone to finish. Dropped, it comes to nothing.
pub struct ClaimedAuthorization {
    pub(super) tokens: ConnectorTokens,
    pub(super) environment: Environment,
    pub(super) connector_id: ConnectorId,
    pub(super) scope: Scope,
    pub(super) code: Secret,
    pub(super) code_verifier: Secret,
}

impl ClaimedAuthorization {
    /// The connector that was authorized.
    pub fn connector_id(&self) -> &ConnectorId {
        &self.connector_id
    }

    /// Whose token it becomes.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Exchanges the code for a grant, and stores it in the place of whatever token there is: in one write, so that there is no
    /// moment without one, and a failure leaves the old one.
    ///
    /// # Errors
    /// [`Provider`](AuthorizationError::Provider) if the provider gives nothing for the code, and
    /// [`NotStored`](AuthorizationError::NotStored) if what it gives cannot be stored.
    pub async fn exchange(self, client: &OAuthClient) -> Result<TokenMetadata, AuthorizationError> {
        let refused = |reason: &str| ProviderError::Refused { reason: reason.to_owned() };
        let provider = client.provider();
        let redirect_uri = provider.redirect_uri.as_ref().ok_or_else(|| refused("no redirect URI is configured"))?;
        let code = self.code.expose_text()?;
        let verifier = self.code_verifier.expose_text()?;
        let asked_at = self.environment.clock().now();
        let parameters =
            [("code", code.as_str()), ("redirect_uri", redirect_uri.as_str()), ("code_verifier", verifier.as_str())];
        let grant = client.ask("authorization_code", &parameters).await?;
        let mut pauses = PAUSES_MS.into_iter().map(Duration::from_millis);
        loop {
            let failure = match self.store(&grant, asked_at).await {
                Ok(metadata) => return Ok(metadata),
                Err(failure) => failure,
            };
            // What cannot be stored now cannot be stored later; a write block may be a migration that will be over.
            let Some(pause) = pauses.next().filter(|_| failure.kind() != ErrorKind::Invalid) else {
                return Err(AuthorizationError::NotStored {
                    scope: self.scope,
                    connector_id: self.connector_id,
                    grant: Box::new(grant),
                    source: failure,
                });
            };
            tracing::debug!(connector = %self.connector_id, error = %failure, "a new grant was not stored yet");
            self.environment.clock().sleep(pause).await;
        }
    }

    async fn store(&self, grant: &Grant, asked_at: jiff::Timestamp) -> Result<TokenMetadata, Error> {
        let token = grant.clone().into_new_token(asked_at)?;
        Ok(self.tokens.create(self.scope.clone(), &self.connector_id, token).await?)
    }
}

impl fmt::Debug for ClaimedAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimedAuthorization")
            .field("connector_id", &self.connector_id)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}
