//! The rules for the names of types and groups, and for identities.

use std::collections::BTreeSet;

use super::ReadVersion;
use crate::document::ROOT_FIELDS;
use crate::registry::definition_file::TypeFile;
use crate::registry::problem::FileProblems;

/// The names of this library's own indices, and of indices that it creates next to a group's index.
const RESERVED_GROUPS: &[&str] = &["control", "fill", "generation", "keys", "lease", "quarantine"];

/// Type and group names are part of longer names that the server limits: `_id` and the index name.
const MAX_NAME_BYTES: usize = 100;

pub(super) fn check(file: &TypeFile, versions: &[ReadVersion<'_>], problems: &mut FileProblems<'_>) {
    check_type_name(&file.name, problems);
    check_group(&file.group, problems);
    if let Some(identity) = &file.identity {
        check_identity(identity, versions, problems);
    }
}

fn check_type_name(name: &str, problems: &mut FileProblems<'_>) {
    if ROOT_FIELDS.contains(&name) {
        problems.add(
            "type",
            format!("the type `{name}` has the name of a field that every document has"),
            "choose another name; the attributes lie beside these fields, under the type's name",
        );
        return;
    }
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_inner) || name.len() > MAX_NAME_BYTES
    {
        problems.add(
            "type",
            format!("{name:?} is not the name of a type"),
            format!(
                "use lower-case letters, digits, `-` and `_`, beginning with a letter, at most {MAX_NAME_BYTES} of them"
            ),
        );
    }
}

fn check_group(group: &str, problems: &mut FileProblems<'_>) {
    if RESERVED_GROUPS.contains(&group) {
        problems.add(
            "group",
            format!("the group `{group}` has a name that the engine uses itself"),
            format!("choose another name than {}", RESERVED_GROUPS.join(", ")),
        );
        return;
    }
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if group.is_empty() || !group.chars().all(is_allowed) || group.len() > MAX_NAME_BYTES {
        problems.add(
            "group",
            format!("{group:?} is not the name of a group"),
            format!("use lower-case letters, digits and `_`, at most {MAX_NAME_BYTES} of them"),
        );
    }
}

fn check_identity(identity: &[String], versions: &[ReadVersion<'_>], problems: &mut FileProblems<'_>) {
    if identity.is_empty() {
        problems.add("identity", "no attribute is named", "name the attributes that make the id, or write `null`");
    }
    let mut seen = BTreeSet::new();
    for (index, name) in identity.iter().enumerate() {
        let path = format!("identity[{index}]");
        if !seen.insert(name) {
            problems.add(&path, format!("the attribute `{name}` is named twice"), "name each attribute once");
        }
        for ReadVersion { version, .. } in versions {
            let number = version.number;
            if version.sets.encrypts(name) {
                problems.add(
                    &path,
                    format!("the attribute `{name}` is encrypted in model version {number}"),
                    "make ids of attributes that are no secret: anyone who sees the id could test a guess",
                );
            }
            if version.create.attribute(name).is_none() {
                problems.add(
                    &path,
                    format!("the create schema of model version {number} does not declare the attribute `{name}`"),
                    "declare it under `properties` there, or take it out of the identity",
                );
            }
        }
    }
}
