//! The stored form of a value that Kibana encrypted.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Tag};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::Sha512;
use zeroize::{Zeroize, Zeroizing};

use crate::encryption::DecryptionCause;

const SALT_BYTES: usize = 64;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const ROUNDS: u32 = 10_000;

/// The key of one value.
pub(super) type ValueKey = Zeroizing<[u8; 32]>;

/// The parts of a stored value.
pub(super) struct Ciphertext {
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
    tag: [u8; TAG_BYTES],
    bytes: Vec<u8>,
}

impl Ciphertext {
    /// Decodes the stored text. It is stricter than Kibana: the text must be exactly what base64 encoding produces, and
    /// the tag must be complete.
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

    /// Derives the key of this value, for a value that was encrypted with `secret`. Takes milliseconds.
    pub(super) fn derive_key(&self, secret: &[u8]) -> ValueKey {
        let mut key = Zeroizing::new([0; 32]);
        pbkdf2::pbkdf2_hmac::<Sha512>(secret, &self.salt, ROUNDS, key.as_mut_slice());
        key
    }

    /// Decrypts the value and returns its JSON text.
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
