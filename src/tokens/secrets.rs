//! The stored form of credentials: the secrets of the two types of tokens.

use super::{Credentials, CredentialsChange, ScopeKind, credentials};
use crate::encryption::Secrets;
use crate::repository::SecretChange;
use crate::{Error, ErrorKind, Result};

const TOKEN: &str = "token";
const REFRESH_TOKEN: &str = "refreshToken";
const CREDENTIALS: &str = "credentials";

/// Returns the encrypted attributes of the tokens in a scope.
pub(super) fn names(kind: ScopeKind) -> &'static [&'static str] {
    match kind {
        ScopeKind::Shared => &[TOKEN, REFRESH_TOKEN],
        ScopeKind::PerUser => &[CREDENTIALS],
    }
}

/// Reads the credentials of a stored token. Shared tokens have [`Credentials::Token`], those of users
/// [`Credentials::Object`].
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) if a secret is missing.
pub(super) fn to_credentials(kind: ScopeKind, mut secrets: Secrets) -> Result<Credentials> {
    let mut take = |name: &str| secrets.remove(name).ok_or_else(|| missing(name));
    Ok(match kind {
        ScopeKind::Shared => Credentials::Token { token: take(TOKEN)?, refresh_token: take(REFRESH_TOKEN).ok() },
        ScopeKind::PerUser => Credentials::Object(take(CREDENTIALS)?),
    })
}

/// Returns the secrets of a token with these credentials, which are [`in_stored_form`].
pub(super) fn of_credentials(credentials: Credentials) -> Secrets {
    match credentials {
        Credentials::Token { token, refresh_token } => {
            let mut secrets = Secrets::from([(TOKEN.to_owned(), token)]);
            secrets.extend(refresh_token.map(|refresh_token| (REFRESH_TOKEN.to_owned(), refresh_token)));
            secrets
        }
        Credentials::Object(object) => Secrets::from([(CREDENTIALS.to_owned(), object)]),
    }
}

/// Checks a caller's credentials, and returns them in the form in which tokens of the scope store them.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if tokens of this scope cannot have such credentials.
pub(super) fn in_stored_form(kind: ScopeKind, credentials: Credentials) -> Result<Credentials> {
    match (kind, credentials) {
        (ScopeKind::PerUser, credentials) => credentials::to_object(credentials).map(Credentials::Object),
        (ScopeKind::Shared, Credentials::Token { token, refresh_token }) => {
            credentials::check_token("token", &token)?;
            refresh_token.iter().try_for_each(|token| credentials::check_token("refresh token", token))?;
            Ok(Credentials::Token { token, refresh_token })
        }
        (ScopeKind::Shared, Credentials::Object(_)) => Err(not_for_shared()),
    }
}

/// Refuses a change that cannot be made to tokens of the scope.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid).
pub(super) fn check_change(kind: ScopeKind, change: &CredentialsChange) -> Result<()> {
    match (kind, change) {
        (ScopeKind::Shared, CredentialsChange::Object(_)) => Err(not_for_shared()),
        _ => change.check(),
    }
}

/// Returns stored credentials after a change that was checked.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) if the stored credentials of a user are not an object.
pub(super) fn changed(stored: Credentials, change: &CredentialsChange) -> Result<Credentials> {
    match (stored, change) {
        (Credentials::Object(object), change) => credentials::change_object(&object, change).map(Credentials::Object),
        (Credentials::Token { refresh_token: stored, .. }, CredentialsChange::Token { token, refresh_token }) => {
            let refresh_token = match refresh_token {
                SecretChange::Keep => stored,
                SecretChange::Set(refresh_token) => Some(refresh_token.clone()),
                SecretChange::Remove => None,
            };
            Ok(Credentials::Token { token: token.clone(), refresh_token })
        }
        (Credentials::Token { .. }, CredentialsChange::Object(_)) => Err(not_for_shared()),
    }
}

fn missing(attribute: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the secret {attribute:?} of a stored token is missing")).with_hint(
        "store the token again with `create`; a migration with `--on-unreadable strip` may have removed the secret",
    )
}

fn not_for_shared() -> Error {
    Error::invalid(
        "the credentials of a shared token are given as an object",
        "give a token, or store the object for a user",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::encryption::Secret;

    #[test]
    fn a_shared_token_takes_no_object() {
        let object = Secret::json(&json!({"user": "kim"})).expect("not null");
        assert!(in_stored_form(ScopeKind::Shared, Credentials::Object(object.clone())).is_err());
        let change = CredentialsChange::Object(object);
        let error = check_change(ScopeKind::Shared, &change).expect_err("an object");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(check_change(ScopeKind::PerUser, &change).is_ok());
    }

    #[test]
    fn a_stripped_token_is_corrupt() {
        let refresh_token_only = Secrets::from([(REFRESH_TOKEN.to_owned(), Secret::text("r"))]);
        for (kind, secrets) in [(ScopeKind::Shared, refresh_token_only), (ScopeKind::PerUser, Secrets::new())] {
            assert_eq!(to_credentials(kind, secrets).expect_err("stripped").kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn the_refresh_token_of_a_shared_token_stays_unless_told() {
        let table = [
            (SecretChange::Keep, Some("r")),
            (SecretChange::Set(Secret::text("s")), Some("s")),
            (SecretChange::Remove, None),
        ];
        for (refresh_token, expected) in table {
            let stored = Credentials::Token { token: Secret::text("a"), refresh_token: Some(Secret::text("r")) };
            let change = CredentialsChange::Token { token: Secret::text("b"), refresh_token };
            let secrets = of_credentials(changed(stored, &change).expect("a token"));
            let read = to_credentials(ScopeKind::Shared, secrets).expect("complete");
            let expected = expected.map(Secret::text);
            assert_eq!(read, Credentials::Token { token: Secret::text("b"), refresh_token: expected });
        }
    }
}
