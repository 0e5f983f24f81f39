//! The rules for changing types, checked against the lock of released versions.

use serde_json::Value;

use super::lock::{FixedProperties, Lock, LockedType, LockedVersion};
use super::{CheckReport, CheckViolation, Rule, TypeDefinition, UnreleasedVersion, mapping};
use crate::model::{AttributePath, Change, ModelVersion};

/// Checks definitions against the rules for changing types and against the released versions. File names in the report
/// are relative to the folder of the definitions.
pub fn check(definitions: &[TypeDefinition], lock: &Lock) -> CheckReport {
    let mut report = CheckReport::default();
    for definition in definitions {
        let mut findings = Findings { definition, report: &mut report };
        findings.check_released(lock.types.get(definition.name()));
    }
    for name in lock.types.keys().filter(|name| !definitions.iter().any(|definition| definition.name() == *name)) {
        report.violations.push(CheckViolation {
            rule: Rule::Released,
            file: format!("mappings/{name}.json"),
            type_name: Some(name.clone()),
            version: None,
            message: format!("the released type `{name}` has no definition"),
            hint: "restore its files and set `removed` in the definition, so that its name stays reserved".to_owned(),
        });
    }
    report
}

/// Adds the findings about one type to the report.
struct Findings<'a> {
    definition: &'a TypeDefinition,
    report: &'a mut CheckReport,
}

impl Findings<'_> {
    fn add(&mut self, rule: Rule, version: Option<u32>, message: String, hint: impl Into<String>) {
        let name = self.definition.name();
        let file = match version {
            Some(number) => format!("model_versions/{name}/{number}.json"),
            None => format!("mappings/{name}.json"),
        };
        let type_name = Some(name.to_owned());
        self.report.violations.push(CheckViolation { rule, file, type_name, version, message, hint: hint.into() });
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

    /// Checks the mapping against `released`, which is the lock's entry for the newest released version `number`.
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::registry::testing::{create, note, read, version};

    fn definition(keys: Value, versions: &[Value]) -> TypeDefinition {
        read(&note(keys), versions).expect("a valid definition")
    }

    fn plain() -> Value {
        version(json!({}))
    }

    /// Returns the violations of `now` after a release of `released`, as rule, file and message.
    fn violations<const R: usize, const N: usize>(
        released: [&TypeDefinition; R],
        now: [&TypeDefinition; N],
    ) -> Vec<(Rule, String, String)> {
        let lock = Lock::default().released(&released.map(TypeDefinition::clone));
        let report = check(&now.map(TypeDefinition::clone), &lock);
        report.violations.into_iter().map(|found| (found.rule, found.file, found.message)).collect()
    }

    #[track_caller]
    fn assert_violation(now: TypeDefinition, rule: Rule, file: &str, message: &str) {
        let found = violations([&definition(json!({}), &[plain()])], [&now]);
        let [(found_rule, found_file, found_message)] = found.as_slice() else {
            panic!("not one violation: {found:?}");
        };
        assert_eq!((*found_rule, found_file.as_str()), (rule, file), "{found_message}");
        assert!(found_message.contains(message), "{found_message}");
    }

    fn mapped(properties: Value) -> Value {
        json!({ "mapping": { "dynamic": false, "properties": properties } })
    }

    #[test]
    fn what_is_released_as_it_is_breaks_nothing() {
        let versions = [plain(), plain()];
        let released = definition(json!({}), &versions);
        assert_eq!(violations([&released], [&released]), []);
        let lock = Lock::default().released(&[definition(json!({}), &versions[..1])]);
        let report = check(std::slice::from_ref(&released), &lock);
        assert_eq!(report.unreleased, [UnreleasedVersion { type_name: "note".to_owned(), version: 2 }]);
        // The way a type is used is not fixed for its documents.
        let used_otherwise = definition(json!({ "hidden": true, "exportable": true }), &versions);
        assert_eq!(violations([&released], [&used_otherwise]), []);
    }

    #[test]
    fn released_files_stay_as_they_are() {
        let edited = version(json!({ "create": create(&["title", "body", "extra"]) }));
        assert_violation(
            definition(json!({}), &[edited]),
            Rule::Released,
            "model_versions/note/1.json",
            "the released model version 1 was edited; fields new in the create schema: extra",
        );
        let table = [
            (json!({ "group": "others" }), "`group` of a released type changed"),
            (json!({ "namespace_kind": "single" }), "`namespace_kind` of a released type changed"),
            (json!({ "random_id": false }), "`random_id` of a released type changed"),
            (json!({ "identity": ["title"] }), "`identity` of a released type changed"),
        ];
        for (keys, message) in table {
            assert_violation(definition(keys, &[plain()]), Rule::Released, "mappings/note.json", message);
        }
    }

    #[test]
    fn what_was_released_is_never_deleted() {
        let two = definition(json!({}), &[plain(), plain()]);
        let found = violations([&two], [&definition(json!({}), &[plain()])]);
        let message = "the released model version 2 is gone".to_owned();
        assert_eq!(found, [(Rule::Released, "model_versions/note/2.json".to_owned(), message)]);
        let found = violations([&two], []);
        let message = "the released type `note` has no definition".to_owned();
        assert_eq!(found, [(Rule::Released, "mappings/note.json".to_owned(), message)]);
    }

    #[test]
    fn the_name_of_a_removed_type_is_not_used_again() {
        let removed = definition(json!({ "removed": true }), &[plain()]);
        let found = violations([&removed], [&definition(json!({}), &[plain()])]);
        assert_eq!(found[0].0, Rule::RemovedName, "{found:?}");
        assert_eq!(violations([&removed], [&removed]), []);
    }

    #[test]
    fn mappings_only_grow_and_say_so() {
        let keyword = || json!({ "type": "keyword" });
        let two = |change: Value| {
            [plain(), version(json!({ "changes": [change], "create": create(&["title", "body", "at"]) }))]
        };
        assert_violation(
            definition(mapped(json!({})), &[plain()]),
            Rule::AdditiveMapping,
            "mappings/note.json",
            "mapping.properties.title.type was released as \"keyword\" and is gone now",
        );
        assert_violation(
            definition(mapped(json!({ "title": { "type": "text" } })), &[plain()]),
            Rule::AdditiveMapping,
            "mappings/note.json",
            "mapping.properties.title.type was released as \"keyword\" and is another now",
        );
        assert_violation(
            definition(mapped(json!({ "title": { "type": "keyword", "ignore_above": 9 } })), &[plain()]),
            Rule::MappingVersion,
            "mappings/note.json",
            "mapping.properties.title.ignore_above is in no released version",
        );
        let one = definition(json!({}), &[plain()]);
        let added = json!({ "type": "mappings_addition", "properties": { "at": { "type": "date" } } });
        let grown = definition(mapped(json!({ "title": keyword(), "at": { "type": "date" } })), &two(added));
        assert_eq!(violations([&one], [&grown]), []);
        // Both versions are released together: the first is recorded without what the second added.
        let lock = Lock::default().released(&[grown]);
        let at = |number| lock.types["note"].versions[&number].mapping.contains_key("properties.at.type");
        assert_eq!((at(1), at(2)), (false, true));

        let changed = json!({ "type": "mappings_change", "attributes": ["title"] });
        let changed = definition(mapped(json!({ "title": { "type": "text" } })), &two(changed));
        assert_eq!(violations([&one], [&changed]), []);
    }

    #[test]
    fn an_attribute_may_become_bound_in_any_version() {
        let names = ["title", "body", "owner"];
        let keys = json!({ "bound": ["title", "owner"], "create": create(&names) });
        let without = version(json!({ "create": create(&names) }));
        // An attribute that is new in the version that binds it, and one that was written before.
        for first in [plain(), without] {
            let waiver = json!([{ "rule": "two_releases", "attributes": ["owner"], "reason": "of a released file" }]);
            let mut waived = keys.clone();
            waived["waivers"] = waiver;
            for second in [version(keys.clone()), version(waived)] {
                assert_eq!(violations([], [&definition(json!({}), &[first.clone(), second])]), []);
            }
        }
    }

    #[test]
    fn a_release_adds_and_never_alters() {
        let one = Lock::default().released(&[definition(json!({}), &[plain()])]);
        let edited = version(json!({ "create": create(&["title", "body", "extra"]) }));
        let two = one.released(&[definition(json!({ "group": "others" }), &[edited, plain()])]);
        assert_eq!(two.types["note"].versions[&1], one.types["note"].versions[&1]);
        assert_eq!(two.types["note"].fixed, one.types["note"].fixed);
        assert!(two.types["note"].versions.contains_key(&2));
        let text = two.to_json().expect("JSON");
        assert_eq!(Lock::from_json("released.lock.json", &text).expect("a lock"), two);
        let error = Lock::from_json("released.lock.json", "{\"tpyes\": {}}").expect_err("no lock");
        assert!(error.message().starts_with("released.lock.json: unknown field `tpyes`"), "{error}");
    }
}
