//! References between objects.

use serde::{Deserialize, Serialize};

/// A reference from one object to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reference {
    /// The name by which the attributes identify the reference.
    pub name: String,
    /// The type of the referenced object.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The id of the referenced object.
    pub id: String,
}
