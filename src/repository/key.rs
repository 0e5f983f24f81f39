use std::fmt;

use crate::Result;
use crate::document::{Namespace, RawId};
use crate::registry::TypeDefinition;

/// What a stored object is called: its type, its id, and the namespace it is looked for in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The type's name.
    pub type_name: String,
    /// The object's id, without type and namespace.
    pub id: String,
    /// The namespace from which the object is seen. It means nothing for agnostic types.
    pub namespace: Namespace,
}

impl ObjectKey {
    /// The object `id` of type `type_name`, in the default namespace.
    pub fn new(type_name: impl Into<String>, id: impl Into<String>) -> Self {
        Self { type_name: type_name.into(), id: id.into(), namespace: Namespace::DEFAULT }
    }

    /// The `_id` of the object's document, if `definition` is its type.
    ///
    /// # Errors
    /// Those of [`RawId::new`].
    pub(super) fn raw_id(&self, definition: &TypeDefinition) -> Result<RawId> {
        RawId::new(definition.name(), definition.namespace_kind(), &self.namespace, &self.id)
    }

    /// The same in another namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }
}

/// What a key belongs to: the key itself, or an object.
pub(super) trait Keyed: Sync {
    fn type_name(&self) -> &str;
    fn key(&self) -> ObjectKey;
}

impl Keyed for ObjectKey {
    fn type_name(&self) -> &str {
        &self.type_name
    }

    fn key(&self) -> ObjectKey {
        self.clone()
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
