use serde::{Deserialize, Serialize};

/// What a model version encrypts, and what it binds as associated data (facts/encryption.md section 1).
///
/// A bound attribute is authenticated together with every secret of its document: if it changes, the secrets no longer
/// open, so it changes only together with a new encryption.
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
    /// Its name: a key of the attributes, never a path.
    pub name: String,
    /// Whether ordinary reads give its decrypted value. Otherwise they leave it out.
    #[serde(default)]
    pub exposed: bool,
}

impl EncryptionSets {
    /// Whether anything is encrypted.
    pub fn is_empty(&self) -> bool {
        self.encrypted.is_empty()
    }

    /// Whether the attribute `name` is encrypted.
    pub fn encrypts(&self, name: &str) -> bool {
        self.encrypted.iter().any(|attribute| attribute.name == name)
    }

    /// Whether ordinary reads give the decrypted value of the attribute `name`.
    pub fn exposes(&self, name: &str) -> bool {
        self.encrypted.iter().find(|attribute| attribute.name == name).is_some_and(|attribute| attribute.exposed)
    }

    /// Whether the attribute `name` is bound. What is encrypted itself is not.
    pub fn binds(&self, name: &str) -> bool {
        self.bound.iter().any(|bound| bound == name) && !self.encrypts(name)
    }
}
