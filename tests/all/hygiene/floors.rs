//! A module of the library uses only modules above it: the floors that ARCHITECTURE.md lists, from the top down. And one
//! module names all metrics and spans.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::citations::{files, root};
use crate::context::Context;

const PAGE: &str = include_str!("../../../ARCHITECTURE.md");
/// What every module may use: the error types, and the modules `environment`, `error` and `telemetry`.
const FREE: [&str; 6] = ["Error", "ErrorKind", "Result", "environment", "error", "telemetry"];
/// Files without a floor: the root with its re-exports, and the entries for fuzz targets.
const WITHOUT_FLOOR: [&str; 2] = ["lib.rs", "fuzzing.rs"];

pub(super) async fn modules_use_only_what_is_above_them(_: Context) {
    let source = root().join("src");
    let floors = floors();
    assert!(floors.len() > 10, "ARCHITECTURE.md lists {floors:?}");
    let floor_of = |module: &str| floors.iter().position(|floor| *floor == module);
    let (mut wrong, mut seen) = (BTreeSet::new(), 0);
    for file in files(&source) {
        let path = file.strip_prefix(&source).expect("it is below");
        let modules = modules(path);
        let Some(own) = modules.first().filter(|_| !is_exempt(path)) else { continue };
        let text = fs::read_to_string(&file).expect("a text");
        if FREE.contains(&own.as_str()) {
            continue;
        }
        let own = floor_of(own).unwrap_or_else(|| panic!("{} has no floor in ARCHITECTURE.md", path.display()));
        for used in used_at_root(code_of(&text), modules.len()) {
            seen += 1;
            let is_fine = FREE.contains(&used) || floor_of(used).is_some_and(|floor| floor <= own);
            if !is_fine {
                wrong.insert(format!("{} uses {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "what is not above: {wrong:#?}");
    assert!(seen > 500, "{seen} paths were found");
}

pub(super) async fn metrics_and_spans_are_named_in_one_place(_: Context) {
    const OF_OPERATIONS: &str =
        r#"#[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = ""#;
    let source = root().join("src");
    let (mut wrong, mut operations) = (Vec::new(), 0);
    for file in files(&source) {
        let path = file.strip_prefix(&source).expect("it is below");
        if path.starts_with("telemetry") || is_exempt(path) {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a text");
        for line in code_of(&text).lines().filter(|line| !line.trim_start().starts_with("//")) {
            let is_operation = line.trim_start().starts_with(OF_OPERATIONS);
            operations += usize::from(is_operation);
            if ["metrics::", "_span!(", "instrument("].iter().any(|name| line.contains(name)) && !is_operation {
                // A span that `telemetry` opened.
                if !line.contains(".instrument(") {
                    wrong.push(format!("{}: {line}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "named elsewhere: {wrong:#?}");
    assert!(operations > 15, "{operations} operations have a span");
}

/// Returns the modules in the list under the heading `Floors`.
fn floors() -> Vec<&'static str> {
    let (_, list) = PAGE.split_once("\n## Floors\n").expect("ARCHITECTURE.md has the floors");
    let list = list.split("\n## ").next().unwrap_or(list);
    list.lines().filter_map(|line| line.strip_prefix("1. `")?.split(['/', '`', '.']).next()).collect()
}

/// Returns the path of a file's module.
fn modules(path: &Path) -> Vec<String> {
    let path = path.with_extension("");
    let names = path.iter().map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name != "mod").collect()
}

fn is_exempt(path: &Path) -> bool {
    let is_for_tests = |name: &OsStr| {
        ["tests", "testing", "fuzzing", "tests.rs", "testing.rs", "fuzzing.rs"].map(OsStr::new).contains(&name)
    };
    path.iter().any(is_for_tests) || WITHOUT_FLOOR.iter().any(|name| path == Path::new(name))
}

/// Returns the code of a file without its test module.
fn code_of(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

/// Returns the names at the root of the crate that the code of a module uses, `depth` modules below the root.
fn used_at_root(code: &str, depth: usize) -> Vec<&str> {
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut used = Vec::new();
    for line in lines {
        let to_root = ["crate::".to_owned(), "super::".repeat(depth)];
        for start in to_root {
            for (at, _) in line.match_indices(start.as_str()) {
                let before = &line[..at];
                if before.ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c)) {
                    continue;
                }
                let rest = &line[at + start.len()..];
                match rest.strip_prefix('{') {
                    Some(list) => used.extend(list.split(['}', ',']).map(first_name).filter(|name| !name.is_empty())),
                    None => used.push(first_name(rest)),
                }
            }
        }
    }
    used.retain(|name| !name.is_empty() && *name != "super");
    used
}

fn first_name(path: &str) -> &str {
    let path = path.trim_start();
    path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}
