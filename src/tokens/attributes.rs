//! The stored form of tokens: the attributes of the two types.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::identity::Identity;
use super::scope::{CONNECTOR_ID, PROFILE_UID};
use super::{Scope, ScopeKind, TokenUpdate};
use crate::document::Attributes;
use crate::environment::iso_millis;
use crate::{Error, ErrorKind, Result};

const EXPIRES_AT: &str = "expiresAt";
const REFRESH_TOKEN_EXPIRES_AT: &str = "refreshTokenExpiresAt";
const CREATED_AT: &str = "createdAt";
const UPDATED_AT: &str = "updatedAt";

/// A token's attributes without its secrets.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TokenAttributes {
    pub(super) identity: Identity,
    pub(super) times: Times,
    /// All other attributes: `userCloudId`, and those that later model versions add. They stay with the token when it
    /// moves to another id.
    others: Attributes,
}

/// The times at which a token was stored and expires: ISO 8601, UTC. An absent time is absent in the document too,
/// since the secrets are bound to it (record 29).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) expires_at: Option<String>,
    pub(super) refresh_token_expires_at: Option<String>,
    pub(super) created_at: String,
    pub(super) updated_at: String,
}

impl TokenAttributes {
    /// Creates the attributes of a new token.
    pub(super) fn new(identity: Identity, times: Times) -> Self {
        Self { identity, times, others: Attributes::new() }
    }

    /// Reads the attributes of a stored token of this scope.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) if one is missing or malformed. The error names it and does not quote its value.
    pub(super) fn from_stored(kind: ScopeKind, mut stored: Attributes) -> Result<Self> {
        let scope = match kind {
            ScopeKind::Shared => Scope::Shared,
            ScopeKind::PerUser => Scope::User(take(&mut stored, PROFILE_UID)?),
        };
        let connector_id = take(&mut stored, CONNECTOR_ID)?;
        let token_type = take(&mut stored, kind.token_type_attribute())?;
        let times = Times {
            expires_at: take(&mut stored, EXPIRES_AT)?,
            refresh_token_expires_at: take(&mut stored, REFRESH_TOKEN_EXPIRES_AT)?,
            created_at: take(&mut stored, CREATED_AT)?,
            updated_at: take(&mut stored, UPDATED_AT)?,
        };
        Ok(Self { identity: Identity { scope, connector_id, token_type }, times, others: stored })
    }

    /// Returns the attributes as they are stored.
    pub(super) fn to_stored(&self) -> Attributes {
        let mut stored = self.others.clone();
        let mut set = |name: &str, value: &str| stored.insert(name.to_owned(), value.into());
        for (name, value) in self.identity.attributes() {
            set(name, value);
        }
        let Times { expires_at, refresh_token_expires_at, created_at, updated_at } = &self.times;
        let times = [
            (EXPIRES_AT, expires_at.as_ref()),
            (REFRESH_TOKEN_EXPIRES_AT, refresh_token_expires_at.as_ref()),
            (CREATED_AT, Some(created_at)),
            (UPDATED_AT, Some(updated_at)),
        ];
        for (name, time) in times {
            if let Some(time) = time {
                set(name, time);
            }
        }
        stored
    }

    /// Changes the attributes to those of the token after `update`, which is made at `now`.
    pub(super) fn change(&mut self, update: &TokenUpdate, now: &str) {
        let times = &mut self.times;
        times.expires_at = update.expires_at.map(iso_millis);
        times.refresh_token_expires_at = update.refresh_token_expiry(times.refresh_token_expires_at.take());
        now.clone_into(&mut times.updated_at);
    }

    /// Drops other attributes that are unknown or null.
    pub(super) fn keep_known(&mut self, is_known: impl Fn(&str) -> bool) {
        self.others.retain(|name, value| is_known(name) && !value.is_null());
    }
}

/// Removes an attribute and reads it. An absent one reads as null.
fn take<T: DeserializeOwned>(stored: &mut Attributes, name: &str) -> Result<T> {
    let value = stored.remove(name).unwrap_or(Value::Null);
    // The message of serde may quote the value.
    serde_json::from_value(value).map_err(|_| {
        Error::new(ErrorKind::Corrupt, format!("the attribute {name:?} of a stored token is missing or malformed"))
            .with_hint("store the token again with `create`")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tokens::{ConnectorId, ProfileUid, secrets};

    #[test]
    fn attributes_keep_what_they_do_not_know_and_omit_what_is_absent() {
        let stored = json!({
            "profileUid": "u1", "userCloudId": "cloud", "connectorId": "c1", "credentialType": "oauth",
            "createdAt": "2026-03-01T10:00:00.000Z", "updatedAt": "2026-03-01T10:00:00.000Z", "later": [1],
        });
        let stored = stored.as_object().cloned().expect("an object");
        let attributes = TokenAttributes::from_stored(ScopeKind::PerUser, stored.clone()).expect("a token");
        assert_eq!(attributes.times.expires_at, None);
        assert_eq!(attributes.to_stored(), stored);
    }

    #[test]
    fn a_malformed_attribute_is_named_and_not_quoted() {
        let stored = json!({
            "connectorId": "c1", "tokenType": "access_token",
            "createdAt": "2026-03-01T10:00:00.000Z", "updatedAt": "2026-03-01T10:00:00.000Z",
        });
        let stored = stored.as_object().cloned().expect("an object");
        assert!(TokenAttributes::from_stored(ScopeKind::Shared, stored.clone()).is_ok());
        for (name, value) in [
            ("connectorId", json!("hunter2\n")),
            ("connectorId", Value::Null),
            ("tokenType", json!(["hunter2"])),
            ("expiresAt", json!({"hunter2": 1})),
            ("createdAt", Value::Null),
        ] {
            let mut stored = stored.clone();
            stored.insert(name.to_owned(), value);
            let error = TokenAttributes::from_stored(ScopeKind::Shared, stored).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.message().contains(name) && !format!("{error:?}").contains("hunter2"), "{error:?}");
        }
        assert!(TokenAttributes::from_stored(ScopeKind::PerUser, stored).is_err(), "it has no user");
    }

    #[test]
    fn a_new_token_satisfies_the_newest_create_schema() {
        let times = Times {
            expires_at: Some("2026-03-01T11:00:00.000Z".to_owned()),
            refresh_token_expires_at: Some("2026-04-01T10:00:00.000Z".to_owned()),
            created_at: "2026-03-01T10:00:00.000Z".to_owned(),
            updated_at: "2026-03-01T10:00:00.000Z".to_owned(),
        };
        let types = super::super::types().expect("the built-in definitions are valid");
        let user = Scope::User(ProfileUid::new("u1").expect("a name"));
        for scope in [Scope::Shared, user] {
            let kind = scope.kind();
            let identity = Identity::new(scope, &ConnectorId::new("c1").expect("a name"), None);
            let mut stored = TokenAttributes::new(identity, times.clone()).to_stored();
            stored.extend(secrets::names(kind).iter().map(|name| ((*name).to_owned(), Value::from("envelope"))));
            let definition = types.iter().find(|one| one.name() == kind.stored_type()).expect("a token type");
            assert!(definition.latest().create.validate(&stored).is_ok());
            let encrypted: Vec<_> = definition.latest().sets.encrypted.iter().map(|one| one.name.as_str()).collect();
            assert_eq!(encrypted, secrets::names(kind));
        }
    }
}
