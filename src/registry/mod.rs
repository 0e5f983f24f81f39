//! What types exist. Definitions are data (`docs/definitions.md`): they are read from JSON, validated with errors that
//! name file, place and cure, and put together in a [`Registry`]. Apart from [`read_definitions`] nothing here does
//! I/O.

mod builder;
mod check;
mod check_report;
mod definition;
mod definition_file;
mod digest;
mod lock;
mod mapping;
mod problem;
mod read;
mod rules;
#[cfg(test)]
mod schemas;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::model::Transforms;

pub(crate) use mapping::{lacks_nonce_field, nonce_mapping};

pub use builder::RegistryBuilder;
pub use check::check;
pub use check_report::{CheckReport, CheckViolation, Rule, UnreleasedVersion, UsedWaiver};
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
    fn transforms_that_nobody_registered_are_named() {
        let with_transform = json!({ "changes": [{ "type": "transform", "name": "upper-case" }] });
        let definition = read(&note(json!({})), &[version(json!({})), version(with_transform)]).expect("valid");
        let builder = || Registry::builder().with([definition.clone()]);
        let missing = builder().build().expect("valid");
        assert_eq!(missing.missing_transforms().into_iter().collect::<Vec<_>>(), ["upper-case"]);
        let present = builder().transform("upper-case", |_| Ok(())).build().expect("valid");
        assert!(present.missing_transforms().is_empty());
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
        // Every root field of documents can be indexed; `migrationVersion` is only of engines before model versions.
        for field in crate::document::ROOT_FIELDS.iter().filter(|field| **field != "migrationVersion") {
            assert!(mapping["properties"].get(*field).is_some(), "{field}");
        }
    }
}
