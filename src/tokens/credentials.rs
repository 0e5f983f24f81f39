//! The credentials of tokens, and changes of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::encryption::Secret;
use crate::repository::SecretChange;
use crate::{Error, ErrorKind, Result};

const ACCESS_TOKEN: &str = "accessToken";
const REFRESH_TOKEN: &str = "refreshToken";

/// The secrets of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A token and, if the provider gave one, its refresh token. Every shared token has this form.
    ///
    /// For a user it is stored as the object `{"accessToken": …, "refreshToken": …}`.
    Token {
        /// The token as it is sent to the connector's service: for a header, its whole value, `Bearer …`.
        token: Secret,
        /// The token in exchange for which the provider grants a new one.
        refresh_token: Option<Secret>,
    },
    /// A JSON object with at least one key. The token's type defines its form. Every user's token has this form.
    Object(Secret),
}

/// A change of a token's credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialsChange {
    /// Another token. The other keys of a user's credentials stay.
    Token {
        /// The new token.
        token: Secret,
        /// The change of the refresh token.
        refresh_token: SecretChange,
    },
    /// Other credentials of a user, which replace all stored ones.
    Object(Secret),
}

/// OAuth credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthCredentials {
    /// The access token, not empty.
    pub access_token: Secret,
    /// The refresh token, if the provider gave one.
    pub refresh_token: Option<Secret>,
}

impl Credentials {
    /// Returns the OAuth credentials; `None` if they have another form. Keys that OAuth does not know are left out.
    pub(super) fn to_oauth(&self) -> Option<OAuthCredentials> {
        let (access_token, refresh_token) = match self {
            Self::Token { token, refresh_token } => (token.clone(), refresh_token.clone()),
            Self::Object(object) => {
                let members = Members::of(object).ok()?;
                (members.get(ACCESS_TOKEN)?, members.get(REFRESH_TOKEN))
            }
        };
        let is_text = |secret: &Secret| secret.expose_text().is_ok();
        let is_oauth = check_token("access token", &access_token).is_ok() && refresh_token.iter().all(is_text);
        is_oauth.then_some(OAuthCredentials { access_token, refresh_token })
    }
}

impl CredentialsChange {
    /// Refuses a change that is invalid for any stored credentials.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Token { token, refresh_token } => {
                check_token("token", token)?;
                match refresh_token {
                    SecretChange::Set(refresh_token) => check_token("refresh token", refresh_token),
                    SecretChange::Keep | SecretChange::Remove => Ok(()),
                }
            }
            Self::Object(object) => check_object(object),
        }
    }

    /// Returns whether the refresh token stays unchanged.
    pub(super) fn keeps_refresh_token(&self) -> bool {
        matches!(self, Self::Token { refresh_token: SecretChange::Keep, .. })
    }
}

/// Returns credentials as one JSON object.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if they are empty or malformed.
pub(super) fn to_object(credentials: Credentials) -> Result<Secret> {
    match credentials {
        Credentials::Object(object) => {
            check_object(&object)?;
            Ok(object)
        }
        Credentials::Token { token, refresh_token } => {
            check_token("token", &token)?;
            let mut members = Members::default();
            members.set(ACCESS_TOKEN, &token)?;
            if let Some(refresh_token) = &refresh_token {
                check_token("refresh token", refresh_token)?;
                members.set(REFRESH_TOKEN, refresh_token)?;
            }
            Secret::json(&members.0)
        }
    }
}

/// Returns the object `credentials` after `change`.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) if `credentials` are not an object.
pub(super) fn change_object(credentials: &Secret, change: &CredentialsChange) -> Result<Secret> {
    let (token, refresh_token) = match change {
        CredentialsChange::Object(object) => return Ok(object.clone()),
        CredentialsChange::Token { token, refresh_token } => (token, refresh_token),
    };
    let mut members = Members::of(credentials)?;
    members.set(ACCESS_TOKEN, token)?;
    match refresh_token {
        SecretChange::Keep => {}
        SecretChange::Set(refresh_token) => members.set(REFRESH_TOKEN, refresh_token)?,
        SecretChange::Remove => drop(members.0.remove(REFRESH_TOKEN)),
    }
    Secret::json(&members.0)
}

/// Refuses a secret that is not a text, or empty.
pub(super) fn check_token(what: &str, secret: &Secret) -> Result<()> {
    match secret.expose_text() {
        Ok(text) if !text.is_empty() => Ok(()),
        Ok(_) => Err(Error::invalid(format!("the {what} is empty"), format!("give the {what}"))),
        Err(_) => Err(Error::invalid(format!("the {what} is not a text"), "create the secret with `Secret::text`")),
    }
}

/// Refuses a secret that is not a JSON object, or empty.
fn check_object(secret: &Secret) -> Result<()> {
    match Members::of(secret) {
        Ok(members) if !members.0.is_empty() => Ok(()),
        _ => Err(Error::invalid(
            "the credentials are not a JSON object with at least one key",
            "give a token, or an object made with `Secret::json`",
        )),
    }
}

/// The members of a secret object. Their values are borrowed, so that no unwiped copy remains in memory.
#[derive(Default)]
struct Members<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Members<'a> {
    fn of(object: &'a Secret) -> Result<Self> {
        // The error of serde quotes the value.
        serde_json::from_str(object.expose_json()).map(Self).map_err(|_| {
            Error::new(ErrorKind::Corrupt, "the stored credentials are not a JSON object")
                .with_hint("store them again with `create`")
        })
    }

    fn get(&self, name: &str) -> Option<Secret> {
        Secret::json(*self.0.get(name)?).ok()
    }

    fn set(&mut self, name: &'static str, value: &'a Secret) -> Result<()> {
        let value = serde_json::from_str(value.expose_json())
            .map_err(|_| Error::new(ErrorKind::Internal, "the text of a secret is not JSON"))?;
        self.0.insert(Cow::Borrowed(name), value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn object(value: Value) -> Secret {
        Secret::json(&value).expect("not null")
    }

    fn token(token: &str, refresh_token: Option<&str>) -> Credentials {
        Credentials::Token { token: Secret::text(token), refresh_token: refresh_token.map(Secret::text) }
    }

    fn change(token: &str, refresh_token: SecretChange) -> CredentialsChange {
        CredentialsChange::Token { token: Secret::text(token), refresh_token }
    }

    #[test]
    fn tokens_of_users_are_stored_as_objects() {
        let table = [
            (token("a", None), json!({"accessToken": "a"})),
            (token("a", Some("r")), json!({"accessToken": "a", "refreshToken": "r"})),
            (Credentials::Object(object(json!({"user": "kim"}))), json!({"user": "kim"})),
        ];
        for (credentials, expected) in table {
            let stored = to_object(credentials).expect("credentials");
            assert_eq!(stored.parse::<Value>().expect("JSON"), expected);
        }
    }

    #[test]
    fn credentials_without_content_are_refused() {
        let table = [
            token("", None),
            token("a", Some("")),
            Credentials::Object(object(json!({}))),
            Credentials::Object(object(json!(["hunter2"]))),
            Credentials::Object(Secret::text("hunter2")),
            Credentials::Token { token: object(json!({"hunter2": 1})), refresh_token: None },
        ];
        for credentials in table {
            let error = to_object(credentials).expect_err("nothing in it");
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.hint().is_some());
            assert!(!format!("{error:?}").contains("hunter2"));
        }
        assert!(change("", SecretChange::Keep).check().is_err());
        assert!(change("a", SecretChange::Set(Secret::text(""))).check().is_err());
        assert!(CredentialsChange::Object(object(json!({}))).check().is_err());
        assert!(change("a", SecretChange::Remove).check().is_ok());
    }

    #[test]
    fn another_token_keeps_everything_else_unless_told() {
        let stored = json!({"accessToken": "a", "refreshToken": "r", "scope\n": ["x", 1.50]});
        let table = [
            (change("b", SecretChange::Keep), json!({"accessToken": "b", "refreshToken": "r", "scope\n": ["x", 1.50]})),
            (
                change("b", SecretChange::Set(Secret::text("s"))),
                json!({"accessToken": "b", "refreshToken": "s", "scope\n": ["x", 1.50]}),
            ),
            (change("b", SecretChange::Remove), json!({"accessToken": "b", "scope\n": ["x", 1.50]})),
            (CredentialsChange::Object(object(json!({"k": 1}))), json!({"k": 1})),
        ];
        for (change, expected) in table {
            let changed = change_object(&object(stored.clone()), &change).expect("an object");
            assert_eq!(changed.parse::<Value>().expect("JSON"), expected, "{change:?}");
        }
        let error = change_object(&Secret::text("hunter2"), &change("b", SecretChange::Keep)).expect_err("no object");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn only_oauth_credentials_are_taken_for_such() {
        let narrow = |value: Value| Credentials::Object(object(value)).to_oauth();
        let oauth = |access_token: &str, refresh_token: Option<&str>| {
            Some(OAuthCredentials {
                access_token: Secret::text(access_token),
                refresh_token: refresh_token.map(Secret::text),
            })
        };
        let table = [
            (json!({"accessToken": "a"}), oauth("a", None)),
            (json!({"accessToken": "a", "refreshToken": "r", "more": {}}), oauth("a", Some("r"))),
            (json!({"accessToken": ""}), None),
            (json!({"accessToken": 1}), None),
            (json!({"accessToken": "a", "refreshToken": 1}), None),
            (json!({"refreshToken": "r"}), None),
            (json!({"user": "kim"}), None),
            (json!(["a"]), None),
        ];
        for (value, expected) in table {
            assert_eq!(narrow(value.clone()), expected, "{value}");
        }
        assert_eq!(token("a", Some("r")).to_oauth(), oauth("a", Some("r")));
    }

    proptest! {
        #[test]
        fn any_token_comes_back_from_the_object(access in ".{1,40}", refresh in proptest::option::of(".{1,40}")) {
            let credentials = token(&access, refresh.as_deref());
            let stored = Credentials::Object(to_object(credentials.clone()).expect("credentials"));
            prop_assert_eq!(stored.to_oauth(), credentials.to_oauth());
        }
    }
}
