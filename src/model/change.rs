use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::AttributePath;

/// What a model version changes. The changes of one version run in the order of their list, each on what the one before
/// it left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Attributes that can be searched from this version on. Documents stay as they are.
    MappingsAddition {
        /// What is added under `properties` of the type's mapping, which holds the same.
        properties: Map<String, Value>,
    },
    /// Attributes that nobody searches any more. Elasticsearch cannot take a field out of a mapping, so the mapping
    /// keeps them; this says that it is on purpose.
    MappingsDeprecation {
        /// Their paths.
        attributes: Vec<AttributePath>,
    },
    /// Attributes whose mapping becomes another, or goes. No index can do that in place: the group is copied into a new
    /// index, and software of an older version cannot go on beside it.
    MappingsChange {
        /// Their paths.
        attributes: Vec<AttributePath>,
    },
    /// Values for what is absent. What is there stays, null included.
    DataBackfill {
        /// The values by attribute. An object fills what is absent in an object that is there.
        defaults: Map<String, Value>,
    },
    /// What is taken out of every document.
    DataRemoval {
        /// Where it is; a path that leads nowhere is no error.
        paths: Vec<AttributePath>,
    },
    /// A function of the platform that changes the attributes.
    Transform {
        /// The name under which it is registered.
        name: String,
    },
}

impl Change {
    /// Whether the change can alter documents; the others are about the mapping only.
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

    /// Whether the change alters the mapping.
    pub fn changes_mapping(&self) -> bool {
        matches!(self, Self::MappingsAddition { .. } | Self::MappingsChange { .. })
    }
}
