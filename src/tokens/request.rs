//! Requests: new tokens, updates, grants and replacements.

use std::time::Duration;

use jiff::Timestamp;

use super::{Credentials, CredentialsChange, TokenType, expiry};
use crate::Result;
use crate::encryption::Secret;
use crate::environment::iso_millis;
use crate::repository::SecretChange;

/// The default lifetime of a [`Replacement`].
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);

/// A new token.
///
/// ```
/// # use saved_objects::encryption::Secret;
/// # use saved_objects::tokens::NewToken;
/// # fn example(expires_at: jiff::Timestamp) {
/// let token = NewToken::token(Secret::text("Bearer …")).expires_at(expires_at);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct NewToken {
    /// The type. `None` means the default type of the scope.
    pub token_type: Option<TokenType>,
    /// The secrets.
    pub credentials: Credentials,
    /// The time at which the token expires. `None` if it does not expire.
    pub expires_at: Option<Timestamp>,
    /// The time at which the refresh token expires. `None` if it does not expire.
    pub refresh_token_expires_at: Option<Timestamp>,
}

impl NewToken {
    /// Creates a token with these credentials and the default type of its scope, which does not expire.
    pub fn new(credentials: Credentials) -> Self {
        Self { token_type: None, credentials, expires_at: None, refresh_token_expires_at: None }
    }

    /// Creates a token without a refresh token.
    pub fn token(token: Secret) -> Self {
        Self::new(Credentials::Token { token, refresh_token: None })
    }

    /// Sets the type. The token replaces one of the same type; tokens of other types stay. Default: `access_token` for
    /// shared tokens, `oauth` for those of users.
    #[must_use]
    pub fn of_type(mut self, token_type: TokenType) -> Self {
        self.token_type = Some(token_type);
        self
    }

    /// Sets the time at which the token expires. It is stored to the millisecond.
    #[must_use]
    pub fn expires_at(mut self, moment: Timestamp) -> Self {
        self.expires_at = Some(moment);
        self
    }

    /// Sets the time at which the refresh token expires. It is stored to the millisecond.
    #[must_use]
    pub fn refresh_token_expires_at(mut self, moment: Timestamp) -> Self {
        self.refresh_token_expires_at = Some(moment);
        self
    }
}

/// A change of a stored token.
///
/// The expiry belongs to the token: without [`expires_at`](Self::expires_at), the new token does not expire, whatever
/// the expiry of the old one.
#[derive(Debug, Clone)]
pub struct TokenUpdate {
    /// The change of the secrets.
    pub credentials: CredentialsChange,
    /// The time at which the new token expires. `None` if it does not expire.
    pub expires_at: Option<Timestamp>,
    /// The time at which the refresh token expires. For `None` see
    /// [`refresh_token_expires_at`](Self::refresh_token_expires_at()).
    pub refresh_token_expires_at: Option<Timestamp>,
}

impl TokenUpdate {
    /// Creates an update with this change of the credentials.
    pub fn new(credentials: CredentialsChange) -> Self {
        Self { credentials, expires_at: None, refresh_token_expires_at: None }
    }

    /// Creates an update to another token. The refresh token and its expiry stay.
    pub fn token(token: Secret) -> Self {
        Self::new(CredentialsChange::Token { token, refresh_token: SecretChange::Keep })
    }

    /// Sets the time at which the new token expires. It is stored to the millisecond.
    #[must_use]
    pub fn expires_at(mut self, moment: Timestamp) -> Self {
        self.expires_at = Some(moment);
        self
    }

    /// Sets the time at which the refresh token expires. It is stored to the millisecond. Default: a refresh token that
    /// stays keeps its expiry, and a new one has none.
    #[must_use]
    pub fn refresh_token_expires_at(mut self, moment: Timestamp) -> Self {
        self.refresh_token_expires_at = Some(moment);
        self
    }

    /// Returns the expiry of the refresh token after the change, in its stored form.
    pub(super) fn refresh_token_expiry(&self, stored: Option<String>) -> Option<String> {
        match self.refresh_token_expires_at {
            Some(moment) => Some(iso_millis(moment)),
            None => stored.filter(|_| self.credentials.keeps_refresh_token()),
        }
    }
}

/// A grant of the token endpoint of an OAuth provider.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The token as it is sent to the connector's service: for a header, its whole value, `Bearer …`. Empty if the
    /// provider answered a refresh token with another refresh token and no access token.
    pub access_token: Secret,
    /// The refresh token, if the provider gave one.
    pub refresh_token: Option<Secret>,
    /// The lifetime of the token from now on. `None` or zero if it is unknown: providers use zero for tokens that do
    /// not expire.
    pub expires_in: Option<Duration>,
    /// The lifetime of the refresh token from now on. `None` or zero if it is unknown.
    pub refresh_token_expires_in: Option<Duration>,
}

impl Grant {
    /// Returns the pauses between the attempts to store a grant, ten seconds in total. After them, the caller gets the
    /// grant in an error.
    pub(super) fn storing_pauses() -> impl Iterator<Item = Duration> {
        [100, 200, 400, 800, 1_500, 3_000, 4_000].into_iter().map(Duration::from_millis)
    }

    /// Converts a grant that was given at `now` to a new token.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if a lifetime ends beyond the year 9999.
    pub fn into_new_token(self, now: Timestamp) -> Result<NewToken> {
        Ok(NewToken {
            token_type: None,
            expires_at: expiry::after_if_known(now, self.expires_in)?,
            refresh_token_expires_at: expiry::after_if_known(now, self.refresh_token_expires_in)?,
            credentials: Credentials::Token { token: self.access_token, refresh_token: self.refresh_token },
        })
    }

    /// Converts a grant that was given at `now` to an update. Without a refresh token in the grant, the stored one
    /// stays.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if a lifetime ends beyond the year 9999.
    pub fn into_update(self, now: Timestamp) -> Result<TokenUpdate> {
        Ok(TokenUpdate {
            expires_at: expiry::after_if_known(now, self.expires_in)?,
            refresh_token_expires_at: expiry::after_if_known(now, self.refresh_token_expires_in)?,
            credentials: CredentialsChange::Token {
                token: self.access_token,
                refresh_token: self.refresh_token.map_or(SecretChange::Keep, SecretChange::Set),
            },
        })
    }
}

/// A token that replaces another one.
#[derive(Debug, Clone)]
pub struct Replacement {
    /// The new token.
    pub token: Secret,
    /// The lifetime from the request on. Default: an hour. A token with a lifetime of zero has expired.
    pub expires_in: Option<Duration>,
    /// The time at which the token was requested. Default: now. The lifetime counts from it, so the provider's response
    /// time is not added to it.
    pub requested_at: Option<Timestamp>,
}

impl Replacement {
    /// Creates a replacement that is valid for an hour from now.
    pub fn new(token: Secret) -> Self {
        Self { token, expires_in: None, requested_at: None }
    }

    /// Returns the time at which the token expires, if the time is `now`.
    pub(super) fn expires_at(&self, now: Timestamp) -> Result<Timestamp> {
        expiry::after(self.requested_at.unwrap_or(now), self.expires_in.unwrap_or(DEFAULT_LIFETIME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Timestamp {
        text.parse().expect("a moment")
    }

    #[test]
    fn a_replacement_is_good_for_an_hour_unless_said_otherwise() {
        let (now, earlier) = (moment("2026-03-01T10:00:00Z"), moment("2026-03-01T09:59:58Z"));
        let table = [
            (None, None, "2026-03-01T11:00:00Z"),
            (Some(60), None, "2026-03-01T10:01:00Z"),
            (Some(0), None, "2026-03-01T10:00:00Z"),
            (None, Some(earlier), "2026-03-01T10:59:58Z"),
            (Some(0), Some(earlier), "2026-03-01T09:59:58Z"),
        ];
        for (seconds, requested_at, expected) in table {
            let expires_in = seconds.map(Duration::from_secs);
            let replacement = Replacement { expires_in, requested_at, ..Replacement::new(Secret::text("a")) };
            assert_eq!(replacement.expires_at(now).expect("in time"), moment(expected));
        }
    }

    #[test]
    fn the_expiry_of_a_refresh_token_goes_where_the_refresh_token_goes() {
        let (stored, given) = ("2026-04-01T00:00:00.000Z", "2026-05-01T00:00:00.000Z");
        let update =
            |refresh_token| TokenUpdate::new(CredentialsChange::Token { token: Secret::text("a"), refresh_token });
        let set = || SecretChange::Set(Secret::text("r"));
        let object = || TokenUpdate::new(CredentialsChange::Object(Secret::text("o")));
        let table = [
            (update(SecretChange::Keep), Some(stored)),
            (update(SecretChange::Keep).refresh_token_expires_at(moment(given)), Some(given)),
            (update(set()), None),
            (update(set()).refresh_token_expires_at(moment(given)), Some(given)),
            (update(SecretChange::Remove), None),
            (object(), None),
            (object().refresh_token_expires_at(moment(given)), Some(given)),
        ];
        for (update, expected) in table {
            assert_eq!(update.refresh_token_expiry(Some(stored.to_owned())).as_deref(), expected, "{update:?}");
        }
    }

    #[test]
    fn a_grant_without_a_refresh_token_keeps_the_stored_one() {
        let now = moment("2026-03-01T10:00:00Z");
        let grant = |refresh_token: Option<&str>| Grant {
            access_token: Secret::text("a"),
            refresh_token: refresh_token.map(Secret::text),
            expires_in: Some(Duration::from_secs(60)),
            refresh_token_expires_in: None,
        };
        let update = grant(None).into_update(now).expect("in time");
        assert!(update.credentials.keeps_refresh_token());
        assert_eq!(update.expires_at, Some(moment("2026-03-01T10:01:00Z")));
        assert!(!grant(Some("r")).into_update(now).expect("in time").credentials.keeps_refresh_token());
        let endless = Grant { expires_in: Some(Duration::MAX), ..grant(None) };
        assert!(endless.into_new_token(now).is_err());
    }

    #[test]
    fn debug_output_is_redacted() {
        let update = TokenUpdate::token(Secret::text("hunter2"));
        let new = NewToken::token(Secret::text("hunter2"));
        let replacement = Replacement::new(Secret::text("hunter2"));
        assert!(!format!("{update:?} {new:?} {replacement:?}").contains("hunter2"));
    }
}
