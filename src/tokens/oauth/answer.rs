//! What the answers of token and revocation endpoints mean (RFC 6749 5, RFC 7009 2.2). The standards say one form; what providers
//! send has many. A successful answer with a token in it is a grant, whatever else is odd about it: the code or the refresh token
//! that it was given for is used up.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::Provider;
use super::http::Answer;
use crate::encryption::Secret;
use crate::tokens::{Grant, ProviderError};

/// Longer lifetimes mean that the token does not expire.
const LONGEST_LIFETIME_SECONDS: f64 = 100.0 * 366.0 * 86_400.0;
/// How many levels of an answer are looked at. Those of known providers have three.
const DEPTH: usize = 8;
/// How long a provider is left alone that is asked too often, and does not say for how long it wants to be.
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

/// The authentication schemes of HTTP (the registry of RFC 9110 16.4.1, and `MAC`, the example of RFC 6749 7.1). Another word in
/// `token_type` says what kind of token it is, and not how it is sent.
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

/// The error codes that say that what was presented (a refresh token, a code, an assertion) is not good any more.
const REVOKED_CODES: &[&str] = &[
    "authorization_revoked",
    "bad_refresh_token",
    "bad_verification_code",
    "code_already_used",
    "code_expired",
    "expired_refresh_token",
    "expired_token",
    "grant_expired",
    "grant_revoked",
    "invalid_code",
    "invalid_grant",
    "invalid_refresh_token",
    "invalid_token",
    "refresh_token_already_used",
    "refresh_token_expired",
    "refresh_token_invalid",
    "refresh_token_not_found",
    "refresh_token_revoked",
    "revoked_refresh_token",
    "revoked_token",
    "session_expired",
    "session_not_found",
    "token_expired",
    "token_invalid",
    "token_not_found",
    "token_revoked",
    "unknown_refresh_token",
];

/// The error codes that say that the provider is asked too often.
const BUSY_CODES: &[&str] = &["rate_limit_exceeded", "rate_limited", "slow_down", "too_many_requests"];

/// The other error codes that say that the same request may succeed later.
const PASSING_CODES: &[&str] = &["server_error", "temporarily_unavailable"];

/// The other error codes that are repeated in messages: those of the standards, and of providers that have their own. Others
/// might be anything, a secret too.
const OTHER_CODES: &[&str] = &[
    "access_denied",
    "consent_required",
    "incorrect_client_credentials",
    "interaction_required",
    "invalid_client",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "login_required",
    "redirect_uri_mismatch",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
    "unsupported_token_type",
];

/// Returns the code itself, if it is one that is known.
pub(super) fn known_code(code: &str) -> Option<&'static str> {
    let mut known = REVOKED_CODES.iter().chain(BUSY_CODES).chain(PASSING_CODES).chain(OTHER_CODES);
    known.find(|known| is_same(known, code)).copied()
}

/// Returns whether two codes are the same but for capitals and what separates their words. One without letters is no code.
fn is_same(code: &str, other: &str) -> bool {
    letters(code).next().is_some() && letters(code).eq(letters(other))
}

fn letters(code: &str) -> impl Iterator<Item = u8> {
    code.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase())
}

/// What an answer says, as JSON.
struct Said<'a> {
    /// The answer, and what is in it, level by level.
    values: Vec<&'a RawValue>,
}

/// The members of an object. Their values are borrowed, so that no copy is left behind unwiped.
struct Members<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Members<'a> {
    fn of(value: &'a RawValue) -> Option<Self> {
        // serde's own error quotes values.
        value.get().starts_with('{').then(|| serde_json::from_str(value.get()).ok().map(Self))?
    }

    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied().filter(|value| value.get() != "null")
    }

    /// The first of these members that there is.
    fn first(&self, names: &[&str]) -> Option<&'a RawValue> {
        names.iter().find_map(|name| self.get(name))
    }

    /// The first of these members that is a text or a number, as text.
    fn text(&self, names: &[&str]) -> Option<Zeroizing<String>> {
        names.iter().find_map(|name| text_of(self.get(name)?))
    }

    /// The first of these members that can be sent in a header.
    fn token(&self, names: &[&str]) -> Option<Zeroizing<String>> {
        let is_sendable = |text: &Zeroizing<String>| !text.trim().is_empty() && !text.trim().contains(char::is_control);
        names.iter().find_map(|name| text_of(self.get(name)?).filter(is_sendable))
    }
}

impl<'a> Said<'a> {
    fn of(text: &'a str) -> Self {
        let mut values = Vec::new();
        let mut level: Vec<&RawValue> = serde_json::from_str(text).into_iter().collect();
        for _ in 0..DEPTH {
            let next = level.iter().flat_map(|value| inner(value)).collect();
            values.append(&mut level);
            level = next;
        }
        Self { values }
    }

    /// The objects, the outermost first.
    fn objects(&self) -> impl Iterator<Item = Members<'a>> {
        self.values.iter().filter_map(|value| Members::of(value))
    }

    /// The object to which these names lead.
    fn at(&self, path: &[String]) -> Option<Members<'a>> {
        let mut object = self.objects().next()?;
        for name in path {
            object = Members::of(object.get(name)?)?;
        }
        Some(object)
    }

    /// The first of what `read` makes of the texts and numbers that may be error codes. Providers tell them in `error`, `status`,
    /// `code`, or `message`, at the top, in an object, or in a list.
    fn find_code<T>(&self, mut read: impl FnMut(&str) -> Option<T>) -> Option<T> {
        const LONGEST: usize = 200;
        let short = self.values.iter().filter(|value| value.get().len() <= LONGEST);
        short.filter_map(|value| text_of(value)).find_map(|text| read(&text))
    }

    /// Whether one of these codes is told.
    fn has_code<C: AsRef<str>>(&self, codes: &[C]) -> bool {
        self.find_code(|told| codes.iter().any(|code| is_same(code.as_ref(), told)).then_some(())).is_some()
    }
}

/// The values in an object or a list.
fn inner(value: &RawValue) -> Vec<&RawValue> {
    match Members::of(value) {
        Some(members) => members.0.into_values().collect(),
        None if value.get().starts_with('[') => serde_json::from_str(value.get()).unwrap_or_default(),
        None => Vec::new(),
    }
}

/// A text with something in it, or the digits of a number.
fn text_of(value: &RawValue) -> Option<Zeroizing<String>> {
    let json = value.get();
    let text = match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok().map(Zeroizing::new)?,
        b'-' | b'0'..=b'9' => Zeroizing::new(json.to_owned()),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// The answer as JSON. Some providers answer with a form, whatever they are asked for.
fn json_of(answer: &Answer) -> Zeroizing<String> {
    let text = std::str::from_utf8(&answer.body).unwrap_or_default().trim_start_matches('\u{feff}').trim();
    let is_form = text.contains('=') && !text.starts_with(['{', '[', '"', '<']) && !text.contains(char::is_whitespace);
    if !is_form {
        return Zeroizing::new(text.to_owned());
    }
    // Room for the longest escapes: growing would leave a copy behind.
    let mut json = Zeroizing::new(String::with_capacity(6 * text.len() + 16));
    json.push('{');
    for (name, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(decoded(name).expose_json());
        json.push(':');
        json.push_str(decoded(value).expose_json());
    }
    json.push('}');
    json
}

/// A name or a value of a form.
fn decoded(part: &str) -> Secret {
    let spaced = Zeroizing::new(part.replace('+', " "));
    let text = Zeroizing::new(percent_decode_str(&spaced).decode_utf8_lossy().into_owned());
    Secret::text(&text)
}

/// The grant in an answer of a token endpoint. The access token is looked for at the provider's path, then under its name at the
/// top, then under its usual name anywhere; what goes with it, beside it, at the path, and at the top. If only a refresh token is
/// there, the access token of the grant is empty.
///
/// # Errors
/// The kind of [`ProviderError`] that the answer is.
pub(super) fn grant(answer: &Answer, provider: &Provider) -> Result<Grant, ProviderError> {
    let json = json_of(answer);
    let said = Said::of(&json);
    if !(200..300).contains(&answer.status) {
        return Err(refusal(answer, &said, provider));
    }
    let (name, parents) = match provider.access_token_path.split_last() {
        Some((name, parents)) => (name.as_str(), parents),
        None => ("access_token", &[][..]),
    };
    let (at_path, top) = (said.at(parents), said.at(&[]));
    let anywhere = said.objects().find(|object| object.token(ACCESS_TOKEN).is_some());
    let named = [name];
    let found = [(&at_path, &named[..]), (&top, &named[..]), (&anywhere, ACCESS_TOKEN)];
    let found = found.into_iter().find_map(|(object, names)| {
        let object = object.as_ref()?;
        Some((object.token(names)?, object))
    });
    let beside = found.as_ref().map(|(_, object)| *object);
    let places = || [beside, at_path.as_ref(), top.as_ref()].into_iter().flatten();
    let text = |names: &[&str]| places().find_map(|place| place.text(names));
    let lifetime = |names: &[&str]| places().find_map(|place| place.first(names)).and_then(lifetime);
    let refresh_token = text(REFRESH_TOKEN);
    let access_token = match &found {
        Some((access_token, _)) => header(provider, text(TOKEN_TYPE).as_ref().map(|text| text.as_str()), access_token),
        // What was presented is used up, and this came in its place.
        None if refresh_token.is_some() && text(&["error"]).is_none() => Secret::text(""),
        None => return Err(refusal(answer, &said, provider)),
    };
    Ok(Grant {
        access_token,
        refresh_token: refresh_token.map(|refresh_token| Secret::text(&refresh_token)),
        expires_in: lifetime(EXPIRES_IN),
        refresh_token_expires_in: lifetime(REFRESH_EXPIRES_IN),
    })
}

/// The value of the header that sends an access token.
fn header(provider: &Provider, token_type: Option<&str>, access_token: &str) -> Secret {
    let known =
        |token_type: &str| SCHEMES.iter().find(|scheme| scheme.eq_ignore_ascii_case(token_type.trim())).copied();
    let configured = provider.authorization_scheme.as_deref();
    let scheme = configured.or_else(|| token_type.and_then(known)).unwrap_or("Bearer");
    let token = access_token.trim();
    let token = match token.split_once(' ') {
        // Some providers give the whole value.
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

/// Whether a revocation endpoint has done what it was asked for. A token that it does not know is as good as revoked.
///
/// # Errors
/// The kind of [`ProviderError`] that the answer is.
pub(super) fn revoked(answer: &Answer, provider: &Provider) -> Result<(), ProviderError> {
    if (200..300).contains(&answer.status) {
        return Ok(());
    }
    match refusal(answer, &Said::of(&json_of(answer)), provider) {
        ProviderError::InvalidGrant => Ok(()),
        refusal => Err(refusal),
    }
}

/// Why there is no grant in an answer.
fn refusal(answer: &Answer, said: &Said<'_>, provider: &Provider) -> ProviderError {
    let Answer { status, retry_after, .. } = *answer;
    if said.has_code(REVOKED_CODES) || said.has_code(&provider.revoked_codes) {
        return ProviderError::InvalidGrant;
    }
    let is_success = (200..300).contains(&status);
    let has_error = said.at(&[]).is_some_and(|top| top.get("error").is_some());
    let words = match said.find_code(known_code) {
        Some(code) => format!(" ({code})"),
        None if has_error => " (an error code that is not repeated here)".to_owned(),
        None => String::new(),
    };
    let is_busy = status == 429 || said.has_code(BUSY_CODES);
    let is_passing = is_busy
        || matches!(status, 408 | 425 | 500..=599)
        || (matches!(status, 400..=499) && retry_after.is_some())
        || said.has_code(PASSING_CODES);
    if is_passing {
        let again = retry_after.map(|pause| format!(" and wants to be left alone for {} s", pause.as_secs()));
        let reason = format!("it answers {status}{words}{}", again.unwrap_or_default());
        return ProviderError::Transient { reason, retry_after: retry_after.or(is_busy.then_some(SHORT_PAUSE)) };
    }
    match status {
        300..=399 => refused(&format!("it answers {status}, and redirects are not followed")),
        _ if is_success && said.values.is_empty() => refused("the answer is not a JSON object"),
        _ if is_success && words.is_empty() => {
            refused(&format!("the answer has no token at {}", provider.access_token_path.join(".")))
        }
        _ => refused(&format!("it answers {status}{words}")),
    }
}

fn refused(reason: &str) -> ProviderError {
    ProviderError::Refused { reason: reason.to_owned() }
}

/// A lifetime in seconds, as a number or as its text. Zero, and what is no lifetime, are as good as not said: a grant is not thrown
/// away for it, and that the token is no longer good will be seen when its service refuses it.
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

/// Whether the text is a token of RFC 9110, as authentication schemes are.
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

    /// The access token and the refresh token.
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
        let both = json!({"access_token": "a", "token_type": "bearer", "refresh_expires_in": 5, "refresh_token_expires_in": 6});
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
        // What was presented is used up, so what came in its place is kept.
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
            assert_eq!(transient(&busy), said(&format!("{words} and wants to be left alone for 7 s"), Some(7)));
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
        // A token is no code, whatever it reads.
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
        fn no_answer_panics(status in 100_u16..600, body in proptest::collection::vec(any::<u8>(), 0..200), path in "[a-z.]{0,9}") {
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
