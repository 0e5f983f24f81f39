//! One refresh of one token, alone in this process: claim, ask, store. Runs in a task of its own, so that a caller who goes
//! away does not lose what the provider granted.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{Either, select};
use jiff::Timestamp;

use super::claim::Claim;
use super::flights::{Flights, Pause};
use super::judgement::{Judgement, judge};
use super::{AccessToken, ProviderError, RefreshRequest, Refresher};
use crate::control::{Claims, Taking, Watch};
use crate::encryption::Secret;
use crate::environment::{Clock, Environment};
use crate::tokens::identity::Identity;
use crate::tokens::records::{Current, Records};
use crate::tokens::{ConnectorToken, Grant, OAuthCredentials, TokenError, TokenId};
use crate::{Error, ErrorKind, Result};

/// How often somebody else's claim is looked at.
const WATCH_PAUSE: Duration = Duration::from_millis(100);
/// How often in a row the cluster may fail while a claim is waited for.
const MAX_FAILURES: u32 = 3;
/// How long a stalled process may take to store what made the provider refuse the refresh token that is still stored.
const STALL_PAUSE: Duration = Duration::from_millis(1_500);
/// How long a refresh token that the provider refused is not used again.
const REFUSED_PAUSE: Duration = Duration::from_secs(5 * 60);

/// What a refresh works with.
#[derive(Clone)]
pub(super) struct Refresh<I: Identity> {
    pub(super) records: Records<I>,
    pub(super) identity: I,
    pub(super) refresher: Arc<dyn Refresher>,
    pub(super) claims: Claims,
    pub(super) flights: Flights,
    pub(super) deadline: Duration,
    /// How long a token without an expiry is good.
    pub(super) assumed_lifetime: Option<Duration>,
    /// The token that its service did not accept.
    pub(super) refused: Option<Secret>,
    /// The stored token that the caller found not to be good any more.
    pub(super) outdated: Option<Secret>,
}

/// A token as it is stored, with the credentials that a refresh needs.
pub(super) struct Readable<I> {
    pub(super) current: Current<I>,
    pub(super) token: ConnectorToken<OAuthCredentials>,
}

impl<I> Readable<I> {
    pub(super) fn refresh_token(&self) -> Option<&Secret> {
        self.token.credentials.refresh_token.as_ref()
    }
}

/// What came of working under a claim.
enum Worked {
    Token(AccessToken),
    /// Another process took the claim over before the provider was asked.
    ClaimLost,
}

impl<I: Identity> Refresh<I> {
    /// What the token is called among all that are refreshed, in this process and in the control index.
    pub(super) fn key(&self) -> String {
        format!("{}:{}", I::TYPE, self.identity.derived_id())
    }

    /// A good token: somebody else's, or one that the provider grants now.
    pub(super) async fn run(&self) -> Result<AccessToken, TokenError> {
        let claim_id = self.key();
        let began = self.clock().monotonic();
        let (mut watch, mut failures) = (Watch::default(), 0);
        loop {
            let asked_at = self.clock().monotonic();
            match self.claims.try_take(&claim_id, &(), &mut watch).await {
                Ok(Taking::Taken(held)) => {
                    let mut claim = Claim::new(held, asked_at, self.deadline);
                    let worked = self.work(&mut claim).await;
                    claim.give_back().await;
                    if let Worked::Token(token) = worked? {
                        return Ok(token);
                    }
                    watch = Watch::default();
                }
                Ok(Taking::HeldByOther(())) => failures = 0,
                Err(error) if may_pass(&error) && failures < MAX_FAILURES => failures += 1,
                Err(error) => return self.unclaimed(error).await,
            }
            // Whoever holds it may be killed, and whoever takes it over too; then it is the next one's turn.
            if self.clock().monotonic().saturating_sub(began) > self.deadline * 3 {
                return Err(self.failed(transient("another process has been refreshing the token for too long")));
            }
            self.clock().sleep(WATCH_PAUSE).await;
            if let Some(token) = self.replaced().await? {
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

    /// Without the claim two processes may use one refresh token, and there are providers that revoke everything then. So the
    /// provider is asked only if no refresh token is used.
    async fn unclaimed(&self, error: Error) -> Result<AccessToken, TokenError> {
        if self.refresher.needs_refresh_token() {
            let error = error.context("the provider was not asked, because no other process can be kept from it");
            return Err(TokenError::Other(error));
        }
        tracing::warn!(connector = %self.identity.connector_id(), %error, "a token is refreshed without a claim");
        match self.work(&mut Claim::none()).await? {
            Worked::Token(token) => Ok(token),
            Worked::ClaimLost => Err(TokenError::Other(error)),
        }
    }

    /// The stored token; none if there is none, or if it cannot be read and the refresher gets one all the same.
    pub(super) async fn read(&self) -> Result<Option<Readable<I>>, TokenError> {
        match self.read_current().await {
            Err(TokenError::Unreadable { .. } | TokenError::NotOAuth { .. })
                if !self.refresher.needs_refresh_token() =>
            {
                Ok(None)
            }
            read => read,
        }
    }

    /// The stored token; none if there is none.
    pub(super) async fn read_current(&self) -> Result<Option<Readable<I>>, TokenError> {
        let Some(current) = self.records.current(&self.identity).await? else { return Ok(None) };
        let token = current.token.clone().into_oauth()?;
        Ok(Some(Readable { current, token }))
    }

    /// The token that another process stored while this one waited for the claim: whatever its lifetime, it was just
    /// obtained.
    async fn replaced(&self) -> Result<Option<AccessToken>, TokenError> {
        let Some(found) = self.read().await? else { return self.none_stored().map(|()| None) };
        let token = &found.token.credentials.access_token;
        let is_new = self.outdated.as_ref() != Some(token) && self.refused.as_ref() != Some(token);
        Ok(is_new.then(|| AccessToken::of(&found.token)))
    }

    fn if_good(&self, found: &Readable<I>) -> Option<AccessToken> {
        (self.judge(&found.token) == Judgement::Good).then(|| AccessToken::of(&found.token))
    }

    /// Judges a stored token as it is now. A lifetime is assumed only of tokens that can be refreshed: of another one nothing would be
    /// left.
    pub(super) fn judge(&self, token: &ConnectorToken<OAuthCredentials>) -> Judgement {
        let now = self.now();
        let can_refresh = !self.refresher.needs_refresh_token() || check_refresh_token(token, now).is_ok();
        judge(token, self.refused.as_ref(), self.assumed_lifetime.filter(|_| can_refresh), now)
    }

    /// Why the provider is not asked now, if it wants to be left alone or has just refused the refresh token that is `found`.
    pub(super) fn held_off(&self, found: Option<&Readable<I>>) -> Option<TokenError> {
        let key = self.key();
        let (pause, left) = self.flights.paused(&key, self.clock().monotonic())?;
        // What was granted before and not stored needs no provider.
        if self.flights.unstored(&key).is_some() {
            return None;
        }
        match pause {
            Pause::Busy => {
                let reason = format!("it wants to be left alone for another {} s", left.as_secs_f64().ceil());
                Some(self.failed(ProviderError::Transient { reason, retry_after: Some(left) }))
            }
            Pause::Refused(refused) => {
                let is_refused =
                    self.refresher.needs_refresh_token() && found.and_then(Readable::refresh_token) == Some(&refused);
                is_refused.then(|| TokenError::Revoked { id: self.id(found) })
            }
        }
    }

    fn hold_off(&self, pause: Pause, length: Duration) {
        self.flights.pause(self.key(), pause, length, self.clock().monotonic());
    }

    /// Refreshes the token as it is now that nobody else does.
    async fn work(&self, claim: &mut Claim) -> Result<Worked, TokenError> {
        let mut found = match self.keep_unstored(claim, self.read().await?).await? {
            Either::Left(token) => return Ok(Worked::Token(token)),
            Either::Right(found) => found,
        };
        loop {
            if let Some(token) = found.as_ref().and_then(|found| self.if_good(found)) {
                return Ok(Worked::Token(token));
            }
            let request = self.request(found.as_ref())?;
            self.check_storable(found.as_ref()).await?;
            if !claim.is_ours(self.clock()).await {
                return Ok(Worked::ClaimLost);
            }
            let asked_at = self.now();
            match self.ask(&request).await {
                Ok(grant) => return self.keep(claim, found, grant, asked_at).await.map(Worked::Token),
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

    /// What the provider is asked for.
    fn request(&self, found: Option<&Readable<I>>) -> Result<RefreshRequest, TokenError> {
        if self.refresher.needs_refresh_token() {
            let Some(found) = found else { return Err(self.no_token()) };
            check_refresh_token(&found.token, self.now())?;
        }
        Ok(RefreshRequest {
            scope: self.identity.scope(),
            connector_id: self.identity.connector_id().clone(),
            token_type: self.identity.token_type().clone(),
            refresh_token: found.and_then(Readable::refresh_token).cloned(),
        })
    }

    /// A refresh token that rotates is used up by the question, so none is asked whose answer could not be stored: while the
    /// index is copied, for instance, or if the record could not be written.
    async fn check_storable(&self, found: Option<&Readable<I>>) -> Result<(), TokenError> {
        let Some(found) = found.filter(|_| self.refresher.needs_refresh_token()) else { return Ok(()) };
        self.records.check_can_store_over(&found.current).await.map_err(|error| {
            TokenError::Other(error.context("the provider was not asked, because what it grants could not be stored"))
        })
    }

    async fn ask(&self, request: &RefreshRequest) -> Result<Grant, ProviderError> {
        // A refresher that panics must not keep the claim; and what it says then may be a secret.
        let asked = AssertUnwindSafe(async { self.refresher.refresh(request).await }).catch_unwind();
        match select(pin!(asked), self.clock().sleep(self.deadline)).await {
            Either::Left((Ok(outcome), _)) => outcome,
            Either::Left((Err(_), _)) => Err(ProviderError::Refused { reason: "the refresher panicked".to_owned() }),
            Either::Right(_) => Err(transient(&format!("no answer within {} ms", self.deadline.as_millis()))),
        }
    }

    /// What is stored, if that has another refresh token than the provider was asked with. Whoever held the claim before may
    /// have been stalled so long that it was taken from him, and is storing what he got only now.
    async fn rotated_by_another(&self, request: &RefreshRequest) -> Result<Option<Readable<I>>, TokenError> {
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

    /// What the token is called, whether it is there or not.
    pub(super) fn id(&self, found: Option<&Readable<I>>) -> TokenId {
        let derived = || TokenId::new(I::KIND, self.identity.derived_id().to_string());
        found.map_or_else(derived, |found| found.token.metadata.id.clone())
    }

    fn none_stored(&self) -> Result<(), TokenError> {
        if self.refresher.needs_refresh_token() { Err(self.no_token()) } else { Ok(()) }
    }

    fn no_token(&self) -> TokenError {
        // Whoever was told so has seen it a moment ago.
        match self.outdated {
            Some(_) => TokenError::Deleted { id: self.id(None) },
            None => TokenError::NoToken { connector_id: self.identity.connector_id().clone() },
        }
    }

    fn failed(&self, source: ProviderError) -> TokenError {
        TokenError::RefreshFailed { id: self.id(None), source }
    }
}

/// Refuses a token that no refresh token is there for, or one that has expired too.
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

/// Whether the same may succeed a moment later.
fn may_pass(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::OutcomeUnknown | ErrorKind::Conflict)
}
