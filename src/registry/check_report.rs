use serde::Serialize;

use super::DefinitionProblem;
use crate::model::WaivableRule;

/// What `check` found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CheckReport {
    /// What must be corrected before a release.
    pub violations: Vec<CheckViolation>,
    /// The exemptions that were made use of.
    pub waivers: Vec<UsedWaiver>,
    /// The model versions that the lock does not have yet.
    pub unreleased: Vec<UnreleasedVersion>,
}

/// A rule of `check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A definition file is well-formed and consistent.
    Definition,
    /// What is released is neither edited nor deleted.
    Released,
    /// A mapping only grows, except by a `mappings_change`.
    AdditiveMapping,
    /// What a mapping gains is said by a new model version.
    MappingVersion,
    /// An attribute becomes bound in one version and may be written from the next on.
    TwoReleases,
    /// A waiver exempts from something.
    UnusedWaiver,
    /// The name of a removed type is not used again.
    RemovedName,
}

impl Rule {
    /// The rule's name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Definition => "definition",
            Self::Released => "released",
            Self::AdditiveMapping => "additive_mapping",
            Self::MappingVersion => "mapping_version",
            Self::TwoReleases => "two_releases",
            Self::UnusedWaiver => "unused_waiver",
            Self::RemovedName => "removed_name",
        }
    }
}

/// Where a definition breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckViolation {
    /// The rule.
    pub rule: Rule,
    /// The file to correct.
    pub file: String,
    /// The type, if the file could be read.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// The model version, if it is about one.
    pub version: Option<u32>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub cure: String,
}

/// An exemption that was made use of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsedWaiver {
    /// The rule that was waived.
    pub rule: WaivableRule,
    /// The type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The model version.
    pub version: u32,
    /// The exempt attributes.
    pub attributes: Vec<String>,
    /// Why that does no harm.
    pub reason: String,
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
            cure: problem.cure.clone(),
        }
    }
}
