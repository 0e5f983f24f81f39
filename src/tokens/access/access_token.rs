//! The access token that callers get.

use jiff::Timestamp;

use crate::encryption::Secret;
use crate::tokens::{ConnectorToken, OAuthCredentials};

/// An access token that was valid when it was returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// The token as it is sent to the connector's service: for a header, its whole value, `Bearer …`.
    pub token: Secret,
    /// The time at which the token expires. `None` if it does not expire, or if its expiry is unknown.
    pub expires_at: Option<Timestamp>,
}

impl AccessToken {
    /// Returns the access token of a stored token.
    pub(super) fn of(token: &ConnectorToken<OAuthCredentials>) -> Self {
        Self { token: token.credentials.access_token.clone(), expires_at: token.metadata.expires_at }
    }
}
