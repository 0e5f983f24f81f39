//! The builder of a registry.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Registry, TypeDefinition};
use crate::document::Attributes;
use crate::model::Transforms;
use crate::{Error, Result};

/// Collects types and transforms for a [`Registry`].
#[derive(Debug, Default)]
pub struct RegistryBuilder {
    definitions: Vec<TypeDefinition>,
    transforms: Transforms,
    transforms_given_twice: Vec<String>,
}

impl RegistryBuilder {
    /// Adds types.
    #[must_use]
    pub fn with(mut self, definitions: impl IntoIterator<Item = TypeDefinition>) -> Self {
        self.definitions.extend(definitions);
        self
    }

    /// Adds the transform that definitions call `name`.
    #[must_use]
    pub fn transform(
        mut self,
        name: impl Into<String>,
        transform: impl Fn(&mut Attributes) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let name = name.into();
        if self.transforms.insert(name.clone(), Arc::new(transform)).is_some() {
            self.transforms_given_twice.push(name);
        }
        self
    }

    /// Builds the registry. A transform that a definition names may be missing, since reading current or newer
    /// documents needs none. A migration is blocked only if a stored document needs one that is missing.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if two types, a type and a removed type, or two transforms have the same
    /// name.
    pub fn build(self) -> Result<Registry> {
        if let Some(name) = self.transforms_given_twice.first() {
            return Err(Error::invalid(
                format!("the transform `{name}` is registered twice"),
                "give each transform a name of its own",
            ));
        }
        let mut definitions: BTreeMap<String, Arc<TypeDefinition>> = BTreeMap::new();
        for definition in self.definitions {
            if let Some(other) = definitions.get(definition.name()) {
                let name = definition.name();
                return Err(if other.removed() != definition.removed() {
                    Error::invalid(format!("the type `{name}` has the name of a removed type"), "give it another name")
                } else {
                    Error::invalid(
                        format!("the type `{name}` is registered twice"),
                        "register it once, or give one of the two another name",
                    )
                });
            }
            definitions.insert(definition.name().to_owned(), Arc::new(definition));
        }
        Ok(Registry { definitions, transforms: self.transforms })
    }
}
