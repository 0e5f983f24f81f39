use std::fmt;
use std::time::Duration;

use super::under_way::UnderWay;
use super::{AuthorizationError, OAuthClient, Provider};
use crate::encryption::Secret;
use crate::environment::Environment;
use crate::tokens::{ConnectorId, ConnectorTokens, Grant, ProviderError, Scope, TokenClient, TokenMetadata};
use crate::{Error, ErrorKind};

/// The pauses between the attempts to store a grant before it is given to the caller instead: ten seconds.
const PAUSES_MS: [u64; 7] = [100, 200, 400, 800, 1_500, 3_000, 4_000];

/// An authorization that is this caller's alone to finish. Dropped before [`exchange`](Self::exchange), it comes to nothing.
pub struct ClaimedAuthorization {
    pub(super) tokens: ConnectorTokens,
    pub(super) environment: Environment,
    pub(super) connector_id: ConnectorId,
    pub(super) scope: Scope,
    pub(super) code: Secret,
    pub(super) code_verifier: Secret,
    /// The [fingerprint](Provider::fingerprint) of the provider that it was begun with; none if older software began it.
    pub(super) provider: Option<String>,
    /// Which provider says that it sent the user back.
    pub(super) issuer: Option<String>,
    pub(super) exchanges: UnderWay,
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
    /// It goes on in a task of its own if the caller goes away, as that of a web server does when the user closes the browser:
    /// a code is worth something once.
    ///
    /// # Errors
    /// [`OtherProvider`](AuthorizationError::OtherProvider) if `client` is not the one that began it, or the callback came from
    /// another provider: the code is not sent then;
    /// [`Provider`](AuthorizationError::Provider) if the provider gives nothing for the code, and
    /// [`NotStored`](AuthorizationError::NotStored) if what it gives cannot be stored.
    pub async fn exchange(self, client: &OAuthClient) -> Result<TokenMetadata, AuthorizationError> {
        let (client, under_way) = (client.clone(), self.exchanges.begin());
        let environment = self.environment.clone();
        let task = environment.spawn(async move {
            let outcome = self.exchange_and_store(&client).await;
            drop(under_way);
            outcome
        });
        task.await.unwrap_or_else(|_| {
            let error = Error::new(ErrorKind::Internal, "the task that exchanged a code did not end");
            Err(error.with_cure("authorize the connector again; if it stays so, report it").into())
        })
    }

    async fn exchange_and_store(self, client: &OAuthClient) -> Result<TokenMetadata, AuthorizationError> {
        let refused = |reason: &str| ProviderError::Refused { reason: reason.to_owned() };
        let provider = client.provider();
        let redirect_uri = provider.redirect_uri.as_ref().ok_or_else(|| refused("no redirect URI is configured"))?;
        self.check_provider(provider)?;
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

    /// Refuses a provider that the code is not for: whoever gets a code of another one can use it there (a mix-up, RFC 9700 4.4).
    fn check_provider(&self, provider: &Provider) -> Result<(), AuthorizationError> {
        let is_other = self.provider.as_ref() != Some(&provider.fingerprint());
        // An issuer that this provider is not known by may be another provider's (RFC 9207 section 2.4).
        let is_from_other = self.issuer != provider.issuer;
        if is_other || is_from_other { Err(AuthorizationError::OtherProvider) } else { Ok(()) }
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
