//! The stored record of a begun authorization: `oauth_state`.

use serde::{Deserialize, Serialize};

use crate::encryption::{Secret, Secrets};
use crate::objects::{Object, SecretAttributes};
use crate::tokens::identity::derived_id;
use crate::tokens::types::OAUTH_STATE;
use crate::tokens::{ConnectorId, ProfileUid};
use crate::{Error, ErrorKind, Result};

/// The objects of the type `oauth_state`.
#[derive(Debug)]
pub(super) struct OAuthState;

impl Object for OAuthState {
    const TYPE: &'static str = OAUTH_STATE;
    type Attributes = StateAttributes;
    type Secrets = StateSecrets;
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StateAttributes {
    /// The text that the provider returns in the callback. It names the record.
    pub(super) state: String,
    pub(super) connector_id: ConnectorId,
    /// ISO 8601, UTC.
    pub(super) expires_at: String,
    /// The user who began it and must finish it.
    pub(super) created_by: ProfileUid,
    /// `shared` or `per-user`: the scope of its token. Bound, so that an attacker who can write the index cannot make a
    /// shared token of one user's authorization.
    pub(super) token_scope: String,
    /// The fingerprint of its provider. Bound, so that an attacker who can write the index cannot send its code to
    /// another provider. `None` if older software began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) provider: Option<String>,
    /// The time at which it was claimed, ISO 8601, UTC. Then it is used up; if its record remains, the clean-up deletes
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) claimed_at: Option<String>,
}

/// The verifier of the proof key, without which a code cannot be exchanged.
pub(super) struct StateSecrets {
    pub(super) code_verifier: Secret,
}

const CODE_VERIFIER: &str = "codeVerifier";

impl SecretAttributes for StateSecrets {
    fn from_secrets(mut secrets: Secrets) -> Result<Self> {
        let missing = || {
            Error::new(ErrorKind::Corrupt, "the code verifier of a begun authorization is missing")
                .with_hint("authorize the connector again")
        };
        Ok(Self { code_verifier: secrets.remove(CODE_VERIFIER).ok_or_else(missing)? })
    }

    fn into_secrets(self) -> Secrets {
        Secrets::from([(CODE_VERIFIER.to_owned(), self.code_verifier)])
    }
}

/// Returns the id of the record of a state. So one real-time request finds it, and a state has one record.
pub(super) fn id(state: &str) -> String {
    derived_id(OAUTH_STATE, &[state]).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_names_what_the_id_is_made_of() {
        let types = crate::tokens::types().expect("the built-in definitions are valid");
        let definition = types.iter().find(|definition| definition.name() == OAUTH_STATE).expect("it is built in");
        assert_eq!(definition.identity(), Some(&["state".to_owned()][..]));
        assert!(definition.hidden() && !definition.exportable());
    }

    #[test]
    fn a_record_satisfies_the_newest_create_schema() {
        let attributes = StateAttributes {
            state: "s".to_owned(),
            connector_id: ConnectorId::new("c1").expect("a name"),
            expires_at: "2026-03-01T10:10:00.000Z".to_owned(),
            created_by: ProfileUid::new("u1").expect("a name"),
            token_scope: "shared".to_owned(),
            provider: Some("p".to_owned()),
            claimed_at: Some("2026-03-01T10:05:00.000Z".to_owned()),
        };
        let mut stored = serde_json::to_value(&attributes).expect("JSON").as_object().cloned().expect("an object");
        stored.insert(CODE_VERIFIER.to_owned(), "envelope".into());
        let types = crate::tokens::types().expect("the built-in definitions are valid");
        let definition = types.iter().find(|definition| definition.name() == OAUTH_STATE).expect("it is built in");
        assert_eq!(definition.latest().create.validate(&stored), Ok(()));
    }
}
