//! Decryption of values that Kibana encrypted, for taking over an index. It never encrypts.
//!
//! A value is standard base64 of salt (64 bytes), GCM nonce (12), tag (16) and ciphertext. Its AES-256-GCM key is
//! derived from the configured text and the salt by PBKDF2-HMAC-SHA-512 with 10,000 rounds, which takes nearly all of
//! the time of a decryption. There is no key id, so keys are tried in their order. All encrypted attributes of one
//! document have the same associated data, so an exchange of two of them goes unnoticed, as in Kibana.

mod associated_data;
mod ciphertext;
mod codec;
mod keys;

#[cfg(test)]
mod tests;

pub use codec::KibanaCodec;
pub use keys::KibanaKeys;
