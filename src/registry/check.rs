use serde::Serialize;
use serde_json::Value;

use super::lock::{FixedProperties, Lock, LockedType, LockedVersion};
use super::{DefinitionProblem, TypeDefinition, mapping};
use crate::model::{AttributePath, Change, ModelVersion, WaivableRule};

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

/// Holds definitions to the rules for changing types, and to what is released. File names in the report are relative to
/// the folder of the definitions.
pub fn check(definitions: &[TypeDefinition], lock: &Lock) -> CheckReport {
    let mut report = CheckReport::default();
    for definition in definitions {
        let mut findings = Findings { definition, report: &mut report };
        let mut before = None;
        for version in definition.versions() {
            findings.check_two_releases(version, before);
            before = Some(version.as_ref());
        }
        findings.check_released(lock.types.get(definition.name()));
    }
    for name in lock.types.keys().filter(|name| !definitions.iter().any(|definition| definition.name() == *name)) {
        report.violations.push(CheckViolation {
            rule: Rule::Released,
            file: format!("mappings/{name}.json"),
            type_name: Some(name.clone()),
            version: None,
            message: format!("the released type `{name}` has no definition"),
            cure: "restore its files and set `removed` in the definition, so that its name stays reserved".to_owned(),
        });
    }
    report
}

/// Adds what is found about one type to the report.
struct Findings<'a> {
    definition: &'a TypeDefinition,
    report: &'a mut CheckReport,
}

impl Findings<'_> {
    fn add(&mut self, rule: Rule, version: Option<u32>, message: String, cure: impl Into<String>) {
        let name = self.definition.name();
        let file = match version {
            Some(number) => format!("model_versions/{name}/{number}.json"),
            None => format!("mappings/{name}.json"),
        };
        let type_name = Some(name.to_owned());
        self.report.violations.push(CheckViolation { rule, file, type_name, version, message, cure: cure.into() });
    }

    /// Two software versions run side by side during a rolling upgrade, and the older one may come back. It opens secrets
    /// only if it knows every bound attribute that documents have. Where it encrypts nothing it opens nothing.
    fn check_two_releases(&mut self, version: &ModelVersion, before: Option<&ModelVersion>) {
        let mut too_early = Vec::new();
        if let Some(before) = before.filter(|before| !before.sets.is_empty()) {
            let newly_bound = version.sets.bound.iter().filter(|name| !before.sets.binds(name));
            too_early.extend(newly_bound.filter(|name| may_write(version, name)).map(String::as_str));
        }
        for name in &too_early {
            if !version.waives(WaivableRule::TwoReleases, name) {
                self.add(
                    Rule::TwoReleases,
                    Some(version.number),
                    format!("the attribute `{name}` becomes bound and may be written in one version"),
                    format!(
                        "take `{name}` out of the create schema (which must not be open) and declare it in version {}",
                        version.number.saturating_add(1)
                    ),
                );
            }
        }
        for waiver in &version.waivers {
            let (used, unused): (Vec<_>, Vec<_>) =
                waiver.attributes.iter().partition(|name| too_early.contains(&name.as_str()));
            if !unused.is_empty() || used.is_empty() {
                let message = match unused.as_slice() {
                    [] => "a waiver names no attribute".to_owned(),
                    [first, ..] => format!("a waiver exempts `{first}` from a rule that it keeps"),
                };
                self.add(Rule::UnusedWaiver, Some(version.number), message, "take it out of the waiver");
            }
            if !used.is_empty() {
                self.report.waivers.push(UsedWaiver {
                    rule: waiver.rule,
                    type_name: self.definition.name().to_owned(),
                    version: version.number,
                    attributes: used.into_iter().cloned().collect(),
                    reason: waiver.reason.clone(),
                });
            }
        }
    }

    fn check_released(&mut self, locked: Option<&LockedType>) {
        for version in self.definition.versions() {
            match locked.and_then(|locked| locked.versions.get(&version.number)) {
                Some(released) => self.check_version(version, released),
                None => self
                    .report
                    .unreleased
                    .push(UnreleasedVersion { type_name: self.definition.name().to_owned(), version: version.number }),
            }
        }
        let Some(locked) = locked else { return };
        for number in locked.versions.keys().filter(|number| self.definition.version(**number).is_none()) {
            let message = format!("the released model version {number} is gone");
            self.add(Rule::Released, Some(*number), message, "restore the file; undo it by a new version");
        }
        if locked.removed && !self.definition.removed() {
            let message = format!("the name `{}` belongs to a removed type", self.definition.name());
            self.add(Rule::RemovedName, None, message, "choose another name; old documents may still be there");
        }
        self.check_fixed_properties(&locked.fixed);
        if let Some((number, newest)) = locked.versions.last_key_value() {
            self.check_mapping(*number, newest);
        }
    }

    fn check_version(&mut self, version: &ModelVersion, released: &LockedVersion) {
        let now = LockedVersion::of(self.definition, version);
        if now.digest == released.digest {
            return;
        }
        let list = |these: &[String], but_not: &[String]| {
            these.iter().filter(|field| !but_not.contains(field)).cloned().collect::<Vec<_>>().join(", ")
        };
        let (added, gone) = (list(&now.fields, &released.fields), list(&released.fields, &now.fields));
        let mut message = format!("the released model version {} was edited", version.number);
        for (what, fields) in [("new", added), ("gone", gone)] {
            if !fields.is_empty() {
                message.push_str(&format!("; fields {what} in the create schema: {fields}"));
            }
        }
        self.add(
            Rule::Released,
            Some(version.number),
            message,
            "restore the file, and put the change into a new model version",
        );
    }

    fn check_fixed_properties(&mut self, released: &FixedProperties) {
        let now = FixedProperties::of(self.definition);
        let changed = [
            ("group", now.group != released.group),
            ("namespace_kind", now.namespace_kind != released.namespace_kind),
            ("random_id", now.random_id != released.random_id),
            ("identity", now.identity != released.identity),
        ];
        for (name, _) in changed.into_iter().filter(|(_, changed)| *changed) {
            self.add(
                Rule::Released,
                None,
                format!("`{name}` of a released type changed"),
                format!("restore `{name}`: documents that are stored follow it; a new type may differ"),
            );
        }
    }

    /// `number` is the newest released version, and `released` what was released of it.
    fn check_mapping(&mut self, number: u32, released: &LockedVersion) {
        let now = mapping::flatten(self.definition.mapping());
        let unreleased: Vec<&Change> =
            self.definition.versions().iter().filter(|v| v.number > number).flat_map(|v| &v.changes).collect();
        for (entry, value) in &released.mapping {
            if now.get(entry) == Some(value) || is_changed(&unreleased, entry) {
                continue;
            }
            let what = if now.contains_key(entry) { "is another" } else { "is gone" };
            self.add(
                Rule::AdditiveMapping,
                None,
                format!("mapping.{entry} was released as {value} and {what} now"),
                "restore it; or let a new model version say so by a `mappings_change`, which forces a copy of the index",
            );
        }
        for (entry, value) in now.iter().filter(|(entry, _)| !released.mapping.contains_key(*entry)) {
            if !is_added(&unreleased, entry, value) && !is_changed(&unreleased, entry) {
                self.add(
                    Rule::MappingVersion,
                    None,
                    format!("mapping.{entry} is in no released version, and no new one adds it"),
                    "add a model version whose `mappings_addition` has it",
                );
            }
        }
    }
}

/// Whether documents of `version` may have the attribute.
fn may_write(version: &ModelVersion, name: &str) -> bool {
    version.create.attribute(name).is_some() || version.create.is_open()
}

fn is_changed(changes: &[&Change], entry: &str) -> bool {
    let is_of = |path: &AttributePath| mapping::is_of_field(entry, path);
    changes.iter().any(|change| matches!(change, Change::MappingsChange { attributes } if attributes.iter().any(is_of)))
}

fn is_added(changes: &[&Change], entry: &str, value: &Value) -> bool {
    changes.iter().any(|change| match change {
        Change::MappingsAddition { properties } => mapping::flatten_properties(properties).get(entry) == Some(value),
        _ => false,
    })
}
