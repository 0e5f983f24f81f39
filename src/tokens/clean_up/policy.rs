//! The policy of a clean-up, which decides about each token; pure.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::tokens::{ConnectorId, ProfileUid, Scope, TokenMetadata};
use crate::{Error, Result};

/// The default age of an orphaned token. A connector, and its token, may have been created after the list of
/// connectors.
const ORPHANED_FOR: Duration = Duration::from_secs(60 * 60);

/// The tokens that a clean-up deletes. A token that no rule names stays.
///
/// The use of a token that does not expire leaves no trace, so such a token never counts as unused.
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

/// The reason why a record is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Its connector or its user is not in the list of known ones.
    Orphaned,
    /// It expired so long ago, and it has no refresh token, or one that also expired so long ago.
    Expired,
    /// It expired so long ago, and has not been refreshed since.
    Unused,
    /// It was authorized so long ago.
    TooOld,
    /// The authorization was begun and not finished in time.
    AuthorizationExpired,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Orphaned => "its connector or its user is not known",
            Self::Expired => "it has expired and cannot be refreshed",
            Self::Unused => "it has expired and was not refreshed since",
            Self::TooOld => "it was authorized too long ago",
            Self::AuthorizationExpired => "the authorization was not finished in time",
        })
    }
}

/// The policy's decision about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Retain,
    Remove(Reason),
    /// It is deleted as expired, if it has no refresh token.
    RemoveIfNotRefreshable,
}

impl CleanUpPolicy {
    /// Creates a policy that names no tokens: only begun authorizations that have expired are deleted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names tokens that expired so long ago and cannot be refreshed.
    #[must_use]
    pub fn expired_for(mut self, duration: Duration) -> Self {
        self.expired_for = Some(duration);
        self
    }

    /// Names tokens that expired so long ago and have not been refreshed since, although they could be.
    #[must_use]
    pub fn unused_for(mut self, duration: Duration) -> Self {
        self.unused_for = Some(duration);
        self
    }

    /// Names tokens that were authorized so long ago, whether they were used since or not.
    #[must_use]
    pub fn older_than(mut self, duration: Duration) -> Self {
        self.older_than = Some(duration);
        self
    }

    /// Names tokens of all connectors that are not among these.
    #[must_use]
    pub fn known_connectors(mut self, connectors: impl IntoIterator<Item = ConnectorId>) -> Self {
        self.known_connectors = Some(connectors.into_iter().collect());
        self
    }

    /// Names tokens of all users that are not among these.
    #[must_use]
    pub fn known_users(mut self, users: impl IntoIterator<Item = ProfileUid>) -> Self {
        self.known_users = Some(users.into_iter().collect());
        self
    }

    /// Retains tokens without a known connector or user if they were written less than this long ago, since the list of
    /// known ones may be that old. Default: an hour.
    #[must_use]
    pub fn orphaned_for(mut self, duration: Duration) -> Self {
        self.orphaned_for = Some(duration);
        self
    }

    /// Refuses an empty list: it is more likely a mistake than a platform without connectors.
    pub(super) fn check(&self) -> Result<()> {
        let is_empty = |what: &str| {
            Err(Error::invalid(
                format!("the list of known {what} is empty, so all tokens would be deleted"),
                format!("list the existing {what}, or delete the tokens by connector"),
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

    /// Returns whether there is a list of known connectors or users, so that tokens can be orphaned.
    pub(super) fn has_lists(&self) -> bool {
        self.known_connectors.is_some() || self.known_users.is_some()
    }

    /// Decides about a token.
    pub(super) fn decide(&self, token: &TokenMetadata, now: Timestamp) -> Decision {
        let passed = |since: Timestamp, duration: Duration| {
            SignedDuration::try_from(duration).is_ok_and(|duration| now.duration_since(since) >= duration)
        };
        if self.is_orphaned(token) && passed(token.updated_at, self.orphaned_for.unwrap_or(ORPHANED_FOR)) {
            return Decision::Remove(Reason::Orphaned);
        }
        if self.older_than.is_some_and(|age| passed(token.created_at, age)) {
            return Decision::Remove(Reason::TooOld);
        }
        let Some(expires_at) = token.expires_at else { return Decision::Retain };
        if self.unused_for.is_some_and(|unused| passed(expires_at, unused) && passed(token.updated_at, unused)) {
            return Decision::Remove(Reason::Unused);
        }
        match (self.expired_for.filter(|expired| passed(expires_at, *expired)), token.refresh_token_expires_at) {
            (None, _) => Decision::Retain,
            (Some(expired), Some(expires_at)) if passed(expires_at, expired) => Decision::Remove(Reason::Expired),
            (Some(_), Some(_)) => Decision::Retain,
            (Some(_), None) => Decision::RemoveIfNotRefreshable,
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

/// The search for a connector and a user of the existing tokens in the lists of a policy.
#[derive(Debug, Default)]
pub(super) struct KnownAmongTokens {
    tokens: u64,
    of_users: u64,
    connector: bool,
    user: bool,
}

impl KnownAmongTokens {
    /// Adds a token. Returns true if no more tokens are needed.
    pub(super) fn add(&mut self, policy: &CleanUpPolicy, token: &TokenMetadata) -> bool {
        self.tokens += 1;
        self.connector |= policy.known_connectors.as_ref().is_none_or(|known| known.contains(&token.connector_id));
        match (&token.scope, &policy.known_users) {
            (_, None) => self.user = true,
            (Scope::User(profile_uid), Some(known)) => {
                self.of_users += 1;
                self.user |= known.contains(profile_uid);
            }
            (Scope::Shared, Some(_)) => {}
        }
        self.connector && self.user
    }

    /// Refuses a list that has none of the tokens' connectors or users: it is more likely the wrong list than that all
    /// tokens are orphaned.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid).
    pub(super) fn check(&self) -> Result<()> {
        let (tokens, what) = match self {
            Self { connector: false, tokens, .. } if *tokens > 0 => (tokens, "connectors"),
            Self { user: false, of_users, .. } if *of_users > 0 => (of_users, "users"),
            _ => return Ok(()),
        };
        Err(Error::invalid(
            format!("none of the listed {what} has a token, so all {tokens} tokens would be deleted"),
            format!("check that it is the list of the existing {what}, or delete the tokens by connector or user"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn day(number: i64) -> Timestamp {
        Timestamp::from_second(number * 86_400).expect("in range")
    }

    /// Returns a token that was created on day 10 and last written on day 20.
    fn token(expires_at: Option<i64>, refresh_token_expires_at: Option<i64>) -> TokenMetadata {
        let scope = Scope::User(ProfileUid::new("u1").expect("a name"));
        TokenMetadata {
            expires_at: expires_at.map(day),
            refresh_token_expires_at: refresh_token_expires_at.map(day),
            created_at: day(10),
            updated_at: day(20),
            ..TokenMetadata::for_tests(scope, &ConnectorId::new("c1").expect("a name"))
        }
    }

    #[test]
    fn nothing_goes_that_is_not_named() {
        for token in [token(None, None), token(Some(21), None), token(Some(21), Some(22))] {
            assert_eq!(CleanUpPolicy::new().decide(&token, day(10_000)), Decision::Retain);
        }
    }

    #[test]
    fn expired_ones_go_if_they_cannot_be_refreshed() {
        let policy = CleanUpPolicy::new().expired_for(5 * DAY);
        let table = [
            (token(None, None), 1_000, Decision::Retain),
            (token(Some(30), None), 34, Decision::Retain),
            (token(Some(30), None), 35, Decision::RemoveIfNotRefreshable),
            (token(Some(30), Some(60)), 64, Decision::Retain),
            (token(Some(30), Some(60)), 65, Decision::Remove(Reason::Expired)),
        ];
        for (token, now, expected) in table {
            assert_eq!(policy.decide(&token, day(now)), expected, "{token:?} on day {now}");
        }
    }

    #[test]
    fn unused_ones_were_good_for_nothing_since_they_expired() {
        let policy = CleanUpPolicy::new().unused_for(90 * DAY);
        let table = [
            // It is valid for a year: that it was not refreshed does not mean that it was not used.
            (token(Some(385), Some(1_000)), 400, Decision::Retain),
            (token(Some(385), Some(1_000)), 475, Decision::Remove(Reason::Unused)),
            (token(Some(21), None), 110, Decision::Retain),
            (token(Some(21), None), 111, Decision::Remove(Reason::Unused)),
            (token(Some(1), None), 109, Decision::Retain),
            (token(None, None), 10_000, Decision::Retain),
        ];
        for (token, now, expected) in table {
            assert_eq!(policy.decide(&token, day(now)), expected, "{token:?} on day {now}");
        }
    }

    #[test]
    fn age_counts_from_the_authorization() {
        let policy = CleanUpPolicy::new().older_than(30 * DAY);
        assert_eq!(policy.decide(&token(None, None), day(39)), Decision::Retain);
        assert_eq!(policy.decide(&token(None, None), day(40)), Decision::Remove(Reason::TooOld));
    }

    #[test]
    fn what_nobody_knows_goes_unless_it_is_new() {
        let connectors = |id: &str| CleanUpPolicy::new().known_connectors([ConnectorId::new(id).expect("a name")]);
        let users = |uid: &str| CleanUpPolicy::new().known_users([ProfileUid::new(uid).expect("a name")]);
        let table = [
            (connectors("c1"), 1_000, Decision::Retain),
            (connectors("c2"), 1_000, Decision::Remove(Reason::Orphaned)),
            (connectors("c2"), 20, Decision::Retain),
            (connectors("c2").orphaned_for(3 * DAY), 22, Decision::Retain),
            (connectors("c2").orphaned_for(3 * DAY), 23, Decision::Remove(Reason::Orphaned)),
            (users("u1"), 1_000, Decision::Retain),
            (users("u2"), 1_000, Decision::Remove(Reason::Orphaned)),
        ];
        for (policy, now, expected) in table {
            assert_eq!(policy.decide(&token(None, None), day(now)), expected, "{policy:?} on day {now}");
        }
        let shared = TokenMetadata { scope: Scope::Shared, ..token(None, None) };
        assert_eq!(users("u2").decide(&shared, day(1_000)), Decision::Retain);
        for empty in [CleanUpPolicy::new().known_connectors([]), CleanUpPolicy::new().known_users([])] {
            assert_eq!(empty.check().expect_err("empty").kind(), crate::ErrorKind::Invalid);
        }
    }

    #[test]
    fn durations_beyond_all_time_never_pass() {
        let policy =
            CleanUpPolicy::new().older_than(Duration::MAX).unused_for(Duration::MAX).expired_for(Duration::MAX);
        assert_eq!(policy.decide(&token(Some(1), None), Timestamp::MAX), Decision::Retain);
    }
}
