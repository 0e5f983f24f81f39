//! The packages have every file that their code includes, and nothing of the repository's own tools.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use tokio::process::Command;

use super::citations::{files, root};
use crate::context::Context;

/// The packages, with their folders and what may be at their top.
const PACKAGES: [(&str, &str, &[&str]); 3] = [
    ("saved-objects", "", &["src", "mappings", "model_versions", "docs"]),
    ("saved-objects-cli", "crates/cli", &["src", "examples"]),
    ("saved-objects-devserver", "crates/devserver", &["src", "elasticsearch"]),
];
/// What cargo adds to each package.
const ADDED: [&str; 4] = [".cargo_vcs_info.json", "Cargo.toml", "Cargo.toml.orig", "Cargo.lock"];

pub(super) async fn packages_have_what_they_need(_: Context) {
    for (name, folder, folders) in PACKAGES {
        let listed = listed(name).await;
        let tops: BTreeSet<&str> = listed.iter().filter_map(|path| path.split_once('/').map(|(top, _)| top)).collect();
        assert_eq!(tops, folders.iter().copied().collect(), "{name}");
        let single = listed.iter().filter(|path| !path.contains('/') && !ADDED.contains(&path.as_str()));
        let others: Vec<_> = single.filter(|path| !path.ends_with(".md") && *path != "LICENSE").collect();
        assert!(others.is_empty() && listed.contains("LICENSE"), "{name}: {others:?}");
        let missing: Vec<PathBuf> = included(&root().join(folder))
            .into_iter()
            .filter(|path| !listed.contains(path.to_string_lossy().as_ref()))
            .collect();
        assert!(missing.is_empty(), "{name} is not built without {missing:?}");
    }
}

/// Returns the files of a package, as cargo would pack them.
async fn listed(name: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["package", "--list", "--allow-dirty", "--offline", "--package", name];
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().await.expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

/// Returns the files that the code of a package includes, relative to its folder: those that `include_str!` names by a
/// path of their own, and the built-in types. What only unit tests include is below `tests`, which is not packed.
fn included(package: &Path) -> BTreeSet<PathBuf> {
    let mut included = BTreeSet::new();
    for file in files(&package.join("src")) {
        let text = fs::read_to_string(&file).expect("a text");
        for name in text.split("include_str!(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            included.insert(without_dots(&file.with_file_name(name)));
        }
    }
    let is_data = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "json");
    for folder in ["mappings", "model_versions"].map(|folder| package.join(folder)) {
        included.extend(folder.is_dir().then(|| files(&folder)).into_iter().flatten().filter(is_data));
    }
    let within = |path: &PathBuf| path.strip_prefix(package).ok().map(Path::to_path_buf);
    included.iter().filter_map(within).filter(|path| !path.starts_with("tests")).collect()
}

/// Resolves the `..` of a path.
fn without_dots(path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(resolved.pop()),
            part => resolved.push(part),
        }
    }
    resolved
}
