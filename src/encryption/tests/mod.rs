//! Tests of the module as a whole, through its public interface.

mod known_answers;
mod moves;
mod properties;
mod rotation;
mod service;
mod versions;

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::document::Attributes;
use crate::environment::{Environment, Rng, SystemClock};
use crate::model::{EncryptedAttribute, EncryptionSets};

const SECRET_A: &str = "kat-secret-A-0123456789abcdefghijklmnopqrstuv";
const SECRET_B: &str = "kat-secret-B-0123456789abcdefghijklmnopqrstuv";

const TOKEN: Descriptor<'_> = Descriptor { type_name: "token", namespace: Some("marketing"), id: "id-1" };

/// A source of randomness that always returns the same nonce.
#[derive(Debug)]
struct FixedNonce([u8; 16]);

impl Rng for FixedNonce {
    fn fill(&self, bytes: &mut [u8]) -> crate::Result<()> {
        bytes.chunks_mut(self.0.len()).for_each(|nonce| nonce.copy_from_slice(&self.0[..nonce.len()]));
        Ok(())
    }
}

fn service_with_nonce(secret: &str, nonce: [u8; 16]) -> EncryptionService {
    let ring = KeyRing::new(secret.into(), Vec::new()).expect("a good key");
    let environment = Environment::new(Arc::new(SystemClock::start()), Arc::new(FixedNonce(nonce)));
    EncryptionService::new(Some(ring), environment)
}

fn service() -> EncryptionService {
    EncryptionService::new(Some(KeyRing::new(SECRET_A.into(), Vec::new()).expect("a good key")), Environment::system())
}

/// Returns one model version that encrypts `access` and `refresh`, and binds `connector` and `limit`.
fn sets() -> EncryptionHistory {
    sets_of(&["access", "refresh"], &["limit", "connector"])
}

fn sets_of(encrypted: &[&str], bound: &[&str]) -> EncryptionHistory {
    EncryptionHistory::new(version_of(encrypted, bound), [])
}

/// Returns the encryption sets of one model version.
fn version_of(encrypted: &[&str], bound: &[&str]) -> EncryptionSets {
    EncryptionSets {
        encrypted: encrypted
            .iter()
            .map(|name| EncryptedAttribute { name: (*name).to_owned(), exposed: false })
            .collect(),
        bound: bound.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn attributes(value: Value) -> Attributes {
    value.as_object().expect("an object").clone()
}

fn secrets(values: &[(&str, Value)]) -> Secrets {
    values.iter().map(|(name, value)| ((*name).to_owned(), Secret::json(value).expect("not null"))).collect()
}

/// Returns the attributes `plain` with `values` sealed into them at [`TOKEN`].
fn sealed(plain: Value, values: &[(&str, Value)]) -> Attributes {
    let mut attributes = attributes(plain);
    service().seal(&TOKEN, &sets(), &mut attributes, &secrets(values)).expect("sealed");
    attributes
}

fn cause(error: &crate::Error) -> DecryptionCause {
    error.find_source::<AttributeError>().expect("an attribute error").cause
}

/// Returns whether decryption of `attributes` fails because a value does not authenticate.
fn authentication_fails(descriptor: &Descriptor<'_>, sets: &EncryptionHistory, attributes: &Attributes) -> bool {
    service().open(descriptor, sets, attributes).is_err_and(|error| cause(&error) == DecryptionCause::Authentication)
}

fn stored(attributes: &Attributes, name: &str) -> String {
    attributes.get(name).and_then(Value::as_str).expect("an envelope").to_owned()
}

fn example() -> Attributes {
    sealed(json!({"connector": "c1", "limit": 10, "note": "n"}), &[("access", json!("a")), ("refresh", json!("r"))])
}
