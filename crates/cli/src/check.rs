//! The command `check`: holds definitions to the rules and to what is released.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::connection::Connection;
use super::{Exit, Output};
use saved_objects::internals::{self, FieldCounts};
use saved_objects::registry::{
    self, CheckReport, CheckViolation, DefinitionProblems, Lock, Registry, Rule, TypeDefinition,
};
use saved_objects::{Error, ErrorKind, Result, tokens};

/// Check definitions against the rules for changing types and against what is released; exit 2 if a rule is broken
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// If there is no violation, add new versions to model_versions/released.lock.json of each folder; existing entries
    /// stay as they are
    #[arg(long, requires = "types")]
    release: bool,
}

/// The document that `check --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    types: usize,
    #[serde(flatten)]
    found: CheckReport,
    released: bool,
}

/// Definitions that share a lock.
struct Source {
    /// The folder that they were read from; `None` for the built-in types.
    dir: Option<PathBuf>,
    definitions: Vec<TypeDefinition>,
    lock: Lock,
}

pub(super) fn run(arguments: &Arguments, connection: &Connection, output: Output) -> Result<Exit> {
    let mut found = CheckReport::default();
    let mut sources = Vec::new();
    if !connection.only_types {
        sources.push(Source { dir: None, definitions: tokens::types()?, lock: tokens::released()? });
    }
    for dir in &connection.types {
        match read_source(dir) {
            Ok(source) => sources.push(source),
            Err(error) => found.violations.extend(definition_violations(error)?),
        }
    }
    for source in &sources {
        add(&mut found, source);
    }
    found.violations.extend(name_clashes(&sources));
    found.violations.extend(too_many_fields(&sources));

    let ok = found.violations.is_empty();
    if ok && arguments.release {
        sources.iter().try_for_each(release)?;
    }
    let types = sources.iter().map(|source| source.definitions.len()).sum();
    let report = Report { ok, types, found, released: ok && arguments.release };
    print(&report, output);
    output.document(&report)?;
    Ok(if ok { Exit::Done } else { Exit::Blocked })
}

fn read_source(dir: &Path) -> Result<Source> {
    let definitions = registry::read_definitions(dir)?;
    let path = lock_path(dir);
    let lock = match fs::read_to_string(&path) {
        Ok(text) => Lock::from_json(&path.display().to_string(), &text)?,
        // Nothing has been released yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Lock::default(),
        Err(error) => return Err(unusable(&path, error)),
    };
    Ok(Source { dir: Some(dir.to_owned()), definitions, lock })
}

fn release(source: &Source) -> Result<()> {
    let Some(dir) = &source.dir else {
        return Ok(());
    };
    let path = lock_path(dir);
    let text = source.lock.released(&source.definitions).to_json()?;
    fs::write(&path, text).map_err(|error| unusable(&path, error))
}

fn lock_path(dir: &Path) -> PathBuf {
    dir.join("model_versions").join("released.lock.json")
}

fn unusable(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("cannot use {}: {error}", path.display()))
        .with_hint("let this user read and write the file")
        .with_source(error)
}

/// Returns the violations in wrong definitions, which are what the command reports. Any other error ends the command.
fn definition_violations(error: Error) -> Result<Vec<CheckViolation>> {
    match error.find_source::<DefinitionProblems>() {
        Some(problems) => Ok(problems.iter().map(CheckViolation::from).collect()),
        None => Err(error),
    }
}

fn add(found: &mut CheckReport, source: &Source) {
    let mut of_source = registry::check(&source.definitions, &source.lock);
    for violation in &mut of_source.violations {
        violation.file = file_of(source, &violation.file);
    }
    found.violations.append(&mut of_source.violations);
    found.unreleased.append(&mut of_source.unreleased);
}

fn name_clashes(sources: &[Source]) -> Vec<CheckViolation> {
    let mut first: BTreeMap<&str, String> = BTreeMap::new();
    let mut clashes = Vec::new();
    for source in sources {
        for definition in &source.definitions {
            let name = definition.name();
            let file = file_of(source, &format!("mappings/{name}.json"));
            match first.get(name) {
                None => drop(first.insert(name, file)),
                Some(other) => clashes.push(CheckViolation {
                    rule: Rule::Definition,
                    file,
                    type_name: Some(name.to_owned()),
                    version: None,
                    message: format!("the type `{name}` is defined in {other} too"),
                    hint: "give one of the two another name".to_owned(),
                }),
            }
        }
    }
    clashes
}

/// Returns a violation for each group whose types together have more fields than a new index allows. The violation
/// names the type with most fields.
fn too_many_fields(sources: &[Source]) -> Vec<CheckViolation> {
    let all =
        || sources.iter().flat_map(|source| source.definitions.iter().map(move |definition| (source, definition)));
    // If the types cannot be registered together, that is reported as a violation elsewhere.
    let Ok(registry) = Registry::builder().with(all().map(|(_, definition)| definition.clone())).build() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for group in registry.groups().into_keys() {
        let Some((message, hint)) = internals::too_many(group, &registry.index_mapping(group)) else { continue };
        let of_group = all().filter(|(_, definition)| definition.group() == group && !definition.removed());
        let largest = of_group.max_by_key(|(_, definition)| FieldCounts::of(definition.mapping()).total);
        let Some((source, definition)) = largest else { continue };
        let file = file_of(source, &format!("mappings/{}.json", definition.name()));
        let type_name = Some(definition.name().to_owned());
        found.push(CheckViolation { rule: Rule::FieldLimit, file, type_name, version: None, message, hint });
    }
    found
}

fn file_of(source: &Source, file: &str) -> String {
    source.dir.as_ref().map_or_else(|| format!("built-in {file}"), |dir| dir.join(file).display().to_string())
}

fn print(report: &Report, output: Output) {
    for violation in &report.found.violations {
        let CheckViolation { rule, file, message, hint, .. } = violation;
        output.say(format!("error[{}]: {file}: {message}; {hint}", rule.as_str()));
    }
    for unreleased in &report.found.unreleased {
        let state = if report.released { "released" } else { "not released yet" };
        output.say(format!("{state}: {} version {}", unreleased.type_name, unreleased.version));
    }
    let verdict = match report.found.violations.len() {
        0 => "all well".to_owned(),
        1 => "1 rule is broken".to_owned(),
        count => format!("{count} rules are broken"),
    };
    output.say(format!("{} types checked: {verdict}", report.types));
}

#[cfg(test)]
mod tests {
    use saved_objects::layout::Prefix;
    use serde_json::{Value, json};

    use super::*;

    /// Returns a model version of the type `note`.
    fn version(forward: &Value) -> String {
        let create =
            json!({ "type": "object", "additionalProperties": false, "properties": { "title": { "type": "string" } } });
        json!({ "create": create, "forward": forward }).to_string()
    }

    const NOTE: &str = r#"{
        "type": "note", "group": "notes", "namespace_kind": "agnostic",
        "mapping": { "dynamic": false, "properties": { "title": { "type": "keyword" } } }
    }"#;

    /// Creates a folder with the type `note` and one model version.
    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(dir.path().join("mappings")).expect("writable");
        fs::create_dir_all(dir.path().join("model_versions/note")).expect("writable");
        write(dir.path(), "mappings/note.json", NOTE);
        write(
            dir.path(),
            "model_versions/note/1.json",
            &version(&json!({ "type": "object", "properties": { "title": {} } })),
        );
        dir
    }

    fn write(dir: &Path, name: &str, text: &str) {
        fs::write(dir.join(name), text).expect("writable");
    }

    fn connection(dir: &Path, only_types: bool) -> Connection {
        let types = vec![dir.to_owned()];
        Connection { elasticsearch_url: None, prefix: Prefix::default(), types, only_types, platform: None }
    }

    fn check(dir: &Path, release: bool) -> Result<Exit> {
        run(&Arguments { release }, &connection(dir, false), Output::new(false))
    }

    #[test]
    fn the_built_in_types_are_in_step_with_their_lock() {
        let mut found = CheckReport::default();
        let definitions = tokens::types().expect("valid");
        add(&mut found, &Source { dir: None, definitions, lock: tokens::released().expect("a lock") });
        assert_eq!(found.violations, []);
        assert_eq!(found.unreleased, []);
    }

    #[test]
    fn a_release_locks_what_is_there() {
        let dir = folder();
        assert_eq!(check(dir.path(), false).expect("checked"), Exit::Done);
        assert!(!lock_path(dir.path()).exists());
        assert_eq!(check(dir.path(), true).expect("checked"), Exit::Done);
        let lock = fs::read_to_string(lock_path(dir.path())).expect("written");

        let edited = version(&Value::Null);
        write(dir.path(), "model_versions/note/1.json", &edited);
        assert_eq!(check(dir.path(), true).expect("checked"), Exit::Blocked);
        assert_eq!(fs::read_to_string(lock_path(dir.path())).expect("there"), lock, "nothing is released");
    }

    #[test]
    fn wrong_definitions_block_and_a_missing_folder_fails() {
        let dir = folder();
        write(dir.path(), "model_versions/note/1.json", "{");
        assert_eq!(check(dir.path(), false).expect("checked"), Exit::Blocked);
        assert_eq!(check(&dir.path().join("none"), false).expect_err("no folder").kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_type_cannot_be_built_in_and_in_a_folder() {
        let project = &Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        assert_eq!(check(project, false).expect("checked"), Exit::Blocked);
        let alone = run(&Arguments { release: false }, &connection(project, true), Output::new(false));
        assert_eq!(alone.expect("checked"), Exit::Done);
    }
}
