//! The changes that a model version makes to the mapping and to documents.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::AttributePath;

/// A change of a model version. The changes of one version run in the order of their list, each on the result of the
/// one before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Makes attributes searchable from this version on. Documents do not change.
    MappingsAddition {
        /// The fields added under `properties` of the type's mapping, which must hold the same.
        properties: Map<String, Value>,
    },
    /// Marks attributes that are no longer searched. Elasticsearch cannot remove a field from a mapping, so the mapping
    /// keeps them. The change records that this is intended.
    MappingsDeprecation {
        /// The paths of the attributes.
        attributes: Vec<AttributePath>,
    },
    /// Replaces or removes the mapping of attributes. Elasticsearch cannot do that in place: the group is copied to a
    /// new index, and software of an older version cannot run at the same time.
    MappingsChange {
        /// The paths of the attributes.
        attributes: Vec<AttributePath>,
    },
    /// Sets values that are absent. Existing values stay, null included.
    DataBackfill {
        /// The values by attribute. An object sets what is absent in an existing object.
        defaults: Map<String, Value>,
    },
    /// Removes values from every document.
    DataRemoval {
        /// The paths of the values. A path that leads nowhere is not an error.
        paths: Vec<AttributePath>,
    },
    /// Calls a function of the platform that changes the attributes.
    Transform {
        /// The name under which the function is registered.
        name: String,
    },
}

impl Change {
    /// Returns whether the change can alter documents. The other changes affect only the mapping.
    pub fn changes_documents(&self) -> bool {
        matches!(self, Self::DataBackfill { .. } | Self::DataRemoval { .. } | Self::Transform { .. })
    }

    /// Returns whether the change can alter an attribute for which `is_one` holds.
    pub(crate) fn can_alter(&self, is_one: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::MappingsAddition { .. } | Self::MappingsDeprecation { .. } | Self::MappingsChange { .. } => false,
            Self::DataBackfill { defaults } => defaults.keys().any(|name| is_one(name)),
            Self::DataRemoval { paths } => paths.iter().any(|path| is_one(path.attribute())),
            Self::Transform { .. } => true,
        }
    }

    /// Returns whether the change alters the mapping.
    pub fn changes_mapping(&self) -> bool {
        matches!(self, Self::MappingsAddition { .. } | Self::MappingsChange { .. })
    }
}
