//! Encrypted attributes. Every secret of an object is stored as one envelope, and only this module sees keys or
//! decrypted values. Nothing here does I/O, except for reading key files.
//!
//! # The scheme
//!
//! An envelope is a JSON string of standard, padded base64. Each sequence of bytes has exactly one text.
//!
//! | offset | bytes | content |
//! | --- | --- | --- |
//! | 0 | 3 | `SOE` |
//! | 3 | 1 | version, `01` |
//! | 4 | 8 | key id |
//! | 12 | 4 | model version that it was sealed under, big-endian |
//! | 16 | 16 | nonce, random |
//! | 32 | 16 | AES-SIV tag |
//! | 48 | n ≥ 1 | ciphertext, as long as the plaintext: the UTF-8 JSON text of the value |
//!
//! The cipher is AES-256-SIV (RFC 5297). Each type has its own key, derived from the configured secret by HKDF-SHA-512.
//! If the random source ever repeats a nonce, only the equality of two identical values in the same place is revealed.
//!
//! The associated data is a vector whose parts are separate components, so that nothing can be moved from one place to
//! another:
//!
//! | # | component | what it prevents |
//! | --- | --- | --- |
//! | 0 | first 16 bytes of the envelope, digest of their version's sets | another version, key, model version or sets |
//! | 1 | type | moving a secret to another type |
//! | 2 | namespace, empty if none | … to another namespace |
//! | 3 | id | … to another object |
//! | 4 | name of the attribute | … to another attribute of the same object |
//! | 5, 6, … | for each bound attribute that is present, by name: name, canonical JSON | changing a bound attribute |
//! | last | nonce | |
//!
//! # Model versions
//!
//! The document's model version determines what is encrypted, exposed and bound, and the document only claims that
//! version. The digest is SHA-256 of the canonical JSON `{"bound":[…],"encrypted":[{"exposed":…,"name":…},…]}` with
//! both lists sorted. [`EncryptionHistory`] has these sets for each version up to the document's.
//!
//! An envelope can be decrypted only under two conditions. The version that it names is in that history. All versions
//! from there on encrypt and expose its attribute alike, and bind the same of the document's attributes. So a document
//! cannot be set back to a version before its envelopes were sealed, and it cannot keep an envelope that a change
//! should have replaced. Each change of a document follows the same rule.
//!
//! For a version newer than this software, an index records the sets. Nothing is sealed at such a version if its sets
//! do not bind what this software's newest version binds.
//!
//! The scheme does not prevent restoring a whole old document or one old envelope in its own place, deleting a secret,
//! or seeing a secret's length.

mod associated_data;
mod canonical_json;
mod cipher;
mod descriptor;
mod envelope;
mod envelope_header;
mod error;
mod fingerprint;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod fuzzing;
mod history;
mod key;
mod key_ring;
mod key_source;
#[cfg(any(test, feature = "kibana"))]
mod kibana;
mod rotation;
mod secret;
pub(crate) mod secret_file;
mod service;
mod source_reader;

#[cfg(test)]
mod tests;

pub(crate) use associated_data::MAX_BOUND_ATTRIBUTES;
pub use error::{AttributeError, DecryptionCause, Operation};
pub(crate) use fingerprint::{Fingerprint, Fingerprinter};
pub use key::KeyId;
pub use key_ring::KeyRing;
#[cfg(any(test, feature = "kibana"))]
pub use kibana::KibanaKeys;
pub(crate) use rotation::KeysOf;
pub use secrecy::SecretString;
pub use secret::{Secret, Secrets};
pub(crate) use service::Opened;
pub(crate) use source_reader::SourceReader;
pub use zeroize::Zeroizing;

// Inner forms, for this workspace alone.
#[doc(hidden)]
pub use descriptor::Descriptor;
#[doc(hidden)]
pub use history::EncryptionHistory;
#[doc(hidden)]
pub use key_source::{DECRYPTION_ONLY_KEYS_VARIABLE, KEY_FILE_VARIABLE, KEY_VARIABLE};
#[cfg(any(test, feature = "kibana"))]
#[doc(hidden)]
pub use kibana::KibanaCodec;
#[doc(hidden)]
pub use service::EncryptionService;

/// The environment variable that holds the path of the file with Kibana's keys.
#[doc(hidden)]
pub const KIBANA_KEYS_FILE_VARIABLE: &str = "SAVED_OBJECTS_KIBANA_KEYS_FILE";
