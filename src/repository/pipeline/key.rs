//! The key of an object: type, id and namespace.

use std::fmt;

use crate::Result;
use crate::document::{Namespace, RawId};
use crate::registry::TypeDefinition;

/// The key of a stored object: its type, its id, and the namespace in which it is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The type's name.
    pub type_name: String,
    /// The object's id, without type and namespace.
    pub id: String,
    /// The namespace from which the object is seen. Agnostic types ignore it.
    pub namespace: Namespace,
}

impl ObjectKey {
    /// Returns the key of object `id` of type `type_name` in the default namespace.
    pub fn new(type_name: impl Into<String>, id: impl Into<String>) -> Self {
        Self { type_name: type_name.into(), id: id.into(), namespace: Namespace::DEFAULT }
    }

    /// Returns the `_id` of the object's document. `definition` is its type.
    ///
    /// # Errors
    /// Those of [`RawId::new`].
    pub(in crate::repository) fn raw_id(&self, definition: &TypeDefinition) -> Result<RawId> {
        RawId::new(definition.name(), definition.namespace_kind(), &self.namespace, &self.id)
    }

    /// Returns the key with another namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }
}

/// Shows `type/id`, as error messages name an object.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.type_name, self.id)
    }
}

impl From<&ObjectKey> for ObjectKey {
    fn from(key: &ObjectKey) -> Self {
        key.clone()
    }
}
