//! Tokens that nobody needs any more are deleted, by a policy that is said out loud.

mod policy;
mod report;

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;

pub use policy::{CleanUpPolicy, Reason};
pub use report::{CleanUpReport, Removed, UnreadableRecord};

use super::identity::{Identity, SharedIdentity, UserIdentity};
use super::inventory::SecretsSummary;
use super::records::Records;
use super::types::OAUTH_STATE;
use super::{Revocation, Revoker, Scope, TokenError, TokenMetadata, expiry};
use crate::repository::{Delete, Filter, Find, Repository, SavedObject, Unreadable};
use crate::store::SavedObjects;
use crate::{Error, ErrorKind, Result};
use policy::Judgement;

/// How many records are dealt with at once.
const IN_FLIGHT: usize = 8;

/// Deletes the tokens that a policy names, and begun authorizations that have expired, each as it was read: what is refreshed or
/// authorized meanwhile stays. Streams, so there may be any number.
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
/// println!("{} of {} would go", report.removed_total(), report.examined);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct CleanUp {
    shared: Records<SharedIdentity>,
    users: Records<UserIdentity>,
    states: Repository,
    policy: CleanUpPolicy,
    dry_run: bool,
    revokes: bool,
}

/// What became of one record.
enum Outcome {
    Kept,
    Removed(Removed),
    ChangedMeanwhile,
    Unreadable(String, String),
}

impl CleanUp {
    /// A clean-up of the tokens in a store.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the store does not have the types, or if the policy has an empty list of
    /// what is known: all tokens would go.
    pub fn new(store: &SavedObjects, policy: CleanUpPolicy) -> Result<Self> {
        Self::over(store.repository(), policy)
    }

    pub(crate) fn over(repository: &Repository, policy: CleanUpPolicy) -> Result<Self> {
        policy.check()?;
        Ok(Self {
            shared: Records::over(repository)?,
            users: Records::over(repository)?,
            states: repository.including(&[OAUTH_STATE])?,
            policy,
            dry_run: false,
            revokes: false,
        })
    }

    /// Deletes nothing, and reports what it would.
    #[must_use]
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Lets every token that is deleted be revoked at its provider, if its secrets open.
    #[must_use]
    pub fn revoking(self, revoker: Arc<dyn Revoker>) -> Self {
        let shared = self.shared.revoking(Arc::clone(&revoker));
        Self { shared, users: self.users.revoking(revoker), revokes: true, ..self }
    }

    /// Looks at every token once. What a policy names because it is expired is opened to see whether it has a refresh token,
    /// so the keys must be there for that; what does not open stays, and is named.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) and others of [`Repository::stream`] and [`Repository::delete`]; what was deleted
    /// by then stays so, and another run goes on.
    pub async fn run(&self) -> Result<CleanUpReport, TokenError> {
        let now = self.states.environment().clock().now();
        let mut report = CleanUpReport { dry_run: self.dry_run, ..CleanUpReport::default() };
        self.clean_tokens(&self.shared, now, &mut report).await?;
        self.clean_tokens(&self.users, now, &mut report).await?;
        self.clean_states(now, &mut report).await?;
        Ok(report)
    }

    async fn clean_tokens<I: Identity>(
        &self,
        records: &Records<I>,
        now: Timestamp,
        report: &mut CleanUpReport,
    ) -> Result<(), TokenError> {
        let all = records.list(Filter::and([]))?;
        let mut outcomes = all
            .map(|listed| async move {
                match listed? {
                    Ok(token) => self.clean_token(records, &token, now).await,
                    Err(Unreadable { raw_id, error }) => Ok(Outcome::Unreadable(raw_id, error.to_string())),
                }
            })
            .buffer_unordered(IN_FLIGHT);
        while let Some(outcome) = outcomes.try_next().await? {
            report.add(outcome);
        }
        Ok(())
    }

    async fn clean_token<I: Identity>(
        &self,
        records: &Records<I>,
        token: &TokenMetadata,
        now: Timestamp,
    ) -> Result<Outcome, TokenError> {
        let judgement = self.policy.judge(token, now);
        let must_know = judgement == Judgement::RemoveIfNotRefreshable;
        let reason = match judgement {
            Judgement::Keep => return Ok(Outcome::Kept),
            Judgement::Remove(reason) => reason,
            Judgement::RemoveIfNotRefreshable => Reason::Expired,
        };
        let opened = match must_know || (self.revokes && !self.dry_run) {
            false => None,
            true => match records.open(token).await {
                Ok(None) => return Ok(Outcome::ChangedMeanwhile),
                Ok(opened) => opened,
                Err(error) if is_unreadable(&error) && must_know => {
                    return Ok(Outcome::Unreadable(token.id.to_string(), words(error)));
                }
                Err(error) if is_unreadable(&error) => {
                    tracing::warn!(token = %token.id, %error, "a token is deleted without being revoked, because it cannot be read");
                    None
                }
                Err(error) => return Err(error),
            },
        };
        // Of other credentials than those of OAuth nobody knows whether they can be refreshed.
        let summary = opened.as_ref().map(|opened| SecretsSummary::of(&opened.credentials));
        if must_know && summary.is_none_or(|summary| summary.has_refresh_token || !summary.is_oauth) {
            return Ok(Outcome::Kept);
        }
        if !self.dry_run {
            if !records.delete_listed(token).await? {
                return Ok(Outcome::ChangedMeanwhile);
            }
            if let Some(token) = opened.and_then(|token| token.into_oauth().ok()) {
                records.revoke(&Revocation::of(&token)).await;
            }
        }
        let profile_uid = match &token.scope {
            Scope::Shared => None,
            Scope::User(profile_uid) => Some(profile_uid.to_string()),
        };
        let (id, connector_id) = (token.id.to_string(), token.connector_id.to_string());
        Ok(Outcome::Removed(Removed { id, connector_id, profile_uid, reason }))
    }

    async fn clean_states(&self, now: Timestamp, report: &mut CleanUpReport) -> Result<(), TokenError> {
        let all = self.states.stream(&[OAUTH_STATE], Find::new())?;
        let mut outcomes = all
            .map(|item| async move {
                match item? {
                    Ok(state) => self.clean_state(&state, now).await,
                    Err(Unreadable { raw_id, error }) => Ok(Outcome::Unreadable(raw_id, error.to_string())),
                }
            })
            .buffer_unordered(IN_FLIGHT);
        while let Some(outcome) = outcomes.try_next().await? {
            report.add(outcome);
        }
        Ok(())
    }

    async fn clean_state(&self, state: &SavedObject, now: Timestamp) -> Result<Outcome> {
        let text = |name: &str| state.attributes.get(name).and_then(|value| value.as_str());
        let id = format!("{OAUTH_STATE}:{}", state.id);
        let Some(expires_at) = text("expiresAt").and_then(expiry::parse) else {
            return Ok(Outcome::Unreadable(id, "the expiry of a begun authorization is not a time".to_owned()));
        };
        if expires_at > now {
            return Ok(Outcome::Kept);
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
    fn add(&mut self, outcome: Outcome) {
        self.examined += 1;
        match outcome {
            Outcome::Kept => {}
            Outcome::Removed(removed) => self.add_removed(removed),
            Outcome::ChangedMeanwhile => self.changed_meanwhile += 1,
            Outcome::Unreadable(id, reason) => self.add_unreadable(id, reason),
        }
    }
}

/// Why a token cannot be read, rather than that it cannot.
fn words(error: TokenError) -> String {
    match error {
        TokenError::Unreadable { source, .. } => source.to_string(),
        other => Error::from(other).to_string(),
    }
}

/// Whether it is the token that is wrong.
fn is_unreadable(error: &TokenError) -> bool {
    matches!(error, TokenError::Unreadable { .. })
}
