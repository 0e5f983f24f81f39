//! What types exist. Definitions are data (`docs/definitions.md`): they are read from JSON, validated with errors that name
//! file, place and cure, and put together in a [`Registry`]. Apart from [`read_definitions`] nothing here does I/O.

mod builder;
mod check;
mod definition;
mod definition_file;
mod digest;
mod lock;
mod mapping;
mod problem;
mod read;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::model::Transforms;

pub use builder::RegistryBuilder;
pub use check::{CheckReport, CheckViolation, Rule, UnreleasedVersion, UsedWaiver, check};
pub use definition::TypeDefinition;
pub use lock::{FixedProperties, Lock, LockedType, LockedVersion};
pub use problem::{DefinitionProblem, DefinitionProblems};
pub use read::read_definitions;

/// The types that a platform registered, and its transforms.
#[derive(Debug, Clone)]
pub struct Registry {
    definitions: BTreeMap<String, Arc<TypeDefinition>>,
    transforms: Transforms,
}

impl Registry {
    /// An empty registry to fill.
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::default()
    }

    /// The type `name`, unless nobody registered it or it was removed.
    pub fn get(&self, name: &str) -> Option<&Arc<TypeDefinition>> {
        self.definitions.get(name).filter(|definition| !definition.removed())
    }

    /// All types but the removed ones, sorted by name.
    pub fn types(&self) -> impl Iterator<Item = &Arc<TypeDefinition>> {
        self.definitions.values().filter(|definition| !definition.removed())
    }

    /// The removed types, sorted by name: their names are reserved, and their documents go only when that is asked for.
    pub fn removed_types(&self) -> impl Iterator<Item = &Arc<TypeDefinition>> {
        self.definitions.values().filter(|definition| definition.removed())
    }

    /// The types of each group, both sorted by name, without the removed ones.
    pub fn groups(&self) -> BTreeMap<&str, Vec<&Arc<TypeDefinition>>> {
        let mut groups: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for definition in self.types() {
            groups.entry(definition.group()).or_default().push(definition);
        }
        groups
    }

    /// The transforms.
    pub fn transforms(&self) -> &Transforms {
        &self.transforms
    }

    /// The names of transforms that types need and nobody registered.
    pub fn missing_transforms(&self) -> BTreeSet<&str> {
        self.types()
            .flat_map(|definition| definition.versions())
            .flat_map(|version| version.transforms())
            .filter(|name| self.transforms.get(name).is_none())
            .collect()
    }

    /// The mapping of the index of `group`: the root fields and the mapping of each of its types, in the form in which
    /// `GET _mapping` gives it back.
    pub fn index_mapping(&self, group: &str) -> Value {
        let types = self.types().filter(|definition| definition.group() == group);
        mapping::of_index(types.map(|definition| (definition.name(), definition.mapping())))
    }
}
