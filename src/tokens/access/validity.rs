//! The validity of a stored token at a moment; pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::encryption::Secret;
use crate::tokens::{ConnectorToken, OAuthCredentials, expiry};

/// The longest remaining life in which a token is refreshed. If a quarter of its life is shorter, that counts.
const LONGEST_MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// The validity of a stored token, which decides what callers get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validity {
    /// Callers get it.
    Valid,
    /// It must be refreshed, and is still valid for this long.
    Due(SignedDuration),
    /// It must be refreshed, and is of no use until then.
    Over,
}

/// Returns the validity of `token` at `now`. `refused` is a token that its service did not accept, whatever its expiry
/// says. `assumed` is the lifetime of a token without an expiry.
pub(super) fn validity(
    token: &ConnectorToken<OAuthCredentials>,
    refused: Option<&Secret>,
    assumed: Option<Duration>,
    now: Timestamp,
) -> Validity {
    if refused == Some(&token.credentials.access_token) {
        return Validity::Over;
    }
    let assumed = || expiry::after(token.metadata.updated_at, assumed?).ok();
    let Some(expires_at) = token.metadata.expires_at.or_else(assumed) else { return Validity::Valid };
    let left = expires_at.duration_since(now);
    let lifetime = expires_at.duration_since(token.metadata.updated_at);
    if left <= SignedDuration::ZERO {
        Validity::Over
    } else if left < LONGEST_MARGIN.min(lifetime / 4) {
        Validity::Due(left)
    } else {
        Validity::Valid
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::{ConnectorId, Scope, TokenMetadata};

    #[test]
    fn margins_are_a_minute_or_a_quarter_of_the_life() {
        let written: Timestamp = "2026-03-01T10:00:00Z".parse().expect("a moment");
        let seconds = SignedDuration::from_secs;
        let (due, over, valid) = (|left| Validity::Due(seconds(left)), Validity::Over, Validity::Valid);
        let table = [
            (None, None, 1_000_000, None, valid),
            (Some(3600), None, 0, None, valid),
            (Some(3600), None, 3540, None, valid),
            (Some(3600), None, 3541, None, due(59)),
            (Some(3600), None, 3600, None, over),
            (Some(40), None, 30, None, valid),
            (Some(40), None, 31, None, due(9)),
            (Some(0), None, 0, None, over),
            (Some(3600), None, 0, Some("a"), over),
            (Some(3600), None, 0, Some("b"), valid),
            (None, None, 0, Some("a"), over),
            (None, Some(600), 540, None, valid),
            (None, Some(600), 541, None, due(59)),
            (None, Some(600), 600, None, over),
            (Some(3600), Some(600), 600, None, valid),
            (Some(600), Some(3600), 600, None, over),
            (None, Some(u64::MAX), 1_000_000, None, valid),
        ];
        for (lifetime, assumed, age, refused, expected) in table {
            let metadata = TokenMetadata {
                expires_at: lifetime.map(|lifetime| written + seconds(lifetime)),
                updated_at: written,
                ..TokenMetadata::for_tests(Scope::Shared, &ConnectorId::new("c1").expect("a name"))
            };
            let credentials = OAuthCredentials { access_token: Secret::text("a"), refresh_token: None };
            let (token, refused) = (ConnectorToken { metadata, credentials }, refused.map(Secret::text));
            let actual = validity(&token, refused.as_ref(), assumed.map(Duration::from_secs), written + seconds(age));
            assert_eq!(actual, expected, "{lifetime:?} {assumed:?} {age} {refused:?}");
        }
    }
}
