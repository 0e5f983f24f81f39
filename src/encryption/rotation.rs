//! Bringing an object's secrets under the primary key. What they are bound to does not change.

use std::collections::BTreeSet;

use serde_json::Value;

use super::associated_data::AssociatedData;
use super::envelope::Envelope;
use super::service::{present, try_open};
use super::{DecryptionCause, Descriptor, EncryptionHistory, EncryptionService, KeyId, Secrets};
use crate::Result;
use crate::document::Attributes;
use crate::model::EncryptionSets;

/// Which keys an object's encrypted values name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeysOf {
    /// The keys.
    pub keys: BTreeSet<KeyId>,
    /// The attributes whose values are no envelopes, and why.
    pub failures: Vec<(String, DecryptionCause)>,
}

/// What became of an object's secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resealed {
    /// The keys that they were under.
    pub keys: BTreeSet<KeyId>,
    /// How many are under the primary key now and were not before. If it is 0, nothing of the object has changed.
    pub changed: usize,
    /// The attributes that are not under the primary key, and why.
    pub failures: Vec<(String, DecryptionCause)>,
}

impl KeysOf {
    /// The keys that the values of the attributes that `sets` encrypts name. Nothing is opened.
    pub fn attributes(sets: &EncryptionSets, attributes: &Attributes) -> Self {
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

    /// The keys of all envelopes anywhere in `value`, for documents of which nobody can say what is encrypted in them.
    pub fn anywhere(value: &Value) -> Self {
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
    /// Encrypts those values anew that are under another key than the primary one, under the last version of `history`, which is
    /// the document's, and leaves the others as they are: what
    /// is under the primary key is not opened. One that does not open stays as it is, and does not keep the others from being
    /// encrypted. Nothing is logged.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if more attributes are bound than can be;
    /// [`Incompatible`](crate::ErrorKind::Incompatible) if that version is beyond this software and binds less than it. The attributes
    /// are then unchanged.
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
