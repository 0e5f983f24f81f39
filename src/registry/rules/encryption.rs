//! The rules for what a version encrypts and binds.

use std::collections::BTreeSet;

use super::ReadVersion;
use crate::encryption::MAX_BOUND_ATTRIBUTES;
use crate::model::{Change, EncryptionSets, ModelVersion};
use crate::registry::problem::{DefinitionProblems, FileProblems};

/// Checks what a version encrypts and binds, by itself and compared with the version before it.
pub(super) fn check(version: &ModelVersion, before: Option<&ModelVersion>, problems: &mut FileProblems<'_>) {
    check_names(&version.sets, problems);
    check_encrypted(version, before, problems);
    if let Some(before) = before {
        check_retired(version, before, problems);
    }
}

fn check_names(sets: &EncryptionSets, problems: &mut FileProblems<'_>) {
    let encrypted = sets.encrypted.iter().map(|attribute| ("encrypted", attribute.name.as_str()));
    let bound = sets.bound.iter().map(|name| ("bound", name.as_str()));
    let mut seen = BTreeSet::new();
    for (set, name) in encrypted.chain(bound) {
        if name.is_empty() || name.contains('.') {
            problems.add(
                set,
                format!("{name:?} is not the name of an attribute"),
                "name whole attributes: a name with a dot matches none, and would leave a secret in the open",
            );
        }
        if !seen.insert(name) {
            problems.add(
                set,
                format!("the attribute `{name}` is named twice"),
                "name each attribute once, either as encrypted or as bound",
            );
        }
    }
    if sets.bound.len() > MAX_BOUND_ATTRIBUTES {
        problems.add(
            "bound",
            format!("{} attributes are bound", sets.bound.len()),
            format!("bind at most {}, those that say what the secret is for", MAX_BOUND_ATTRIBUTES),
        );
    }
    if sets.is_empty() && !sets.bound.is_empty() {
        problems.add("bound", "attributes are bound, but to nothing that is encrypted", "name what is encrypted");
    }
}

fn check_encrypted(version: &ModelVersion, before: Option<&ModelVersion>, problems: &mut FileProblems<'_>) {
    for (index, attribute) in version.sets.encrypted.iter().enumerate() {
        let name = &attribute.name;
        let path = format!("encrypted[{index}].name");
        let was_encrypted = before.is_some_and(|before| before.sets.encrypts(name));
        match version.create.attribute(name) {
            Some(schema) if schema.get("type").is_some_and(|kind| kind == "string") => {}
            Some(_) => problems.add(
                format!("create.properties.{name}"),
                format!("the encrypted attribute `{name}` is not declared as a string"),
                "write `{\"type\": \"string\"}`: the create schema checks the stored form, which is an envelope",
            ),
            // New documents no longer have the attribute, but older ones do until a `data_removal`.
            None if was_encrypted => {}
            None => problems.add(
                &path,
                format!("the create schema does not declare the encrypted attribute `{name}`"),
                "declare it under `create.properties` as a string, or correct the name",
            ),
        }
        if !was_encrypted && before.is_some_and(|before| before.create.attribute(name).is_some()) {
            problems.add(
                &path,
                format!("the attribute `{name}` was stored in the open by the version before"),
                "encrypt it under a new name and fill that by a transform",
            );
        }
    }
}

/// Checks attributes that are no longer encrypted, which would otherwise stay in documents as ordinary attributes.
fn check_retired(version: &ModelVersion, before: &ModelVersion, problems: &mut FileProblems<'_>) {
    let removes = |name: &str| {
        version.changes.iter().any(|change| match change {
            Change::DataRemoval { paths } => paths.iter().any(|path| path.attribute() == name && !path.is_nested()),
            _ => false,
        })
    };
    for attribute in &before.sets.encrypted {
        let name = &attribute.name;
        if version.sets.encrypts(name) {
            continue;
        }
        if version.create.attribute(name).is_some() {
            problems.add(
                "encrypted",
                format!("the attribute `{name}` was encrypted by the version before and now is not"),
                "keep it encrypted, or use a new name for what is no secret",
            );
        } else if !removes(name) {
            problems.add(
                "encrypted",
                format!("the attribute `{name}` is no longer encrypted, but stays in documents"),
                format!("add the change `{{\"type\": \"data_removal\", \"paths\": [\"{name}\"]}}`"),
            );
        }
    }
}

/// Checks that bound attributes are declared. A bound attribute that no schema declares is a typing error, which would
/// leave the intended attribute unprotected. Only an attribute that the newest of several versions begins to bind may
/// be undeclared, because the next version declares it.
pub(super) fn check_bound_are_declared(versions: &[ReadVersion<'_>], problems: &mut DefinitionProblems) {
    let Some((newest, earlier)) = versions.split_last() else {
        return;
    };
    let may_wait = |name: &str| earlier.last().is_some_and(|before| !before.version.sets.binds(name));
    for read in versions {
        for (index, name) in read.version.sets.bound.iter().enumerate() {
            let is_declared = versions.iter().any(|any| any.version.create.attribute(name).is_some());
            let is_newest = read.version.number == newest.version.number;
            if !(is_declared || is_newest && may_wait(name)) {
                problems.of(read.file).add(
                    format!("bound[{index}]"),
                    format!("no create schema declares the bound attribute `{name}`"),
                    "declare it under `create.properties`, or correct the name",
                );
            }
        }
    }
}
