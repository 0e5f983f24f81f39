//! The layout of an envelope, and how it is made and opened. The module's documentation has it as a table.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

use super::associated_data::AssociatedData;
use super::error::DecryptionCause;
use super::key::KeyId;
use super::siv::{Siv, Tag};
use crate::{Error, ErrorKind, Result};

pub(super) type Header = [u8; 16];
pub(super) type Nonce = [u8; 16];

const MAGIC: [u8; 3] = *b"SOE";
const VERSION: u8 = 1;
/// Characters of base64 that have all of the header.
const HEADER_TEXT: usize = size_of::<Header>().div_ceil(3) * 4;
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
    /// Encrypts `plaintext` under `type_key`, which belongs to the key `key_id`, and under the model version of `associated_data`.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if the associated data has too many components, which its maker prevents.
    pub(super) fn seal(
        key_id: KeyId,
        type_key: &Siv,
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

    /// Decrypts to the JSON text that was sealed. `type_key` belongs to the key of [`Envelope::key_id`].
    pub(super) fn open(
        self,
        type_key: &Siv,
        associated_data: &AssociatedData<'_>,
        attribute: &str,
    ) -> Result<Zeroizing<String>, DecryptionCause> {
        let heading = associated_data
            .heading(&header(self.key_id, self.model_version), self.model_version, attribute)
            .ok_or(DecryptionCause::ModelVersion(self.model_version))?;
        let components = associated_data.components(&heading, attribute, &self.nonce);
        // What does not authenticate is wiped by the cipher.
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

    /// The key that the envelope was made with.
    pub(super) fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The envelope that a stored value is; why it is none otherwise. Nothing is opened.
    pub(super) fn of(stored: &Value) -> Result<Self, DecryptionCause> {
        Self::decode(stored.as_str().ok_or(DecryptionCause::NotAString)?)
    }

    /// The model version that a stored value names, if it begins as envelopes do. Only the header is looked at.
    pub(super) fn named_version(stored: &Value) -> Option<u32> {
        let mut bytes = [0; HEADER_TEXT / 4 * 3];
        STANDARD.decode_slice(stored.as_str()?.get(..HEADER_TEXT)?, &mut bytes).ok()?;
        let (magic, rest) = split::<3>(&bytes).ok()?;
        let ([version], rest) = split(rest).ok()?;
        let (_, rest) = split::<{ size_of::<KeyId>() }>(rest).ok()?;
        let (model_version, _) = split(rest).ok()?;
        (magic == MAGIC && version == VERSION).then(|| u32::from_be_bytes(model_version))
    }

    /// The text that is stored.
    pub(super) fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.ciphertext.len());
        bytes.extend_from_slice(&header(self.key_id, self.model_version));
        bytes.extend_from_slice(&self.nonce);
        bytes.extend_from_slice(&self.tag);
        bytes.extend_from_slice(&self.ciphertext);
        STANDARD.encode(bytes)
    }

    /// Reads the text that is stored. Only the very text that [`Envelope::encode`] makes is accepted.
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

fn split<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), DecryptionCause> {
    let (first, rest) = bytes.split_first_chunk::<N>().ok_or(DecryptionCause::Malformed)?;
    Ok((*first, rest))
}

fn header(key_id: KeyId, model_version: u32) -> Header {
    let mut header = [0; size_of::<Header>()];
    let parts = MAGIC.into_iter().chain([VERSION]).chain(key_id.to_bytes()).chain(model_version.to_be_bytes());
    header.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
    header
}
