//! The report of `saved-objects check`.

use serde::Serialize;

use super::DefinitionProblem;

/// The findings of `check`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CheckReport {
    /// The violations that must be corrected before a release.
    pub violations: Vec<CheckViolation>,
    /// The model versions that are not in the lock yet.
    pub unreleased: Vec<UnreleasedVersion>,
}

/// A rule of `check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A definition file is well-formed and consistent.
    Definition,
    /// A released version is neither edited nor deleted.
    Released,
    /// A mapping only grows, except by a `mappings_change`.
    AdditiveMapping,
    /// A new model version declares what a mapping gains.
    MappingVersion,
    /// The name of a removed type is not used again.
    RemovedName,
    /// A new index can hold all fields of its types.
    FieldLimit,
}

impl Rule {
    /// Returns the rule's name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Definition => "definition",
            Self::Released => "released",
            Self::AdditiveMapping => "additive_mapping",
            Self::MappingVersion => "mapping_version",
            Self::RemovedName => "removed_name",
            Self::FieldLimit => "field_limit",
        }
    }
}

/// A violation of a rule by a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckViolation {
    /// The rule.
    pub rule: Rule,
    /// The file to correct.
    pub file: String,
    /// The type, if the file could be read.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// The model version, if the violation concerns one.
    pub version: Option<u32>,
    /// The problem.
    pub message: String,
    /// The hint.
    pub hint: String,
}

/// A model version that is not released yet and may still be edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreleasedVersion {
    /// The type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The model version.
    pub version: u32,
}

impl From<&DefinitionProblem> for CheckViolation {
    fn from(problem: &DefinitionProblem) -> Self {
        let message = match problem.path.as_str() {
            "" => problem.message.clone(),
            path => format!("{path}: {}", problem.message),
        };
        Self {
            rule: Rule::Definition,
            file: problem.file.clone(),
            type_name: None,
            version: None,
            message,
            hint: problem.hint.clone(),
        }
    }
}
