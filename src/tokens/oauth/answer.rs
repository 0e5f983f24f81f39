//! The meaning of the answers of token and revocation endpoints (RFC 6749 5, RFC 7009 2.2); pure. The standards define
//! one form; providers send many. A successful answer with a token is a grant, whatever else is odd about it, since the
//! code or the refresh token of the request is used up.

use std::time::Duration;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::Provider;
use super::body::{Body, json_of, text_of};
use super::codes::{BUSY_CODES, REVOKED_CODES, TRANSIENT_CODES, known_code};
use super::http::Answer;
use crate::encryption::Secret;
use crate::tokens::{Grant, ProviderError};

/// The longest lifetime. A longer one counts as this.
const LONGEST_LIFETIME_SECONDS: f64 = 100.0 * 366.0 * 86_400.0;
/// The pause after too many requests, for a provider that does not state one.
const SHORT_PAUSE: Duration = Duration::from_secs(5);

const ACCESS_TOKEN: &[&str] = &["access_token", "accessToken"];
const REFRESH_TOKEN: &[&str] = &["refresh_token", "refreshToken"];
const TOKEN_TYPE: &[&str] = &["token_type", "tokenType"];
const EXPIRES_IN: &[&str] = &["expires_in", "expiresIn", "expireIn"];
const REFRESH_EXPIRES_IN: &[&str] = &[
    "refresh_expires_in",
    "refresh_token_expires_in",
    "x_refresh_token_expires_in",
    "refreshExpiresIn",
    "refreshTokenExpiresIn",
];

/// The authentication schemes of HTTP (the registry of RFC 9110 16.4.1, and `MAC`, the example of RFC 6749 7.1). Any
/// other word in `token_type` describes the kind of token, not how it is sent.
const SCHEMES: &[&str] = &[
    "Bearer",
    "Basic",
    "Concealed",
    "Digest",
    "DPoP",
    "GNAP",
    "HOBA",
    "MAC",
    "Mutual",
    "Negotiate",
    "OAuth",
    "PrivateToken",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "vapid",
];

/// Returns the grant in an answer of a token endpoint. The access token is searched at the provider's path, then under
/// its name at the top, then under its usual name anywhere. The other members are searched next to it, then at the
/// path, then at the top. If the answer has a refresh token only, the access token of the grant is empty.
///
/// # Errors
/// The [`ProviderError`] that the answer stands for.
pub(super) fn grant(answer: &Answer, provider: &Provider) -> Result<Grant, ProviderError> {
    let json = json_of(answer);
    let body = Body::of(&json);
    if !(200..300).contains(&answer.status) {
        return Err(refusal(answer, &body, provider));
    }
    let (name, parents) = match provider.access_token_path.split_last() {
        Some((name, parents)) => (name.as_str(), parents),
        None => ("access_token", &[][..]),
    };
    let (at_path, top) = (body.at(parents), body.at(&[]));
    let anywhere = body.objects().find(|object| object.token(ACCESS_TOKEN).is_some());
    let named = [name];
    let found = [(&at_path, &named[..]), (&top, &named[..]), (&anywhere, ACCESS_TOKEN)];
    let found = found.into_iter().find_map(|(object, names)| {
        let object = object.as_ref()?;
        Some((object.token(names)?, object))
    });
    let around = found.as_ref().map(|(_, object)| *object);
    let objects = || [around, at_path.as_ref(), top.as_ref()].into_iter().flatten();
    let text = |names: &[&str]| objects().find_map(|object| object.text(names));
    let lifetime = |names: &[&str]| objects().find_map(|object| object.first(names)).and_then(lifetime);
    let refresh_token = text(REFRESH_TOKEN);
    let access_token = match &found {
        Some((access_token, _)) => header(provider, text(TOKEN_TYPE).as_ref().map(|text| text.as_str()), access_token),
        // The presented refresh token is used up, and this one replaces it.
        None if refresh_token.is_some() && text(&["error"]).is_none() => Secret::text(""),
        None => return Err(refusal(answer, &body, provider)),
    };
    Ok(Grant {
        access_token,
        refresh_token: refresh_token.map(|refresh_token| Secret::text(&refresh_token)),
        expires_in: lifetime(EXPIRES_IN),
        refresh_token_expires_in: lifetime(REFRESH_EXPIRES_IN),
    })
}

/// Returns the value of the header that sends an access token.
fn header(provider: &Provider, token_type: Option<&str>, access_token: &str) -> Secret {
    let known =
        |token_type: &str| SCHEMES.iter().find(|scheme| scheme.eq_ignore_ascii_case(token_type.trim())).copied();
    let configured = provider.authorization_scheme.as_deref();
    let scheme = configured.or_else(|| token_type.and_then(known)).unwrap_or("Bearer");
    let token = access_token.trim();
    let token = match token.split_once(' ') {
        // Some providers return the whole value.
        Some((first, rest)) if first.eq_ignore_ascii_case(scheme) => rest.trim_start(),
        _ => token,
    };
    let mut header = Zeroizing::new(String::with_capacity(scheme.len() + 1 + token.len()));
    if !scheme.is_empty() {
        header.push_str(scheme);
        header.push(' ');
    }
    header.push_str(token);
    Secret::text(&header)
}

/// Checks that a revocation endpoint revoked the token. A token that it does not know counts as revoked.
///
/// # Errors
/// The [`ProviderError`] that the answer stands for.
pub(super) fn revoked(answer: &Answer, provider: &Provider) -> Result<(), ProviderError> {
    if (200..300).contains(&answer.status) {
        return Ok(());
    }
    match refusal(answer, &Body::of(&json_of(answer)), provider) {
        ProviderError::InvalidGrant => Ok(()),
        refusal => Err(refusal),
    }
}

/// Returns the error that an answer without a grant stands for.
fn refusal(answer: &Answer, body: &Body<'_>, provider: &Provider) -> ProviderError {
    let Answer { status, retry_after, .. } = *answer;
    if body.has_code(REVOKED_CODES) || body.has_code(&provider.revoked_codes) {
        return ProviderError::InvalidGrant;
    }
    let is_success = (200..300).contains(&status);
    let has_error = body.at(&[]).is_some_and(|top| top.get("error").is_some());
    let code = match body.find_code(known_code) {
        Some(known) => format!(" ({known})"),
        None if has_error => " (an error code that is not repeated here)".to_owned(),
        None => String::new(),
    };
    let is_busy = status == 429 || body.has_code(BUSY_CODES);
    let is_transient = is_busy
        || matches!(status, 408 | 425 | 500..=599)
        || (matches!(status, 400..=499) && retry_after.is_some())
        || body.has_code(TRANSIENT_CODES);
    if is_transient {
        let again = retry_after.map(|pause| format!(" and asks for a pause of {} s", pause.as_secs()));
        let reason = format!("it answers {status}{code}{}", again.unwrap_or_default());
        return ProviderError::Transient { reason, retry_after: retry_after.or(is_busy.then_some(SHORT_PAUSE)) };
    }
    match status {
        300..=399 => refused(&format!("it answers {status}, and redirects are not followed")),
        _ if is_success && body.is_empty() => refused("the answer is not a JSON object"),
        _ if is_success && code.is_empty() => {
            refused(&format!("the answer has no token at {}", provider.access_token_path.join(".")))
        }
        _ => refused(&format!("it answers {status}{code}")),
    }
}

fn refused(reason: &str) -> ProviderError {
    ProviderError::Refused { reason: reason.to_owned() }
}

/// Returns a lifetime that is given in seconds, as a number or as text. Zero and malformed values count as unknown, so
/// that the grant is not lost: once the token has expired, its service refuses it.
fn lifetime(value: &RawValue) -> Option<Duration> {
    match text_of(value).and_then(|text| text.trim().parse::<f64>().ok()) {
        Some(seconds) if seconds >= 0.0 => Some(Duration::from_secs(seconds.min(LONGEST_LIFETIME_SECONDS) as u64))
            .filter(|lifetime| !lifetime.is_zero()),
        _ => {
            tracing::warn!("a provider said a lifetime that is none: it is taken as not known");
            None
        }
    }
}

/// Returns whether the text is a token of RFC 9110, as authentication schemes are.
pub(super) fn is_scheme(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::tokens::oauth::Endpoint;

    fn answer(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, retry_after: None, body: Zeroizing::new(body.into()) }
    }

    fn provider() -> Provider {
        Provider::new(Endpoint::new("https://provider.example/token").expect("an endpoint"), "c")
    }

    fn granted(body: Value) -> Result<Grant, ProviderError> {
        grant(&answer(200, body.to_string()), &provider())
    }

    /// Returns the access token and the refresh token.
    fn tokens(grant: Result<Grant, ProviderError>) -> (Secret, Option<Secret>) {
        grant.map(|grant| (grant.access_token, grant.refresh_token)).expect("a grant")
    }

    fn seconds(body: Value) -> Option<u64> {
        let mut whole = json!({"access_token": "a", "token_type": "bearer"});
        whole.as_object_mut().expect("an object").extend(body.as_object().cloned().expect("an object"));
        granted(whole).expect("a grant").expires_in.map(|lifetime| lifetime.as_secs())
    }

    #[test]
    fn a_grant_is_the_value_of_the_header_and_what_goes_with_it() {
        let body = json!({"access_token": "a", "token_type": "bearer", "expires_in": 3600, "refresh_token": "r",
            "refresh_token_expires_in": "7200", "scope": "x", "id_token": {"not": "looked at"}});
        let grant = granted(body).expect("a grant");
        assert_eq!(grant.access_token, Secret::text("Bearer a"));
        assert_eq!(grant.refresh_token, Some(Secret::text("r")));
        assert_eq!(grant.expires_in, Some(Duration::from_secs(3600)));
        assert_eq!(grant.refresh_token_expires_in, Some(Duration::from_secs(7200)));
        let other = granted(json!({"access_token": "a", "token_type": "MAC", "refresh_token": null})).expect("a grant");
        assert_eq!((other.access_token, other.refresh_token), (Secret::text("MAC a"), None));
    }

    #[test]
    fn lifetimes_are_numbers_however_they_are_written() {
        let table = [
            (json!({}), None),
            (json!({"expires_in": null}), None),
            (json!({"expires_in": 0}), None),
            (json!({"expires_in": "0"}), None),
            (json!({"expires_in": 0.4}), None),
            (json!({"expires_in": 3600.0}), Some(3600)),
            (json!({"expires_in": "3600"}), Some(3600)),
            (json!({"expires_in": " 3600 "}), Some(3600)),
            (json!({"expiresIn": 60}), Some(60)),
            (json!({"expireIn": 60}), Some(60)),
            (json!({"expires_in": -1}), None),
            (json!({"expires_in": "soon"}), None),
            (json!({"expires_in": "NaN"}), None),
            (json!({"expires_in": [1]}), None),
            (json!({"expires_in": true}), None),
            (json!({"expires_in": 1e300}), Some(3_162_240_000)),
            (json!({"expires_in": "99999999999999999999999"}), Some(3_162_240_000)),
        ];
        for (body, expected) in table {
            assert_eq!(seconds(body.clone()), expected, "{body}");
        }
        let both = json!({"access_token": "a", "refresh_expires_in": 5, "refresh_token_expires_in": 6});
        assert_eq!(granted(both).expect("a grant").refresh_token_expires_in, Some(Duration::from_secs(5)));
    }

    #[test]
    fn a_token_may_lie_deeper() {
        let provider = provider().access_token_path("authed_user.access_token");
        let given = |body: Value| tokens(grant(&answer(200, body.to_string()), &provider));
        let (a, r) = (|| Secret::text("Bearer a"), || Some(Secret::text("r")));
        let table = [
            (json!({"access_token": "not this", "refresh_token": "r", "authed_user": {"access_token": "a"}}), r()),
            (json!({"refresh_token": "not this", "authed_user": {"access_token": "a", "refresh_token": "r"}}), r()),
            (json!({"access_token": "a", "refresh_token": "r"}), r()),
            (json!({"access_token": "a", "authed_user": {"refresh_token": "r"}}), r()),
            (json!({"accessToken": "a", "authed_user": 1}), None),
            (json!({"data": {"accessToken": "a", "refreshToken": "r"}}), r()),
            (json!({"data": [{"more": {"access_token": "a"}}], "refresh_token": "r"}), r()),
            (json!([{"access_token": "a", "refresh_token": "r"}]), r()),
        ];
        for (body, refresh_token) in table {
            assert_eq!(given(body.clone()), (a(), refresh_token), "{body}");
        }
        for body in [json!({}), json!({"authed_user": 1}), json!({"authed_user": {"access_token": {"a": 1}}})] {
            assert!(grant(&answer(200, body.to_string()), &provider).is_err(), "{body}");
        }
        let deep = format!("{}{{\"access_token\": \"a\"}}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(grant(&answer(200, deep), &provider).is_err());
    }

    #[test]
    fn a_token_is_sent_by_the_scheme_of_its_type() {
        let table = [
            (json!({}), "Bearer a"),
            (json!({"token_type": null}), "Bearer a"),
            (json!({"token_type": ""}), "Bearer a"),
            (json!({"token_type": "BEARER"}), "Bearer a"),
            (json!({"token_type": "bearer "}), "Bearer a"),
            (json!({"tokenType": "dpop"}), "DPoP a"),
            (json!({"token_type": "mac"}), "MAC a"),
            (json!({"token_type": "bot"}), "Bearer a"),
            (json!({"token_type": "urn:ietf:params:oauth:token-type:access_token"}), "Bearer a"),
            (json!({"token_type": 7}), "Bearer a"),
            (json!({"token_type": ["bearer"]}), "Bearer a"),
            (json!({"access_token": "Bearer a"}), "Bearer a"),
            (json!({"access_token": " a\n"}), "Bearer a"),
            (json!({"access_token": 7}), "Bearer 7"),
        ];
        for (body, expected) in table {
            let mut whole = json!({"access_token": "a"});
            whole.as_object_mut().expect("an object").extend(body.as_object().cloned().expect("an object"));
            assert_eq!(granted(whole).expect("a grant").access_token, Secret::text(expected), "{body}");
        }
        for (scheme, expected) in [("Zoho-oauthtoken", "Zoho-oauthtoken a"), ("", "a")] {
            let provider = provider().authorization_scheme(scheme);
            let answer = answer(200, "{\"access_token\": \"a\", \"token_type\": \"bearer\"}");
            assert_eq!(tokens(grant(&answer, &provider)), (Secret::text(expected), None));
        }
    }

    #[test]
    fn any_success_with_a_token_is_a_grant() {
        let bodies = [
            "{\"access_token\": \"a+b\", \"refresh_token\": \"r\"}",
            "\u{feff}{\"access_token\": \"a+b\", \"refresh_token\": \"r\"}",
            "{\"access_token\": \"a+b\", \"refresh_token\": \"r\", \"error\": \"\", \"error_description\": null}",
            "{\"access_token\": \"a+b\", \"refresh_token\": \"r\", \"error\": \"none\"}",
            "access_token=a%2Bb&refresh_token=r&scope=&token_type=bearer",
        ];
        for (status, body) in [200, 201, 202, 203, 226].into_iter().flat_map(|status| bodies.map(|body| (status, body)))
        {
            let expected = (Secret::text("Bearer a+b"), Some(Secret::text("r")));
            assert_eq!(tokens(grant(&answer(status, body), &provider())), expected, "{status} {body}");
        }
        // The presented token is used up, so its replacement is kept.
        for body in ["{\"refresh_token\": \"r\"}", "{\"refresh_token\": \"r\", \"access_token\": \"a\\r\\nX: y\"}"] {
            let expected = (Secret::text(""), Some(Secret::text("r")));
            assert_eq!(tokens(grant(&answer(200, body), &provider())), expected, "{body}");
        }
    }

    #[test]
    fn odd_answers_are_refused_without_their_words() {
        let table = [
            "",
            "hunter2",
            "\"hunter2\"",
            "<html>hunter2</html>",
            "[\"hunter2\"]",
            "{\"access_token\": \"hunter2\"",
            "<a href=\"?access_token=hunter2\">",
            "access_token=&error=hunter2",
            "{\"token_type\": \"hunter2\"}",
            "{\"access_token\": \"\", \"token_type\": \"hunter2\"}",
            "{\"access_token\": {\"hunter2\": 1}, \"token_type\": \"bearer\"}",
            "{\"access_token\": \"hunter2\\r\\nX: y\", \"token_type\": \"bearer\"}",
            "{\"error\": \"hunter2\", \"error_description\": \"hunter2\"}",
        ];
        for body in table {
            for status in [200, 201, 301, 400, 401, 418] {
                let error = grant(&answer(status, body), &provider()).expect_err(body);
                assert!(matches!(error, ProviderError::Refused { .. }), "{status} {body}: {error:?}");
                assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
            }
        }
        assert!(grant(&answer(200, vec![0xff, 0xfe]), &provider()).is_err());
    }

    #[test]
    fn refusals_say_what_can_be_done() {
        let refused = |answer: &Answer| grant(answer, &provider()).expect_err("refused");
        let transient = |answer: &Answer| match refused(answer) {
            ProviderError::Transient { reason, retry_after } => {
                assert!(!reason.contains("hunter2"), "{reason}");
                Some((reason, retry_after.map(|pause| pause.as_secs())))
            }
            _ => None,
        };
        let said = |reason: &str, pause| Some((reason.to_owned(), pause));
        for status in [408, 500, 502, 503, 504] {
            assert_eq!(transient(&answer(status, "hunter2")), said(&format!("it answers {status}"), None));
        }
        assert_eq!(transient(&answer(429, "hunter2")), said("it answers 429", Some(5)));
        for (status, body, words) in [
            (429, "{\"error\": \"slow_down\"}", "it answers 429 (slow_down)"),
            (503, "{\"error\": \"hunter2\"}", "it answers 503 (an error code that is not repeated here)"),
            (403, "", "it answers 403"),
        ] {
            let busy = Answer { retry_after: Some(Duration::from_secs(7)), ..answer(status, body) };
            assert_eq!(transient(&busy), said(&format!("{words} and asks for a pause of 7 s"), Some(7)));
        }
        assert!(transient(&answer(400, "{\"error\": \"temporarily_unavailable\"}")).is_some());
        let client = refused(&answer(401, "{\"error\": \"invalid_client\"}"));
        assert_eq!(client, ProviderError::Refused { reason: "it answers 401 (invalid_client)".to_owned() });
    }

    #[test]
    fn what_is_revoked_is_told_in_many_ways() {
        let bodies = [
            json!({"error": "invalid_grant", "error_description": "token hunter2 was used"}),
            json!({"error": "INVALID_GRANT"}),
            json!({"error": "invalid_refresh_token"}),
            json!({"ok": false, "error": "token_revoked"}),
            json!({"status": "BAD_REFRESH_TOKEN", "message": "missing or unknown refresh token hunter2"}),
            json!({"error": {"code": "invalid_grant", "message": "hunter2"}}),
            json!({"error": {"type": "OAuthException", "code": 190, "message": "hunter2"}}),
            json!({"errors": [{"code": "refresh-token-expired", "detail": "hunter2"}]}),
            json!({"code": 400, "error_code": "refresh_token_not_found", "msg": "hunter2"}),
            json!({"status": 400, "message": "Invalid refresh token"}),
            json!({"fault": {"detail": {"errorcode": "TokenExpired"}}}),
            json!({"error": "invalid_request", "error_description": "Value passed for the token was invalid."}),
        ];
        let provider = provider().revoked_codes(["190", "value passed for the token was invalid"]);
        for (status, body) in
            [200, 400, 401, 403, 500].into_iter().flat_map(|status| bodies.iter().map(move |body| (status, body)))
        {
            let error = grant(&answer(status, body.to_string()), &provider).expect_err("refused");
            assert_eq!(error, ProviderError::InvalidGrant, "{status} {body}");
            assert_eq!(revoked(&answer(status, body.to_string()), &provider), Ok(()), "{status} {body}");
        }
        // A token is not a code, whatever its text.
        assert!(granted(json!({"access_token": "invalid_grant"})).is_ok());
        for body in [json!({"error": {"code": 190}}), json!({"error": "invalid_grants"}), json!({"error": "-"})] {
            let error = grant(&answer(400, body.to_string()), &self::provider()).expect_err("refused");
            assert!(matches!(error, ProviderError::Refused { .. }), "{body}: {error:?}");
        }
    }

    #[test]
    fn what_a_provider_no_longer_knows_is_revoked() {
        let revoked = |status, body: &str| revoked(&answer(status, body), &provider());
        for (status, body) in [(200, ""), (204, ""), (400, "{\"error\": \"invalid_token\"}")] {
            assert_eq!(revoked(status, body), Ok(()));
        }
        assert!(matches!(revoked(503, ""), Err(ProviderError::Transient { .. })));
        assert!(matches!(revoked(400, "{\"error\": \"invalid_client\"}"), Err(ProviderError::Refused { .. })));
    }

    proptest! {
        #[test]
        fn no_answer_panics(
            status in 100_u16..600,
            body in proptest::collection::vec(any::<u8>(), 0..200),
            path in "[a-z.]{0,9}",
        ) {
            let provider = provider().access_token_path(&path).revoked_codes([path]);
            let _ = grant(&answer(status, body.clone()), &provider);
            let _ = revoked(&answer(status, body), &provider);
        }

        #[test]
        fn no_form_panics(body in "[a-z_]{0,9}(=[%+&a-zA-Z0-9=\\\\\"é]{0,40})?") {
            let _ = grant(&answer(200, body), &provider());
        }
    }
}
