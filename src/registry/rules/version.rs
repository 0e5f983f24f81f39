//! The rules for one model version.

use std::collections::BTreeSet;

use serde_json::Value;

use super::mapping;
use crate::model::{Change, CreateSchema, EncryptionSets, ForwardSchema, ModelVersion};
use crate::registry::definition_file::{VersionFile, Waiver};
use crate::registry::problem::FileProblems;

/// Creates a model version from the content of its file, if its schemas can be used.
pub(super) fn read(
    number: u32,
    file: VersionFile,
    content_digest: String,
    problems: &mut FileProblems<'_>,
) -> Option<ModelVersion> {
    let create = read_create(file.create, problems);
    // `None` means a forward schema that cannot be used, `Some(None)` a version without one.
    let forward = match file.forward {
        None => Some(None),
        Some(schema) => read_forward(schema, problems).map(Some),
    };
    let (create, forward) = (create?, forward?);
    let sets = EncryptionSets { encrypted: file.encrypted, bound: file.bound };
    check_waivers(&file.waivers, problems);
    let version = ModelVersion { number, changes: file.changes, create, forward, sets, content_digest };
    check_changes(&version, problems);
    Some(version)
}

fn read_create(schema: Value, problems: &mut FileProblems<'_>) -> Option<CreateSchema> {
    let is_of_object = schema.get("type").is_some_and(|kind| kind == "object");
    if !is_of_object || !schema.get("properties").is_some_and(Value::is_object) {
        problems.add(
            "create",
            "the create schema does not declare attributes",
            "begin with `{\"type\": \"object\", \"properties\": {…}}`",
        );
        return None;
    }
    CreateSchema::new(schema)
        .map_err(|reason| {
            problems.add("create", format!("the create schema cannot be used: {reason}"), "correct the JSON Schema");
        })
        .ok()
}

fn read_forward(schema: Value, problems: &mut FileProblems<'_>) -> Option<ForwardSchema> {
    ForwardSchema::new(schema)
        .map_err(|error| {
            let path = if error.path.is_empty() { "forward".to_owned() } else { format!("forward.{}", error.path) };
            problems.add(
                path,
                error.message,
                "name what is kept by `properties` and `items` only, or write `null` if no newer document can be read",
            );
        })
        .ok()
}

fn check_changes(version: &ModelVersion, problems: &mut FileProblems<'_>) {
    for (index, change) in version.changes.iter().enumerate() {
        let path = format!("changes[{index}]");
        match change {
            Change::MappingsAddition { properties } => {
                let path = format!("{path}.properties");
                if properties.is_empty() {
                    problems.add(&path, "nothing is added", "name the added fields, or take the change out");
                }
                mapping::check_fields(properties, &path, problems);
            }
            Change::MappingsDeprecation { attributes } | Change::MappingsChange { attributes } => {
                if attributes.is_empty() {
                    problems.add(
                        format!("{path}.attributes"),
                        "no attribute is named",
                        "name the attributes that it is about, or take the change out",
                    );
                }
            }
            Change::DataBackfill { defaults } => check_backfill(version, defaults.keys(), &path, problems),
            Change::DataRemoval { paths } => {
                for (index, removed) in paths.iter().enumerate() {
                    if removed.is_nested() && version.sets.encrypts(removed.attribute()) {
                        problems.add(
                            format!("{path}.paths[{index}]"),
                            format!("`{removed}` is inside the encrypted attribute `{}`", removed.attribute()),
                            "remove the whole attribute, or write a transform",
                        );
                    }
                }
            }
            Change::Transform { name } => {
                if name.trim().is_empty() {
                    problems.add(format!("{path}.name"), "the transform has no name", "name a registered transform");
                }
            }
        }
    }
}

fn check_backfill<'a>(
    version: &ModelVersion,
    names: impl Iterator<Item = &'a String>,
    path: &str,
    problems: &mut FileProblems<'_>,
) {
    for name in names {
        let path = format!("{path}.defaults.{name}");
        if version.sets.encrypts(name) {
            problems.add(
                path,
                format!("the encrypted attribute `{name}` cannot have a default"),
                "leave it absent: a secret that is written in a definition is none",
            );
        } else if version.create.attribute(name).is_none() && !version.create.is_open() {
            problems.add(
                path,
                format!("the create schema does not know the attribute `{name}`"),
                "declare it under `create.properties`, or correct the name",
            );
        }
    }
}

fn check_waivers(waivers: &[Waiver], problems: &mut FileProblems<'_>) {
    let mut seen = BTreeSet::new();
    for (index, waiver) in waivers.iter().enumerate() {
        if waiver.reason.trim().is_empty() {
            problems.add(
                format!("waivers[{index}].reason"),
                "no reason is given",
                "say why the exemption does no harm",
            );
        }
        for name in &waiver.attributes {
            if !seen.insert(name) {
                problems.add(
                    format!("waivers[{index}].attributes"),
                    format!("the attribute `{name}` is exempt twice"),
                    "name each attribute in one waiver",
                );
            }
        }
    }
}
