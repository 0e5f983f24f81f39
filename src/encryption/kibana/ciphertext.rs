use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Tag};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, Zeroizing};

use super::key_derivation;
use crate::encryption::DecryptionCause;

pub(super) const SALT_BYTES: usize = 64;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const ROUNDS: u32 = 10_000;

/// The key of one value.
pub(super) type ValueKey = Zeroizing<[u8; 32]>;

/// A stored value, taken apart.
pub(super) struct Ciphertext {
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
    tag: [u8; TAG_BYTES],
    bytes: Vec<u8>,
}

impl Ciphertext {
    /// Reads the text that is stored. Stricter than Kibana: base64 must be the very text that encoding makes, and the tag
    /// whole.
    pub(super) fn decode(text: &str) -> Result<Self, DecryptionCause> {
        let bytes = STANDARD.decode(text).map_err(|_| DecryptionCause::Malformed)?;
        let (salt, rest) = bytes.split_first_chunk::<SALT_BYTES>().ok_or(DecryptionCause::Malformed)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(DecryptionCause::Malformed)?;
        let (tag, rest) = rest.split_first_chunk::<TAG_BYTES>().ok_or(DecryptionCause::Malformed)?;
        if rest.is_empty() {
            return Err(DecryptionCause::Malformed);
        }
        Ok(Self { salt: *salt, nonce: *nonce, tag: *tag, bytes: rest.to_vec() })
    }

    /// The key that this value has if it was encrypted with `secret`. Takes milliseconds.
    pub(super) fn derive_key(&self, secret: &[u8]) -> ValueKey {
        key_derivation::derive(secret, &self.salt, ROUNDS)
    }

    /// Decrypts to the JSON text that was encrypted.
    pub(super) fn open(&self, key: &ValueKey, associated_data: &str) -> Result<Zeroizing<String>, DecryptionCause> {
        let key: &[u8; 32] = key;
        let mut buffer = Zeroizing::new(self.bytes.clone());
        Aes256Gcm::new(key.into())
            .decrypt_inout_detached(
                &self.nonce.into(),
                associated_data.as_bytes(),
                buffer.as_mut_slice().into(),
                &Tag::from(self.tag),
            )
            .map_err(|_| DecryptionCause::Authentication)?;
        match String::from_utf8(std::mem::take(&mut *buffer)) {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(error) => {
                error.into_bytes().zeroize();
                Err(DecryptionCause::PlaintextNotJson)
            }
        }
    }
}
