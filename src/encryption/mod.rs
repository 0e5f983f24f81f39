//! Encrypted attributes: every secret of an object is stored as one envelope, and only this module sees keys or decrypted
//! values. Nothing here does I/O, except for reading the key file.
//!
//! # The scheme
//!
//! An envelope is a JSON string: standard base64, padded, one text for each value of its bytes.
//!
//! | offset | bytes | content |
//! | --- | --- | --- |
//! | 0 | 3 | `SOE` |
//! | 3 | 1 | version, `01` |
//! | 4 | 8 | key id |
//! | 12 | 4 | model version that it was sealed under, the highest byte first |
//! | 16 | 16 | nonce, random |
//! | 32 | 16 | AES-SIV tag |
//! | 48 | n ≥ 1 | ciphertext, as long as the plaintext: the UTF-8 JSON text of the value |
//!
//! The cipher is AES-256-SIV (RFC 5297) with a key for each type, derived from the configured secret by HKDF-SHA-512.
//! Should the random source ever repeat a nonce, only the equality of two identical values in the same place shows.
//!
//! The associated data is a vector, each component its own, so that nothing can be moved from one place to another:
//!
//! | # | component | what it prevents |
//! | --- | --- | --- |
//! | 0 | the first 16 bytes of the envelope, and the digest of the sets of the model version that they name | another version or key, another model version, other sets |
//! | 1 | type | moving a secret to another type |
//! | 2 | namespace, empty if none | … to another namespace |
//! | 3 | id | … to another object |
//! | 4 | name of the attribute | … to another attribute of the same object |
//! | 5, 6, … | for each bound attribute that is present, by name: its name, its canonical JSON | changing a bound attribute |
//! | last | nonce | |
//!
//! # Model versions
//!
//! What is encrypted, exposed and bound is a matter of the document's model version, which the document itself only claims. The
//! digest is SHA-256 of the canonical JSON `{"bound":[…],"encrypted":[{"exposed":…,"name":…},…]}` with both lists sorted.
//! [`EncryptionHistory`] has these sets for each version up to the document's. An envelope opens only if the version that it
//! names is one of them, and if all versions from there on encrypt and expose its attribute alike and bind the same of what the
//! document has: so a document can neither be set back before its envelopes were sealed, nor can it keep an envelope that a change
//! should have replaced. Each change of a document is held to the same rule. Nothing is sealed at a version beyond
//! this software, whose sets an index says, if they do not bind what its newest one does.
//!
//! What it does not prevent: putting back a whole old document or one old envelope in its own place, deleting a secret, seeing a
//! secret's length.

mod associated_data;
mod canonical_json;
mod descriptor;
mod envelope;
mod error;
mod fingerprint;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod fuzzing;
mod history;
mod key;
mod key_ring;
mod key_source;
mod kibana;
mod rotation;
mod secret;
mod service;
mod siv;

#[cfg(test)]
mod tests;

pub use associated_data::MAX_BOUND_ATTRIBUTES;
pub use descriptor::Descriptor;
pub use error::{AttributeError, DecryptionCause, Operation};
pub use fingerprint::{Fingerprint, Fingerprinter};
pub use history::EncryptionHistory;
pub use key::KeyId;
pub use key_ring::KeyRing;
pub use key_source::{DECRYPTION_ONLY_KEYS_VARIABLE, KEY_FILE_VARIABLE, KEY_VARIABLE};
pub use kibana::{KIBANA_KEYS_FILE_VARIABLE, KibanaCodec, KibanaKeys};
pub use rotation::{KeysOf, Resealed};
pub use secrecy::SecretString;
pub use secret::{Secret, Secrets};
pub use service::{EncryptionService, Opened};
pub use zeroize::Zeroizing;
