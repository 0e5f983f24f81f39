//! Where one object is stored: its type, its key and its `_id`, resolved once.

use std::sync::Arc;

use crate::Result;
use crate::document::RawId;
use crate::registry::TypeDefinition;
use crate::repository::{ObjectKey, Repository};

/// One object of a call, with what is resolved when the call is admitted.
#[derive(Debug, Clone)]
pub(in crate::repository) struct Target {
    pub(in crate::repository) definition: Arc<TypeDefinition>,
    pub(in crate::repository) key: ObjectKey,
    /// The `_id` of the object's document.
    pub(in crate::repository) raw_id: RawId,
}

impl Target {
    /// Returns the target of `key`, whose type is `definition`.
    ///
    /// # Errors
    /// Those of [`RawId::new`].
    pub(in crate::repository) fn new(definition: &Arc<TypeDefinition>, key: ObjectKey) -> Result<Self> {
        let raw_id = key.raw_id(definition)?;
        Ok(Self { definition: Arc::clone(definition), key, raw_id })
    }

    /// Returns the target of an object of the same type and namespace.
    ///
    /// # Errors
    /// Those of [`RawId::new`].
    pub(in crate::repository) fn with_id(&self, id: impl Into<String>) -> Result<Self> {
        Self::new(&self.definition, ObjectKey { id: id.into(), ..self.key.clone() })
    }

    /// Returns the target of a stored object, whose `_id` need not be one that a new object could have.
    pub(in crate::repository) fn stored(definition: &Arc<TypeDefinition>, key: ObjectKey, raw_id: &str) -> Self {
        Self { definition: Arc::clone(definition), key, raw_id: RawId::stored(raw_id) }
    }
}

impl Repository {
    /// Returns the target of `key`.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the type is not available here or the id cannot be stored.
    pub(in crate::repository) fn target(&self, key: ObjectKey) -> Result<Target> {
        let definition = self.registered(&key.type_name)?;
        Target::new(definition, key)
    }
}
