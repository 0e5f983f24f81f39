//! The type `vault` at three releases, for the tests of faults and for the simulation: each version encrypts its secret
//! again, and the third version changes the mapping.

use serde_json::{Value, json};

/// Returns the mapped fields of vaults at `release`.
pub(crate) fn fields(release: u32) -> Value {
    let mut fields = json!({"title": {"type": if release < 3 { "keyword" } else { "text" }}});
    if release > 1 {
        fields["level"] = json!({"type": "long"});
    }
    fields
}

/// Returns the model versions of vaults at `release`.
pub(crate) fn versions(release: u32) -> Vec<Value> {
    let changes = [
        json!([]),
        json!([
            {"type": "mappings_addition", "properties": {"level": {"type": "long"}}},
            {"type": "data_backfill", "defaults": {"level": 7}},
        ]),
        json!([
            {"type": "mappings_change", "attributes": ["title"]},
            {"type": "data_backfill", "defaults": {"stars": 1}},
        ]),
    ];
    let bound = [json!(["title"]), json!(["title", "owner"]), json!(["title", "owner", "level"])];
    let added = ["owner", "owner", "level"];
    let version = |number: usize| {
        let mut properties =
            json!({"title": {"type": "string"}, "owner": {"type": "string"}, "password": {"type": "string"}});
        if number > 0 {
            properties["level"] = json!({"type": "integer"});
        }
        if number > 1 {
            properties["stars"] = json!({"type": "integer"});
        }
        let waivers = match number {
            0 => json!([]),
            _ => json!([{"rule": "two_releases", "attributes": [added[number]], "reason": "to encrypt again"}]),
        };
        json!({
            "changes": changes[number],
            "create": {"type": "object", "properties": properties, "additionalProperties": false},
            "forward": {"type": "object", "properties": properties},
            "encrypted": [{"name": "password", "exposed": false}], "bound": bound[number], "waivers": waivers,
        })
    };
    (0..release as usize).map(version).collect()
}
