//! The rules for the sequence of versions, and for their changes to the mapping.

use serde_json::Value;

use super::ReadVersion;
use crate::model::{AttributePath, Change};
use crate::registry::mapping::{self, FlatMapping};
use crate::registry::problem::DefinitionProblems;

/// Checks that `numbers`, which are sorted, are 1, 2, 3 and so on.
pub(super) fn check_numbers(source_name: &str, numbers: impl Iterator<Item = u32>, problems: &mut DefinitionProblems) {
    let mut count = 0;
    for (number, expected) in numbers.zip(1..) {
        count += 1;
        if number != expected {
            problems.of(source_name).add(
                "",
                format!("model version {expected} is missing"),
                format!("add `{expected}.json`: versions begin with 1 and have no gaps"),
            );
            return;
        }
    }
    if count == 0 {
        problems.of(source_name).add(
            "",
            "the type has no model version",
            "add `model_versions/<type>/1.json` with the create schema of its documents",
        );
    }
}

/// Checks the versions' mapping changes against the mapping, and the mapping against the newest version.
pub(super) fn check_mapping(
    source_name: &str,
    type_mapping: &Value,
    versions: &[ReadVersion<'_>],
    problems: &mut DefinitionProblems,
) {
    let flat = mapping::flatten(type_mapping);
    for (index, read) in versions.iter().enumerate() {
        let later = versions.get(index + 1..).unwrap_or_default();
        check_additions(read, later, &flat, problems);
        check_deprecations(read, later, &flat, problems);
    }
    check_fields_are_declared(source_name, type_mapping, versions, problems);
    check_encrypted_fields(source_name, type_mapping, versions, problems);
}

fn check_additions(
    read: &ReadVersion<'_>,
    later: &[ReadVersion<'_>],
    mapping: &FlatMapping,
    problems: &mut DefinitionProblems,
) {
    for (index, change) in read.version.changes.iter().enumerate() {
        let Change::MappingsAddition { properties } = change else {
            continue;
        };
        for (entry, value) in mapping::flatten_properties(properties) {
            let same = mapping.get(&entry) == Some(&value);
            if !same && !later.iter().any(|later| changes_field(later, &entry)) {
                problems.of(read.file).add(
                    format!("changes[{index}].{entry}"),
                    "the type's mapping does not say the same",
                    format!("let `mapping.{entry}` in the type's file be {value}"),
                );
            }
        }
    }
}

fn check_deprecations(
    read: &ReadVersion<'_>,
    later: &[ReadVersion<'_>],
    mapping: &FlatMapping,
    problems: &mut DefinitionProblems,
) {
    for (index, change) in read.version.changes.iter().enumerate() {
        let Change::MappingsDeprecation { attributes } = change else {
            continue;
        };
        for path in attributes {
            let is_mapped = mapping.keys().any(|entry| mapping::is_of_field(entry, path));
            let went_later = later.iter().any(|later| changed_fields(later).any(|changed| changed == path));
            if !is_mapped && !went_later {
                problems.of(read.file).add(
                    format!("changes[{index}].attributes"),
                    format!("the attribute `{path}` is not mapped"),
                    "keep the mapping of a deprecated attribute: only a `mappings_change` takes it out",
                );
            }
        }
    }
}

/// Checks that every mapped attribute can be written or is deprecated.
fn check_fields_are_declared(
    source_name: &str,
    type_mapping: &Value,
    versions: &[ReadVersion<'_>],
    problems: &mut DefinitionProblems,
) {
    let Some(newest) = versions.last().filter(|newest| !newest.version.create.is_open()) else {
        return;
    };
    let is_deprecated = |name: &str| {
        versions.iter().flat_map(|read| &read.version.changes).any(|change| match change {
            Change::MappingsDeprecation { attributes } => attributes.iter().any(|path| path.attribute() == name),
            _ => false,
        })
    };
    for (name, _) in fields(type_mapping) {
        if newest.version.create.attribute(name).is_none() && !is_deprecated(name) {
            problems.of(source_name).add(
                format!("mapping.properties.{name}"),
                format!("`{name}` is mapped, but model version {} does not know it", newest.version.number),
                format!("declare it in {}, or deprecate it by a `mappings_deprecation`", newest.file),
            );
        }
    }
}

fn check_encrypted_fields(
    source_name: &str,
    type_mapping: &Value,
    versions: &[ReadVersion<'_>],
    problems: &mut DefinitionProblems,
) {
    for (name, field) in fields(type_mapping) {
        let is_encrypted = versions.iter().any(|read| read.version.sets.encrypts(name));
        if is_encrypted && field.get("type").is_none_or(|kind| kind != "binary") {
            problems.of(source_name).add(
                format!("mapping.properties.{name}"),
                format!("`{name}` is encrypted and cannot be searched"),
                "leave it out of the mapping, or map it as `binary`",
            );
        }
    }
}

fn fields(mapping: &Value) -> impl Iterator<Item = (&String, &Value)> {
    mapping.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn changes_field(read: &ReadVersion<'_>, entry: &str) -> bool {
    changed_fields(read).any(|path| mapping::is_of_field(entry, path))
}

fn changed_fields<'a>(read: &'a ReadVersion<'_>) -> impl Iterator<Item = &'a AttributePath> {
    read.version.changes.iter().flat_map(|change| match change {
        Change::MappingsChange { attributes } => attributes.as_slice(),
        _ => &[],
    })
}
