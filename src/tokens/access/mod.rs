//! Access tokens that stay valid: [`AccessTokens`] returns the stored token while it is valid, and refreshes it in
//! time.

mod access_token;
mod claim;
mod flights;
mod refresh;
mod refresher;
mod store_grant;
mod validity;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use jiff::SignedDuration;
use tracing::Instrument;

pub use access_token::AccessToken;
pub use refresher::{ProviderError, RefreshRequest, Refresher};

use super::identity::Identity;
use super::records::Records;
use super::{ConnectorId, Revoker, Scope, TokenError};
use crate::encryption::Secret;
use crate::engine::control::{Claims, Kind};
use crate::store::SavedObjects;
use crate::{Error, ErrorKind, Result, telemetry};
use flights::Flights;
use refresh::{Refresh, check_refresh_token};
use validity::Validity;

/// The default time that a provider has to answer.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
/// The longest time that a provider can be given.
const LONGEST_DEADLINE: Duration = Duration::from_secs(60 * 60);
/// The longest time that a caller waits for a refresh while the stored token is valid.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(1);

/// Access tokens that stay valid, for any number of callers and processes.
///
/// A token is refreshed when less than a minute, or less than a quarter of its life, is left. Among all callers that
/// request it then, in all processes over the store, one asks the provider; the others wait for its result. The new
/// refresh token is stored before anything else happens, so the store never keeps a refresh token that a rotating
/// provider no longer accepts.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use saved_objects::SavedObjects;
/// use saved_objects::tokens::{AccessTokens, ConnectorId, Refresher, Scope};
///
/// # async fn example(store: &SavedObjects, provider: Arc<dyn Refresher>) -> saved_objects::Result<()> {
/// let tokens = AccessTokens::new(store)?;
/// let connector = ConnectorId::new("github")?;
/// let token = tokens.get(Scope::Shared, &connector, &provider).await?;
/// // If the service answers 401 anyway, the token is replaced, unless another caller already replaced it.
/// let other = tokens.get_instead_of(Scope::Shared, &connector, &token.token, &provider).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AccessTokens {
    records: Records,
    flights: Flights,
    deadline: Duration,
    assumed_lifetime: Option<Duration>,
}

impl AccessTokens {
    /// Creates the access tokens of a store.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the store does not have the two types: register
    /// [`types`](super::types).
    pub fn new(store: &SavedObjects) -> Result<Self> {
        Ok(Self {
            records: Records::new(store)?,
            flights: Flights::default(),
            deadline: DEFAULT_DEADLINE,
            assumed_lifetime: None,
        })
    }

    /// Assumes this lifetime of tokens whose lifetime is unknown: they are refreshed when it has passed since they were
    /// stored. This is for providers that grant without `expires_in`, or with zero. A token that cannot be refreshed is
    /// returned anyway. Default: none; such a token is valid until its service refuses it.
    #[must_use]
    pub fn assumed_lifetime(mut self, lifetime: Duration) -> Self {
        self.assumed_lifetime = Some(lifetime).filter(|lifetime| !lifetime.is_zero());
        self
    }

    /// Sets the time that a provider has to answer, at most an hour. Default: 30 seconds. If a process is killed while
    /// it refreshes a token, the others wait for one and a half times as long.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline.min(LONGEST_DEADLINE);
        self
    }

    /// Revokes grants for tokens that were deleted during their refresh.
    #[must_use]
    pub fn revoking(self, revoker: Arc<dyn Revoker>) -> Self {
        Self { records: self.records.revoking(revoker), ..self }
    }

    /// Returns the connector's token in the scope, and refreshes it if it is due. Sends one real-time read if it is
    /// not.
    ///
    /// While the stored token is valid, waits for the refresh for at most a second, and then returns the stored token;
    /// the refresh continues. If the provider gives no new token for a transient reason, also returns the stored token.
    /// After a refusal with `Retry-After` the provider is not asked before that time has passed. A refresh token that
    /// the provider refused is not used again for five minutes.
    ///
    /// # Errors
    /// Those of [`TokenError`] that say why there is no valid token. [`NotStored`](TokenError::NotStored) has a grant
    /// of which only the error and the memory of this process hold a copy: use its access token. The next refresh in
    /// this process stores the grant. If the process ends before, the caller must store it with
    /// `update_with_refresh_token`, or it is lost.
    pub async fn get(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        refresher: &Arc<dyn Refresher>,
    ) -> Result<AccessToken, TokenError> {
        self.valid_token(Identity::new(scope, connector_id, None), None, refresher).await
    }

    /// As [`get`](Self::get), for a caller whose service did not accept the token `refused`. The token is refreshed
    /// only if `refused` is still the stored one.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub async fn get_instead_of(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        refused: &Secret,
        refresher: &Arc<dyn Refresher>,
    ) -> Result<AccessToken, TokenError> {
        self.valid_token(Identity::new(scope, connector_id, None), Some(refused), refresher).await
    }

    /// Waits until no refresh that began in this process is in progress. Call it before a process ends on purpose, so
    /// that no grant of a provider is lost with it.
    pub async fn settle(&self) {
        for slot in self.flights.all() {
            drop(slot.lock().await);
        }
    }

    async fn valid_token(
        &self,
        identity: Identity,
        refused: Option<&Secret>,
        refresher: &Arc<dyn Refresher>,
    ) -> Result<AccessToken, TokenError> {
        let records = &self.records;
        let clock = records.environment().clock();
        let began = clock.monotonic();
        let refresh = Refresh {
            claims: Claims::new(
                records.repository().control(),
                records.environment().clone(),
                Kind::Claim,
                claim::ttl(self.deadline),
            ),
            flights: self.flights.clone(),
            records: records.clone(),
            identity,
            refresher: Arc::clone(refresher),
            deadline: self.deadline,
            assumed_lifetime: self.assumed_lifetime,
            refused: refused.cloned(),
            outdated: None,
        };
        let Some(stored) = refresh.read().await? else {
            // A grant for a token that is gone by now must be revoked.
            if refresher.needs_refresh_token() && self.flights.unstored(&refresh.key()).is_none() {
                return Err(TokenError::NoToken { connector_id: refresh.identity.connector_id });
            }
            if let Some(error) = refresh.held_off(None) {
                return Err(error);
            }
            return self.refreshed(refresh, began).await;
        };
        let left = match refresh.validity(&stored.token) {
            Validity::Valid => return Ok(AccessToken::of(&stored.token)),
            Validity::Due(left) => Some(left),
            Validity::Over => None,
        };
        if refresher.needs_refresh_token()
            && let Err(error) = check_refresh_token(&stored.token, clock.now())
        {
            // It cannot be refreshed, so no claim is needed.
            return if left.is_some() { Ok(AccessToken::of(&stored.token)) } else { Err(error) };
        }
        if let Some(error) = refresh.held_off(Some(&stored)) {
            let is_valid = left.is_some() && allows_stored_token(&error);
            return if is_valid { Ok(AccessToken::of(&stored.token)) } else { Err(error) };
        }
        let stored = stored.token;
        let refresh = Refresh { outdated: Some(stored.credentials.access_token.clone()), ..refresh };
        let refreshed = self.refreshed(refresh.clone(), began);
        let outcome = match left {
            None => refreshed.await,
            Some(left) => match select(pin!(refreshed), clock.sleep(longest_wait(left))).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right(_) => return Ok(AccessToken::of(&stored)),
            },
        };
        match outcome {
            Err(error) if allows_stored_token(&error) && refresh.validity(&stored) != Validity::Over => {
                tracing::warn!(token = %stored.metadata.id, %error, "a token was not refreshed; it is still valid");
                Ok(AccessToken::of(&stored))
            }
            outcome => outcome,
        }
    }

    /// Returns the outcome of a refresh: of one that ended in this process after `began`, otherwise of one that it
    /// starts.
    async fn refreshed(&self, refresh: Refresh, began: Duration) -> Result<AccessToken, TokenError> {
        let slot = self.flights.slot(&refresh.key());
        let mut flight = slot.lock_owned().await;
        if let Some(outcome) = flight.outcome_since(began, refresh.refused.as_ref()) {
            return outcome;
        }
        let environment = refresh.environment().clone();
        let span = telemetry::refresh(refresh.id(None));
        let working = async move {
            let outcome = refresh.run().await;
            let scope = refresh.identity.scope.kind().as_str();
            telemetry::refresh_ended(scope, outcome.as_ref().map_or_else(TokenError::outcome, |_| "refreshed"));
            flight.end(refresh.clock().monotonic(), refresh.refused.clone(), &outcome);
            outcome
        };
        environment.spawn(working.instrument(span)).await.unwrap_or_else(|_| {
            let error = Error::new(ErrorKind::Internal, "the task that refreshed a token did not finish");
            Err(error.with_hint("try again; if the error persists, report it").into())
        })
    }
}

/// Returns how long a caller waits for a refresh if the stored token is valid for `left`. The stored token must still
/// be valid when it reaches its service.
fn longest_wait(left: SignedDuration) -> Duration {
    (left - left / 4).min(LONGEST_WAIT).unsigned_abs()
}

/// Returns whether a caller can be given the stored token in spite of the error. It cannot, if the token is gone, or if
/// the error holds a grant.
fn allows_stored_token(error: &TokenError) -> bool {
    !matches!(
        error,
        TokenError::NotStored { .. }
            | TokenError::Deleted { .. }
            | TokenError::NoToken { .. }
            | TokenError::Revoked { .. }
    )
}
