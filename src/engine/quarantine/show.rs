//! One document in quarantine as an operator sees it: its origin, and its content without secrets.
//!
//! A document in quarantine is defective, so a secret may be in the clear where an envelope belongs, or in another
//! place. Only values that cannot be a secret by the definitions are shown; all others are named.

use serde::Serialize;
use serde_json::{Map, Value};

use super::entry::{Entry, Location, Quarantined, ReadAt};
use super::store::{Found, Quarantine};
use crate::Result;
use crate::document::{Attributes, ROOT_FIELDS};
use crate::encryption::KeysOf;
use crate::model::VirtualVersion;
use crate::registry::{Registry, TypeDefinition};

/// The root fields whose values are shown, if they are texts or lists of texts. Users do not fill them with texts of
/// their own.
const SHOWN_FIELDS: &[&str] = &[
    "namespace",
    "namespaces",
    "originId",
    "managed",
    "created_at",
    "updated_at",
    "typeMigrationVersion",
    "coreMigrationVersion",
];

/// A document in quarantine with its origin and its content, without secrets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuarantinedDocument {
    /// The document, and why it is in quarantine.
    #[serde(flatten)]
    pub document: Quarantined,
    /// The index that it was read from. `None` if the entry does not say it.
    pub index: Option<String>,
    /// The sequence number of the version that was read.
    pub seq_no: Option<u64>,
    /// The model version of the stored document.
    pub version: String,
    /// The length of the stored document in bytes.
    pub bytes: usize,
    /// The fields other than attributes that are shown.
    pub fields: Map<String, Value>,
    /// The attributes that are shown: those that a version of the registered type defines, and none encrypts.
    pub attributes: Attributes,
    /// The fields and attributes that are left out, as JSON pointers: they hold secrets, or may hold some.
    pub left_out: Vec<String>,
}

impl Quarantine {
    /// Returns the documents in quarantine with one of these `_id`s, without secrets. There are several if documents of
    /// several indices, or several versions of one document, are in quarantine.
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    pub async fn show(&self, ids: &[String]) -> Result<Vec<QuarantinedDocument>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let show = |found: Found| {
            let Found { entry, location, .. } = found;
            (location != Location::NotHeld).then(|| shown(&self.registry, &entry, location))
        };
        let mut found: Vec<_> = self.scan(ids, show).await?.into_iter().flatten().collect();
        found.sort_unstable_by(|one, other| {
            let key = |shown: &QuarantinedDocument| (shown.document.alias.clone(), shown.document.since.clone());
            key(one).cmp(&key(other))
        });
        Ok(found)
    }
}

fn shown(registry: &Registry, entry: &Entry, location: Location) -> QuarantinedDocument {
    let text = entry.document();
    let mut shown = QuarantinedDocument {
        document: entry.summary(location),
        index: entry.read.as_ref().map(|read| read.index().to_owned()),
        seq_no: entry.read.as_ref().map(ReadAt::seq_no),
        version: VirtualVersion::label(None),
        bytes: text.len(),
        fields: Map::new(),
        attributes: Attributes::new(),
        left_out: Vec::new(),
    };
    // A document that is nested too deep, or is no object, is left out as a whole.
    let Ok(Value::Object(source)) = serde_json::from_str::<Value>(&text) else {
        shown.left_out.push(String::new());
        return shown;
    };
    shown.version = VirtualVersion::label(source.get("typeMigrationVersion").and_then(Value::as_str));
    let type_name = source.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let definition = registry.get(&type_name).map(AsRef::as_ref);
    for (name, value) in source {
        match value {
            Value::Object(attributes) if name == type_name && !ROOT_FIELDS.contains(&name.as_str()) => {
                shown.add_attributes(definition, &type_name, attributes);
            }
            Value::String(text) if name == "type" && text == type_name => {}
            value if SHOWN_FIELDS.contains(&name.as_str()) && is_plain(&value) => {
                shown.fields.insert(name, value);
            }
            _ => shown.left_out.push(pointer(&[&name])),
        }
    }
    shown
}

impl QuarantinedDocument {
    fn add_attributes(&mut self, definition: Option<&TypeDefinition>, type_name: &str, attributes: Attributes) {
        for (name, value) in attributes {
            let is_shown = definition.is_some_and(|definition| is_no_secret(definition, &name))
                // An envelope in another place than its own.
                && KeysOf::anywhere(&value).keys.is_empty();
            if is_shown {
                self.attributes.insert(name, value);
            } else {
                self.left_out.push(pointer(&[type_name, &name]));
            }
        }
    }
}

/// Returns whether a version of the type defines the attribute, and none encrypts it.
fn is_no_secret(definition: &TypeDefinition, name: &str) -> bool {
    let is_defined = definition.versions().iter().any(|version| version.create.attribute(name).is_some());
    is_defined && !definition.encryption().encrypts(name)
}

fn is_plain(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().all(Value::is_string),
        value => value.is_string() || value.is_boolean() || value.is_null(),
    }
}

/// Returns the JSON pointer to a field.
fn pointer(names: &[&str]) -> String {
    names.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::{Hit, SequenceNumber};
    use crate::engine::quarantine::{Put, Stage};
    use crate::registry::testing;

    fn show(source: &str) -> QuarantinedDocument {
        let version = testing::version(json!({
            "encrypted": [{ "name": "body" }],
            "create": { "type": "object", "properties": { "title": { "type": "string" }, "body": { "type": "string" } } },
        }));
        let definition = testing::read(&testing::note(json!({})), &[version]).expect("a definition");
        let registry = Registry::builder().with([definition]).build().expect("valid");
        let source = serde_json::value::RawValue::from_string(source.to_owned()).expect("JSON");
        let sequence = SequenceNumber { seq_no: 7, primary_term: 1 };
        let hit = Hit { index: "a-000001".into(), id: "note:1".into(), sequence, source };
        let (read, source) = (ReadAt::of(&hit), hit.source.get());
        let (alias, id, type_name) = ("a", "note:1", Some("note"));
        let put = Put { alias, id, type_name, reason: "odd", attribute: None, source, stage: Stage::TakenOut, read };
        shown(&registry, &put.entry("2026-01-01T00:00:00Z").expect("writable"), Location::Held)
    }

    #[test]
    fn no_value_is_shown_that_may_be_a_secret() {
        let table = [
            (json!({ "title": "t", "body": "s3cret" }), json!({ "title": "t" }), vec!["/note/body"]),
            (json!({ "title": { "a": [1] }, "body": null }), json!({ "title": { "a": [1] } }), vec!["/note/body"]),
            (json!({ "bodi": "s3cret", "a/b~": 1 }), json!({}), vec!["/note/a~1b~0", "/note/bodi"]),
        ];
        for (attributes, expected, left_out) in table {
            let source = json!({ "type": "note", "note": attributes, "typeMigrationVersion": "10.1.0" });
            let shown = show(&source.to_string());
            assert_eq!(Value::from(shown.attributes.clone()), expected);
            assert_eq!(shown.left_out, left_out);
            assert_eq!(
                (shown.version.as_str(), shown.index.as_deref(), shown.seq_no),
                ("1", Some("a-000001"), Some(7))
            );
            assert!(!serde_json::to_string(&shown).expect("JSON").contains("s3cret"));
        }
    }

    #[test]
    fn whatever_its_form_is_its_origin_is_shown_and_no_secret() {
        let deep = format!(r#"{{"type":"note","note":{}"s3cret"{}}}"#, "[".repeat(500), "]".repeat(500));
        let table = [
            (deep.as_str(), vec![""]),
            (r#"["s3cret"]"#, vec![""]),
            (r#"{"type":"other","other":{"title":"s3cret"}}"#, vec!["/other/title"]),
            (r#"{"type":"note","note":"s3cret"}"#, vec!["/note"]),
            (
                r#"{"type":"note","note":{},"namespaces":[{"a":"s3cret"}],"more":"s3cret"}"#,
                vec!["/more", "/namespaces"],
            ),
            (r#"{"type":{"a":"s3cret"},"note":{"title":"s3cret"}}"#, vec!["/note", "/type"]),
            (r#"{"type":"namespace","namespace":{"title":"s3cret"}}"#, vec!["/namespace"]),
        ];
        for (source, left_out) in table {
            let shown = show(source);
            assert_eq!(shown.left_out, left_out, "{source}");
            assert_eq!((shown.document.reason.as_str(), shown.bytes), ("odd", source.len()));
            assert!(!format!("{shown:?}").contains("s3cret"), "{shown:?}");
        }
    }

    #[test]
    fn namespaces_and_times_are_shown() {
        let fields = json!({ "namespaces": ["a", "b"], "created_at": "2026-01-01T00:00:00.000Z", "managed": true });
        let mut source = fields.clone();
        source["type"] = json!("note");
        let shown = show(&source.to_string());
        assert_eq!((Value::from(shown.fields), shown.left_out), (fields, Vec::new()));
    }
}
