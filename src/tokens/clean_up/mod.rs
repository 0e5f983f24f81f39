//! The clean-up: deletes tokens that an explicit policy names, and expired authorizations.

mod policy;
mod report;

use std::pin::pin;
use std::sync::Arc;

use futures::{Stream, StreamExt, TryStreamExt};
use jiff::Timestamp;

pub use policy::{CleanUpPolicy, Reason};
pub use report::{CleanUpReport, Removed, UnreadableRecord};

use super::inventory::SecretsSummary;
use super::records::Records;
use super::types::OAUTH_STATE;
use super::{Revocation, Revoker, ScopeKind, TokenError, TokenMetadata, expiry};
use crate::environment::Stopped;
use crate::repository::{Delete, Filter, Find, Repository, SavedObject, Unreadable};
use crate::store::SavedObjects;
use crate::{Error, ErrorKind, Result};
use policy::{Decision, KnownAmongTokens};

/// The number of records that are processed concurrently.
const IN_FLIGHT: usize = 8;

/// Deletes the tokens that a policy names, and begun authorizations that have expired. Each is deleted at the version
/// that was read, so a token that is refreshed or authorized again meanwhile stays. Records are streamed, so there can
/// be any number.
///
/// ```no_run
/// use std::time::Duration;
///
/// use saved_objects::SavedObjects;
/// use saved_objects::tokens::{CleanUp, CleanUpPolicy};
///
/// # async fn example(store: &SavedObjects) -> saved_objects::Result<()> {
/// let policy = CleanUpPolicy::new().expired_for(Duration::from_secs(7 * 86_400));
/// let report = CleanUp::new(store, policy)?.dry_run().run().await?;
/// println!("{} of {} would be deleted", report.removed_total(), report.examined);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct CleanUp {
    records: Records,
    states: Repository,
    policy: CleanUpPolicy,
    dry_run: bool,
    revokes: bool,
}

/// The outcome for one record.
enum Outcome {
    Retained,
    Removed(Removed),
    ChangedMeanwhile,
    Unreadable(String, String),
}

impl CleanUp {
    /// Creates a clean-up of the tokens in a store.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the store does not have the types, or if the policy has an empty list of
    /// known connectors or users: all tokens would be deleted.
    pub fn new(store: &SavedObjects, policy: CleanUpPolicy) -> Result<Self> {
        policy.check()?;
        Ok(Self {
            records: Records::new(store)?,
            states: store.repository().including(&[OAUTH_STATE])?,
            policy,
            dry_run: false,
            revokes: false,
        })
    }

    /// Deletes nothing, and reports what it would delete.
    #[must_use]
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Revokes every deleted token at its provider, if its secrets can be decrypted.
    #[must_use]
    pub fn revoking(self, revoker: Arc<dyn Revoker>) -> Self {
        Self { records: self.records.revoking(revoker), revokes: true, ..self }
    }

    /// Reads every token once and deletes what the policy names. An expired token that the policy names is decrypted,
    /// to see whether it has a refresh token. That needs the keys: a token that cannot be decrypted stays, and is
    /// reported.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if a list of known connectors or users has none of those of the existing tokens,
    /// so that all would be deleted; [`Unavailable`](ErrorKind::Unavailable) and others of [`Repository::stream`] and
    /// [`Repository::delete`]: what was deleted by then stays deleted, and another run continues.
    pub async fn run(&self) -> Result<CleanUpReport, TokenError> {
        let now = self.states.environment().clock().now();
        let mut report = CleanUpReport { dry_run: self.dry_run, ..CleanUpReport::default() };
        self.check_lists().await?;
        match self.clean_all(now, &mut report).await {
            Err(error) if is_stopped(&error) => report.stopped = true,
            ended => ended?,
        }
        Ok(report)
    }

    async fn clean_all(&self, now: Timestamp, report: &mut CleanUpReport) -> Result<(), TokenError> {
        for kind in ScopeKind::ALL {
            self.clean_tokens(kind, now, report).await?;
        }
        self.clean_states(now, report).await
    }

    /// Refuses lists that have no connector or user of an existing token. Reads tokens until it has found one of each.
    async fn check_lists(&self) -> Result<()> {
        if !self.policy.has_lists() {
            return Ok(());
        }
        let mut known = KnownAmongTokens::default();
        for kind in ScopeKind::ALL {
            let mut tokens = pin!(self.records.list(kind, Filter::and([]))?);
            while let Some(listed) = tokens.try_next().await? {
                if listed.is_ok_and(|token| known.add(&self.policy, &token)) {
                    return Ok(());
                }
            }
        }
        known.check()
    }

    async fn clean_tokens(
        &self,
        kind: ScopeKind,
        now: Timestamp,
        report: &mut CleanUpReport,
    ) -> Result<(), TokenError> {
        let all = self.records.list(kind, Filter::and([]))?;
        let mut outcomes = all
            .map(|listed| async move {
                match listed? {
                    Ok(token) => self.clean_token(&token, now).await,
                    Err(Unreadable { raw_id, error }) => Ok(Outcome::Unreadable(raw_id, error.to_string())),
                }
            })
            .buffer_unordered(IN_FLIGHT);
        report.add_all(&mut outcomes).await
    }

    async fn clean_token(&self, token: &TokenMetadata, now: Timestamp) -> Result<Outcome, TokenError> {
        let decision = self.policy.decide(token, now);
        let must_know = decision == Decision::RemoveIfNotRefreshable;
        let reason = match decision {
            Decision::Retain => return Ok(Outcome::Retained),
            Decision::Remove(reason) => reason,
            Decision::RemoveIfNotRefreshable => Reason::Expired,
        };
        let opened = match must_know || (self.revokes && !self.dry_run) {
            false => None,
            true => match self.records.open(token).await {
                Ok(None) => return Ok(Outcome::ChangedMeanwhile),
                Ok(opened) => opened,
                Err(error) if is_unreadable(&error) && must_know => {
                    return Ok(Outcome::Unreadable(token.id.to_string(), reason_of(error)));
                }
                Err(error) if is_unreadable(&error) => {
                    let token = &token.id;
                    tracing::warn!(%token, %error, "a token is deleted without being revoked, because it cannot be read");
                    None
                }
                Err(error) => return Err(error),
            },
        };
        // For credentials that are not those of OAuth, it is unknown whether they can be refreshed.
        let summary = opened.as_ref().map(|opened| SecretsSummary::of(&opened.credentials));
        if must_know && summary.is_none_or(|summary| summary.has_refresh_token || !summary.is_oauth) {
            return Ok(Outcome::Retained);
        }
        if !self.dry_run {
            if !self.records.delete_listed(token).await? {
                return Ok(Outcome::ChangedMeanwhile);
            }
            if let Some(token) = opened.and_then(|token| token.into_oauth().ok()) {
                self.records.revoke(&Revocation::of(&token)).await;
            }
        }
        let profile_uid = token.scope.user().map(ToString::to_string);
        let (id, connector_id) = (token.id.to_string(), token.connector_id.to_string());
        Ok(Outcome::Removed(Removed { id, connector_id, profile_uid, reason }))
    }

    async fn clean_states(&self, now: Timestamp, report: &mut CleanUpReport) -> Result<(), TokenError> {
        let all = self.states.stream(&[OAUTH_STATE], Find::new())?;
        let mut outcomes = all
            .map(|item| async move {
                match item? {
                    Ok(state) => Ok::<_, TokenError>(self.clean_state(&state, now).await?),
                    Err(Unreadable { raw_id, error }) => Ok(Outcome::Unreadable(raw_id, error.to_string())),
                }
            })
            .buffer_unordered(IN_FLIGHT);
        report.add_all(&mut outcomes).await
    }

    async fn clean_state(&self, state: &SavedObject, now: Timestamp) -> Result<Outcome> {
        let text = |name: &str| state.attributes.get(name).and_then(|value| value.as_str());
        let id = format!("{OAUTH_STATE}:{}", state.id);
        let Some(expires_at) = text("expiresAt").and_then(expiry::parse) else {
            return Ok(Outcome::Unreadable(id, "the expiry of a begun authorization is not a time".to_owned()));
        };
        if expires_at > now {
            return Ok(Outcome::Retained);
        }
        if !self.dry_run {
            match self.states.delete(Delete::of(state).gone_is_done()).await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Conflict => return Ok(Outcome::ChangedMeanwhile),
                Err(error) => return Err(error),
            }
        }
        Ok(Outcome::Removed(Removed {
            id,
            connector_id: text("connectorId").unwrap_or_default().to_owned(),
            profile_uid: text("createdBy").map(str::to_owned),
            reason: Reason::AuthorizationExpired,
        }))
    }
}

impl CleanUpReport {
    /// Adds all outcomes. After a stop, waits for those in progress.
    async fn add_all(
        &mut self,
        outcomes: &mut (impl Stream<Item = Result<Outcome, TokenError>> + Unpin),
    ) -> Result<(), TokenError> {
        let mut ended = Ok(());
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(outcome) => self.add(outcome),
                Err(error) if is_stopped(&error) => ended = Err(error),
                Err(error) => return Err(error),
            }
        }
        ended
    }

    fn add(&mut self, outcome: Outcome) {
        self.examined += 1;
        match outcome {
            Outcome::Retained => {}
            Outcome::Removed(removed) => self.add_removed(removed),
            Outcome::ChangedMeanwhile => self.changed_meanwhile += 1,
            Outcome::Unreadable(id, reason) => self.add_unreadable(id, reason),
        }
    }
}

/// Returns the reason why a token cannot be read.
fn reason_of(error: TokenError) -> String {
    match error {
        TokenError::Unreadable { source, .. } => source.to_string(),
        other => Error::from(other).to_string(),
    }
}

fn is_stopped(error: &TokenError) -> bool {
    matches!(error, TokenError::Other(error) if Stopped::is_cause_of(error))
}

/// Returns whether the token itself cannot be read.
fn is_unreadable(error: &TokenError) -> bool {
    matches!(error, TokenError::Unreadable { .. })
}
