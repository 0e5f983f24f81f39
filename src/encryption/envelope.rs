//! The layout of an envelope, its encryption and decryption. The module's documentation has the layout as a table.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

use super::associated_data::AssociatedData;
use super::cipher::{Tag, TypeKey};
use super::envelope_header::{Header, MAGIC, Nonce, VERSION, header, split};
use super::error::DecryptionCause;
use super::key::KeyId;
use crate::{Error, ErrorKind, Result};

const FIXED_BYTES: usize = size_of::<Header>() + size_of::<Nonce>() + size_of::<Tag>();

/// A decoded envelope.
pub(super) struct Envelope {
    key_id: KeyId,
    model_version: u32,
    nonce: Nonce,
    tag: Tag,
    ciphertext: Vec<u8>,
}

impl Envelope {
    /// Encrypts `plaintext` with `type_key`, which belongs to the key `key_id`, under the model version of
    /// `associated_data`.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if the associated data has too many components, which its constructor
    /// prevents.
    pub(super) fn seal(
        key_id: KeyId,
        type_key: &TypeKey,
        nonce: Nonce,
        associated_data: &AssociatedData<'_>,
        attribute: &str,
        plaintext: &str,
    ) -> Result<Self> {
        let model_version = associated_data.model_version();
        let heading =
            associated_data.heading(&header(key_id, model_version), model_version, attribute).ok_or_else(|| {
                Error::new(ErrorKind::Internal, "a secret was to be sealed under a version that is not the document's")
            })?;
        let components = associated_data.components(&heading, attribute, &nonce);
        let mut buffer = plaintext.as_bytes().to_vec();
        let sealed = type_key.seal(components, &mut buffer);
        match sealed {
            Ok(tag) => Ok(Self { key_id, model_version, nonce, tag, ciphertext: buffer }),
            Err(_) => {
                buffer.zeroize();
                Err(Error::new(ErrorKind::Internal, "the cipher refused the associated data"))
            }
        }
    }

    /// Decrypts the envelope and returns its JSON text. `type_key` belongs to the key of [`Envelope::key_id`].
    pub(super) fn open(
        self,
        type_key: &TypeKey,
        associated_data: &AssociatedData<'_>,
        attribute: &str,
    ) -> Result<Zeroizing<String>, DecryptionCause> {
        let heading = associated_data
            .heading(&header(self.key_id, self.model_version), self.model_version, attribute)
            .ok_or(DecryptionCause::ModelVersion(self.model_version))?;
        let components = associated_data.components(&heading, attribute, &self.nonce);
        // If authentication fails, nothing decrypted stays in the buffer.
        let mut buffer = self.ciphertext;
        type_key.open(components, &mut buffer, self.tag).map_err(|_| DecryptionCause::Authentication)?;
        match String::from_utf8(buffer) {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(error) => {
                error.into_bytes().zeroize();
                Err(DecryptionCause::PlaintextNotJson)
            }
        }
    }

    /// Returns the id of the key that the envelope was encrypted with.
    pub(super) fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// Reads a stored value as an envelope, or returns the cause why it is not one. Nothing is decrypted.
    pub(super) fn of(stored: &Value) -> Result<Self, DecryptionCause> {
        Self::decode(stored.as_str().ok_or(DecryptionCause::NotAString)?)
    }

    /// Returns the stored text.
    pub(super) fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.ciphertext.len());
        bytes.extend_from_slice(&header(self.key_id, self.model_version));
        bytes.extend_from_slice(&self.nonce);
        bytes.extend_from_slice(&self.tag);
        bytes.extend_from_slice(&self.ciphertext);
        STANDARD.encode(bytes)
    }

    /// Reads the stored text. Accepts only the exact text that [`Envelope::encode`] produces.
    pub(super) fn decode(text: &str) -> Result<Self, DecryptionCause> {
        let mut bytes = STANDARD.decode(text).map_err(|_| DecryptionCause::Malformed)?;
        let fixed = bytes.first_chunk::<FIXED_BYTES>().ok_or(DecryptionCause::Malformed)?;
        let (magic, rest) = split(fixed)?;
        let ([version], rest) = split(rest)?;
        let (key_id, rest) = split(rest)?;
        let (model_version, rest) = split(rest)?;
        let (nonce, rest) = split(rest)?;
        let (tag, _) = split(rest)?;
        if magic != MAGIC || bytes.len() == FIXED_BYTES {
            return Err(DecryptionCause::Malformed);
        }
        if version != VERSION {
            return Err(DecryptionCause::UnsupportedVersion(version));
        }
        bytes.drain(..FIXED_BYTES);
        let model_version = u32::from_be_bytes(model_version);
        Ok(Self { key_id: KeyId::new(key_id), model_version, nonce, tag, ciphertext: bytes })
    }
}
