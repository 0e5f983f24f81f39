//! Mappings of types and of indices.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::document::WRITE_NONCE;
use crate::model::AttributePath;

/// Returns a mapping in the form in which `GET _mapping` returns it: `dynamic` as text, no empty `properties`, and
/// `"type": "object"` only where there are no properties. Any other form would look changed at every start.
pub(super) fn as_returned(mapping: &Value) -> Value {
    let Value::Object(mapping) = mapping else {
        return mapping.clone();
    };
    let mut returned = Map::new();
    for (keyword, value) in mapping {
        match (keyword.as_str(), value) {
            ("dynamic", Value::Bool(dynamic)) => {
                returned.insert(keyword.clone(), Value::String(dynamic.to_string()));
            }
            ("properties" | "fields", Value::Object(properties)) => {
                if !properties.is_empty() {
                    let properties = properties.iter().map(|(name, field)| (name.clone(), as_returned(field)));
                    returned.insert(keyword.clone(), Value::Object(properties.collect()));
                }
            }
            _ => {
                returned.insert(keyword.clone(), value.clone());
            }
        }
    }
    let is_object = returned.get("type").is_none_or(|kind| kind == "object");
    if is_object && returned.contains_key("properties") {
        returned.remove("type");
    } else if is_object {
        returned.insert("type".to_owned(), Value::from("object"));
    }
    Value::Object(returned)
}

/// A mapping with one entry for each leaf: `properties.connectorId.type` → `keyword`.
pub(super) type FlatMapping = BTreeMap<String, Value>;

/// Returns the entries of `mapping`.
pub(super) fn flatten(mapping: &Value) -> FlatMapping {
    let mut flat = FlatMapping::new();
    if let Value::Object(mapping) = as_returned(mapping) {
        flatten_field(&mapping, "", &mut flat);
    }
    // The mapping of a type is always an object.
    flat.remove("type");
    flat
}

/// Returns the entries of a mapping that has `properties`.
pub(super) fn flatten_properties(properties: &Map<String, Value>) -> FlatMapping {
    flatten(&json!({ "properties": properties }))
}

fn flatten_field(field: &Map<String, Value>, path: &str, flat: &mut FlatMapping) {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    // Every object gets this entry, so that an object that gains its first property loses none.
    if !field.contains_key("type") {
        flat.insert(join("type"), Value::from("object"));
    }
    for (keyword, value) in field {
        match (keyword.as_str(), value) {
            ("properties" | "fields", Value::Object(fields)) => {
                for (name, field) in fields {
                    if let Value::Object(field) = field {
                        flatten_field(field, &format!("{}.{name}", join(keyword)), flat);
                    }
                }
            }
            _ => drop(flat.insert(join(keyword), value.clone())),
        }
    }
}

/// Removes `properties` from `mapping`. An object is removed with its last property.
pub(super) fn remove_properties(mapping: &mut Value, properties: &Map<String, Value>) {
    let Some(fields) = mapping.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (name, removed) in properties {
        let Some(field) = fields.get_mut(name) else { continue };
        if let Some(inner) = removed.get("properties").and_then(Value::as_object) {
            remove_properties(field, inner);
        }
        if field.get("properties").and_then(Value::as_object).is_none_or(Map::is_empty) {
            fields.remove(name);
        }
    }
}

/// Returns whether the entry `entry` of a flat mapping belongs to the field at `path`.
pub(super) fn is_of_field(entry: &str, path: &AttributePath) -> bool {
    let field = format!("properties.{}", path.to_string().replace('.', ".properties."));
    entry.strip_prefix(&field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Returns the mapping of the nonce field. The nonce is only read with its document, so it is not indexed.
fn nonce_field() -> Value {
    json!({ "type": "keyword", "index": false, "doc_values": false })
}

/// Returns whether an index with this mapping lacks the nonce field that every write of a user has. Such an index was
/// created before the field existed, and refuses these documents.
pub(crate) fn lacks_nonce_field(mapping: &Value) -> bool {
    mapping.get("properties").and_then(|properties| properties.get(WRITE_NONCE)).is_none()
}

/// Returns the addition to the mapping of an index that lacks the nonce field.
pub(crate) fn nonce_mapping() -> Value {
    json!({ "properties": { WRITE_NONCE: nonce_field() } })
}

/// Returns the mapping of an index: the root fields of every document, and each type's own mapping. The server refuses
/// undeclared fields.
pub(super) fn of_index<'a>(types: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Value {
    let keyword = || json!({ "type": "keyword" });
    let date = || json!({ "type": "date" });
    let mut properties = Map::new();
    let mut add = |name: &str, field: Value| drop(properties.insert(name.to_owned(), field));
    add("type", keyword());
    add("namespace", keyword());
    add("namespaces", keyword());
    add("originId", keyword());
    add("created_at", date());
    add("created_by", keyword());
    add("updated_at", date());
    add("updated_by", keyword());
    add("managed", json!({ "type": "boolean" }));
    add("coreMigrationVersion", keyword());
    // Not of the field type `version`, which a basic server lacks. The field is queried only by `term` and `terms`.
    add("typeMigrationVersion", keyword());
    add(
        "references",
        json!({ "type": "nested", "properties": { "id": keyword(), "name": keyword(), "type": keyword() } }),
    );
    add("accessControl", json!({ "dynamic": "false", "properties": { "owner": keyword() } }));
    add(WRITE_NONCE, nonce_field());
    for (name, mapping) in types {
        add(name, as_returned(mapping));
    }
    json!({ "dynamic": "strict", "properties": properties })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_take_the_form_in_which_the_server_returns_them() {
        let inner = || json!({ "b": { "type": "long" } });
        let ip = || json!({ "dynamic": { "type": "ip" } });
        let table = [
            (json!({ "dynamic": false, "properties": {} }), json!({ "type": "object", "dynamic": "false" })),
            (
                json!({ "dynamic": "strict", "properties": { "a": { "type": "object", "properties": inner() } } }),
                json!({ "dynamic": "strict", "properties": { "a": { "properties": inner() } } }),
            ),
            // Attributes may have the names of keywords.
            (
                json!({ "properties": { "type": { "type": "nested", "dynamic": false, "properties": ip() } } }),
                json!({ "properties": { "type": { "type": "nested", "dynamic": "false", "properties": ip() } } }),
            ),
        ];
        for (given, returned) in table {
            assert_eq!(as_returned(&given), returned);
            assert_eq!(as_returned(&returned), returned, "once more changes nothing");
        }
    }

    #[test]
    fn an_object_that_gets_its_first_field_loses_no_entry() {
        let before = flatten(&json!({ "dynamic": false, "properties": { "a": { "type": "object" } } }));
        let after =
            flatten(&json!({ "dynamic": false, "properties": { "a": { "properties": { "b": { "type": "ip" } } } } }));
        assert!(before.iter().all(|(entry, value)| after.get(entry) == Some(value)), "{before:?} {after:?}");
        assert_eq!(after.get("properties.a.properties.b.type"), Some(&json!("ip")));
    }

    #[test]
    fn removing_properties_leaves_the_others() {
        let mut mapping =
            json!({ "properties": { "a": { "type": "ip" }, "o": { "properties": { "b": {}, "c": {} } } } });
        let added = json!({ "a": { "type": "ip" }, "o": { "properties": { "b": {} } }, "unknown": {} });
        remove_properties(&mut mapping, added.as_object().expect("an object"));
        assert_eq!(mapping, json!({ "properties": { "o": { "properties": { "c": {} } } } }));
    }

    #[test]
    fn entries_belong_to_fields_by_whole_names() {
        let path: AttributePath = "a.b".parse().expect("a path");
        assert!(is_of_field("properties.a.properties.b.type", &path));
        assert!(!is_of_field("properties.a.properties.bc.type", &path));
        assert!(!is_of_field("properties.a.type", &path));
    }
}
