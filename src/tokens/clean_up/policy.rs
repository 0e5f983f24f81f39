use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::tokens::{ConnectorId, ProfileUid, Scope, TokenMetadata};
use crate::{Error, Result};

/// Somebody may have made a connector, and stored its token, since the list of connectors was made.
const ORPHANED_FOR: Duration = Duration::from_secs(60 * 60);

/// Which tokens are to go. What it does not name stays.
///
/// A token that does not expire leaves no trace of its use, so it never counts as unused.
///
/// ```
/// use std::time::Duration;
///
/// use saved_objects::tokens::CleanUpPolicy;
///
/// const DAY: Duration = Duration::from_secs(86_400);
/// let policy = CleanUpPolicy::new().expired_for(7 * DAY).unused_for(90 * DAY);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CleanUpPolicy {
    expired_for: Option<Duration>,
    unused_for: Option<Duration>,
    older_than: Option<Duration>,
    known_connectors: Option<BTreeSet<ConnectorId>>,
    known_users: Option<BTreeSet<ProfileUid>>,
    orphaned_for: Option<Duration>,
}

/// Why something is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Its connector, or its user, is not known.
    Orphaned,
    /// It expired so long ago, and there is no refresh token to get another one for, or that has expired as well.
    Expired,
    /// It expired so long ago, and nobody who needed it refreshed it since.
    Unused,
    /// It was authorized so long ago.
    TooOld,
    /// An authorization that was begun and not finished in time.
    AuthorizationExpired,
}

/// What the policy says of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    Keep,
    Remove(Reason),
    /// It is to go as expired, if it has no refresh token.
    RemoveIfNotRefreshable,
}

impl CleanUpPolicy {
    /// Nothing goes but begun authorizations that have expired.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tokens that expired so long ago and cannot be refreshed.
    #[must_use]
    pub fn expired_for(mut self, duration: Duration) -> Self {
        self.expired_for = Some(duration);
        self
    }

    /// Tokens that expired so long ago and that nobody refreshed since, though they could.
    #[must_use]
    pub fn unused_for(mut self, duration: Duration) -> Self {
        self.unused_for = Some(duration);
        self
    }

    /// Tokens that were authorized so long ago, whatever happened to them since.
    #[must_use]
    pub fn older_than(mut self, duration: Duration) -> Self {
        self.older_than = Some(duration);
        self
    }

    /// Tokens of other connectors than these.
    #[must_use]
    pub fn known_connectors(mut self, connectors: impl IntoIterator<Item = ConnectorId>) -> Self {
        self.known_connectors = Some(connectors.into_iter().collect());
        self
    }

    /// Tokens of other users than these.
    #[must_use]
    pub fn known_users(mut self, users: impl IntoIterator<Item = ProfileUid>) -> Self {
        self.known_users = Some(users.into_iter().collect());
        self
    }

    /// Keeps tokens without a known connector or user that were written less than so long ago: an hour unless said
    /// otherwise, because the list of what is known may be that old.
    #[must_use]
    pub fn orphaned_for(mut self, duration: Duration) -> Self {
        self.orphaned_for = Some(duration);
        self
    }

    /// An empty list is a list that was not made, rather than a platform without connectors.
    pub(super) fn check(&self) -> Result<()> {
        let is_empty = |what: &str| {
            Err(Error::invalid(
                format!("the list of known {what} is empty, so all tokens would go"),
                format!("give the {what} that there are, or delete the tokens by connector"),
            ))
        };
        if self.known_connectors.as_ref().is_some_and(BTreeSet::is_empty) {
            return is_empty("connectors");
        }
        if self.known_users.as_ref().is_some_and(BTreeSet::is_empty) {
            return is_empty("users");
        }
        Ok(())
    }

    pub(super) fn judge(&self, token: &TokenMetadata, now: Timestamp) -> Judgement {
        let passed = |since: Timestamp, duration: Duration| {
            SignedDuration::try_from(duration).is_ok_and(|duration| now.duration_since(since) >= duration)
        };
        if self.is_orphaned(token) && passed(token.updated_at, self.orphaned_for.unwrap_or(ORPHANED_FOR)) {
            return Judgement::Remove(Reason::Orphaned);
        }
        if self.older_than.is_some_and(|age| passed(token.created_at, age)) {
            return Judgement::Remove(Reason::TooOld);
        }
        let Some(expires_at) = token.expires_at else { return Judgement::Keep };
        if self.unused_for.is_some_and(|unused| passed(expires_at, unused) && passed(token.updated_at, unused)) {
            return Judgement::Remove(Reason::Unused);
        }
        match (self.expired_for.filter(|expired| passed(expires_at, *expired)), token.refresh_token_expires_at) {
            (None, _) => Judgement::Keep,
            (Some(expired), Some(expires_at)) if passed(expires_at, expired) => Judgement::Remove(Reason::Expired),
            (Some(_), Some(_)) => Judgement::Keep,
            (Some(_), None) => Judgement::RemoveIfNotRefreshable,
        }
    }

    fn is_orphaned(&self, token: &TokenMetadata) -> bool {
        let is_unknown_user = match (&token.scope, &self.known_users) {
            (Scope::User(profile_uid), Some(known)) => !known.contains(profile_uid),
            _ => false,
        };
        is_unknown_user || self.known_connectors.as_ref().is_some_and(|known| !known.contains(&token.connector_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::VersionToken;
    use crate::tokens::{ScopeKind, TokenId, TokenType};

    const DAY: Duration = Duration::from_secs(86_400);

    fn day(number: i64) -> Timestamp {
        Timestamp::from_second(number * 86_400).expect("in range")
    }

    /// A token of day 10, last written on day 20.
    fn token(expires_at: Option<i64>, refresh_token_expires_at: Option<i64>) -> TokenMetadata {
        TokenMetadata {
            id: TokenId::new(ScopeKind::PerUser, "x"),
            scope: Scope::User(ProfileUid::new("u1").expect("a name")),
            connector_id: ConnectorId::new("c1").expect("a name"),
            token_type: TokenType::oauth(),
            expires_at: expires_at.map(day),
            refresh_token_expires_at: refresh_token_expires_at.map(day),
            created_at: day(10),
            updated_at: day(20),
            version: VersionToken { seq_no: 1, primary_term: 1, generation: 1 },
        }
    }

    #[test]
    fn nothing_goes_that_is_not_named() {
        for token in [token(None, None), token(Some(21), None), token(Some(21), Some(22))] {
            assert_eq!(CleanUpPolicy::new().judge(&token, day(10_000)), Judgement::Keep);
        }
    }

    #[test]
    fn expired_ones_go_if_they_cannot_be_refreshed() {
        let policy = CleanUpPolicy::new().expired_for(5 * DAY);
        let table = [
            (token(None, None), 1_000, Judgement::Keep),
            (token(Some(30), None), 34, Judgement::Keep),
            (token(Some(30), None), 35, Judgement::RemoveIfNotRefreshable),
            (token(Some(30), Some(60)), 64, Judgement::Keep),
            (token(Some(30), Some(60)), 65, Judgement::Remove(Reason::Expired)),
        ];
        for (token, now, expected) in table {
            assert_eq!(policy.judge(&token, day(now)), expected, "{token:?} on day {now}");
        }
    }

    #[test]
    fn unused_ones_were_good_for_nothing_since_they_expired() {
        let policy = CleanUpPolicy::new().unused_for(90 * DAY);
        let table = [
            // Good for a year: that nobody refreshed it does not say that nobody used it.
            (token(Some(385), Some(1_000)), 400, Judgement::Keep),
            (token(Some(385), Some(1_000)), 475, Judgement::Remove(Reason::Unused)),
            (token(Some(21), None), 110, Judgement::Keep),
            (token(Some(21), None), 111, Judgement::Remove(Reason::Unused)),
            (token(Some(1), None), 109, Judgement::Keep),
            (token(None, None), 10_000, Judgement::Keep),
        ];
        for (token, now, expected) in table {
            assert_eq!(policy.judge(&token, day(now)), expected, "{token:?} on day {now}");
        }
    }

    #[test]
    fn age_counts_from_the_authorization() {
        let policy = CleanUpPolicy::new().older_than(30 * DAY);
        assert_eq!(policy.judge(&token(None, None), day(39)), Judgement::Keep);
        assert_eq!(policy.judge(&token(None, None), day(40)), Judgement::Remove(Reason::TooOld));
    }

    #[test]
    fn what_nobody_knows_goes_unless_it_is_new() {
        let connectors = |id: &str| CleanUpPolicy::new().known_connectors([ConnectorId::new(id).expect("a name")]);
        let users = |uid: &str| CleanUpPolicy::new().known_users([ProfileUid::new(uid).expect("a name")]);
        let table = [
            (connectors("c1"), 1_000, Judgement::Keep),
            (connectors("c2"), 1_000, Judgement::Remove(Reason::Orphaned)),
            (connectors("c2"), 20, Judgement::Keep),
            (connectors("c2").orphaned_for(3 * DAY), 22, Judgement::Keep),
            (connectors("c2").orphaned_for(3 * DAY), 23, Judgement::Remove(Reason::Orphaned)),
            (users("u1"), 1_000, Judgement::Keep),
            (users("u2"), 1_000, Judgement::Remove(Reason::Orphaned)),
        ];
        for (policy, now, expected) in table {
            assert_eq!(policy.judge(&token(None, None), day(now)), expected, "{policy:?} on day {now}");
        }
        let shared = TokenMetadata { scope: Scope::Shared, ..token(None, None) };
        assert_eq!(users("u2").judge(&shared, day(1_000)), Judgement::Keep);
        for empty in [CleanUpPolicy::new().known_connectors([]), CleanUpPolicy::new().known_users([])] {
            assert_eq!(empty.check().expect_err("empty").kind(), crate::ErrorKind::Invalid);
        }
    }

    #[test]
    fn durations_beyond_all_time_never_pass() {
        let policy =
            CleanUpPolicy::new().older_than(Duration::MAX).unused_for(Duration::MAX).expired_for(Duration::MAX);
        assert_eq!(policy.judge(&token(Some(1), None), Timestamp::MAX), Judgement::Keep);
    }
}
