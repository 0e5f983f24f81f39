//! One refresh of one token, alone in this process: claim, ask, store. Runs in a task of its own, so that a caller who goes
//! away does not lose what the provider granted.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use jiff::Timestamp;

use super::judgement::{Judgement, judge};
use super::{AccessToken, RefreshError, Refresher};
use crate::control::{Claims, Held, Taking, Watch};
use crate::encryption::Secret;
use crate::tokens::identity::Identity;
use crate::tokens::records::{Current, Records, Stored};
use crate::tokens::{ConnectorToken, Grant, OAuthCredentials, TokenError, TokenId};
use crate::{ErrorKind, Result};

/// How often somebody else's claim is looked at.
const WATCH_PAUSE: Duration = Duration::from_millis(100);
/// How often a grant is tried to be stored before it is given to the caller instead.
const STORE_ATTEMPTS: u32 = 6;
const FIRST_STORE_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Refresh<I: Identity> {
    pub(super) records: Records<I>,
    pub(super) identity: I,
    pub(super) refresher: Arc<dyn Refresher>,
    pub(super) claims: Claims,
    pub(super) deadline: Duration,
    /// The token that its service did not accept.
    pub(super) refused: Option<Secret>,
}

/// A token as it is stored, with the credentials that a refresh needs.
struct Readable<I> {
    current: Current<I>,
    token: ConnectorToken<OAuthCredentials>,
    refresh_token: Option<Secret>,
}

impl<I: Identity> Refresh<I> {
    /// A good token: somebody else's, or one that the provider grants now.
    pub(super) async fn run(&self) -> Result<AccessToken, TokenError> {
        let claim = format!("{}:{}", I::TYPE, self.identity.derived_id());
        let mut watch = Watch::default();
        loop {
            if let Some(token) = self.good_one().await? {
                return Ok(token);
            }
            match self.claims.try_take(&claim, &(), &mut watch).await? {
                Taking::Taken(mut held) => {
                    let outcome = self.claimed(&mut held).await;
                    if let Err(error) = held.release().await {
                        tracing::debug!(%claim, %error, "a claim was not given back; it expires by itself");
                    }
                    return outcome;
                }
                Taking::HeldByOther(()) => self.clock().sleep(WATCH_PAUSE).await,
            }
        }
    }

    fn clock(&self) -> &dyn crate::environment::Clock {
        self.records.environment().clock()
    }

    fn now(&self) -> Timestamp {
        self.clock().now()
    }

    async fn read(&self) -> Result<Option<Readable<I>>, TokenError> {
        let Some(current) = self.records.current(&self.identity).await? else { return Ok(None) };
        let token = current.token.clone().into_oauth()?;
        let refresh_token = token.credentials.refresh_token.clone();
        Ok(Some(Readable { current, token, refresh_token }))
    }

    async fn read_existing(&self) -> Result<Readable<I>, TokenError> {
        let no_token = || TokenError::NoToken { connector_id: self.identity.connector_id().clone() };
        self.read().await?.ok_or_else(no_token)
    }

    /// The stored token, if it need not be refreshed any more.
    async fn good_one(&self) -> Result<Option<AccessToken>, TokenError> {
        let found = self.read_existing().await?;
        Ok(self.if_good(&found))
    }

    fn if_good(&self, found: &Readable<I>) -> Option<AccessToken> {
        let is_good = judge(&found.token, self.refused.as_ref(), self.now()) == Judgement::Good;
        is_good.then(|| AccessToken::of(&found.token))
    }

    /// Refreshes the token as it is now that nobody else does.
    async fn claimed(&self, held: &mut Held) -> Result<AccessToken, TokenError> {
        let mut found = self.read_existing().await?;
        loop {
            if let Some(token) = self.if_good(&found) {
                return Ok(token);
            }
            let id = found.token.metadata.id.clone();
            let refresh_token = usable_refresh_token(&found, self.now())?;
            let asked_at = self.now();
            match self.ask(&refresh_token).await {
                Ok(grant) => return self.store(held, found, &refresh_token, grant, asked_at).await,
                // Whoever claimed before may have been stalled, and stored what it got just now.
                Err(RefreshError::InvalidGrant) => match self.read().await? {
                    None => return Err(TokenError::Deleted { id }),
                    Some(again) if again.refresh_token != found.refresh_token => found = again,
                    Some(_) => return Err(TokenError::Revoked { id }),
                },
                Err(source) => return Err(TokenError::RefreshFailed { id, source }),
            }
        }
    }

    async fn ask(&self, refresh_token: &Secret) -> Result<Grant, RefreshError> {
        match select(pin!(self.refresher.refresh(refresh_token)), self.clock().sleep(self.deadline)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => {
                let reason = format!("it did not answer within {} ms", self.deadline.as_millis());
                Err(RefreshError::Transient { reason })
            }
        }
    }

    /// Stores what was granted for `refresh_token`, before anything else is done with it.
    async fn store(
        &self,
        held: &mut Held,
        mut found: Readable<I>,
        refresh_token: &Secret,
        grant: Grant,
        asked_at: Timestamp,
    ) -> Result<AccessToken, TokenError> {
        let id = found.token.metadata.id.clone();
        let update = match grant.clone().into_update(asked_at) {
            Ok(update) => update,
            Err(source) => return Err(TokenError::NotStored { id, grant: Box::new(grant), source }),
        };
        let granted = AccessToken { token: grant.access_token.clone(), expires_at: update.expires_at };
        let mut pause = FIRST_STORE_PAUSE;
        let mut failure = None;
        for attempt in 1..=STORE_ATTEMPTS {
            match self.records.store_over(&found.current, &update).await {
                Ok(Stored::Done) => return Ok(granted),
                Ok(Stored::Conflict) => {}
                Err(error) => failure = Some(error),
            }
            match self.read().await {
                Ok(None) => {
                    self.refresher.revoke(&grant).await;
                    return Err(TokenError::Deleted { id });
                }
                // The write happened, and its answer was lost.
                Ok(Some(again)) if again.token.credentials.access_token == grant.access_token => return Ok(granted),
                // Somebody authorized anew, or refreshed too: what they stored stays.
                Ok(Some(again)) if again.refresh_token.as_ref() != Some(refresh_token) => {
                    let is_over = judge(&again.token, self.refused.as_ref(), self.now()) == Judgement::Over;
                    return Ok(if is_over { granted } else { AccessToken::of(&again.token) });
                }
                Ok(Some(again)) => found = again,
                Err(error) => failure = Some(error),
            }
            if attempt < STORE_ATTEMPTS {
                self.clock().sleep(pause).await;
                pause *= 2;
                // Others are to go on waiting; if they do not, what they store is found by the next attempt.
                let _ = held.renew(()).await;
            }
        }
        let source = failure.map_or_else(|| others_write(&id), crate::Error::from);
        Err(TokenError::NotStored { id, grant: Box::new(grant), source })
    }
}

fn usable_refresh_token<I>(found: &Readable<I>, now: Timestamp) -> Result<Secret, TokenError> {
    let metadata = &found.token.metadata;
    let Some(refresh_token) = &found.refresh_token else {
        return Err(TokenError::Expired { id: metadata.id.clone() });
    };
    if metadata.refresh_token_expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Err(TokenError::RefreshExpired { id: metadata.id.clone() });
    }
    Ok(refresh_token.clone())
}

fn others_write(id: &TokenId) -> crate::Error {
    crate::Error::new(ErrorKind::Conflict, format!("others go on writing the token {id}"))
        .with_cure("find out what writes it, and store the grant then")
}
