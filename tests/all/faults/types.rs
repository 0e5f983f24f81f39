//! A platform's types as they were at three releases: tokens with secrets, vaults whose secrets are encrypted again by each
//! version and whose third version can only be reached by a copy, and relics, which the second release removed.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use saved_objects::registry::{Registry, TypeDefinition};
use serde_json::{Value, json};

use crate::migration::current;

/// The newest release.
pub(crate) const NEWEST: u32 = 3;

/// The types of release `release`, 1 to [`NEWEST`].
pub(crate) fn types(release: u32) -> Vec<TypeDefinition> {
    let token = current().into_iter().filter(|definition| definition.name() == "connector_token");
    let mut types: Vec<_> =
        token.map(|definition| definition.as_of(release.min(2)).expect("it has the version")).collect();
    types.extend(platform_files(release).iter().map(Files::definition));
    types
}

/// The files of one type: its mapping and its model versions.
pub(crate) struct Files {
    mapping: Value,
    versions: Vec<Value>,
}

impl Files {
    fn definition(&self) -> TypeDefinition {
        let file = |(index, version): (usize, &Value)| (format!("{}.json", index + 1), version.to_string());
        let versions: Vec<_> = self.versions.iter().enumerate().map(file).collect();
        TypeDefinition::from_json("type.json", &self.mapping.to_string(), &versions).expect("a valid definition")
    }

    /// Writes them where the command line finds them.
    pub(crate) fn write(&self, folder: &Path) -> std::io::Result<()> {
        let name = self.mapping["type"].as_str().expect("a name");
        std::fs::create_dir_all(folder.join("mappings"))?;
        std::fs::write(folder.join(format!("mappings/{name}.json")), self.mapping.to_string())?;
        let versions = folder.join("model_versions").join(name);
        std::fs::create_dir_all(&versions)?;
        for (number, version) in (1..).zip(&self.versions) {
            std::fs::write(versions.join(format!("{number}.json")), version.to_string())?;
        }
        Ok(())
    }
}

/// The types of release `release` that are not built in.
pub(crate) fn platform_files(release: u32) -> [Files; 2] {
    [vault(release), relic(release)]
}

/// The registry of `release`; made once, since the schemas take a while.
pub(crate) fn registry(release: u32) -> Arc<Registry> {
    static REGISTRIES: OnceLock<Vec<Arc<Registry>>> = OnceLock::new();
    let build = |release| Arc::new(Registry::builder().with(types(release)).build().expect("the types go together"));
    REGISTRIES.get_or_init(|| (1..=NEWEST).map(build).collect())[release as usize - 1].clone()
}

fn vault(release: u32) -> Files {
    let title = if release < 3 { "keyword" } else { "text" };
    let mut properties = json!({"title": {"type": title}});
    if release > 1 {
        properties["level"] = json!({"type": "long"});
    }
    let mut mapping = file("vault", false);
    mapping["mapping"] = json!({"dynamic": false, "properties": properties});
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
    Files { mapping, versions: (0..release as usize).map(version).collect() }
}

fn relic(release: u32) -> Files {
    let version = json!({"changes": [], "create": {"type": "object", "properties": {"age": {"type": "integer"}}},
        "forward": null, "encrypted": [], "bound": [], "waivers": []});
    Files { mapping: file("relic", release > 1), versions: vec![version] }
}

fn file(name: &str, removed: bool) -> Value {
    json!({"type": name, "group": "vaults", "namespace_kind": "agnostic", "hidden": false, "exportable": true,
        "random_id": false, "identity": null, "removed": removed, "mapping": {"dynamic": false, "properties": {}}})
}
