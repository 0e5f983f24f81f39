//! The identity of a token, and the object id that is derived from it (record 30). At most one token has an identity,
//! so one request finds it.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::scope::{CONNECTOR_ID, PROFILE_UID};
use super::{ConnectorId, Scope, ScopeKind, TokenType};
use crate::repository::Filter;

/// A prefix of all hashed values, which keeps these ids apart from those of any other scheme.
const DERIVATION: &str = "saved-objects/derived-id/v1";

/// The scope, connector and type of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) scope: Scope,
    pub(super) connector_id: ConnectorId,
    pub(super) token_type: TokenType,
}

impl Identity {
    /// Creates the identity of a token. Without a type, it has the default type of its scope.
    pub(super) fn new(scope: Scope, connector_id: &ConnectorId, token_type: Option<&TokenType>) -> Self {
        let token_type = token_type.cloned().unwrap_or_else(|| scope.kind().default_token_type());
        Self { scope, connector_id: connector_id.clone(), token_type }
    }

    pub(super) fn kind(&self) -> ScopeKind {
        self.scope.kind()
    }

    /// Returns the attributes that hold the identity, in the order in which the type's definition lists them.
    pub(super) fn attributes(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let user = self.scope.user().map(|uid| (PROFILE_UID, uid.as_str()));
        let others = [
            (CONNECTOR_ID, self.connector_id.as_str()),
            (self.kind().token_type_attribute(), self.token_type.as_str()),
        ];
        user.into_iter().chain(others)
    }

    /// Returns the id of the object that holds the token.
    pub(super) fn derived_id(&self) -> String {
        let values: Vec<_> = self.attributes().map(|(_, value)| value).collect();
        derived_id(self.kind().stored_type(), &values).to_string()
    }

    /// Returns the filter for the records of this identity, whatever their ids.
    pub(super) fn filter(&self) -> Filter {
        self.kind().filter(self.scope.user(), Some(&self.connector_id), Some(&self.token_type))
    }
}

/// Returns the UUID of version 8 that is derived from a type and values. Each value is prefixed by its length, so no
/// two lists of values result in the same bytes. No key is involved: an id is a name, not a permission.
pub fn derived_id(type_name: &str, values: &[&str]) -> Uuid {
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
    use proptest::prelude::*;

    use super::*;
    use crate::registry::TypeDefinition;
    use crate::tokens::ProfileUid;

    fn shared() -> Identity {
        Identity::new(Scope::Shared, &ConnectorId::new("c1").expect("a name"), None)
    }

    fn user() -> Identity {
        let scope = Scope::User(ProfileUid::new("u1").expect("a name"));
        Identity::new(scope, &ConnectorId::new("c1").expect("a name"), None)
    }

    #[test]
    fn known_answers() {
        assert_eq!(shared().derived_id(), "a9106551-bfa7-872d-84d0-610d668914aa");
        assert_eq!(user().derived_id(), "e750b559-4f6f-8edb-841d-b5f632a0f039");
    }

    #[test]
    fn values_and_definitions_name_the_same_attributes_in_the_same_order() {
        let types = super::super::types().expect("the built-in definitions are valid");
        for identity in [shared(), user()] {
            let of_type = |definition: &&TypeDefinition| definition.name() == identity.kind().stored_type();
            let definition = types.iter().find(of_type).expect("a token type");
            let names: Vec<_> = identity.attributes().map(|(name, _)| name).collect();
            assert_eq!(definition.identity().expect("token types have one"), names);
        }
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
