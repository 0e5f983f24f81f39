use serde::{Deserialize, Serialize};

/// A reference from one object to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reference {
    /// The name by which the attributes speak of it.
    pub name: String,
    /// The type of the object referred to.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its id.
    pub id: String,
}
