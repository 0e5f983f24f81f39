//! Reading definitions from a folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::problem::DefinitionProblems;
use super::{TypeDefinition, definition_file};
use crate::{Error, ErrorKind, Result};

/// Reads all definitions of a folder, sorted by type: `dir/mappings/<type>.json` with
/// `dir/model_versions/<type>/<n>.json`.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) if the folder `dir/mappings` does not exist.
/// [`Unavailable`](ErrorKind::Unavailable) if a file or folder cannot be read. [`Invalid`](ErrorKind::Invalid) if a
/// definition is wrong. The source of that error is [`DefinitionProblems`], which lists the problems of all
/// definitions.
pub fn read_definitions(dir: &Path) -> Result<Vec<TypeDefinition>> {
    let mut definitions = Vec::new();
    let mut problems = DefinitionProblems::default();
    for (stem, path) in json_files(&dir.join("mappings"))? {
        let versions_dir = dir.join("model_versions").join(&stem);
        let mut versions = Vec::new();
        if versions_dir.is_dir() {
            for (_, path) in json_files(&versions_dir)? {
                versions.push((name_of(&path), read_text(&path)?));
            }
        }
        let name = name_of(&path);
        match TypeDefinition::read(&name, &read_text(&path)?, &versions) {
            Ok(definition) if definition.name() != stem => problems.of(&name).add(
                "type",
                format!("the file of the type `{}` is called `{stem}.json`", definition.name()),
                "let file and type have one name",
            ),
            Ok(definition) => definitions.push(definition),
            Err(found) => problems.append(found),
        }
    }
    for (name, path) in orphaned_versions(dir)? {
        problems.of(&name_of(&path)).add(
            "",
            format!("there are model versions of `{name}`, but no mappings/{name}.json"),
            "keep the definition of a type that is gone, with `removed` set, so that its name stays reserved",
        );
    }
    if problems.is_empty() { Ok(definitions) } else { Err(problems.into()) }
}

/// Returns the folders under `model_versions` that have no definition.
fn orphaned_versions(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let versions = dir.join("model_versions");
    if !versions.is_dir() {
        return Ok(Vec::new());
    }
    let mut orphans = Vec::new();
    for path in entries(&versions)? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() && !dir.join("mappings").join(format!("{name}.json")).is_file() {
            orphans.push((name, path));
        }
    }
    Ok(orphans)
}

/// Returns the `*.json` files of a folder with their names without ending, sorted, versions by number.
fn json_files(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut files: Vec<(String, PathBuf)> = entries(dir)?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "json") && path.is_file())
        .filter_map(|path| Some((path.file_stem()?.to_string_lossy().into_owned(), path)))
        .collect();
    files.sort_by_cached_key(|(stem, path)| (definition_file::version_number(&name_of(path)), stem.clone()));
    Ok(files)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(|error| unreadable(dir, error))?;
    paths.sort();
    Ok(paths)
}

fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    let kind = if error.kind() == io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Unavailable };
    Error::new(kind, format!("cannot read {}: {error}", path.display()))
        .with_hint("give a folder that holds mappings/<type>.json and model_versions/<type>/<n>.json")
        .with_source(error)
}

fn name_of(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::DefinitionProblems;
    use crate::registry::testing::{note, version};

    fn write(dir: &Path, name: &str, text: &str) {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("writable");
        fs::write(path, text).expect("writable");
    }

    #[test]
    fn a_folder_is_read_and_everything_wrong_in_it_listed() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        write(dir.path(), "mappings/note.json", &note(json!({})).to_string());
        for number in 1..=11 {
            write(dir.path(), &format!("model_versions/note/{number}.json"), &version(json!({})).to_string());
        }
        let definitions = read_definitions(dir.path()).expect("valid");
        assert_eq!(definitions.iter().map(|definition| definition.latest().number).collect::<Vec<_>>(), [11]);

        write(dir.path(), "mappings/memo.json", &note(json!({})).to_string());
        write(dir.path(), "model_versions/memo/1.json", &version(json!({})).to_string());
        write(dir.path(), "mappings/broken.json", "[]");
        write(dir.path(), "model_versions/gone/1.json", "{}");
        let error = read_definitions(dir.path()).expect_err("three are wrong");
        let problems = error.find_source::<DefinitionProblems>().expect("the list is the source").to_string();
        for expected in [
            "mappings/broken.json: the file is not a JSON object",
            "mappings/broken.json: the type has no model version",
            "mappings/memo.json: type: the file of the type `note` is called `memo.json`",
            "model_versions/gone: there are model versions of `gone`, but no mappings/gone.json",
        ] {
            assert!(problems.contains(expected), "{problems}\nlacks\n{expected}");
        }
    }

    /// Extracts the files that docs/definitions.md shows: a line `path`: followed by a block of JSON.
    #[test]
    fn the_documented_example_is_valid() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/definitions.md"));
        let blocks: Vec<&str> = page.split("```").collect();
        for words_and_block in blocks.windows(2) {
            if let Some(text) = words_and_block[1].strip_prefix("json\n") {
                let words = words_and_block[0].trim_end();
                write(dir.path(), words.rsplit('`').nth(1).expect("the words end with the file's name"), text);
            }
        }
        let definitions = read_definitions(dir.path()).expect("valid");
        let [note] = definitions.as_slice() else { panic!("one type") };
        assert_eq!((note.latest().number, note.mapping_version()), (3, 2));
        assert_eq!(crate::registry::check(&definitions, &crate::registry::Lock::default()).violations, []);
    }
}
