//! Whether a stored token is good enough to be given out; pure.

use jiff::{SignedDuration, Timestamp};

use crate::encryption::Secret;
use crate::tokens::{ConnectorToken, OAuthCredentials};

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

/// Judges `token` at `now`. `refused` is one that its service did not accept, whatever its expiry says.
pub(super) fn judge(token: &ConnectorToken<OAuthCredentials>, refused: Option<&Secret>, now: Timestamp) -> Judgement {
    if refused == Some(&token.credentials.access_token) {
        return Judgement::Over;
    }
    let Some(expires_at) = token.metadata.expires_at else { return Judgement::Good };
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
            (None, 1_000_000, None, good),
            (Some(3600), 0, None, good),
            (Some(3600), 3540, None, good),
            (Some(3600), 3541, None, due(59)),
            (Some(3600), 3600, None, over),
            (Some(40), 30, None, good),
            (Some(40), 31, None, due(9)),
            (Some(0), 0, None, over),
            (Some(3600), 0, Some("a"), over),
            (Some(3600), 0, Some("b"), good),
            (None, 0, Some("a"), over),
        ];
        for (lifetime, age, refused, expected) in table {
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
            let judged = judge(&token, refused.as_ref(), written + seconds(age));
            assert_eq!(judged, expected, "{lifetime:?} {age} {refused:?}");
        }
    }
}
