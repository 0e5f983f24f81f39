//! What a provider granted is stored before anything else is done with it.

use std::time::Duration;

use futures::future::Either;
use jiff::Timestamp;

use super::claim::Claim;
use super::flights::Unstored;
use super::judgement::Judgement;
use super::refresh::{Readable, Refresh};
use super::{AccessToken, ProviderError};
use crate::encryption::Secret;
use crate::environment::iso_millis;
use crate::tokens::identity::Identity;
use crate::tokens::records::Stored;
use crate::tokens::{ConnectorToken, Grant, OAuthCredentials, Revocation, TokenError, TokenId, TokenUpdate, expiry};
use crate::{Error, ErrorKind};

/// The pauses between the attempts to store a grant, before it is given to the caller instead: ten seconds.
const PAUSES_MS: [u64; 7] = [100, 200, 400, 800, 1_500, 3_000, 4_000];

/// How long a token is good that is over: zero would be a lifetime that is not known.
const SHORTEST_LIFETIME: Duration = Duration::from_millis(1);

/// What became of one attempt.
enum Attempt<I> {
    /// This is what is stored now, or what is good enough in its place.
    Over(AccessToken),
    /// Once more, over this if it is known.
    Again(Option<Box<Readable<I>>>, Error),
}

/// A grant that is to be stored.
struct Kept<'a> {
    id: &'a TokenId,
    grant: &'a Grant,
    update: TokenUpdate,
    token: AccessToken,
}

impl Kept<'_> {
    /// Whether all of it is stored. A provider may grant the same access token as before, with another refresh token or for longer.
    fn is_in<I>(&self, stored: &Readable<I>) -> bool {
        let to_millis = |moment: Option<Timestamp>| moment.map(iso_millis);
        let is_granted = |refresh_token| stored.refresh_token() == Some(refresh_token);
        stored.token.credentials.access_token == self.token.token
            && self.grant.refresh_token.as_ref().is_none_or(is_granted)
            && to_millis(stored.token.metadata.expires_at) == to_millis(self.update.expires_at)
    }
}

impl<I: Identity> Refresh<I> {
    /// Stores what was granted over what was `found`, or anew if nothing was.
    ///
    /// # Errors
    /// [`Deleted`](TokenError::Deleted) if what was found is gone, [`NotStored`](TokenError::NotStored) if it was not stored
    /// and would be lost, [`RefreshFailed`](TokenError::RefreshFailed) if there was no access token in it; a refresh token is stored all
    /// the same.
    pub(super) async fn keep(
        &self,
        claim: &mut Claim,
        found: Option<Readable<I>>,
        grant: Grant,
        asked_at: Timestamp,
    ) -> Result<AccessToken, TokenError> {
        let id = &self.id(found.as_ref());
        let failed = |source| TokenError::RefreshFailed { id: id.clone(), source };
        let has_token = has_text(&grant.access_token);
        let grant = sound(grant, found.as_ref().map(|found| &found.token), asked_at).map_err(failed)?;
        let update = grant.clone().into_update(asked_at)?;
        let token = AccessToken { token: grant.access_token.clone(), expires_at: update.expires_at };
        let kept = Kept { id, grant: &grant, update, token };
        let is_rotated = grant.refresh_token.is_some()
            && found.as_ref().is_some_and(|found| found.refresh_token() != grant.refresh_token.as_ref());
        let granted_for = found.as_ref().and_then(Readable::refresh_token).cloned();
        let source = match found {
            None => match self.keep_new(&kept, asked_at).await {
                Ok(()) => return Ok(kept.token),
                Err(error) => error.into(),
            },
            Some(found) => match self.keep_over(claim, found, &kept).await? {
                Ok(token) if !has_token && token == kept.token => return Err(failed(no_access_token())),
                Ok(token) => return Ok(token),
                Err(error) => error,
            },
        };
        if is_rotated {
            // Whoever is told so may have gone away, or be one of many: the next refresh here stores it.
            self.flights.keep_unstored(self.key(), Unstored { granted_for, grant: grant.clone(), asked_at });
            return Err(TokenError::NotStored { id: id.clone(), grant: Box::new(grant), source });
        }
        if !has_token {
            return Err(failed(no_access_token()));
        }
        // Nothing is lost but this: the next one asks once more.
        tracing::warn!(token = %id, error = %source, "a new token was not stored; it is given all the same");
        Ok(kept.token)
    }

    /// Stores what an earlier refresh of this process got and could not store, unless that is of no use any more. Gives the
    /// token, or what is stored if the provider is to be asked all the same.
    pub(super) async fn keep_unstored(
        &self,
        claim: &mut Claim,
        found: Option<Readable<I>>,
    ) -> Result<Either<AccessToken, Option<Readable<I>>>, TokenError> {
        let key = self.key();
        let Some(Unstored { granted_for, grant, asked_at }) = self.flights.unstored(&key) else {
            return Ok(Either::Right(found));
        };
        match found {
            Some(found) if found.refresh_token() == granted_for.as_ref() => {
                let kept = self.keep(claim, Some(found), grant, asked_at).await;
                if !matches!(kept, Err(TokenError::NotStored { .. })) {
                    self.flights.forget_unstored(&key);
                }
                let token = kept?;
                let is_over = token.expires_at.is_some_and(|expires_at| expires_at <= self.clock().now());
                match is_over || self.refused.as_ref() == Some(&token.token) {
                    true => Ok(Either::Right(self.read().await?)),
                    false => Ok(Either::Left(token)),
                }
            }
            // Whoever was told so stored it, or somebody authorized anew.
            Some(found) => {
                self.flights.forget_unstored(&key);
                Ok(Either::Right(Some(found)))
            }
            None => {
                self.flights.forget_unstored(&key);
                self.records.revoke(&self.revocation(&grant)).await;
                Ok(Either::Right(None))
            }
        }
    }

    async fn keep_new(&self, kept: &Kept<'_>, asked_at: Timestamp) -> Result<(), TokenError> {
        let token = kept.grant.clone().into_new_token(asked_at)?;
        self.records.create(self.identity.clone(), token).await.map(drop)
    }

    /// Stores a grant over a token, again and again if need be. The inner error says why it was not stored.
    async fn keep_over(
        &self,
        claim: &mut Claim,
        mut found: Readable<I>,
        kept: &Kept<'_>,
    ) -> Result<Result<AccessToken, Error>, TokenError> {
        let mut pauses = PAUSES_MS.into_iter().map(Duration::from_millis);
        loop {
            // A server that is slow to answer is no reason for others to use the refresh token once more.
            let clock = self.clock();
            let failure = match claim.hold_while(clock, self.attempt(&found, kept)).await? {
                Attempt::Over(token) => return Ok(Ok(token)),
                Attempt::Again(again, failure) => {
                    found = again.map_or(found, |again| *again);
                    failure
                }
            };
            // What cannot be stored now cannot be stored later.
            let pause = pauses.next().filter(|_| failure.kind() != ErrorKind::Invalid);
            let Some(pause) = pause else { return Ok(Err(failure)) };
            tracing::debug!(token = %kept.id, error = %failure, "a new grant was not stored yet");
            self.clock().sleep(pause).await;
            // Others are to go on waiting. If they do not, what they store is found by the next attempt.
            let _ = claim.is_ours(self.clock()).await;
        }
    }

    async fn attempt(&self, found: &Readable<I>, kept: &Kept<'_>) -> Result<Attempt<I>, TokenError> {
        let failure = match self.records.store_over(&found.current, &kept.update).await {
            Ok(Stored::Done) => {
                tracing::debug!(token = %kept.id, "a token was refreshed");
                return Ok(Attempt::Over(kept.token.clone()));
            }
            Ok(Stored::Conflict) => others_write(kept.id),
            Err(error) => error.into(),
        };
        Ok(match self.read_current().await {
            Ok(None) => {
                self.revoke(found, kept.grant).await;
                return Err(TokenError::Deleted { id: kept.id.clone() });
            }
            // The write happened, and its answer was lost.
            Ok(Some(again)) if kept.is_in(&again) => Attempt::Over(kept.token.clone()),
            // Somebody authorized anew, or refreshed too: what they stored stays.
            Ok(Some(again)) if again.refresh_token() != found.refresh_token() => {
                let is_over = self.judge(&again.token) == Judgement::Over;
                Attempt::Over(if is_over { kept.token.clone() } else { AccessToken::of(&again.token) })
            }
            Ok(Some(again)) => Attempt::Again(Some(Box::new(again)), failure),
            Err(error) => Attempt::Again(None, error.into()),
        })
    }

    /// Nobody is to be left with what was granted for a token that is gone.
    async fn revoke(&self, found: &Readable<I>, grant: &Grant) {
        let revocation = self.revocation(grant);
        let refresh_token = revocation.refresh_token.or_else(|| found.refresh_token().cloned());
        self.records.revoke(&Revocation { refresh_token, ..revocation }).await;
    }

    fn revocation(&self, grant: &Grant) -> Revocation {
        Revocation {
            scope: self.identity.scope(),
            connector_id: self.identity.connector_id().clone(),
            access_token: grant.access_token.clone(),
            refresh_token: grant.refresh_token.clone(),
        }
    }
}

/// The grant as it can be stored. An empty refresh token is none, and a lifetime beyond the year 9999 is for ever: nothing of
/// that is worth losing what was granted. With a refresh token alone the stored access token stays, as good or as bad as it was.
fn sound(
    grant: Grant,
    stored: Option<&ConnectorToken<OAuthCredentials>>,
    asked_at: Timestamp,
) -> Result<Grant, ProviderError> {
    let in_time = |lifetime: &Duration| expiry::after(asked_at, *lifetime).is_ok();
    let grant = Grant {
        access_token: grant.access_token,
        refresh_token: grant.refresh_token.filter(has_text),
        expires_in: grant.expires_in.filter(in_time),
        refresh_token_expires_in: grant.refresh_token_expires_in.filter(in_time),
    };
    match stored {
        _ if has_text(&grant.access_token) => Ok(grant),
        Some(stored) if grant.refresh_token.is_some() => {
            let left = |expires_at: Timestamp| {
                Duration::try_from(expires_at.duration_since(asked_at)).unwrap_or_default().max(SHORTEST_LIFETIME)
            };
            let access_token = stored.credentials.access_token.clone();
            Ok(Grant { access_token, expires_in: stored.metadata.expires_at.map(left), ..grant })
        }
        _ => Err(no_access_token()),
    }
}

fn has_text(secret: &Secret) -> bool {
    secret.expose_text().is_ok_and(|text| !text.is_empty())
}

fn no_access_token() -> ProviderError {
    ProviderError::Refused { reason: "it granted no access token".to_owned() }
}

fn others_write(id: &TokenId) -> Error {
    Error::new(ErrorKind::Conflict, format!("others go on writing the token {id}"))
        .with_cure("find out what writes it, and store the grant then")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_grants_are_made_storable() {
        let now = Timestamp::UNIX_EPOCH;
        let grant = Grant {
            access_token: Secret::text("a"),
            refresh_token: Some(Secret::text("")),
            expires_in: Some(Duration::MAX),
            refresh_token_expires_in: Some(Duration::from_secs(u64::MAX)),
        };
        let sound_grant = sound(grant.clone(), None, now).expect("it has a token");
        assert_eq!(sound_grant.refresh_token, None);
        assert_eq!((sound_grant.expires_in, sound_grant.refresh_token_expires_in), (None, None));
        sound_grant.into_update(now).expect("it can be stored");
        for empty in [Secret::text(""), Secret::json(&7).expect("not null")] {
            let error = sound(Grant { access_token: empty, ..grant.clone() }, None, now).expect_err("no token");
            assert!(matches!(error, ProviderError::Refused { .. }), "{error:?}");
        }
    }
}
