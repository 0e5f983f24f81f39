//! The rules for definitions. Each file has the rules of one part, and all of them add to one list of problems.

mod encryption;
mod history;
mod mapping;
mod naming;
#[cfg(test)]
mod tests;
mod version;

use std::sync::Arc;

use super::definition_file::{self, TypeFile, VersionFile};
use super::digest;
use super::problem::DefinitionProblems;
use crate::model::ModelVersion;

/// A model version with the name of its file.
pub(super) struct ReadVersion<'a> {
    pub(super) file: &'a str,
    pub(super) version: Arc<ModelVersion>,
}

/// Reads the model versions of a type in ascending order, and checks each by itself.
pub(super) fn read_versions<'a>(
    source_name: &str,
    files: &'a [(String, String)],
    problems: &mut DefinitionProblems,
) -> Vec<ReadVersion<'a>> {
    let mut numbered = Vec::with_capacity(files.len());
    for (name, text) in files {
        match definition_file::version_number(name) {
            Some(number) => numbered.push((number, name.as_str(), text)),
            None => problems.of(name).add(
                "",
                "the file's name is not the number of a model version",
                "call it `<n>.json`; the first is `1.json`",
            ),
        }
    }
    numbered.sort_unstable();
    history::check_numbers(source_name, numbered.iter().map(|(number, ..)| *number), problems);

    let mut versions = Vec::with_capacity(numbered.len());
    for (number, file, text) in numbered {
        let mut problems = problems.of(file);
        let Some(parsed) = definition_file::parse::<VersionFile>(text, &mut problems) else {
            continue;
        };
        let Some(content) = definition_file::parse(text, &mut problems) else {
            continue;
        };
        if let Some(version) = version::read(number, parsed, digest::json(&content), &mut problems) {
            versions.push(ReadVersion { file, version: Arc::new(version) });
        }
    }
    versions
}

/// Checks a type as a whole: its own file, and each version against it and against the version before.
pub(super) fn check_type(
    source_name: &str,
    file: &TypeFile,
    versions: &[ReadVersion<'_>],
    problems: &mut DefinitionProblems,
) {
    naming::check(file, versions, &mut problems.of(source_name));
    if mapping::check(&file.mapping, &mut problems.of(source_name)) {
        history::check_mapping(source_name, &file.mapping, versions, problems);
    }
    let mut before = None;
    for ReadVersion { file, version } in versions {
        encryption::check(version, before, &mut problems.of(file));
        before = Some(version.as_ref());
    }
    encryption::check_bound_are_declared(versions, problems);
}
