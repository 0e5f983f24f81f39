//! The form of definition files, and their parser.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::FileProblems;
use crate::document::NamespaceKind;
use crate::model::{Change, EncryptedAttribute};

/// The content of `mappings/<type>.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TypeFile {
    #[serde(rename = "type")]
    pub(super) name: String,
    pub(super) group: String,
    pub(super) namespace_kind: NamespaceKind,
    #[serde(default)]
    pub(super) hidden: bool,
    #[serde(default)]
    pub(super) exportable: bool,
    #[serde(default = "random_id_by_default")]
    pub(super) random_id: bool,
    #[serde(default)]
    pub(super) identity: Option<Vec<String>>,
    #[serde(default)]
    pub(super) removed: bool,
    pub(super) mapping: Value,
}

/// Returns the safe default: an id that a caller chooses can be guessed, or reused for another object.
fn random_id_by_default() -> bool {
    true
}

/// The content of `model_versions/<type>/<n>.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VersionFile {
    #[serde(default)]
    pub(super) changes: Vec<Change>,
    pub(super) create: Value,
    #[serde(default)]
    pub(super) forward: Option<Value>,
    #[serde(default)]
    pub(super) encrypted: Vec<EncryptedAttribute>,
    #[serde(default)]
    pub(super) bound: Vec<String>,
    #[serde(default)]
    pub(super) waivers: Vec<Waiver>,
}

/// An exemption of attributes from a rule. It has no effect: no rule of today can be waived, but released files, which
/// never change, have exemptions from a rule of before (record 34).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Waiver {
    #[serde(rename = "rule")]
    _rule: WaivedRule,
    pub(super) attributes: Vec<String>,
    pub(super) reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WaivedRule {
    TwoReleases,
}

/// Parses the text of a definition file. Content of another form is added to the problems.
pub(super) fn parse<T: DeserializeOwned>(text: &str, problems: &mut FileProblems<'_>) -> Option<T> {
    const CURE: &str = "correct it as docs/definitions.md describes the file";
    // serde would accept an array of the right length as the fields of a struct.
    if !text.trim_start().starts_with('{') {
        problems.add("", "the file is not a JSON object", CURE);
        return None;
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize(&mut deserializer) {
        Ok(file) => match deserializer.end() {
            Ok(()) => Some(file),
            Err(error) => {
                problems.add("", error.to_string(), CURE);
                None
            }
        },
        Err(error) => {
            let path = error.path().to_string();
            // `.` is the file as a whole, `?` a location before the first key.
            let path = if path == "." || path == "?" { String::new() } else { path };
            problems.add(path, error.into_inner().to_string(), CURE);
            None
        }
    }
}

/// Returns the number of the model version in the file `name`, if the name has the form `<n>.json`.
pub(super) fn version_number(name: &str) -> Option<u32> {
    let stem = name.rsplit('/').next()?.strip_suffix(".json")?;
    let number: u32 = stem.parse().ok()?;
    // `01.json` and `+1.json` would be second names of version 1.
    (number > 0 && number.to_string() == stem).then_some(number)
}
