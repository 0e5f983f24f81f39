//! One version of a type's documents.

use super::{Change, CreateSchema, EncryptionSets, ForwardSchema};

/// One version of a type's documents.
#[derive(Debug, Clone)]
pub struct ModelVersion {
    /// The version number. The first is 1.
    pub number: u32,
    /// The changes, in the order in which they run.
    pub changes: Vec<Change>,
    /// The schema of the stored form of a document that is created at this version.
    pub create: CreateSchema,
    /// The parts that software of this version keeps of a newer document. `None` means that it cannot read one.
    pub forward: Option<ForwardSchema>,
    /// The attributes that the version encrypts and binds.
    pub sets: EncryptionSets,
    /// The SHA-256 digest of the version's file, regardless of white space and the order of keys.
    pub content_digest: String,
}

impl ModelVersion {
    /// Returns the names of the transforms that the version runs.
    pub fn transforms(&self) -> impl Iterator<Item = &str> {
        self.changes.iter().filter_map(|change| match change {
            Change::Transform { name } => Some(name.as_str()),
            _ => None,
        })
    }
}
