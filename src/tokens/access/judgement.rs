//! Whether a stored token is good enough to be given out; pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::encryption::Secret;
use crate::tokens::{ConnectorToken, OAuthCredentials, expiry};

/// Tokens are refreshed when less than this is left of them, or than a quarter of their life if that is shorter.
const LONGEST_MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// What is to be done with a stored token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is given out.
    Good,
    /// It is to be refreshed, and still is good for so long.
    Due(SignedDuration),
    /// It is to be refreshed, and is of no use until then.
    Over,
}

/// Judges `token` at `now`. `refused` is one that its service did not accept, whatever its expiry says. `assumed` is the lifetime of a
/// token that has no expiry.
pub(super) fn judge(
    token: &ConnectorToken<OAuthCredentials>,
    refused: Option<&Secret>,
    assumed: Option<Duration>,
    now: Timestamp,
) -> Judgement {
    if refused == Some(&token.credentials.access_token) {
        return Judgement::Over;
    }
    let assumed = || expiry::after(token.metadata.updated_at, assumed?).ok();
    let Some(expires_at) = token.metadata.expires_at.or_else(assumed) else { return Judgement::Good };
    let left = expires_at.duration_since(now);
    let lifetime = expires_at.duration_since(token.metadata.updated_at);
    if left <= SignedDuration::ZERO {
        Judgement::Over
    } else if left < LONGEST_MARGIN.min(lifetime / 4) {
        Judgement::Due(left)
    } else {
        Judgement::Good
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::VersionToken;
    use crate::tokens::{ConnectorId, Scope, ScopeKind, TokenId, TokenMetadata, TokenType};

    #[test]
    fn margins_are_a_minute_or_a_quarter_of_the_life() {
        let written: Timestamp = "2026-03-01T10:00:00Z".parse().expect("a moment");
        let seconds = SignedDuration::from_secs;
        let (due, over, good) = (|left| Judgement::Due(seconds(left)), Judgement::Over, Judgement::Good);
        let table = [
            (None, None, 1_000_000, None, good),
            (Some(3600), None, 0, None, good),
            (Some(3600), None, 3540, None, good),
            (Some(3600), None, 3541, None, due(59)),
            (Some(3600), None, 3600, None, over),
            (Some(40), None, 30, None, good),
            (Some(40), None, 31, None, due(9)),
            (Some(0), None, 0, None, over),
            (Some(3600), None, 0, Some("a"), over),
            (Some(3600), None, 0, Some("b"), good),
            (None, None, 0, Some("a"), over),
            (None, Some(600), 540, None, good),
            (None, Some(600), 541, None, due(59)),
            (None, Some(600), 600, None, over),
            (Some(3600), Some(600), 600, None, good),
            (Some(600), Some(3600), 600, None, over),
            (None, Some(u64::MAX), 1_000_000, None, good),
        ];
        for (lifetime, assumed, age, refused, expected) in table {
            let metadata = TokenMetadata {
                id: TokenId::new(ScopeKind::Shared, "x"),
                scope: Scope::Shared,
                connector_id: ConnectorId::new("c1").expect("a name"),
                token_type: TokenType::access_token(),
                expires_at: lifetime.map(|lifetime| written + seconds(lifetime)),
                refresh_token_expires_at: None,
                created_at: written,
                updated_at: written,
                version: VersionToken { seq_no: 1, primary_term: 1, generation: 1 },
            };
            let credentials = OAuthCredentials { access_token: Secret::text("a"), refresh_token: None };
            let (token, refused) = (ConnectorToken { metadata, credentials }, refused.map(Secret::text));
            let judged = judge(&token, refused.as_ref(), assumed.map(Duration::from_secs), written + seconds(age));
            assert_eq!(judged, expected, "{lifetime:?} {assumed:?} {age} {refused:?}");
        }
    }
}
