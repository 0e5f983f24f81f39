//! Decryption of documents that Kibana wrote.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::Value;

use super::KibanaKeys;
use super::associated_data::associated_data;
use super::ciphertext::Ciphertext;
use crate::document::Attributes;
use crate::encryption::{DecryptionCause, Descriptor, Opened, Secret, SourceReader};
use crate::environment::Environment;
use crate::model::EncryptionSets;

/// Decrypts the secrets of documents that Kibana wrote. Clones share the keys and the measured time of key derivation.
#[derive(Debug, Clone)]
pub struct KibanaCodec {
    keys: Arc<KibanaKeys>,
    environment: Environment,
    derivation_nanos: Arc<AtomicU64>,
}

impl KibanaCodec {
    /// Creates a codec with these keys.
    pub fn new(keys: KibanaKeys, environment: Environment) -> Self {
        Self { keys: Arc::new(keys), environment, derivation_nanos: Arc::default() }
    }

    /// Decrypts one value with one of these associated data. Of several failures it returns the first, which is that of
    /// the primary key.
    pub(super) fn open(&self, candidates: &[String], stored: &Value) -> Result<Secret, DecryptionCause> {
        let ciphertext = Ciphertext::decode(stored.as_str().ok_or(DecryptionCause::NotAString)?)?;
        let clock = self.environment.clock();
        let mut first_failure = None;
        for secret in self.keys.iter() {
            let started = clock.monotonic();
            let key = ciphertext.derive_key(secret.expose_secret().as_bytes());
            let took = clock.monotonic().saturating_sub(started).as_nanos();
            self.derivation_nanos.fetch_add(u64::try_from(took).unwrap_or(u64::MAX), Ordering::Relaxed);
            for associated_data in candidates {
                match ciphertext.open(&key, associated_data) {
                    // A value that authenticates was encrypted with this key, so no other key decrypts it.
                    Ok(text) => return Secret::from_plaintext(text).ok_or(DecryptionCause::PlaintextNotJson),
                    Err(DecryptionCause::PlaintextNotJson) => return Err(DecryptionCause::PlaintextNotJson),
                    Err(cause) => drop(first_failure.get_or_insert(cause)),
                }
            }
        }
        Err(first_failure.unwrap_or(DecryptionCause::NoKeys))
    }
}

impl SourceReader for KibanaCodec {
    fn open_each(&self, descriptor: &Descriptor<'_>, sets: &[&EncryptionSets], attributes: &Attributes) -> Opened {
        let mut opened = Opened::default();
        let mut candidates: Vec<String> = Vec::with_capacity(sets.len());
        for sets in sets {
            let candidate = associated_data(descriptor, sets, attributes);
            if !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
        let names: BTreeSet<&String> =
            sets.iter().flat_map(|sets| &sets.encrypted).map(|encrypted| &encrypted.name).collect();
        for name in names {
            let Some(stored) = attributes.get(name).filter(|value| !value.is_null()) else { continue };
            match self.open(&candidates, stored) {
                Ok(secret) => drop(opened.secrets.insert(name.clone(), secret)),
                Err(cause) => opened.failures.push((name.clone(), cause)),
            }
        }
        opened
    }

    fn derivation_time(&self) -> Duration {
        Duration::from_nanos(self.derivation_nanos.load(Ordering::Relaxed))
    }
}
