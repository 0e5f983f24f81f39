//! A platform's types at three releases. Vaults have a secret that each version binds again: release 2 changes them in
//! place, release 3 by a copy. Tallies are used for counting: release 2 copies them, release 3 changes them in place.

use std::sync::OnceLock;

use saved_objects::registry::{Registry, TypeDefinition};
use saved_objects::tokens;
use serde_json::{Value, json};

use crate::vault;

/// The newest release.
pub(crate) const NEWEST: u32 = 3;

/// The groups of the types that users write to.
pub(crate) const GROUPS: [&str; 2] = ["vaults", "tallies"];

/// Returns the registry of `release`, 1 to [`NEWEST`]. It is built once, since the schemas take a while.
pub(crate) fn registry(release: u32) -> Registry {
    static REGISTRIES: OnceLock<Vec<Registry>> = OnceLock::new();
    let build = |release| Registry::builder().with(types(release)).build().expect("the types go together");
    REGISTRIES.get_or_init(|| (1..=NEWEST).map(build).collect())[release as usize - 1].clone()
}

/// Returns the model version of a type at `release`. Every release writes an authorization at its newest version.
pub(crate) fn model_version(type_name: &str, release: u32) -> u32 {
    match type_name {
        "vault" | "tally" => release,
        "oauth_state" => 3,
        _ => release.min(2),
    }
}

fn types(release: u32) -> Vec<TypeDefinition> {
    let built_in = tokens::types().expect("the built-in types").into_iter();
    let as_of = |definition: TypeDefinition| {
        let version = model_version(definition.name(), release);
        definition.as_of(version).expect("it has the version")
    };
    built_in.map(as_of).chain([vault(release), tally(release)]).collect()
}

fn vault(release: u32) -> TypeDefinition {
    definition("vault", "vaults", &vault::fields(release), vault::versions(release))
}

fn tally(release: u32) -> TypeDefinition {
    let mut fields = json!({"name": {"type": if release < 2 { "keyword" } else { "text" }}, "count": {"type": "long"}});
    if release > 2 {
        fields["unit"] = json!({"type": "keyword"});
    }
    let changes = [
        json!([]),
        json!([
            {"type": "mappings_change", "attributes": ["name"]},
            {"type": "data_backfill", "defaults": {"level": 7}},
        ]),
        json!([
            {"type": "mappings_addition", "properties": {"unit": {"type": "keyword"}}},
            {"type": "data_backfill", "defaults": {"unit": "calls"}},
        ]),
    ];
    let version = |number: usize| {
        let mut properties = json!({"name": {"type": "string"}, "count": {"type": "integer"}});
        if number > 0 {
            properties["level"] = json!({"type": "integer"});
        }
        if number > 1 {
            properties["unit"] = json!({"type": "string"});
        }
        json!({
            "changes": changes[number],
            "create": {"type": "object", "properties": properties, "additionalProperties": false},
            "forward": {"type": "object", "properties": properties},
            "encrypted": [], "bound": [], "waivers": [],
        })
    };
    definition("tally", "tallies", &fields, (0..release as usize).map(version).collect())
}

fn definition(name: &str, group: &str, fields: &Value, versions: Vec<Value>) -> TypeDefinition {
    let mapping = json!({"type": name, "group": group, "namespace_kind": "agnostic", "hidden": false,
        "exportable": true, "random_id": false, "identity": null, "removed": false,
        "mapping": {"dynamic": false, "properties": fields}});
    let file = |(index, version): (usize, Value)| (format!("{}.json", index + 1), version.to_string());
    let versions: Vec<_> = versions.into_iter().enumerate().map(file).collect();
    TypeDefinition::from_json("type.json", &mapping.to_string(), &versions).expect("a valid definition")
}
