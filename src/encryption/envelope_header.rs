//! The header of an envelope, which can be read without decrypting.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::error::DecryptionCause;
use super::key::KeyId;

pub(super) type Header = [u8; 16];
pub(super) type Nonce = [u8; 16];

pub(super) const MAGIC: [u8; 3] = *b"SOE";
pub(super) const VERSION: u8 = 1;
/// The number of base64 characters that contain the whole header.
const HEADER_TEXT: usize = size_of::<Header>().div_ceil(3) * 4;

/// Returns the model version that a stored value names, if it begins like an envelope. Reads only the header.
pub(super) fn named_version(stored: &Value) -> Option<u32> {
    let mut bytes = [0; HEADER_TEXT / 4 * 3];
    STANDARD.decode_slice(stored.as_str()?.get(..HEADER_TEXT)?, &mut bytes).ok()?;
    let (magic, rest) = split::<3>(&bytes).ok()?;
    let ([version], rest) = split(rest).ok()?;
    let (_, rest) = split::<{ size_of::<KeyId>() }>(rest).ok()?;
    let (model_version, _) = split(rest).ok()?;
    (magic == MAGIC && version == VERSION).then(|| u32::from_be_bytes(model_version))
}

pub(super) fn split<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), DecryptionCause> {
    let (first, rest) = bytes.split_first_chunk::<N>().ok_or(DecryptionCause::Malformed)?;
    Ok((*first, rest))
}

pub(super) fn header(key_id: KeyId, model_version: u32) -> Header {
    let mut header = [0; size_of::<Header>()];
    let parts = MAGIC.into_iter().chain([VERSION]).chain(key_id.to_bytes()).chain(model_version.to_be_bytes());
    header.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
    header
}
