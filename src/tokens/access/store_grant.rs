//! Storing a provider's grant, which happens before anything else is done with it.

use std::time::Duration;

use futures::future::Either;
use jiff::Timestamp;

use super::claim::Claim;
use super::flights::Unstored;
use super::refresh::{Readable, Refresh};
use super::validity::Validity;
use super::{AccessToken, ProviderError};
use crate::encryption::Secret;
use crate::environment::iso_millis;
use crate::tokens::records::Stored;
use crate::tokens::{ConnectorToken, Grant, OAuthCredentials, Revocation, TokenError, TokenId, TokenUpdate, expiry};
use crate::{Error, ErrorKind};

/// The lifetime of a token that has expired. Zero would mean that the lifetime is unknown.
const SHORTEST_LIFETIME: Duration = Duration::from_millis(1);

/// The outcome of one attempt to store a grant.
enum Attempt {
    /// No further attempt is needed; the caller gets this token.
    Done(AccessToken),
    /// Another attempt is needed, over this record if it is known.
    Again(Option<Box<Readable>>, Error),
}

/// A grant that must be stored.
struct Granted<'a> {
    id: &'a TokenId,
    grant: &'a Grant,
    update: TokenUpdate,
    token: AccessToken,
}

impl Granted<'_> {
    /// Returns whether all of the grant is stored. A provider may grant the same access token as before, with another
    /// refresh token or for longer.
    fn is_in(&self, stored: &Readable) -> bool {
        let to_millis = |moment: Option<Timestamp>| moment.map(iso_millis);
        let is_granted = |refresh_token| stored.refresh_token() == Some(refresh_token);
        stored.token.credentials.access_token == self.token.token
            && self.grant.refresh_token.as_ref().is_none_or(is_granted)
            && to_millis(stored.token.metadata.expires_at) == to_millis(self.update.expires_at)
    }
}

impl Refresh {
    /// Stores a grant over the token `found`, or as a new token if there was none.
    ///
    /// # Errors
    /// [`Deleted`](TokenError::Deleted) if the found token is gone, [`NotStored`](TokenError::NotStored) if the grant
    /// was not stored and would be lost, [`RefreshFailed`](TokenError::RefreshFailed) if it has no access token; its
    /// refresh token is stored anyway.
    pub(super) async fn store_grant(
        &self,
        claim: &mut Claim,
        found: Option<Readable>,
        grant: Grant,
        asked_at: Timestamp,
    ) -> Result<AccessToken, TokenError> {
        let id = &self.id(found.as_ref());
        let failed = |source| TokenError::RefreshFailed { id: id.clone(), source };
        let has_token = has_text(&grant.access_token);
        let grant = storable(grant, found.as_ref().map(|found| &found.token), asked_at).map_err(failed)?;
        let update = grant.clone().into_update(asked_at)?;
        let token = AccessToken { token: grant.access_token.clone(), expires_at: update.expires_at };
        let granted = Granted { id, grant: &grant, update, token };
        let is_rotated = grant.refresh_token.is_some()
            && found.as_ref().is_some_and(|found| found.refresh_token() != grant.refresh_token.as_ref());
        let granted_for = found.as_ref().and_then(Readable::refresh_token).cloned();
        let source = match found {
            None => match self.store_new(&granted, asked_at).await {
                Ok(()) => return Ok(granted.token),
                Err(error) => error.into(),
            },
            Some(found) => match self.store_over(claim, found, &granted).await? {
                Ok(token) if !has_token && token == granted.token => return Err(failed(no_access_token())),
                Ok(token) => return Ok(token),
                Err(error) => error,
            },
        };
        if is_rotated {
            // The caller may have gone away, or be one of many: the next refresh in this process stores the grant.
            self.flights.add_unstored(self.key(), Unstored { granted_for, grant: grant.clone(), asked_at });
            return Err(TokenError::NotStored { id: id.clone(), grant: Box::new(grant), source });
        }
        if !has_token {
            return Err(failed(no_access_token()));
        }
        // Only this access token is lost: the next refresh asks again.
        tracing::warn!(token = %id, error = %source, "a new token was not stored; it is returned anyway");
        Ok(granted.token)
    }

    /// Stores the grant of an earlier refresh in this process that could not be stored, unless it is of no use any
    /// more. Returns its token, or the stored token if the provider must be asked anyway.
    pub(super) async fn store_unstored(
        &self,
        claim: &mut Claim,
        found: Option<Readable>,
    ) -> Result<Either<AccessToken, Option<Readable>>, TokenError> {
        let key = self.key();
        let Some(Unstored { granted_for, grant, asked_at }) = self.flights.unstored(&key) else {
            return Ok(Either::Right(found));
        };
        match found {
            Some(found) if found.refresh_token() == granted_for.as_ref() => {
                let granted = self.store_grant(claim, Some(found), grant, asked_at).await;
                if !matches!(granted, Err(TokenError::NotStored { .. })) {
                    self.flights.drop_unstored(&key);
                }
                let token = granted?;
                let is_over = token.expires_at.is_some_and(|expires_at| expires_at <= self.clock().now());
                match is_over || self.refused.as_ref() == Some(&token.token) {
                    true => Ok(Either::Right(self.read().await?)),
                    false => Ok(Either::Left(token)),
                }
            }
            // The caller of the earlier refresh stored it, or a user authorized again.
            Some(found) => {
                self.flights.drop_unstored(&key);
                Ok(Either::Right(Some(found)))
            }
            None => {
                self.flights.drop_unstored(&key);
                self.records.revoke(&self.revocation(&grant)).await;
                Ok(Either::Right(None))
            }
        }
    }

    async fn store_new(&self, granted: &Granted<'_>, asked_at: Timestamp) -> Result<(), TokenError> {
        let token = granted.grant.clone().into_new_token(asked_at)?;
        self.records.create(self.identity.clone(), token).await.map(drop)
    }

    /// Stores a grant over a token, with several attempts. The inner error says why it was not stored.
    async fn store_over(
        &self,
        claim: &mut Claim,
        mut found: Readable,
        granted: &Granted<'_>,
    ) -> Result<Result<AccessToken, Error>, TokenError> {
        let mut pauses = Grant::storing_pauses();
        loop {
            // While the server is slow to answer, others must not use the refresh token again.
            let clock = self.clock();
            let failure = match claim.hold_while(clock, self.attempt(&found, granted)).await? {
                Attempt::Done(token) => return Ok(Ok(token)),
                Attempt::Again(again, failure) => {
                    found = again.map_or(found, |again| *again);
                    failure
                }
            };
            // An invalid record stays invalid.
            let pause = pauses.next().filter(|_| failure.kind() != ErrorKind::Invalid);
            let Some(pause) = pause else { return Ok(Err(failure)) };
            tracing::debug!(token = %granted.id, error = %failure, "a new grant was not stored yet");
            self.clock().sleep(pause).await;
            // This keeps others waiting. If they do not wait, the next attempt finds what they store.
            let _ = claim.is_ours(self.clock()).await;
        }
    }

    async fn attempt(&self, found: &Readable, granted: &Granted<'_>) -> Result<Attempt, TokenError> {
        let failure = match self.records.store_over(&found.current, &granted.update).await {
            Ok(Stored::Done) => {
                tracing::debug!(token = %granted.id, "a token was refreshed");
                return Ok(Attempt::Done(granted.token.clone()));
            }
            Ok(Stored::Conflict) => others_write(granted.id),
            Err(error) => error.into(),
        };
        Ok(match self.read_current().await {
            Ok(None) => {
                self.revoke(found, granted.grant).await;
                return Err(TokenError::Deleted { id: granted.id.clone() });
            }
            // The write was done, and its answer was lost.
            Ok(Some(again)) if granted.is_in(&again) => Attempt::Done(granted.token.clone()),
            // A user authorized again, or another process also refreshed: what they stored stays.
            Ok(Some(again)) if again.refresh_token() != found.refresh_token() => {
                let is_over = self.validity(&again.token) == Validity::Over;
                Attempt::Done(if is_over { granted.token.clone() } else { AccessToken::of(&again.token) })
            }
            Ok(Some(again)) => Attempt::Again(Some(Box::new(again)), failure),
            Err(error) => Attempt::Again(None, error.into()),
        })
    }

    /// Revokes the grant if its token was deleted.
    async fn revoke(&self, found: &Readable, grant: &Grant) {
        let revocation = self.revocation(grant);
        let refresh_token = revocation.refresh_token.or_else(|| found.refresh_token().cloned());
        self.records.revoke(&Revocation { refresh_token, ..revocation }).await;
    }

    fn revocation(&self, grant: &Grant) -> Revocation {
        Revocation {
            scope: self.identity.scope.clone(),
            connector_id: self.identity.connector_id.clone(),
            access_token: grant.access_token.clone(),
            refresh_token: grant.refresh_token.clone(),
        }
    }
}

/// Returns a grant that can be stored, since no oddity is worth losing it: without an empty refresh token, and without
/// a lifetime that ends beyond the year 9999. If a grant has a refresh token only, the stored access token stays, with
/// its expiry.
fn storable(
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
    Error::new(ErrorKind::Conflict, format!("other callers keep writing the token {id}"))
        .with_hint("find and stop these writes, and store the grant then")
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
        let storable_grant = storable(grant.clone(), None, now).expect("it has a token");
        assert_eq!(storable_grant.refresh_token, None);
        assert_eq!((storable_grant.expires_in, storable_grant.refresh_token_expires_in), (None, None));
        storable_grant.into_update(now).expect("it can be stored");
        for empty in [Secret::text(""), Secret::json(&7).expect("not null")] {
            let error = storable(Grant { access_token: empty, ..grant.clone() }, None, now).expect_err("no token");
            assert!(matches!(error, ProviderError::Refused { .. }), "{error:?}");
        }
    }
}
