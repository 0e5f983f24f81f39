//! The stored form of tokens: attributes and secrets of the two types.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::identity::Identity;
use super::{Credentials, CredentialsChange, TokenUpdate, credentials};
use crate::document::Attributes;
use crate::encryption::{Secret, Secrets};
use crate::environment::iso_millis;
use crate::objects::{Object, SecretAttributes};
use crate::repository::SecretChange;
use crate::{Error, ErrorKind, Result};

/// The objects of the stored type that `I` names.
#[derive(Debug)]
pub(super) struct TokenObject<I>(PhantomData<fn() -> I>);

impl<I: Identity> Object for TokenObject<I> {
    const TYPE: &'static str = I::TYPE;
    type Attributes = TokenAttributes<I>;
    type Secrets = I::Secrets;
}

/// A token's attributes as they are stored, without its secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TokenAttributes<I> {
    #[serde(flatten)]
    pub(super) identity: I,
    #[serde(flatten)]
    pub(super) times: Times,
    /// What a token has beside: `userCloudId`, and whatever later model versions add. It goes with the token when that
    /// moves to another id.
    #[serde(flatten)]
    others: Attributes,
}

/// When a token was stored and until when it is good: ISO 8601, UTC. What is absent is absent in the document too, since
/// the secrets are bound to it (facts/tokens.md 4.29).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Times {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token_expires_at: Option<String>,
    pub(super) created_at: String,
    pub(super) updated_at: String,
}

impl<I> TokenAttributes<I> {
    /// The attributes of a new token.
    pub(super) fn new(identity: I, times: Times) -> Self {
        Self { identity, times, others: Attributes::new() }
    }

    /// Makes them those of the token after `update`, which is done at `now`.
    pub(super) fn change(&mut self, update: &TokenUpdate, now: &str) {
        let times = &mut self.times;
        times.expires_at = update.expires_at.map(iso_millis);
        times.refresh_token_expires_at = update.refresh_token_expiry(times.refresh_token_expires_at.take());
        now.clone_into(&mut times.updated_at);
    }

    /// Drops the other attributes that are not known or null.
    pub(super) fn keep_known(&mut self, is_known: impl Fn(&str) -> bool) {
        self.others.retain(|name, value| is_known(name) && !value.is_null());
    }
}

/// The secrets of a type as one value.
pub(super) trait TokenSecrets: SecretAttributes + Send {
    /// The encrypted attributes.
    const ATTRIBUTES: &'static [&'static str];

    /// The secrets of a new token.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if tokens of this type cannot have such credentials.
    fn new(credentials: Credentials) -> Result<Self>;

    /// Refuses a change that tokens of this type cannot undergo.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid).
    fn check(change: &CredentialsChange) -> Result<()>;

    /// The secrets after a change that was checked.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) if what is stored cannot be changed so.
    fn changed(self, change: &CredentialsChange) -> Result<Self>;

    fn into_credentials(self) -> Credentials;
}

/// The secrets of a token that all users share.
pub(super) struct SharedSecrets {
    token: Secret,
    refresh_token: Option<Secret>,
}

const TOKEN: &str = "token";
const REFRESH_TOKEN: &str = "refreshToken";

impl SecretAttributes for SharedSecrets {
    fn from_secrets(mut secrets: Secrets) -> Result<Self> {
        let token = secrets.remove(TOKEN).ok_or_else(|| missing(TOKEN))?;
        Ok(Self { token, refresh_token: secrets.remove(REFRESH_TOKEN) })
    }

    fn into_secrets(self) -> Secrets {
        let mut secrets = Secrets::from([(TOKEN.to_owned(), self.token)]);
        secrets.extend(self.refresh_token.map(|refresh_token| (REFRESH_TOKEN.to_owned(), refresh_token)));
        secrets
    }
}

impl TokenSecrets for SharedSecrets {
    const ATTRIBUTES: &'static [&'static str] = &[TOKEN, REFRESH_TOKEN];

    fn new(credentials: Credentials) -> Result<Self> {
        let Credentials::Token { token, refresh_token } = credentials else { return Err(not_for_shared()) };
        credentials::check_token("token", &token)?;
        refresh_token.iter().try_for_each(|refresh_token| credentials::check_token("refresh token", refresh_token))?;
        Ok(Self { token, refresh_token })
    }

    fn check(change: &CredentialsChange) -> Result<()> {
        match change {
            CredentialsChange::Token { .. } => change.check(),
            CredentialsChange::Object(_) => Err(not_for_shared()),
        }
    }

    fn changed(self, change: &CredentialsChange) -> Result<Self> {
        let CredentialsChange::Token { token, refresh_token } = change else { return Err(not_for_shared()) };
        let refresh_token = match refresh_token {
            SecretChange::Keep => self.refresh_token,
            SecretChange::Set(refresh_token) => Some(refresh_token.clone()),
            SecretChange::Remove => None,
        };
        Ok(Self { token: token.clone(), refresh_token })
    }

    fn into_credentials(self) -> Credentials {
        Credentials::Token { token: self.token, refresh_token: self.refresh_token }
    }
}

/// The secrets of a user's token.
pub(super) struct UserSecrets {
    credentials: Secret,
}

const CREDENTIALS: &str = "credentials";

impl SecretAttributes for UserSecrets {
    fn from_secrets(mut secrets: Secrets) -> Result<Self> {
        Ok(Self { credentials: secrets.remove(CREDENTIALS).ok_or_else(|| missing(CREDENTIALS))? })
    }

    fn into_secrets(self) -> Secrets {
        Secrets::from([(CREDENTIALS.to_owned(), self.credentials)])
    }
}

impl TokenSecrets for UserSecrets {
    const ATTRIBUTES: &'static [&'static str] = &[CREDENTIALS];

    fn new(credentials: Credentials) -> Result<Self> {
        Ok(Self { credentials: credentials::to_object(credentials)? })
    }

    fn check(change: &CredentialsChange) -> Result<()> {
        change.check()
    }

    fn changed(self, change: &CredentialsChange) -> Result<Self> {
        Ok(Self { credentials: credentials::change_object(&self.credentials, change)? })
    }

    fn into_credentials(self) -> Credentials {
        Credentials::Object(self.credentials)
    }
}

fn missing(attribute: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the secret {attribute:?} of a stored token is missing"))
        .with_cure("store the token anew: a migration that was told so strips secrets that do not open")
}

fn not_for_shared() -> Error {
    Error::invalid(
        "the credentials of a shared token are given as an object",
        "give a token, or store the object for a user",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tokens::identity::{SharedIdentity, UserIdentity};
    use crate::tokens::{ConnectorId, ProfileUid, TokenType};

    #[test]
    fn attributes_keep_what_they_do_not_know_and_omit_what_is_absent() {
        let stored = json!({
            "profileUid": "u1", "userCloudId": "cloud", "connectorId": "c1", "credentialType": "oauth",
            "createdAt": "2026-03-01T10:00:00.000Z", "updatedAt": "2026-03-01T10:00:00.000Z", "later": [1],
        });
        let attributes: TokenAttributes<UserIdentity> = serde_json::from_value(stored.clone()).expect("a token");
        assert_eq!(attributes.times.expires_at, None);
        assert_eq!(serde_json::to_value(&attributes).expect("JSON"), stored);
    }

    #[test]
    fn a_new_token_satisfies_the_newest_create_schema() {
        let times = Times {
            expires_at: Some("2026-03-01T11:00:00.000Z".to_owned()),
            refresh_token_expires_at: Some("2026-04-01T10:00:00.000Z".to_owned()),
            created_at: "2026-03-01T10:00:00.000Z".to_owned(),
            updated_at: "2026-03-01T10:00:00.000Z".to_owned(),
        };
        fn check<I: Identity>(identity: I, times: &Times) {
            let attributes = TokenAttributes::new(identity, times.clone());
            let mut stored = serde_json::to_value(&attributes).expect("JSON").as_object().cloned().expect("an object");
            stored.extend(I::Secrets::ATTRIBUTES.iter().map(|name| ((*name).to_owned(), Value::from("envelope"))));
            let types = super::super::types().expect("the built-in definitions are valid");
            let definition = types.iter().find(|definition| definition.name() == I::TYPE).expect("a token type");
            assert!(definition.latest().create.validate(&stored).is_ok());
            let encrypted: Vec<_> = definition.latest().sets.encrypted.iter().map(|one| one.name.as_str()).collect();
            assert_eq!(encrypted, I::Secrets::ATTRIBUTES);
        }
        let connector_id = ConnectorId::new("c1").expect("a name");
        check(SharedIdentity { connector_id: connector_id.clone(), token_type: TokenType::access_token() }, &times);
        let profile_uid = ProfileUid::new("u1").expect("a name");
        check(UserIdentity { profile_uid, connector_id, token_type: TokenType::oauth() }, &times);
    }

    #[test]
    fn a_shared_token_takes_no_object() {
        let object = Secret::json(&json!({"user": "kim"})).expect("not null");
        assert!(SharedSecrets::new(Credentials::Object(object.clone())).is_err());
        assert_eq!(
            SharedSecrets::check(&CredentialsChange::Object(object)).expect_err("an object").kind(),
            ErrorKind::Invalid
        );
    }

    #[test]
    fn a_stripped_token_is_corrupt() {
        let refresh_token_only = Secrets::from([(REFRESH_TOKEN.to_owned(), Secret::text("r"))]);
        assert_eq!(
            SharedSecrets::from_secrets(refresh_token_only).err().map(|error| error.kind()),
            Some(ErrorKind::Corrupt)
        );
        assert_eq!(UserSecrets::from_secrets(Secrets::new()).err().map(|error| error.kind()), Some(ErrorKind::Corrupt));
    }

    #[test]
    fn the_refresh_token_of_a_shared_token_stays_unless_told() {
        let table = [
            (SecretChange::Keep, Some("r")),
            (SecretChange::Set(Secret::text("s")), Some("s")),
            (SecretChange::Remove, None),
        ];
        for (refresh_token, expected) in table {
            let stored = SharedSecrets { token: Secret::text("a"), refresh_token: Some(Secret::text("r")) };
            let change = CredentialsChange::Token { token: Secret::text("b"), refresh_token };
            let changed = stored.changed(&change).expect("a token").into_credentials();
            let expected = expected.map(Secret::text);
            assert_eq!(changed, Credentials::Token { token: Secret::text("b"), refresh_token: expected });
        }
    }
}
