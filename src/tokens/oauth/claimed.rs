//! A claimed authorization: its code is exchanged for a grant, which is stored.

use std::fmt;

use super::in_progress::InProgress;
use super::{AuthorizationError, OAuthClient, Provider};
use crate::encryption::Secret;
use crate::environment::Environment;
use crate::tokens::{ConnectorId, ConnectorTokenClient, Grant, ProviderError, Scope, TokenClient, TokenMetadata};
use crate::{Error, ErrorKind};

/// An authorization that only this caller can finish. If it is dropped before [`exchange`](Self::exchange), it is lost.
pub struct ClaimedAuthorization {
    pub(super) tokens: ConnectorTokenClient,
    pub(super) environment: Environment,
    pub(super) connector_id: ConnectorId,
    pub(super) scope: Scope,
    pub(super) code: Secret,
    pub(super) code_verifier: Secret,
    /// The [fingerprint](Provider::fingerprint) of the provider that it was begun with. `None` if older software began
    /// it.
    pub(super) provider: Option<String>,
    /// The provider that the callback names.
    pub(super) issuer: Option<String>,
    pub(super) exchanges: InProgress,
}

impl ClaimedAuthorization {
    /// Returns the connector that was authorized.
    pub fn connector_id(&self) -> &ConnectorId {
        &self.connector_id
    }

    /// Returns the scope of the token that the exchange stores.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Exchanges the code for a grant, stores it and replaces the existing token: in one write, so that there is a
    /// token at every moment, and a failure leaves the old one.
    ///
    /// It runs in its own task, which continues if the caller goes away, as that of a web server does when the user
    /// closes the browser: a code can be exchanged only once.
    ///
    /// # Errors
    /// - [`OtherProvider`](AuthorizationError::OtherProvider) if the authorization was begun with another client, or
    ///   the callback came from another provider: then the code is not sent.
    /// - [`Provider`](AuthorizationError::Provider) if the provider grants nothing for the code.
    /// - [`NotStored`](AuthorizationError::NotStored) if the grant cannot be stored.
    pub async fn exchange(self, client: &OAuthClient) -> Result<TokenMetadata, AuthorizationError> {
        let (client, exchange) = (client.clone(), self.exchanges.begin());
        let environment = self.environment.clone();
        let task = environment.spawn(async move {
            let outcome = self.exchange_and_store(&client).await;
            drop(exchange);
            outcome
        });
        task.await.unwrap_or_else(|_| {
            let error = Error::new(ErrorKind::Internal, "the task that exchanged a code did not finish");
            Err(error.with_hint("authorize the connector again; if the error persists, report it").into())
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
        let mut pauses = Grant::storing_pauses();
        loop {
            let failure = match self.store(&grant, asked_at).await {
                Ok(metadata) => return Ok(metadata),
                Err(failure) => failure,
            };
            // An invalid token stays invalid. A write block may belong to a migration that ends.
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

    /// Refuses a provider that did not issue the code: it could use the code at the one that did (a mix-up attack, RFC
    /// 9700 4.4).
    fn check_provider(&self, provider: &Provider) -> Result<(), AuthorizationError> {
        let is_other = self.provider.as_ref() != Some(&provider.fingerprint());
        // An unknown issuer may be another provider (RFC 9207 section 2.4).
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
