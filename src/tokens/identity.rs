//! What names a token, and the id that follows from it (design decision 22): one token a name, found by one request.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::attributes::{SharedSecrets, TokenSecrets, UserSecrets};
use super::{ConnectorId, ProfileUid, Scope, ScopeKind, TokenMetadata, TokenType};
use crate::repository::Filter;

/// What the ids are derived under, so that they are not those of any other scheme.
const DERIVATION: &str = "saved-objects/derived-id/v1";

/// What names a token among all of its stored type.
pub(super) trait Identity: fmt::Debug + Clone + Send + Sync + Serialize + DeserializeOwned + 'static {
    /// The secrets that a token of the type has.
    type Secrets: TokenSecrets;
    /// The stored type.
    const TYPE: &'static str;
    /// The scope that tokens of the type are in.
    const KIND: ScopeKind;

    /// The attributes that name a token and their values, in the order in which the type's definition lists them.
    fn values(&self) -> Vec<(&'static str, &str)>;
    /// The name of a token that was read; none if that is one of the other scope.
    fn of(token: &TokenMetadata) -> Option<Self>;
    fn scope(&self) -> Scope;
    fn connector_id(&self) -> &ConnectorId;
    fn token_type(&self) -> &TokenType;

    /// The id of the object that holds the token of this name.
    fn derived_id(&self) -> Uuid {
        let values: Vec<_> = self.values().into_iter().map(|(_, value)| value).collect();
        derived_id(Self::TYPE, &values)
    }

    /// Finds the records of this name, whatever their ids.
    fn filter(&self) -> Filter {
        Filter::and(self.values().into_iter().map(|(name, value)| Filter::equals(name, value)))
    }
}

/// What names a token that all users share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SharedIdentity {
    pub(super) connector_id: ConnectorId,
    pub(super) token_type: TokenType,
}

/// What names a user's token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserIdentity {
    pub(super) profile_uid: ProfileUid,
    pub(super) connector_id: ConnectorId,
    #[serde(rename = "credentialType")]
    pub(super) token_type: TokenType,
}

impl Identity for SharedIdentity {
    type Secrets = SharedSecrets;
    const TYPE: &'static str = "connector_token";
    const KIND: ScopeKind = ScopeKind::Shared;

    fn values(&self) -> Vec<(&'static str, &str)> {
        vec![("connectorId", self.connector_id.as_str()), ("tokenType", self.token_type.as_str())]
    }

    fn of(token: &TokenMetadata) -> Option<Self> {
        let (connector_id, token_type) = (token.connector_id.clone(), token.token_type.clone());
        matches!(token.scope, Scope::Shared).then_some(Self { connector_id, token_type })
    }

    fn scope(&self) -> Scope {
        Scope::Shared
    }

    fn connector_id(&self) -> &ConnectorId {
        &self.connector_id
    }

    fn token_type(&self) -> &TokenType {
        &self.token_type
    }
}

impl Identity for UserIdentity {
    type Secrets = UserSecrets;
    const TYPE: &'static str = "user_connector_token";
    const KIND: ScopeKind = ScopeKind::PerUser;

    fn values(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("profileUid", self.profile_uid.as_str()),
            ("connectorId", self.connector_id.as_str()),
            ("credentialType", self.token_type.as_str()),
        ]
    }

    fn of(token: &TokenMetadata) -> Option<Self> {
        let (connector_id, token_type) = (token.connector_id.clone(), token.token_type.clone());
        match &token.scope {
            Scope::User(profile_uid) => Some(Self { profile_uid: profile_uid.clone(), connector_id, token_type }),
            Scope::Shared => None,
        }
    }

    fn scope(&self) -> Scope {
        Scope::User(self.profile_uid.clone())
    }

    fn connector_id(&self) -> &ConnectorId {
        &self.connector_id
    }

    fn token_type(&self) -> &TokenType {
        &self.token_type
    }
}

/// A UUID of version 8 from the type and the values: each is prefixed by its length, so that no two lists of values give
/// the same bytes. There is no key in it: an id is a name, not a permission.
pub(crate) fn derived_id(type_name: &str, values: &[&str]) -> Uuid {
    let mut hash = Sha256::new();
    for text in [DERIVATION, type_name].iter().chain(values) {
        // Names have at most 512 bytes, so their length fits.
        hash.update((text.len() as u32).to_be_bytes());
        hash.update(text);
    }
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(hash.finalize()) {
        *byte = hashed;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn shared(connector_id: &str) -> SharedIdentity {
        SharedIdentity {
            connector_id: ConnectorId::new(connector_id).expect("a name"),
            token_type: TokenType::access_token(),
        }
    }

    fn user(profile_uid: &str, connector_id: &str) -> UserIdentity {
        UserIdentity {
            profile_uid: ProfileUid::new(profile_uid).expect("a name"),
            connector_id: ConnectorId::new(connector_id).expect("a name"),
            token_type: TokenType::oauth(),
        }
    }

    #[test]
    fn known_answers() {
        assert_eq!(shared("c1").derived_id().to_string(), "a9106551-bfa7-872d-84d0-610d668914aa");
        assert_eq!(user("u1", "c1").derived_id().to_string(), "e750b559-4f6f-8edb-841d-b5f632a0f039");
    }

    #[test]
    fn values_and_definitions_name_the_same_attributes_in_the_same_order() {
        let types = super::super::types().expect("the built-in definitions are valid");
        let identity_of = |name: &str| {
            let definition = types.iter().find(|definition| definition.name() == name).expect("a token type");
            definition.identity().expect("token types have one").to_vec()
        };
        fn names<I: Identity>(identity: &I) -> Vec<&'static str> {
            identity.values().into_iter().map(|(name, _)| name).collect()
        }
        assert_eq!(identity_of(SharedIdentity::TYPE), names(&shared("c1")));
        assert_eq!(identity_of(UserIdentity::TYPE), names(&user("u1", "c1")));

        let stored = serde_json::to_value(user("u1", "c1")).expect("JSON");
        let stored: BTreeSet<_> = stored.as_object().expect("an object").keys().cloned().collect();
        assert_eq!(stored, identity_of(UserIdentity::TYPE).into_iter().collect());
    }

    proptest! {
        #[test]
        fn ids_are_uuids_of_version_8(type_name in ".{0,20}", values in proptest::collection::vec(".{0,20}", 0..4)) {
            let values: Vec<_> = values.iter().map(String::as_str).collect();
            let id = derived_id(&type_name, &values);
            prop_assert_eq!(id.get_version_num(), 8);
            prop_assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        }

        #[test]
        fn moving_a_border_between_values_gives_another_id(a in "[a-z]{1,8}", b in "[a-z]{1,8}") {
            let (joined, split) = (format!("{a}{b}"), [a.as_str(), b.as_str()]);
            prop_assert_ne!(derived_id("t", &[joined.as_str(), ""]), derived_id("t", &split));
            prop_assert_ne!(derived_id("t", &[joined.as_str()]), derived_id("t", &split));
        }
    }
}
