//! The encryption and decryption of the attributes of objects.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

use super::associated_data::AssociatedData;
use super::envelope::Envelope;
use super::envelope_header::{Nonce, named_version};
use super::error::{AttributeError, DecryptionCause};
use super::{Descriptor, EncryptionHistory, Fingerprinter, KeyId, KeyRing, Secret, Secrets};
use crate::document::{Attributes, MAX_DEPTH, depth};
use crate::environment::Environment;
use crate::model::EncryptionSets;
use crate::{Error, ErrorKind, Result, telemetry};

/// Encrypts and decrypts the attributes of objects. Clones share the keys, so that a change of keys affects all of
/// them.
#[derive(Debug, Clone)]
pub struct EncryptionService {
    ring: Arc<RwLock<Option<Arc<KeyRing>>>>,
    /// The keys that were used for encryption and have not since been [found recorded](Self::retain_unrecorded).
    sealed_under: Arc<RwLock<BTreeSet<KeyId>>>,
    environment: Environment,
}

/// The encrypted attributes of an object: those that were decrypted, and those that cannot be.
#[derive(Debug, Default)]
pub struct Opened {
    /// The decrypted values.
    pub secrets: Secrets,
    /// The attributes that cannot be decrypted, with the cause.
    pub failures: Vec<(String, DecryptionCause)>,
}

impl Opened {
    /// Returns the decrypted values if there are no failures.
    ///
    /// # Errors
    /// [`Decrypt`](ErrorKind::Decrypt) with an [`AttributeError`] for the first attribute that cannot be decrypted.
    pub fn into_secrets(self, descriptor: &Descriptor<'_>) -> Result<Secrets> {
        match self.failures.into_iter().next() {
            Some((name, cause)) => Err(AttributeError::decrypt(descriptor, &name, cause)),
            None => Ok(self.secrets),
        }
    }
}

impl EncryptionService {
    /// Creates a service with the keys of `ring`. Without a ring, every operation works that needs no encryption and no
    /// decryption.
    pub fn new(ring: Option<KeyRing>, environment: Environment) -> Self {
        Self { ring: Arc::new(RwLock::new(ring.map(Arc::new))), sealed_under: Arc::default(), environment }
    }

    /// Returns the environment from which the service takes randomness.
    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Returns whether there is a key to encrypt with.
    pub fn can_encrypt(&self) -> bool {
        self.key_ring().is_some()
    }

    /// Returns the current keys.
    pub(crate) fn key_ring(&self) -> Option<Arc<KeyRing>> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets that the `recorded` keys were used for encryption, so that a key that goes out of use later is not
    /// recorded again. Returns the other keys that were used: they must be recorded as in use before the envelopes are
    /// written.
    pub(crate) fn retain_unrecorded(&self, recorded: &BTreeSet<KeyId>) -> Vec<KeyId> {
        let mut sealed = self.sealed_under.write().unwrap_or_else(PoisonError::into_inner);
        sealed.retain(|key| !recorded.contains(key));
        sealed.iter().copied().collect()
    }

    fn note_sealed_under(&self, key: KeyId) {
        let is_noted = self.sealed_under.read().unwrap_or_else(PoisonError::into_inner).contains(&key);
        if !is_noted {
            self.sealed_under.write().unwrap_or_else(PoisonError::into_inner).insert(key);
        }
    }

    /// Replaces the keys by those of `ring`. Operations that have begun end with the keys that they began with.
    pub(crate) fn replace_key_ring(&self, ring: KeyRing) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(ring));
    }

    /// Adds to `attributes` an envelope for each of `secrets`. The last version of `history`, which is the version of
    /// the document, must encrypt their attributes.
    ///
    /// The envelopes are bound to the other attributes as given, so those must already be in the form that is stored.
    /// On failure, `attributes` are unchanged.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) with an [`AttributeError`] if there is something to encrypt but no key.
    /// [`Invalid`](ErrorKind::Invalid) also if a secret is nested deeper than [`MAX_DEPTH`].
    /// [`Incompatible`](ErrorKind::Incompatible) if that version is newer than this software and binds less than it.
    /// [`Internal`](ErrorKind::Internal) if that version does not encrypt one of the attributes.
    pub fn seal(
        &self,
        descriptor: &Descriptor<'_>,
        history: &EncryptionHistory,
        attributes: &mut Attributes,
        secrets: &Secrets,
    ) -> Result<()> {
        let Some(first) = secrets.keys().next() else { return Ok(()) };
        history.check_protection(descriptor.type_name)?;
        secrets.keys().try_for_each(|name| check_encrypted(descriptor, history.sets(), name))?;
        secrets.iter().try_for_each(|(name, secret)| check_depth(descriptor, name, secret))?;
        let Some(ring) = self.key_ring() else {
            return Err(AttributeError::encrypt(descriptor, first, DecryptionCause::NoKeys));
        };
        let associated_data = AssociatedData::new(descriptor, history, attributes)?;
        let sealed = self.seal_each(&ring, descriptor, &associated_data, secrets)?;
        attributes.extend(sealed);
        Ok(())
    }

    /// Returns an envelope under the primary key of `ring` for each of `secrets`.
    pub(super) fn seal_each(
        &self,
        ring: &KeyRing,
        descriptor: &Descriptor<'_>,
        associated_data: &AssociatedData<'_>,
        secrets: &Secrets,
    ) -> Result<Vec<(String, Value)>> {
        if secrets.is_empty() {
            return Ok(Vec::new());
        }
        let key = ring.primary();
        self.note_sealed_under(key.id());
        let type_key = key.type_key(descriptor.type_name)?;
        let mut sealed = Vec::with_capacity(secrets.len());
        // All nonces in one call, since asking the system takes a considerable part of the time of sealing.
        let mut nonces = vec![Nonce::default(); secrets.len()];
        self.environment.rng().fill(nonces.as_flattened_mut())?;
        for ((name, secret), nonce) in secrets.iter().zip(nonces) {
            let envelope =
                Envelope::seal(key.id(), &type_key, nonce, associated_data, name, secret.expose_json())?.encode();
            sealed.push((name.clone(), Value::String(envelope)));
        }
        Ok(sealed)
    }

    /// Decrypts every present attribute that the last version of `history`, which is the version of the document,
    /// encrypts. Absent and null attributes have no secret.
    ///
    /// # Errors
    /// [`Decrypt`](ErrorKind::Decrypt) with an [`AttributeError`] for the first attribute that cannot be decrypted.
    pub fn open(
        &self,
        descriptor: &Descriptor<'_>,
        history: &EncryptionHistory,
        attributes: &Attributes,
    ) -> Result<Secrets> {
        let mut present = history
            .sets()
            .encrypted
            .iter()
            .filter_map(|encrypted| Some((encrypted.name.as_str(), present(attributes, &encrypted.name)?)))
            .peekable();
        if present.peek().is_none() {
            return Ok(Secrets::new());
        }
        let ring = self.key_ring();
        let associated_data = AssociatedData::new(descriptor, history, attributes)?;
        let open = |(name, stored): (&str, &Value)| {
            Ok((name.to_owned(), open_value(ring.as_deref(), descriptor, &associated_data, name, stored)?))
        };
        present.map(open).collect()
    }

    /// Decrypts the attribute `name`. Returns `None` if it is absent or null.
    ///
    /// # Errors
    /// [`Decrypt`](ErrorKind::Decrypt) with an [`AttributeError`] if it cannot be decrypted.
    /// [`Internal`](ErrorKind::Internal) if the last version of `history` does not encrypt it.
    pub fn open_attribute(
        &self,
        descriptor: &Descriptor<'_>,
        history: &EncryptionHistory,
        attributes: &Attributes,
        name: &str,
    ) -> Result<Option<Secret>> {
        check_encrypted(descriptor, history.sets(), name)?;
        let Some(stored) = present(attributes, name) else { return Ok(None) };
        let associated_data = AssociatedData::new(descriptor, history, attributes)?;
        open_value(self.key_ring().as_deref(), descriptor, &associated_data, name, stored).map(Some)
    }

    /// Like [`open`](Self::open), but reports for every attribute whether it can be decrypted. Nothing is logged.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if too many attributes are bound.
    pub fn open_each(
        &self,
        descriptor: &Descriptor<'_>,
        history: &EncryptionHistory,
        attributes: &Attributes,
    ) -> Result<Opened> {
        let mut opened = Opened::default();
        if history.sets().is_empty() {
            return Ok(opened);
        }
        let ring = self.key_ring();
        let associated_data = AssociatedData::new(descriptor, history, attributes)?;
        for name in history.sets().encrypted.iter().map(|encrypted| &encrypted.name) {
            let Some(stored) = present(attributes, name) else { continue };
            match try_open(ring.as_deref(), descriptor, &associated_data, name, stored)? {
                Ok(secret) => drop(opened.secrets.insert(name.clone(), secret)),
                Err(cause) => opened.failures.push((name.clone(), cause)),
            }
        }
        Ok(opened)
    }

    /// Returns the attributes whose envelopes name a version after the last version of `history`. Nothing is decrypted.
    pub(crate) fn sealed_later(history: &EncryptionHistory, attributes: &Attributes) -> Vec<(String, DecryptionCause)> {
        let encrypted = history.sets().encrypted.iter().map(|encrypted| &encrypted.name);
        let later = encrypted.filter_map(|name| {
            let version = named_version(attributes.get(name)?)?;
            (version > history.version()).then(|| (name.clone(), DecryptionCause::ModelVersion(version)))
        });
        later.collect()
    }

    /// Returns a fingerprinter for decrypted documents, keyed with the primary key.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if no key can be derived.
    pub fn fingerprinter(&self) -> Result<Fingerprinter> {
        match self.key_ring() {
            Some(ring) => ring.fingerprinter(),
            None => Fingerprinter::new(None),
        }
    }
}

fn open_value(
    ring: Option<&KeyRing>,
    descriptor: &Descriptor<'_>,
    associated_data: &AssociatedData<'_>,
    name: &str,
    stored: &Value,
) -> Result<Secret> {
    try_open(ring, descriptor, associated_data, name, stored)?
        .map_err(|cause| AttributeError::decrypt(descriptor, name, cause))
}

/// Returns the decrypted value, or the cause why it cannot be decrypted, which the metrics count.
pub(super) fn try_open(
    ring: Option<&KeyRing>,
    descriptor: &Descriptor<'_>,
    associated_data: &AssociatedData<'_>,
    name: &str,
    stored: &Value,
) -> Result<Result<Secret, DecryptionCause>> {
    let find_key = || {
        let text = stored.as_str().ok_or(DecryptionCause::NotAString)?;
        let ring = ring.ok_or(DecryptionCause::NoKeys)?;
        let envelope = Envelope::decode(text)?;
        let key_id = envelope.key_id();
        let key = ring.key(key_id).ok_or(DecryptionCause::UnknownKeyId(key_id))?;
        Ok((key, envelope))
    };
    let opened = match find_key() {
        Ok((key, envelope)) => {
            let type_key = key.type_key(descriptor.type_name)?;
            let plaintext = envelope.open(&type_key, associated_data, name);
            plaintext.and_then(|text| Secret::from_plaintext(text).ok_or(DecryptionCause::PlaintextNotJson))
        }
        Err(cause) => Err(cause),
    };
    Ok(opened.inspect_err(|cause| telemetry::secret_unopened(descriptor.type_name, cause.name())))
}

pub(super) fn present<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a Value> {
    attributes.get(name).filter(|value| !value.is_null())
}

/// Checks that a secret can be read as JSON again where its attribute is exposed or exported.
fn check_depth(descriptor: &Descriptor<'_>, name: &str, secret: &Secret) -> Result<()> {
    let json = secret.expose_json();
    // Most secrets are strings, which have no levels.
    match !json.starts_with('"') && depth::depth(json) > MAX_DEPTH {
        true => Err(Error::invalid(format!("{descriptor}: {}", depth::refusal(name)), depth::FLATTEN)),
        false => Ok(()),
    }
}

fn check_encrypted(descriptor: &Descriptor<'_>, sets: &EncryptionSets, name: &str) -> Result<()> {
    if sets.encrypts(name) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Internal,
        format!("the attribute {name:?} of the type {:?} is not an encrypted one", descriptor.type_name),
    ))
}
