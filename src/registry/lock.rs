//! The lock file of released model versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{TypeDefinition, mapping};
use crate::document::NamespaceKind;
use crate::model::ModelVersion;
use crate::{Error, ErrorKind, Result};

/// The released types, stored in `model_versions/released.lock.json`. Documents and running software rely on them, so
/// [`check`](super::check()) compares the definitions with them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The released types by name.
    pub types: BTreeMap<String, LockedType>,
}

/// A released type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedType {
    /// Whether the type is removed and its name reserved.
    pub removed: bool,
    /// The properties that cannot change once the type has documents.
    #[serde(flatten)]
    pub fixed: FixedProperties,
    /// The released model versions.
    pub versions: BTreeMap<u32, LockedVersion>,
}

/// The properties of a type that cannot change once it has documents: where they are stored, and how ids are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedProperties {
    /// The group.
    pub group: String,
    /// The relation of objects to namespaces.
    pub namespace_kind: NamespaceKind,
    /// Whether ids are random.
    pub random_id: bool,
    /// The attributes from which ids are derived.
    pub identity: Option<Vec<String>>,
}

/// A released model version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedVersion {
    /// The SHA-256 digest of the content of the version's file, regardless of white space and the order of keys.
    pub digest: String,
    /// The type's mapping at this version, with one entry for each leaf.
    pub mapping: BTreeMap<String, Value>,
    /// The paths of the fields that the create schema declares, sorted.
    pub fields: Vec<String>,
}

impl Lock {
    /// Reads the text of a lock file.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the text is not a lock file.
    pub fn from_json(source_name: &str, text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            Error::new(ErrorKind::Invalid, format!("{source_name}: {error}"))
                .with_hint("restore the file from version control; only `saved-objects check --release` writes it")
                .with_source(error)
        })
    }

    /// Returns the text of the lock file.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if it cannot be written as JSON, which does not happen.
    pub fn to_json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| {
            Error::new(ErrorKind::Internal, "the lock could not be written as JSON").with_source(error)
        })?;
        Ok(text + "\n")
    }

    /// Returns the lock after a release of `definitions`. New types and versions are added. In existing entries only
    /// `removed` can become true.
    #[must_use]
    pub fn released(&self, definitions: &[TypeDefinition]) -> Self {
        let mut lock = self.clone();
        for definition in definitions {
            let locked = lock.types.entry(definition.name().to_owned()).or_insert_with(|| LockedType {
                removed: false,
                fixed: FixedProperties::of(definition),
                versions: BTreeMap::new(),
            });
            locked.removed |= definition.removed();
            for version in definition.versions() {
                locked.versions.entry(version.number).or_insert_with(|| LockedVersion::of(definition, version));
            }
        }
        lock
    }
}

impl FixedProperties {
    pub(super) fn of(definition: &TypeDefinition) -> Self {
        Self {
            group: definition.group().to_owned(),
            namespace_kind: definition.namespace_kind(),
            random_id: definition.random_id(),
            identity: definition.identity().map(<[String]>::to_vec),
        }
    }
}

impl LockedVersion {
    /// Creates the entry for a version. Its mapping leaves out what later versions added. Other mapping changes of
    /// later versions cannot be undone, so the entry has the present state. That happens only if several versions are
    /// released together, and no index was ever made by the earlier ones.
    pub(super) fn of(definition: &TypeDefinition, version: &ModelVersion) -> Self {
        let then = definition.as_of(version.number);
        Self {
            digest: version.content_digest.clone(),
            mapping: then.map(|then| mapping::flatten(then.mapping())).unwrap_or_default(),
            fields: version.create.fields().into_iter().collect(),
        }
    }
}
