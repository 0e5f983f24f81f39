//! Keys, their ids, and the derivation of the keys of each type.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha512;
use zeroize::{Zeroize, Zeroizing};

use super::cipher::TypeKey;
use crate::{Error, ErrorKind, Result};

const SALT: &[u8] = b"saved-objects/attribute-encryption/v1";
const KEY_ID_LABEL: &[u8] = b"key-id";
const TYPE_KEY_LABEL: &[u8] = b"aes-256-siv\0";
const FINGERPRINT_LABEL: &[u8] = b"verify";

/// The id of a key. It is derived from the key's secret and does not reveal it. It appears in every envelope and in
/// logs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// Creates an id from the bytes that envelopes contain.
    pub(super) fn new(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes that envelopes contain.
    pub(super) fn to_bytes(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = Error;

    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the text is not 16 lower-case hexadecimal digits.
    fn from_str(text: &str) -> Result<Self> {
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let bytes = (text.len() == 16 && text.as_bytes().iter().all(is_digit)).then(|| u64::from_str_radix(text, 16));
        match bytes {
            Some(Ok(bytes)) => Ok(Self(bytes.to_be_bytes())),
            _ => Err(Error::invalid(
                format!("{text:?} is no key id"),
                "give 16 hexadecimal digits, as `saved-objects keys status` shows them",
            )),
        }
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// One secret of the key ring, ready for use.
pub(super) struct Key {
    id: KeyId,
    derivation: Hkdf<Sha512>,
    /// The derived keys by type. Deriving one takes longer than encrypting a small value. There are as many entries as
    /// encrypted types.
    type_keys: RwLock<HashMap<String, Arc<TypeKey>>>,
}

impl Key {
    /// Derives the key of `secret`, whose strength the caller has checked.
    pub(super) fn derive(secret: &SecretString) -> Result<Self> {
        let (mut prk, derivation) = Hkdf::<Sha512>::extract(Some(SALT), secret.expose_secret().as_bytes());
        prk.as_mut_slice().zeroize();
        let mut id = [0; 8];
        derivation.expand(KEY_ID_LABEL, &mut id).map_err(derivation_failed)?;
        Ok(Self { id: KeyId(id), derivation, type_keys: RwLock::default() })
    }

    pub(super) fn id(&self) -> KeyId {
        self.id
    }

    /// Returns the key for envelopes of the type `type_name`.
    pub(super) fn type_key(&self, type_name: &str) -> Result<Arc<TypeKey>> {
        if let Some(key) = self.type_keys.read().unwrap_or_else(PoisonError::into_inner).get(type_name) {
            return Ok(Arc::clone(key));
        }
        let mut key = TypeKey::default();
        self.derivation
            .expand_multi_info(&[TYPE_KEY_LABEL, type_name.as_bytes()], key.as_mut())
            .map_err(derivation_failed)?;
        let key = Arc::new(key);
        self.type_keys.write().unwrap_or_else(PoisonError::into_inner).insert(type_name.to_owned(), Arc::clone(&key));
        Ok(key)
    }

    /// Returns the key for fingerprints of documents.
    pub(super) fn fingerprint_key(&self) -> Result<Zeroizing<[u8; 32]>> {
        let mut key = Zeroizing::new([0; 32]);
        self.derivation.expand(FINGERPRINT_LABEL, key.as_mut_slice()).map_err(derivation_failed)?;
        Ok(key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

fn derivation_failed(error: hkdf::InvalidLength) -> Error {
    Error::new(ErrorKind::Internal, "the key derivation refused the length of a key").with_source(error)
}
