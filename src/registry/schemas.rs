//! Tests that the JSON Schemas of `docs/schemas` agree with the reader of definition files, as far as a schema can.

use serde_json::{Value, json};

use super::testing::{note, read, version};

fn schema(text: &str) -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(text).expect("JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("a JSON Schema");
    jsonschema::validator_for(&schema).expect("a usable schema")
}

fn mapping_schema() -> jsonschema::Validator {
    schema(include_str!("../../docs/schemas/mapping.schema.json"))
}

fn version_schema() -> jsonschema::Validator {
    schema(include_str!("../../docs/schemas/model_version.schema.json"))
}

#[test]
fn type_files_are_accepted_and_refused_by_both() {
    let schema = mapping_schema();
    let properties = json!({ "title": { "type": "keyword" } });
    let table = [
        (json!({}), true),
        (
            json!({ "namespace_kind": "multiple-isolated", "hidden": true, "exportable": true, "random_id": false }),
            true,
        ),
        (json!({ "identity": ["title"] }), true),
        (json!({ "identity": null, "removed": true }), true),
        (json!({ "mapping": { "dynamic": "strict", "properties": properties } }), true),
        (json!({ "mapping": { "dynamic": "false", "properties": {} } }), true),
        (json!({ "unknown": 1 }), false),
        (json!({ "type": "Note" }), false),
        (json!({ "type": "n".repeat(101) }), false),
        (json!({ "group": "control" }), false),
        (json!({ "group": "a-b" }), false),
        (json!({ "namespace_kind": "shared" }), false),
        (json!({ "hidden": "yes" }), false),
        (json!({ "identity": "title" }), false),
        (json!({ "mapping": [] }), false),
        (json!({ "mapping": { "dynamic": true, "properties": {} } }), false),
        (json!({ "mapping": { "properties": {} } }), false),
        (json!({ "mapping": { "dynamic": false } }), false),
        (json!({ "mapping": { "dynamic": false, "properties": {}, "_meta": {} } }), false),
        (json!({ "mapping": { "dynamic": false, "properties": { "title": 1 } } }), false),
    ];
    for (keys, is_accepted) in table {
        let file = note(keys.clone());
        assert_eq!(read(&file, &[version(json!({}))]).is_ok(), is_accepted, "the reader of {keys}");
        assert_eq!(schema.is_valid(&file), is_accepted, "the schema of {keys}");
    }
    for missing in ["type", "group", "namespace_kind", "mapping"] {
        let mut file = note(json!({}));
        file.as_object_mut().expect("an object").remove(missing);
        assert!(read(&file, &[version(json!({}))]).is_err() && !schema.is_valid(&file), "without {missing}");
    }
}

#[test]
fn version_files_are_accepted_and_refused_by_both() {
    let schema = version_schema();
    let changes = |change: Value| json!({ "changes": [change] });
    let table = [
        (json!({}), true),
        (json!({ "forward": null, "waivers": [] }), true),
        (json!({ "forward": { "properties": { "title": true, "body": { "type": "string" } } } }), true),
        (json!({ "encrypted": [{ "name": "body", "exposed": true }] }), true),
        (changes(json!({ "type": "data_backfill", "defaults": { "title": "t" } })), true),
        (changes(json!({ "type": "data_removal", "paths": ["old", "config.retries"] })), true),
        (changes(json!({ "type": "transform", "name": "tidy" })), true),
        (changes(json!({ "type": "mappings_deprecation", "attributes": ["title"] })), true),
        (json!({ "unknown": 1 }), false),
        (json!({ "create": { "type": "string" } }), false),
        (json!({ "create": { "type": "object" } }), false),
        (json!({ "create": [] }), false),
        (json!({ "forward": { "type": "object" } }), false),
        (json!({ "forward": { "properties": { "title": false } } }), false),
        (json!({ "forward": { "properties": {}, "oneOf": [] } }), false),
        (json!({ "encrypted": ["body"] }), false),
        (json!({ "encrypted": [{ "name": "body", "shown": true }] }), false),
        (json!({ "bound": "title" }), false),
        (json!({ "waivers": [{ "rule": "released", "attributes": [], "reason": "r" }] }), false),
        (json!({ "waivers": [{ "rule": "two_releases", "attributes": [], "reason": " " }] }), false),
        (json!({ "waivers": [{ "rule": "two_releases", "attributes": [], "reason": "r", "by": "me" }] }), false),
        (changes(json!({ "type": "data_change" })), false),
        (changes(json!({ "type": "data_removal", "paths": ["old"], "reason": "r" })), false),
        (changes(json!({ "type": "data_removal", "paths": ["a..b"] })), false),
        (changes(json!({ "type": "data_removal" })), false),
        (changes(json!({ "type": "mappings_addition", "properties": {} })), false),
        (changes(json!({ "type": "mappings_change", "attributes": [] })), false),
        (changes(json!({ "type": "transform", "name": " " })), false),
        (changes(json!({ "defaults": {} })), false),
    ];
    for (keys, is_accepted) in table {
        let file = version(keys.clone());
        assert_eq!(read(&note(json!({})), std::slice::from_ref(&file)).is_ok(), is_accepted, "the reader of {keys}");
        assert_eq!(schema.is_valid(&file), is_accepted, "the schema of {keys}");
    }
}

#[test]
fn the_built_in_files_satisfy_the_schemas() {
    let text = |name: &str| std::fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).expect(name);
    let json = |name: &str| -> Value { serde_json::from_str(&text(name)).expect("JSON") };
    for (name, versions) in [("connector_token", 2), ("user_connector_token", 2), ("oauth_state", 2)] {
        assert!(mapping_schema().is_valid(&json(&format!("mappings/{name}.json"))), "{name}");
        for version in 1..=versions {
            let file = json(&format!("model_versions/{name}/{version}.json"));
            assert!(version_schema().is_valid(&file), "{name} {version}");
        }
    }
}
