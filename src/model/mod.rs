//! Model versions: what each one changes, how a document of it looks, and what it encrypts. Nothing here does I/O.

mod encryption_sets;

pub use encryption_sets::{EncryptedAttribute, EncryptionSets};
