//! Encryption of an object's secrets again under the primary key. What they are bound to does not change.

use std::collections::BTreeSet;

use serde_json::Value;

use super::associated_data::AssociatedData;
use super::envelope::Envelope;
use super::service::{present, try_open};
use super::{DecryptionCause, Descriptor, EncryptionHistory, EncryptionService, KeyId, Secrets};
use crate::Result;
use crate::document::Attributes;
use crate::model::EncryptionSets;

/// The keys that an object's encrypted values name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeysOf {
    /// The keys.
    pub keys: BTreeSet<KeyId>,
    /// The attributes whose values are not envelopes, with the cause.
    pub failures: Vec<(String, DecryptionCause)>,
}

/// The result of encrypting an object's secrets again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resealed {
    /// The keys that the secrets were encrypted under.
    pub keys: BTreeSet<KeyId>,
    /// The number of secrets that are now under the primary key and were not before. If it is 0, the object is
    /// unchanged.
    pub changed: usize,
    /// The attributes that are not under the primary key, with the cause.
    pub failures: Vec<(String, DecryptionCause)>,
}

impl KeysOf {
    /// Returns the keys that the values of the attributes that `sets` encrypts name. Nothing is decrypted.
    pub(crate) fn attributes(sets: &EncryptionSets, attributes: &Attributes) -> Self {
        let mut found = Self::default();
        for name in sets.encrypted.iter().map(|encrypted| &encrypted.name) {
            let Some(stored) = present(attributes, name) else { continue };
            match Envelope::of(stored) {
                Ok(envelope) => drop(found.keys.insert(envelope.key_id())),
                Err(cause) => found.failures.push((name.clone(), cause)),
            }
        }
        found
    }

    /// Returns the keys of all envelopes anywhere in `value`, for documents whose encryption sets are unknown.
    pub(crate) fn anywhere(value: &Value) -> Self {
        let mut found = Self::default();
        found.add_anywhere(value);
        found
    }

    fn add_anywhere(&mut self, value: &Value) {
        match value {
            Value::String(_) => self.keys.extend(Envelope::of(value).map(|envelope| envelope.key_id())),
            Value::Array(values) => values.iter().for_each(|value| self.add_anywhere(value)),
            Value::Object(values) => values.values().for_each(|value| self.add_anywhere(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

impl EncryptionService {
    /// Encrypts again the values that are under another key than the primary one, under the last version of `history`,
    /// which is the document's version. Values under the primary key stay unchanged and are not decrypted. A value that
    /// cannot be decrypted stays unchanged, and the others are still encrypted again. Nothing is logged.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if too many attributes are bound.
    /// [`Incompatible`](crate::ErrorKind::Incompatible) if the version is newer than this software and binds less than
    /// it. The attributes are then unchanged.
    pub fn reseal(
        &self,
        descriptor: &Descriptor<'_>,
        history: &EncryptionHistory,
        attributes: &mut Attributes,
    ) -> Result<Resealed> {
        let sets = history.sets();
        let KeysOf { keys, failures } = KeysOf::attributes(sets, attributes);
        let mut resealed = Resealed { keys, failures, changed: 0 };
        let Some(ring) = self.key_ring() else { return Ok(resealed) };
        let primary = ring.primary_key_id();
        if resealed.keys.iter().all(|key| *key == primary) {
            return Ok(resealed);
        }
        history.check_protection(descriptor.type_name)?;
        let associated_data = AssociatedData::new(descriptor, history, attributes)?;
        let mut secrets = Secrets::new();
        for name in sets.encrypted.iter().map(|encrypted| &encrypted.name) {
            let Some(stored) = present(attributes, name) else { continue };
            if !Envelope::of(stored).is_ok_and(|envelope| envelope.key_id() != primary) {
                continue;
            }
            match try_open(Some(&ring), descriptor, &associated_data, name, stored)? {
                Ok(secret) => drop(secrets.insert(name.clone(), secret)),
                Err(cause) => resealed.failures.push((name.clone(), cause)),
            }
        }
        let sealed = self.seal_each(&ring, descriptor, &associated_data, &secrets)?;
        resealed.changed = sealed.len();
        attributes.extend(sealed);
        Ok(resealed)
    }
}
