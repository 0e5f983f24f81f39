//! Access tokens that stay valid: [`AccessTokens`] gives the stored token as long as it is good, and gets a new one in time.

mod claim;
mod flights;
mod judgement;
mod keep;
mod refresh;
mod refresher;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use jiff::{SignedDuration, Timestamp};

pub use refresher::{ProviderError, RefreshRequest, Refresher};

use super::identity::{Identity, SharedIdentity, UserIdentity};
use super::records::Records;
use super::{ConnectorId, ConnectorToken, OAuthCredentials, Revoker, Scope, TokenError, shared_client, user_client};
use crate::control::{Claims, Kind};
use crate::encryption::Secret;
use crate::store::SavedObjects;
use crate::{Error, ErrorKind, Result};
use flights::Flights;
use judgement::Judgement;
use refresh::{Refresh, check_refresh_token};

/// How long a provider may take unless said otherwise.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
/// How long one may take at most.
const LONGEST_DEADLINE: Duration = Duration::from_secs(60 * 60);
/// How long a caller waits for a refresh at most while the stored token is good.
const PATIENCE: SignedDuration = SignedDuration::from_secs(1);

/// Access tokens that stay valid, whoever refreshes them and however many ask.
///
/// A token is refreshed when less than a minute, or a quarter of its life, is left of it. Of all who ask for it then, in all
/// processes over the store, one asks the provider; the others wait for what that one gets. The new refresh token is stored
/// before anything else happens, so that a rotating provider never leaves the store with one that was used.
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
/// // A service that answers 401 all the same: the token is replaced, unless somebody did so already.
/// let other = tokens.get_instead_of(Scope::Shared, &connector, &token.token, &provider).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AccessTokens {
    shared: Records<SharedIdentity>,
    users: Records<UserIdentity>,
    flights: Flights,
    deadline: Duration,
    assumed_lifetime: Option<Duration>,
}

/// A token that was good when it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// What is sent to the connector's service: the whole value of the header, `Bearer …`, if that is where it goes.
    pub token: Secret,
    /// Until when it is good; none if it does not expire, or if nobody knows.
    pub expires_at: Option<Timestamp>,
}

impl AccessToken {
    fn of(token: &ConnectorToken<OAuthCredentials>) -> Self {
        Self { token: token.credentials.access_token.clone(), expires_at: token.metadata.expires_at }
    }
}

impl AccessTokens {
    /// The access tokens in a store.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the store does not have the two types: register [`types`](super::types).
    pub fn new(store: &SavedObjects) -> Result<Self> {
        Ok(Self {
            shared: Records::over(store.repository())?,
            users: Records::over(store.repository())?,
            flights: Flights::default(),
            deadline: DEFAULT_DEADLINE,
            assumed_lifetime: None,
        })
    }

    /// Assumes that a token of which no lifetime is known is good for so long after it was stored, and refreshes it then. This is for
    /// providers that grant without `expires_in`, or with one of zero. A token that cannot be refreshed is given out as before.
    /// Default: none, such a token is good until its service refuses it.
    #[must_use]
    pub fn assumed_lifetime(mut self, lifetime: Duration) -> Self {
        self.assumed_lifetime = Some(lifetime).filter(|lifetime| !lifetime.is_zero());
        self
    }

    /// Gives a provider so long to answer, an hour at most; 30 seconds unless said otherwise. A process that is killed as it refreshes keeps
    /// the others waiting for one and a half times as long.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline.min(LONGEST_DEADLINE);
        self
    }

    /// Lets what was granted for a token that was deleted meanwhile be revoked.
    #[must_use]
    pub fn revoking(self, revoker: Arc<dyn Revoker>) -> Self {
        let (shared, users) = (self.shared.revoking(Arc::clone(&revoker)), self.users.revoking(revoker));
        Self { shared, users, ..self }
    }

    /// The connector's token in the scope, refreshed if it is time to. One real-time read if not.
    ///
    /// While the stored token is good, waits for the refresh for a second at most, and then returns the stored one; the refresh goes on.
    /// If the provider gives no new one for a passing reason, the stored one is returned as well. After a refusal with `Retry-After` the
    /// provider is not asked before that time is over, and a refresh token that it refused is not used again for five minutes.
    ///
    /// # Errors
    /// Those of [`TokenError`] that say why there is no good token. With [`NotStored`](TokenError::NotStored) the caller has
    /// the only copy of what the provider granted.
    pub async fn get(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        refresher: &Arc<dyn Refresher>,
    ) -> Result<AccessToken, TokenError> {
        self.of_scope(scope, connector_id, None, refresher).await
    }

    /// As [`get`](Self::get), for a caller whose service did not accept the token `refused`. Only if that still is the stored
    /// one it is refreshed.
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
        self.of_scope(scope, connector_id, Some(refused), refresher).await
    }

    /// Waits until no refresh is under way that began in this process: to be called before a process ends on purpose, so that
    /// nothing dies with it that a provider has granted already.
    pub async fn settle(&self) {
        for slot in self.flights.all() {
            drop(slot.lock().await);
        }
    }

    async fn of_scope(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        refused: Option<&Secret>,
        refresher: &Arc<dyn Refresher>,
    ) -> Result<AccessToken, TokenError> {
        match scope {
            Scope::Shared => {
                let identity = shared_client::identity(connector_id, None);
                self.good_token(&self.shared, identity, refused, refresher).await
            }
            Scope::User(profile_uid) => {
                let identity = user_client::identity(&profile_uid, connector_id, None);
                self.good_token(&self.users, identity, refused, refresher).await
            }
        }
    }

    async fn good_token<I: Identity>(
        &self,
        records: &Records<I>,
        identity: I,
        refused: Option<&Secret>,
        refresher: &Arc<dyn Refresher>,
    ) -> Result<AccessToken, TokenError> {
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
            // What was granted for a token that is gone by now is to be revoked.
            if refresher.needs_refresh_token() && self.flights.unstored(&refresh.key()).is_none() {
                return Err(TokenError::NoToken { connector_id: refresh.identity.connector_id().clone() });
            }
            if let Some(error) = refresh.held_off(None) {
                return Err(error);
            }
            return self.refreshed(refresh, began).await;
        };
        let left = match refresh.judge(&stored.token) {
            Judgement::Good => return Ok(AccessToken::of(&stored.token)),
            Judgement::Due(left) => Some(left),
            Judgement::Over => None,
        };
        if refresher.needs_refresh_token()
            && let Err(error) = check_refresh_token(&stored.token, clock.now())
        {
            // Nobody can refresh it, so no claim is needed to know what becomes of it.
            return if left.is_some() { Ok(AccessToken::of(&stored.token)) } else { Err(error) };
        }
        if let Some(error) = refresh.held_off(Some(&stored)) {
            let is_good = left.is_some() && is_passing(&error);
            return if is_good { Ok(AccessToken::of(&stored.token)) } else { Err(error) };
        }
        let stored = stored.token;
        let refresh = Refresh { outdated: Some(stored.credentials.access_token.clone()), ..refresh };
        let refreshed = self.refreshed(refresh.clone(), began);
        let outcome = match left {
            None => refreshed.await,
            Some(left) => match select(pin!(refreshed), clock.sleep(patience(left))).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right(_) => return Ok(AccessToken::of(&stored)),
            },
        };
        match outcome {
            Err(error) if is_passing(&error) && refresh.judge(&stored) != Judgement::Over => {
                tracing::warn!(token = %stored.metadata.id, %error, "a token was not refreshed; it still is good");
                Ok(AccessToken::of(&stored))
            }
            outcome => outcome,
        }
    }

    /// The outcome of a refresh: of one that ended in this process after `began`, or else of one that is started.
    async fn refreshed<I: Identity>(&self, refresh: Refresh<I>, began: Duration) -> Result<AccessToken, TokenError> {
        let slot = self.flights.slot(&refresh.key());
        let mut flight = slot.lock_owned().await;
        if let Some(outcome) = flight.outcome_since(began, refresh.refused.as_ref()) {
            return outcome;
        }
        let environment = refresh.environment().clone();
        let task = environment.spawn(async move {
            let outcome = refresh.run().await;
            flight.end(refresh.clock().monotonic(), refresh.refused.clone(), &outcome);
            outcome
        });
        task.await.unwrap_or_else(|_| {
            let error = Error::new(ErrorKind::Internal, "the task that refreshed a token did not end");
            Err(error.with_cure("ask again; if it stays so, report it").into())
        })
    }
}

/// How long a refresh is waited for if the stored token is good for `left`: what is given then must reach its service.
fn patience(left: SignedDuration) -> Duration {
    (left - left / 4).min(PATIENCE).unsigned_abs()
}

/// Whether the stored token is worth giving all the same. If it is gone, or if the caller has to keep a grant, it is not.
fn is_passing(error: &TokenError) -> bool {
    !matches!(
        error,
        TokenError::NotStored { .. }
            | TokenError::Deleted { .. }
            | TokenError::NoToken { .. }
            | TokenError::Revoked { .. }
    )
}
