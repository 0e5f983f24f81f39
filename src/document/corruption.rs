//! The reasons for which a stored document is not a well-formed object.

use thiserror::Error;

/// The reason why a stored document is not a well-formed object (record 24). Its text quotes no content of the
/// document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Corruption {
    /// The source is not a JSON object of the expected shape.
    #[error("the source is not a saved object: {0}")]
    Shape(String),
    /// The `type` is missing or empty.
    #[error("the document has no type")]
    NoType,
    /// The `_id` does not begin with the prefix that the type and namespace require.
    #[error("the _id does not have the form `{expected}`")]
    WrongId {
        /// The required form.
        expected: String,
    },
    /// The attributes are missing or not an object.
    #[error("the document has no attributes object `{type_name}`")]
    NoAttributes {
        /// The type, which is the field name of the attributes.
        type_name: String,
    },
}
