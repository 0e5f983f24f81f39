//! Definitions for tests.

use serde_json::{Value, json};

use super::TypeDefinition;
use crate::Result;

/// Returns the definition file of the type `note`, overridden by the given keys.
pub(crate) fn note(keys: Value) -> Value {
    let mut file = json!({
        "type": "note", "group": "notes", "namespace_kind": "agnostic",
        "mapping": { "dynamic": false, "properties": { "title": { "type": "keyword" } } }
    });
    put_over(&mut file, keys);
    file
}

/// Returns a model version whose documents have a `title` and a secret `body`, overridden by the given keys.
pub(crate) fn version(keys: Value) -> Value {
    let mut file = json!({
        "create": create(&["title", "body"]),
        "forward": { "type": "object", "properties": { "title": {}, "body": {} } },
        "encrypted": [{ "name": "body" }], "bound": ["title"]
    });
    put_over(&mut file, keys);
    file
}

/// Returns a closed create schema with the given string attributes.
pub(crate) fn create(names: &[&str]) -> Value {
    let properties: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" }))).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// Reads a definition and its versions as the files `note.json`, `1.json`, `2.json` and so on.
pub(crate) fn read(file: &Value, versions: &[Value]) -> Result<TypeDefinition> {
    let versions: Vec<_> =
        (1..).zip(versions).map(|(number, version)| (format!("{number}.json"), version.to_string())).collect();
    TypeDefinition::from_json("note.json", &file.to_string(), &versions)
}

fn put_over(file: &mut Value, keys: Value) {
    if let (Value::Object(file), Value::Object(keys)) = (file, keys) {
        file.extend(keys);
    }
}
