//! What a model version encrypts and binds.

use serde::{Deserialize, Serialize};

/// The attributes that a model version encrypts, and those that it binds as associated data (record 29).
///
/// A bound attribute is authenticated together with every secret of its document. If it changes, the secrets can no
/// longer be decrypted, so it changes only in a write that encrypts them again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncryptionSets {
    /// The encrypted attributes, in the order in which the definition declares them.
    pub encrypted: Vec<EncryptedAttribute>,
    /// The bound attributes, in the order in which the definition declares them.
    pub bound: Vec<String>,
}

/// An attribute that is stored as an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptedAttribute {
    /// The name: a key of the attributes, never a path.
    pub name: String,
    /// Whether ordinary reads return the decrypted value. Otherwise they omit the attribute.
    #[serde(default)]
    pub exposed: bool,
}

impl EncryptionSets {
    /// Returns whether no attribute is encrypted.
    pub fn is_empty(&self) -> bool {
        self.encrypted.is_empty()
    }

    /// Returns whether the attribute `name` is encrypted.
    pub fn encrypts(&self, name: &str) -> bool {
        self.encrypted.iter().any(|attribute| attribute.name == name)
    }

    /// Returns whether ordinary reads return the decrypted value of the attribute `name`.
    pub fn exposes(&self, name: &str) -> bool {
        self.encrypted.iter().find(|attribute| attribute.name == name).is_some_and(|attribute| attribute.exposed)
    }

    /// Returns whether the attribute `name` is bound. An encrypted attribute is not bound.
    pub fn binds(&self, name: &str) -> bool {
        self.bound.iter().any(|bound| bound == name) && !self.encrypts(name)
    }
}
