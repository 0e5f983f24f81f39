use serde::{Deserialize, Serialize};

use super::{Change, CreateSchema, EncryptionSets, ForwardSchema};

/// One version of a type's documents.
#[derive(Debug, Clone)]
pub struct ModelVersion {
    /// Its number; the first is 1.
    pub number: u32,
    /// What it changes, in the order in which it happens.
    pub changes: Vec<Change>,
    /// What a document that is created at this version looks like as it is stored.
    pub create: CreateSchema,
    /// What software of this version keeps of a newer document; none says that it cannot read one.
    pub forward: Option<ForwardSchema>,
    /// What it encrypts and binds.
    pub sets: EncryptionSets,
    /// The rules that it is exempt from, with the reason.
    pub waivers: Vec<Waiver>,
    /// SHA-256 of what its file says, white space and the order of keys aside.
    pub content_digest: String,
}

/// The exemption of some attributes of a model version from a rule of `saved-objects check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// The rule.
    pub rule: WaivableRule,
    /// The attributes that are exempt.
    pub attributes: Vec<String>,
    /// Why that does no harm.
    pub reason: String,
}

/// A rule of `saved-objects check` that can do without harm for some attributes, if there is a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaivableRule {
    /// An attribute becomes bound in one version and may be written from the next on: software of the version before
    /// it does not bind the attribute, so it could not open the secrets of a document that has it.
    TwoReleases,
}

impl WaivableRule {
    /// The rule's name in definitions and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TwoReleases => "two_releases",
        }
    }
}

impl ModelVersion {
    /// Whether a waiver exempts `attribute` from `rule`.
    pub fn waives(&self, rule: WaivableRule, attribute: &str) -> bool {
        self.waivers.iter().any(|waiver| waiver.rule == rule && waiver.attributes.iter().any(|name| name == attribute))
    }

    /// The names of the transforms that the version runs.
    pub fn transforms(&self) -> impl Iterator<Item = &str> {
        self.changes.iter().filter_map(|change| match change {
            Change::Transform { name } => Some(name.as_str()),
            _ => None,
        })
    }
}
