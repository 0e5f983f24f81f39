//! Comments and pages cite only what is in the repository: records of decisions, and files.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::context::Context;

/// The folders whose files are checked, in addition to the pages at the root.
const FOLDERS: [&str; 7] = ["src", "tests", "docs", "benches", "examples", "fuzz/fuzz_targets", "crates"];
/// The endings of the names of cited files.
const ENDINGS: [&str; 5] = [".rs", ".md", ".json", ".java", ".toml"];
/// Pages that are not in the repository. Each name is in two parts, so that this file does not cite it.
const ELSEWHERE: [(&str, &str); 5] =
    [("design ", "decision"), ("facts", "/"), ("design", ".md"), ("house", ".md"), ("faults", ".md")];

pub(super) async fn what_is_cited_exists(_: Context) {
    let root = root();
    let files = files(&root);
    let names: BTreeSet<&OsStr> = files.iter().filter_map(|file| file.file_name()).collect();
    let is_record = |start: &str| {
        let record = |file: &PathBuf| file.strip_prefix(root.join("docs/decisions")).ok().map(Path::to_path_buf);
        files.iter().filter_map(record).any(|name| name.to_string_lossy().starts_with(start))
    };
    let (mut wrong, mut cited) = (Vec::new(), 0);
    for file in files.iter().filter(|file| is_searched(&root, file)) {
        let text = fs::read_to_string(file).expect("a text");
        for (number, line) in (1..).zip(text.lines()) {
            let (words, records, paths) = (elsewhere(line), cited_records(line), cited_paths(file, line));
            cited += records.len() + paths.len();
            let is_there = |path: &str| match path.contains('/') {
                true => files.iter().any(|file| file.ends_with(path)),
                false => !path.ends_with(".rs") || names.contains(OsStr::new(path)),
            };
            let no_records = records.into_iter().filter(|record| !is_record(record));
            let no_files = paths.into_iter().filter(|path| !is_there(path)).map(str::to_owned);
            let all = words.into_iter().chain(no_records).chain(no_files);
            wrong.extend(all.map(|what| format!("{}:{number}: {what}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "not in the repository: {wrong:#?}");
    assert!(cited > 100, "{cited} citations were found");
}

/// Returns the root of the repository: the nearest folder above this package that has the records.
pub(super) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().find(|folder| folder.join("docs/decisions").is_dir()).expect("a repository").to_path_buf()
}

/// Returns all files below a folder, except built and hidden files.
pub(super) fn files(root: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            let is_kept =
                path.file_name().and_then(OsStr::to_str).is_some_and(|name| name != "target" && !name.starts_with('.'));
            match path.is_dir() {
                _ if !is_kept => {}
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files
}

fn is_searched(root: &Path, file: &Path) -> bool {
    let ending = file.extension().and_then(OsStr::to_str);
    let is_within = |folder: &&str| file.starts_with(root.join(folder));
    matches!(ending, Some("rs" | "md")) && (file.parent() == Some(root) || FOLDERS.iter().any(is_within))
}

/// Returns what a line cites that is not in the repository, and the old spelling of records.
fn elsewhere(line: &str) -> Vec<String> {
    let line = line.to_lowercase();
    let starts_word = |at: usize| !line[..at].ends_with(char::is_alphanumeric);
    let is_cited = |word: &String| line.match_indices(word.as_str()).any(|(at, _)| starts_word(at));
    let words = ELSEWHERE.iter().map(|(first, second)| format!("{first}{second}"));
    let old = numbers(&line, "decision ").into_iter().map(|number| format!("decision {number}, not as a record"));
    words.filter(is_cited).chain(old).collect()
}

/// Returns the numbers of the records that a line cites, by `record 15` or by the name of a file.
fn cited_records(line: &str) -> Vec<String> {
    let by_number = numbers(&line.to_lowercase(), "record ").into_iter().map(|number| format!("{number:0>4}-"));
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.');
    let is_name = |word: &&str| {
        let (number, rest) = word.split_once('-').unwrap_or_default();
        number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit()) && rest.ends_with(".md")
    };
    by_number.chain(words.map(|word| word.trim_end_matches('.')).filter(is_name).map(str::to_owned)).collect()
}

/// Returns the numbers directly after `word`.
fn numbers(line: &str, word: &str) -> Vec<String> {
    let digits = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
    line.split(word).skip(1).map(digits).filter(|digits| !digits.is_empty()).collect()
}

/// Returns the names of files in backticks, in a comment or in ARCHITECTURE.md. Comments within examples are skipped.
fn cited_paths<'a>(file: &Path, line: &'a str) -> Vec<&'a str> {
    let comment = |rest: &'a str| rest.trim_start_matches(['/', '!']).trim_start();
    let text = match file.ends_with("ARCHITECTURE.md") {
        true => Some(line),
        false => line.trim_start().strip_prefix("//").map(comment).filter(|text| !text.starts_with("//")),
    };
    let is_plain = |word: &&str| word.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let is_name = |word: &&str| ENDINGS.iter().any(|ending| word.ends_with(ending));
    text.unwrap_or_default().split('`').skip(1).step_by(2).filter(is_plain).filter(is_name).collect()
}
