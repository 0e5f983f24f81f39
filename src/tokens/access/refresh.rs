//! One refresh of one token, of which there is one at a time in this process: claim, ask, store. It runs in its own
//! task, so that a grant is not lost with a caller that goes away.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{Either, select};
use jiff::Timestamp;

use super::claim::Claim;
use super::flights::{Flights, Pause};
use super::validity::{Validity, validity};
use super::{AccessToken, ProviderError, RefreshRequest, Refresher};
use crate::encryption::Secret;
use crate::engine::control::{Claims, Taking, Watch};
use crate::environment::{Clock, Environment};
use crate::tokens::identity::Identity;
use crate::tokens::records::{Current, Records};
use crate::tokens::{ConnectorToken, Grant, OAuthCredentials, TokenError, TokenId};
use crate::{Error, ErrorKind, Result, telemetry};

/// The pause between two reads of another process's claim.
const WATCH_PAUSE: Duration = Duration::from_millis(100);
/// The number of consecutive failures of the cluster that a wait for a claim survives.
const MAX_FAILURES: u32 = 3;
/// The time that a stalled process has to store the grant that made the provider refuse the stored refresh token.
const STALL_PAUSE: Duration = Duration::from_millis(1_500);
/// The time in which a refresh token that the provider refused is not used again.
const REFUSED_PAUSE: Duration = Duration::from_secs(5 * 60);

/// The inputs of a refresh.
#[derive(Clone)]
pub(super) struct Refresh {
    pub(super) records: Records,
    pub(super) identity: Identity,
    pub(super) refresher: Arc<dyn Refresher>,
    pub(super) claims: Claims,
    pub(super) flights: Flights,
    pub(super) deadline: Duration,
    /// The assumed lifetime of a token without an expiry.
    pub(super) assumed_lifetime: Option<Duration>,
    /// The token that its service did not accept.
    pub(super) refused: Option<Secret>,
    /// The stored token that was no longer valid for the caller.
    pub(super) outdated: Option<Secret>,
}

/// A stored token, with the credentials that a refresh needs.
pub(super) struct Readable {
    pub(super) current: Current,
    pub(super) token: ConnectorToken<OAuthCredentials>,
}

impl Readable {
    pub(super) fn refresh_token(&self) -> Option<&Secret> {
        self.token.credentials.refresh_token.as_ref()
    }
}

/// The outcome of a refresh under a claim.
enum UnderClaim {
    Token(AccessToken),
    /// Another process took the claim over before the provider was asked.
    ClaimLost,
}

impl Refresh {
    /// Returns the key of the token among all that are refreshed, in this process and in the control index.
    pub(super) fn key(&self) -> String {
        format!("{}:{}", self.identity.kind().stored_type(), self.identity.derived_id())
    }

    /// Returns a valid token: one that another process stored, or one that the provider grants now.
    pub(super) async fn run(&self) -> Result<AccessToken, TokenError> {
        let claim_id = self.key();
        let waited = self.environment().stopwatch();
        let (mut watch, mut failures) = (Watch::default(), 0);
        loop {
            let asked_at = self.clock().monotonic();
            match self.claims.try_take(&claim_id, &(), &mut watch).await {
                Ok(Taking::Taken(held)) => {
                    telemetry::claim_waited("taken", waited.elapsed());
                    let mut claim = Claim::new(held, asked_at, self.deadline);
                    let outcome = self.refresh_under(&mut claim).await;
                    claim.release().await;
                    if let UnderClaim::Token(token) = outcome? {
                        return Ok(token);
                    }
                    watch = Watch::default();
                }
                Ok(Taking::HeldByOther(())) => failures = 0,
                Err(error) if may_pass(&error) && failures < MAX_FAILURES => failures += 1,
                Err(error) => {
                    telemetry::claim_waited("given_up", waited.elapsed());
                    return self.unclaimed(error).await;
                }
            }
            // The process that holds the claim may be killed, and so may the one that takes it over; then it is the
            // next one's turn.
            if waited.elapsed() > self.deadline.saturating_mul(3) {
                telemetry::claim_waited("given_up", waited.elapsed());
                return Err(self.failed(transient("another process has been refreshing the token for too long")));
            }
            self.clock().sleep(WATCH_PAUSE).await;
            if let Some(token) = self.replaced().await? {
                telemetry::claim_waited("replaced", waited.elapsed());
                return Ok(token);
            }
        }
    }

    pub(super) fn environment(&self) -> &Environment {
        self.records.environment()
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.environment().clock()
    }

    fn now(&self) -> Timestamp {
        self.clock().now()
    }

    /// Refreshes without a claim, if no refresh token is used. Otherwise two processes might use one refresh token, and
    /// some providers revoke everything then.
    async fn unclaimed(&self, error: Error) -> Result<AccessToken, TokenError> {
        if self.refresher.needs_refresh_token() {
            let error = error.context("the provider was not asked, because other processes cannot be excluded");
            return Err(TokenError::Other(error));
        }
        tracing::warn!(connector = %self.identity.connector_id, %error, "a token is refreshed without a claim");
        match self.refresh_under(&mut Claim::none()).await? {
            UnderClaim::Token(token) => Ok(token),
            UnderClaim::ClaimLost => Err(TokenError::Other(error)),
        }
    }

    /// Reads the stored token. Returns `None` if there is none, or if it cannot be read and the refresher does not need
    /// it.
    pub(super) async fn read(&self) -> Result<Option<Readable>, TokenError> {
        match self.read_current().await {
            Err(TokenError::Unreadable { .. } | TokenError::NotOAuth { .. })
                if !self.refresher.needs_refresh_token() =>
            {
                Ok(None)
            }
            read => read,
        }
    }

    /// Reads the stored token, if there is one.
    pub(super) async fn read_current(&self) -> Result<Option<Readable>, TokenError> {
        let Some(current) = self.records.current(&self.identity).await? else { return Ok(None) };
        let token = current.token.clone().into_oauth()?;
        Ok(Some(Readable { current, token }))
    }

    /// Returns the token that another process stored while this one waited for the claim. It is new, whatever its
    /// lifetime.
    async fn replaced(&self) -> Result<Option<AccessToken>, TokenError> {
        let Some(found) = self.read().await? else { return self.none_stored().map(|()| None) };
        let token = &found.token.credentials.access_token;
        let is_new = self.outdated.as_ref() != Some(token) && self.refused.as_ref() != Some(token);
        Ok(is_new.then(|| AccessToken::of(&found.token)))
    }

    /// Returns the validity of a stored token now. A lifetime is assumed only of tokens that can be refreshed, since
    /// any other token would become useless.
    pub(super) fn validity(&self, token: &ConnectorToken<OAuthCredentials>) -> Validity {
        let now = self.now();
        let can_refresh = !self.refresher.needs_refresh_token() || check_refresh_token(token, now).is_ok();
        validity(token, self.refused.as_ref(), self.assumed_lifetime.filter(|_| can_refresh), now)
    }

    /// Returns the error for a provider that is not asked now, because of its `Retry-After` or because it has just
    /// refused the refresh token of `found`.
    pub(super) fn held_off(&self, found: Option<&Readable>) -> Option<TokenError> {
        let key = self.key();
        let (pause, left) = self.flights.paused(&key, self.clock().monotonic())?;
        // An earlier grant that could not be stored needs no provider.
        if self.flights.unstored(&key).is_some() {
            return None;
        }
        let name = pause.name();
        let error = match pause {
            Pause::Busy => {
                let reason = format!("it asked for a pause, which lasts another {} s", left.as_secs_f64().ceil());
                Some(self.failed(ProviderError::Transient { reason, retry_after: Some(left) }))
            }
            Pause::Refused(refused) => {
                let is_refused =
                    self.refresher.needs_refresh_token() && found.and_then(Readable::refresh_token) == Some(&refused);
                is_refused.then(|| TokenError::Revoked { id: self.id(found) })
            }
        };
        error.inspect(|_| telemetry::held_off(name))
    }

    fn hold_off(&self, pause: Pause, length: Duration) {
        telemetry::provider_paused(pause.name());
        self.flights.pause(self.key(), pause, length, self.clock().monotonic());
    }

    /// Refreshes the token. No other process asks the provider until the claim expires, which a process that renews it
    /// in time prevents. If this process stalls until then, two may ask with one refresh token (record 21);
    /// [`rotated_by_another`](Self::rotated_by_another) is for the one that the provider refuses.
    async fn refresh_under(&self, claim: &mut Claim) -> Result<UnderClaim, TokenError> {
        let mut found = match self.store_unstored(claim, self.read().await?).await? {
            Either::Left(token) => return Ok(UnderClaim::Token(token)),
            Either::Right(found) => found,
        };
        loop {
            if let Some(found) = found.as_ref().filter(|found| self.validity(&found.token) == Validity::Valid) {
                return Ok(UnderClaim::Token(AccessToken::of(&found.token)));
            }
            let request = self.request(found.as_ref())?;
            self.check_storable(found.as_ref()).await?;
            if !claim.is_ours(self.clock()).await {
                return Ok(UnderClaim::ClaimLost);
            }
            let asked_at = self.now();
            match self.ask(&request).await {
                Ok(grant) => return self.store_grant(claim, found, grant, asked_at).await.map(UnderClaim::Token),
                Err(ProviderError::InvalidGrant) if self.refresher.needs_refresh_token() => {
                    let id = self.id(found.as_ref());
                    match self.rotated_by_another(&request).await? {
                        Some(again) => found = Some(again),
                        None => {
                            if let Some(refused) = request.refresh_token {
                                self.hold_off(Pause::Refused(refused), REFUSED_PAUSE);
                            }
                            return Err(TokenError::Revoked { id });
                        }
                    }
                }
                Err(source) => {
                    if let ProviderError::Transient { retry_after: Some(length), .. } = source {
                        self.hold_off(Pause::Busy, length);
                    }
                    return Err(self.failed(source));
                }
            }
        }
    }

    /// Creates the request for the provider.
    fn request(&self, found: Option<&Readable>) -> Result<RefreshRequest, TokenError> {
        if self.refresher.needs_refresh_token() {
            let Some(found) = found else { return Err(self.no_token()) };
            check_refresh_token(&found.token, self.now())?;
        }
        Ok(RefreshRequest {
            scope: self.identity.scope.clone(),
            connector_id: self.identity.connector_id.clone(),
            token_type: self.identity.token_type.clone(),
            refresh_token: found.and_then(Readable::refresh_token).cloned(),
        })
    }

    /// Refuses if a grant could not be stored: while the index is copied, for instance, or if the record could not be
    /// written. The request uses up a refresh token that rotates.
    async fn check_storable(&self, found: Option<&Readable>) -> Result<(), TokenError> {
        let Some(found) = found.filter(|_| self.refresher.needs_refresh_token()) else { return Ok(()) };
        self.records.check_can_store_over(&found.current).await.map_err(|error| {
            TokenError::Other(error.context("the provider was not asked, because what it grants could not be stored"))
        })
    }

    async fn ask(&self, request: &RefreshRequest) -> Result<Grant, ProviderError> {
        // A refresher that panics must not keep the claim, and its message may hold a secret.
        let asked = AssertUnwindSafe(async { self.refresher.refresh(request).await }).catch_unwind();
        let took = self.environment().stopwatch();
        let answer = match select(pin!(asked), self.clock().sleep(self.deadline)).await {
            Either::Left((Ok(outcome), _)) => outcome,
            Either::Left((Err(_), _)) => Err(ProviderError::Refused { reason: "the refresher panicked".to_owned() }),
            Either::Right(_) => Err(transient(&format!("no answer within {} ms", self.deadline.as_millis()))),
        };
        let outcome = answer.as_ref().map_or_else(ProviderError::name, |_| "granted");
        telemetry::provider_answered(outcome, took.elapsed());
        answer
    }

    /// Returns the stored token, if it has another refresh token than the request. A process that held the claim before
    /// may have stalled so long that it lost the claim, and stores its grant only now.
    async fn rotated_by_another(&self, request: &RefreshRequest) -> Result<Option<Readable>, TokenError> {
        for pause in [Some(STALL_PAUSE), None] {
            match self.read().await? {
                None => return Err(TokenError::Deleted { id: self.id(None) }),
                Some(again) if again.refresh_token() != request.refresh_token.as_ref() => return Ok(Some(again)),
                Some(_) => {}
            }
            if let Some(pause) = pause {
                self.clock().sleep(pause).await;
            }
        }
        Ok(None)
    }

    /// Returns the id of the token, whether there is one or not.
    pub(super) fn id(&self, found: Option<&Readable>) -> TokenId {
        let derived = || TokenId::new(self.identity.kind(), self.identity.derived_id());
        found.map_or_else(derived, |found| found.token.metadata.id.clone())
    }

    fn none_stored(&self) -> Result<(), TokenError> {
        if self.refresher.needs_refresh_token() { Err(self.no_token()) } else { Ok(()) }
    }

    fn no_token(&self) -> TokenError {
        // A caller that names an outdated token saw it a moment ago.
        match self.outdated {
            Some(_) => TokenError::Deleted { id: self.id(None) },
            None => TokenError::NoToken { connector_id: self.identity.connector_id.clone() },
        }
    }

    fn failed(&self, source: ProviderError) -> TokenError {
        TokenError::RefreshFailed { id: self.id(None), source }
    }
}

/// Refuses a token without a refresh token, or with one that has expired.
pub(super) fn check_refresh_token(token: &ConnectorToken<OAuthCredentials>, now: Timestamp) -> Result<(), TokenError> {
    let metadata = &token.metadata;
    if token.credentials.refresh_token.is_none() {
        return Err(TokenError::Expired { id: metadata.id.clone() });
    }
    if metadata.refresh_token_expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Err(TokenError::RefreshExpired { id: metadata.id.clone() });
    }
    Ok(())
}

fn transient(reason: &str) -> ProviderError {
    ProviderError::Transient { reason: reason.to_owned(), retry_after: None }
}

/// Returns whether the same request may succeed a moment later.
fn may_pass(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::OutcomeUnknown | ErrorKind::Conflict)
}
