//! The registry of types. Definitions are data (`docs/definitions.md`). They are read from JSON, validated with errors
//! that name file, location and hint, and collected in a [`Registry`]. Only [`read_definitions`] does I/O.

mod builder;
mod check;
mod check_report;
mod definition;
mod definition_file;
mod digest;
mod lock;
pub(crate) mod mapped_values;
mod mapping;
pub(crate) mod misfit;
mod problem;
mod read;
mod rules;
#[cfg(test)]
mod schemas;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::model::Transforms;

pub(crate) use mapping::{lacks_nonce_field, nonce_mapping};

pub use builder::RegistryBuilder;
pub use definition::TypeDefinition;
pub use problem::{DefinitionProblem, DefinitionProblems};
pub use read::read_definitions;

// The command `check`, for this workspace alone.
#[doc(hidden)]
pub use check::check;
#[doc(hidden)]
pub use check_report::{CheckReport, CheckViolation, Rule, UnreleasedVersion};
#[doc(hidden)]
pub use lock::{FixedProperties, Lock, LockedType, LockedVersion};

/// The types that a platform registered, and its transforms.
#[derive(Debug, Clone)]
pub struct Registry {
    definitions: BTreeMap<String, Arc<TypeDefinition>>,
    transforms: Transforms,
}

impl Registry {
    /// Returns a builder for a registry.
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::default()
    }

    /// Returns the type `name`, unless it is not registered or was removed.
    pub fn get(&self, name: &str) -> Option<&Arc<TypeDefinition>> {
        self.definitions.get(name).filter(|definition| !definition.removed())
    }

    /// Returns all types except the removed ones, sorted by name.
    pub fn types(&self) -> impl Iterator<Item = &Arc<TypeDefinition>> {
        self.definitions.values().filter(|definition| !definition.removed())
    }

    /// Returns the removed types, sorted by name. Their names are reserved, and their documents are deleted only on
    /// request.
    pub fn removed_types(&self) -> impl Iterator<Item = &Arc<TypeDefinition>> {
        self.definitions.values().filter(|definition| definition.removed())
    }

    /// Returns the types of each group without the removed ones. Groups and types are sorted by name.
    pub fn groups(&self) -> BTreeMap<&str, Vec<&Arc<TypeDefinition>>> {
        let mut groups: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for definition in self.types() {
            groups.entry(definition.group()).or_default().push(definition);
        }
        groups
    }

    /// Returns the transforms.
    pub fn transforms(&self) -> &Transforms {
        &self.transforms
    }

    /// Returns the mapping of the index of `group`: the root fields and the mapping of each of its types, in the form
    /// in which `GET _mapping` returns it.
    pub fn index_mapping(&self, group: &str) -> Value {
        let types = self.types().filter(|definition| definition.group() == group);
        mapping::of_index(types.map(|definition| (definition.name(), definition.mapping())))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::testing::{note, read, version};
    use super::*;

    fn type_called(name: &str, keys: serde_json::Value) -> TypeDefinition {
        let mut file = note(keys);
        file["type"] = json!(name);
        read(&file, &[version(json!({}))]).expect("valid")
    }

    #[test]
    fn names_are_given_once() {
        let table = [
            (false, "the type `note` is registered twice"),
            (true, "the type `note` has the name of a removed type; give it another name"),
        ];
        for (removed, message) in table {
            let other = type_called("note", json!({ "removed": removed }));
            let built = Registry::builder().with([type_called("note", json!({})), other]).build();
            let error = built.expect_err("two of one name");
            assert!(error.to_string().contains(message), "{error}");
        }
        let twice = Registry::builder().transform("t", |_| Ok(())).transform("t", |_| Ok(())).build();
        assert!(twice.expect_err("two of one name").to_string().contains("`t` is registered twice"));
    }

    #[test]
    fn removed_types_only_reserve_their_name() {
        let removed = type_called("old", json!({ "removed": true, "group": "attic" }));
        let registry = Registry::builder().with([removed, type_called("note", json!({}))]).build().expect("valid");
        assert!(registry.get("old").is_none());
        assert_eq!(registry.types().map(|definition| definition.name()).collect::<Vec<_>>(), ["note"]);
        assert_eq!(registry.removed_types().map(|definition| definition.name()).collect::<Vec<_>>(), ["old"]);
        assert_eq!(registry.groups().into_keys().collect::<Vec<_>>(), ["notes"]);
    }

    #[test]
    fn the_index_mapping_holds_the_types_of_the_group_only() {
        let other = type_called("other", json!({ "group": "others" }));
        let registry = Registry::builder().with([type_called("note", json!({})), other]).build().expect("valid");
        let mapping = registry.index_mapping("notes");
        assert_eq!(mapping["dynamic"], "strict");
        assert_eq!(
            mapping["properties"]["note"],
            json!({ "dynamic": "false", "properties": { "title": { "type": "keyword" } } })
        );
        assert!(mapping["properties"].get("other").is_none());
        assert_eq!(mapping["properties"]["typeMigrationVersion"], json!({ "type": "keyword" }));
        // Every root field of documents can be indexed. `migrationVersion` occurs only in documents from before model
        // versions.
        for field in crate::document::ROOT_FIELDS.iter().filter(|field| **field != "migrationVersion") {
            assert!(mapping["properties"].get(*field).is_some(), "{field}");
        }
    }
}
