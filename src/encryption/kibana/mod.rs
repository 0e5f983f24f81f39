//! Opens what Kibana encrypted, for taking over an index. It never encrypts.
//!
//! A value is standard base64 of salt (64 bytes), GCM nonce (12), tag (16) and ciphertext. Its AES-256-GCM key is derived
//! from the configured text and the salt by PBKDF2-HMAC-SHA-512 with 10,000 rounds, which is nearly all of the time that
//! opening takes. There is no key id: keys are tried in their order. All encrypted attributes of one document have the same
//! associated data, so Kibana does not notice when two of them are exchanged, and neither does this.

mod associated_data;
mod ciphertext;
mod codec;
mod key_derivation;
mod keys;

#[cfg(test)]
mod tests;

pub use codec::KibanaCodec;
pub use keys::{KIBANA_KEYS_FILE_VARIABLE, KibanaKeys};
