//! What the answers of token and revocation endpoints mean (RFC 6749 5, RFC 7009 2.2).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::http::Answer;
use crate::encryption::Secret;
use crate::tokens::{Grant, ProviderError};

/// A lifetime beyond this is none that anybody means.
const LONGEST_LIFETIME_SECONDS: f64 = 100.0 * 366.0 * 86_400.0;

/// The error codes that are repeated in messages: those of the standards, and of providers that have their own. Others might
/// be anything, a secret too.
const KNOWN_CODES: &[&str] = &[
    "access_denied",
    "bad_refresh_token",
    "bad_verification_code",
    "consent_required",
    "incorrect_client_credentials",
    "interaction_required",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "invalid_token",
    "login_required",
    "redirect_uri_mismatch",
    "server_error",
    "slow_down",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
    "unsupported_token_type",
];

/// The code itself, if it is one that is known.
pub(super) fn known_code(code: &str) -> Option<&'static str> {
    KNOWN_CODES.iter().find(|known| **known == code).copied()
}

/// The members of an object. Their values are borrowed, so that no copy is left behind unwiped.
struct Members<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Members<'a> {
    fn of(text: &'a str) -> Option<Self> {
        // serde's own error quotes values.
        serde_json::from_str(text).ok().map(Self)
    }

    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied().filter(|value| value.get() != "null")
    }

    /// The member, if it is a text with something in it.
    fn text(&self, name: &str) -> Option<Zeroizing<String>> {
        let text = serde_json::from_str::<String>(self.get(name)?.get()).ok().map(Zeroizing::new)?;
        Some(text).filter(|text| !text.is_empty())
    }
}

/// The grant in an answer of a token endpoint. `path` leads to the access token.
///
/// # Errors
/// The kind of [`ProviderError`] that the answer is.
pub(super) fn grant(answer: &Answer, path: &[String]) -> Result<Grant, ProviderError> {
    let text = std::str::from_utf8(&answer.body).unwrap_or_default();
    let top = Members::of(text);
    let code = top.as_ref().and_then(|top| top.text("error"));
    // Some providers answer 200 when they refuse.
    if answer.status != 200 || code.is_some() {
        return Err(refusal(answer, code.as_ref().map(|code| code.as_str())));
    }
    let top = top.ok_or_else(|| refused("the answer is not a JSON object"))?;
    let no_token = || refused(&format!("the answer has no text at {}", path.join(".")));
    let (name, parents) = path.split_last().ok_or_else(no_token)?;
    let mut beside = None;
    for parent in parents {
        let within = beside.as_ref().unwrap_or(&top);
        let value = within.get(parent).ok_or_else(no_token)?;
        beside = Some(Members::of(value.get()).ok_or_else(no_token)?);
    }
    let beside = beside.as_ref().unwrap_or(&top);
    let text = |name: &str| beside.text(name).or_else(|| top.text(name));
    let lifetime = |name: &str| beside.get(name).or_else(|| top.get(name)).and_then(|value| lifetime(name, value));
    let access_token = beside.text(name).ok_or_else(no_token)?;
    let token_type = text("token_type").ok_or_else(|| refused("the answer has no token_type"))?;
    if !is_scheme(&token_type) || access_token.contains(char::is_control) {
        return Err(refused("the answer's token cannot be sent in a header"));
    }
    let mut header = Zeroizing::new(String::with_capacity(token_type.len() + 1 + access_token.len()));
    // `bearer` and `Bearer` are one scheme, and some services know only the latter.
    header.push_str(if token_type.eq_ignore_ascii_case("bearer") { "Bearer" } else { &token_type });
    header.push(' ');
    header.push_str(&access_token);
    Ok(Grant {
        access_token: Secret::text(&header),
        refresh_token: text("refresh_token").map(|refresh_token| Secret::text(&refresh_token)),
        expires_in: lifetime("expires_in"),
        refresh_token_expires_in: lifetime("refresh_expires_in").or_else(|| lifetime("refresh_token_expires_in")),
    })
}

/// Whether a revocation endpoint has done what it was asked for. A token that it does not know is as good as revoked.
///
/// # Errors
/// The kind of [`ProviderError`] that the answer is.
pub(super) fn revoked(answer: &Answer) -> Result<(), ProviderError> {
    if (200..300).contains(&answer.status) {
        return Ok(());
    }
    let text = std::str::from_utf8(&answer.body).unwrap_or_default();
    let code = Members::of(text).and_then(|top| top.text("error"));
    match code.as_ref().map(|code| code.as_str()) {
        Some("invalid_token" | "invalid_grant") => Ok(()),
        code => Err(refusal(answer, code)),
    }
}

fn refusal(answer: &Answer, code: Option<&str>) -> ProviderError {
    let status = answer.status;
    let again =
        answer.retry_after.map(|seconds| format!(" and wants to be left alone for {seconds} s")).unwrap_or_default();
    let words = match code {
        None => String::new(),
        Some(code) => format!(" ({})", known_code(code).unwrap_or("an error code that is not repeated here")),
    };
    match (status, code) {
        (_, Some("invalid_grant" | "bad_refresh_token" | "bad_verification_code")) => ProviderError::InvalidGrant,
        (_, Some("temporarily_unavailable" | "server_error" | "slow_down")) | (408 | 425 | 429 | 500..=599, _) => {
            ProviderError::Transient { reason: format!("it answers {status}{words}{again}") }
        }
        (300..=399, _) => refused(&format!("it answers {status}, and redirects are not followed")),
        _ => refused(&format!("it answers {status}{words}")),
    }
}

fn refused(reason: &str) -> ProviderError {
    ProviderError::Refused { reason: reason.to_owned() }
}

/// A lifetime in seconds, as a number or as its text. One that is neither is as good as not said: a grant is not thrown away
/// for it, and that the token is no longer good will be seen when its service refuses it.
fn lifetime(name: &str, value: &RawValue) -> Option<Duration> {
    let text = value.get().trim_matches('"');
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=LONGEST_LIFETIME_SECONDS).contains(&seconds) => Some(Duration::from_secs(seconds as u64)),
        _ => {
            tracing::warn!(member = name, "a provider said a lifetime that is none: it is taken as not known");
            None
        }
    }
}

/// Whether the text is a token of RFC 9110, as authentication schemes are.
fn is_scheme(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn answer(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, retry_after: None, body: Zeroizing::new(body.into()) }
    }

    fn granted(body: Value) -> Result<Grant, ProviderError> {
        grant(&answer(200, body.to_string()), &["access_token".to_owned()])
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
            (json!({"expires_in": 0}), Some(0)),
            (json!({"expires_in": 3600.0}), Some(3600)),
            (json!({"expires_in": "3600"}), Some(3600)),
            (json!({"expires_in": -1}), None),
            (json!({"expires_in": "soon"}), None),
            (json!({"expires_in": "NaN"}), None),
            (json!({"expires_in": [1]}), None),
            (json!({"expires_in": true}), None),
            (json!({"expires_in": 1e300}), None),
        ];
        for (body, expected) in table {
            assert_eq!(seconds(body.clone()), expected, "{body}");
        }
        let both = json!({"access_token": "a", "token_type": "bearer", "refresh_expires_in": 5, "refresh_token_expires_in": 6});
        assert_eq!(granted(both).expect("a grant").refresh_token_expires_in, Some(Duration::from_secs(5)));
    }

    #[test]
    fn a_token_may_lie_deeper() {
        let path: Vec<_> = ["authed_user", "access_token"].map(str::to_owned).into();
        let body = json!({"access_token": "not this", "token_type": "bot", "refresh_token": "top",
            "authed_user": {"access_token": "a", "token_type": "user"}});
        let grant = grant(&answer(200, body.to_string()), &path).expect("a grant");
        assert_eq!(grant.access_token, Secret::text("user a"));
        assert_eq!(grant.refresh_token, Some(Secret::text("top")));
        for body in [json!({}), json!({"authed_user": 1}), json!({"authed_user": {"access_token": 1}})] {
            assert!(super::grant(&answer(200, body.to_string()), &path).is_err(), "{body}");
        }
    }

    #[test]
    fn odd_answers_are_refused_without_their_words() {
        let table = [
            "",
            "hunter2",
            "\"hunter2\"",
            "<html>hunter2</html>",
            "[{\"access_token\": \"hunter2\"}]",
            "{\"access_token\": \"hunter2\"",
            "{\"access_token\": \"hunter2\"}",
            "{\"token_type\": \"hunter2\"}",
            "{\"access_token\": \"\", \"token_type\": \"hunter2\"}",
            "{\"access_token\": {\"hunter2\": 1}, \"token_type\": \"bearer\"}",
            "{\"access_token\": \"hunter2\\r\\nX: y\", \"token_type\": \"bearer\"}",
            "{\"access_token\": \"hunter2\", \"token_type\": \"bearer \\n\"}",
            "{\"error\": \"hunter2\", \"error_description\": \"hunter2\"}",
        ];
        for body in table {
            for status in [200, 201, 301, 400, 401, 418] {
                let error = grant(&answer(status, body), &["access_token".to_owned()]).expect_err(body);
                assert!(matches!(error, ProviderError::Refused { .. }), "{status} {body}: {error:?}");
                assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
            }
        }
        assert!(grant(&answer(200, vec![0xff, 0xfe]), &["access_token".to_owned()]).is_err());
    }

    #[test]
    fn refusals_say_what_can_be_done() {
        let invalid_grant =
            json!({"error": "invalid_grant", "error_description": "token hunter2 was used"}).to_string();
        for status in [200, 400, 401, 500] {
            let error =
                grant(&answer(status, invalid_grant.as_str()), &["access_token".to_owned()]).expect_err("refused");
            assert_eq!(error, ProviderError::InvalidGrant);
        }
        let transient = |answer: &Answer| match grant(answer, &["access_token".to_owned()]) {
            Err(ProviderError::Transient { reason }) => Some(reason),
            _ => None,
        };
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(
                transient(&answer(status, "hunter2")).is_some_and(|reason| !reason.contains("hunter2")),
                "{status}"
            );
        }
        let busy = Answer { retry_after: Some(7), ..answer(429, "{\"error\": \"slow_down\"}") };
        assert_eq!(transient(&busy).as_deref(), Some("it answers 429 (slow_down) and wants to be left alone for 7 s"));
        assert!(transient(&answer(400, "{\"error\": \"temporarily_unavailable\"}")).is_some());
        let client = grant(&answer(401, "{\"error\": \"invalid_client\"}"), &[]).expect_err("refused");
        assert_eq!(client, ProviderError::Refused { reason: "it answers 401 (invalid_client)".to_owned() });
    }

    #[test]
    fn what_a_provider_no_longer_knows_is_revoked() {
        for (status, body) in [(200, ""), (204, ""), (400, "{\"error\": \"invalid_token\"}")] {
            assert_eq!(revoked(&answer(status, body)), Ok(()));
        }
        assert!(matches!(revoked(&answer(503, "")), Err(ProviderError::Transient { .. })));
        assert!(matches!(revoked(&answer(400, "{\"error\": \"invalid_client\"}")), Err(ProviderError::Refused { .. })));
    }

    proptest! {
        #[test]
        fn no_answer_panics(status in 100_u16..600, body in proptest::collection::vec(any::<u8>(), 0..200), path in "[a-z.]{0,9}") {
            let path: Vec<_> = path.split('.').map(str::to_owned).collect();
            let _ = grant(&answer(status, body.clone()), &path);
            let _ = revoked(&answer(status, body));
        }
    }
}
