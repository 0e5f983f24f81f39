use std::sync::Arc;

use serde_json::{Map, Value};
use thiserror::Error;

use super::{Change, ModelVersion, Transforms};
use crate::document::Attributes;
use crate::{Error, ErrorKind};

/// Why a document could not be brought to the newest version. Its text quotes no value of the document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UpgradeError {
    /// A version names a transform that this software does not have.
    #[error("model version {version} needs the transform `{name}`, which this software does not have")]
    MissingTransform {
        /// The version that names it.
        version: u32,
        /// Its name.
        name: String,
    },
    /// A transform refused the document.
    #[error("the transform `{name}` of model version {version} refused the document: {reason}")]
    Refused {
        /// The version that names the transform.
        version: u32,
        /// The transform's name.
        name: String,
        /// What the transform said.
        reason: String,
    },
}

impl From<UpgradeError> for Error {
    fn from(error: UpgradeError) -> Self {
        let (kind, cure) = match &error {
            UpgradeError::MissingTransform { .. } => {
                (ErrorKind::Incompatible, "register the transform, or run the software that has it")
            }
            UpgradeError::Refused { .. } => {
                (ErrorKind::Corrupt, "correct the document, or let the transform accept it")
            }
        };
        Self::new(kind, error.to_string()).with_cure(cure).with_source(error)
    }
}

/// Brings `attributes` from model version `from` to the last of `versions`, which are in ascending order: the changes of
/// each version above `from` run in order. From the last version or a newer one nothing happens.
///
/// Encrypted attributes pass as they are given, as envelopes or opened: declared changes cannot look into them, and a
/// transform sees what the caller hands over.
///
/// # Errors
/// [`UpgradeError`]; the attributes are then half-way and must not be stored.
pub fn upgrade(
    versions: &[Arc<ModelVersion>],
    transforms: &Transforms,
    from: u32,
    attributes: &mut Attributes,
) -> Result<(), UpgradeError> {
    for version in versions.iter().filter(|version| version.number > from) {
        for change in &version.changes {
            apply(change, version.number, transforms, attributes)?;
        }
    }
    Ok(())
}

fn apply(
    change: &Change,
    version: u32,
    transforms: &Transforms,
    attributes: &mut Attributes,
) -> Result<(), UpgradeError> {
    match change {
        Change::MappingsAddition { .. } | Change::MappingsDeprecation { .. } | Change::MappingsChange { .. } => {}
        Change::DataBackfill { defaults } => fill_absent(attributes, defaults),
        Change::DataRemoval { paths } => paths.iter().for_each(|path| path.remove_from(attributes)),
        Change::Transform { name } => {
            let transform =
                transforms.get(name).ok_or_else(|| UpgradeError::MissingTransform { version, name: name.clone() })?;
            transform(attributes).map_err(|reason| UpgradeError::Refused { version, name: name.clone(), reason })?;
        }
    }
    Ok(())
}

fn fill_absent(object: &mut Map<String, Value>, defaults: &Map<String, Value>) {
    for (name, default) in defaults {
        match (object.get_mut(name), default) {
            (None, _) => drop(object.insert(name.clone(), default.clone())),
            (Some(Value::Object(inner)), Value::Object(defaults)) => fill_absent(inner, defaults),
            (Some(_), _) => {}
        }
    }
}
