//! The error codes of providers (RFC 6749 5.2, RFC 7009 2.2.1, and those that providers add).

/// The error codes for a refresh token, a code or an assertion that the provider no longer accepts.
pub(super) const REVOKED_CODES: &[&str] = &[
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

/// The error codes for too many requests.
pub(super) const BUSY_CODES: &[&str] = &["rate_limit_exceeded", "rate_limited", "slow_down", "too_many_requests"];

/// The other error codes after which the same request may succeed later.
pub(super) const TRANSIENT_CODES: &[&str] = &["server_error", "temporarily_unavailable"];

/// The other error codes that messages repeat: those of the standards, and some of single providers. Any other text may
/// be a secret.
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

/// Returns the known code that equals `code`, if there is one.
pub(super) fn known_code(code: &str) -> Option<&'static str> {
    let mut known = REVOKED_CODES.iter().chain(BUSY_CODES).chain(TRANSIENT_CODES).chain(OTHER_CODES);
    known.find(|known| is_same(known, code)).copied()
}

/// Returns whether two codes have the same letters and digits, ignoring case. A text without any is not a code.
pub(super) fn is_same(code: &str, other: &str) -> bool {
    letters(code).next().is_some() && letters(code).eq(letters(other))
}

fn letters(code: &str) -> impl Iterator<Item = u8> {
    code.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase())
}
