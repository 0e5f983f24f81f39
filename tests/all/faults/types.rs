//! A platform's types at three releases: tokens with secrets; vaults, whose secrets each version encrypts again and
//! whose third version is reached by a copy only; and relics, which the second release removes.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use saved_objects::registry::{Registry, TypeDefinition};
use serde_json::{Value, json};

use super::vault;
use crate::migration::current;

/// The newest release.
pub(crate) const NEWEST: u32 = 3;

/// Returns the types of release `release`, 1 to [`NEWEST`].
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

    /// Writes the files where the command line finds them.
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

/// Returns the files of the types of `release` that are not built in.
pub(crate) fn platform_files(release: u32) -> [Files; 2] {
    [vault(release), relic(release)]
}

/// Returns the registry of `release`. It is built once, since the schemas take a while.
pub(crate) fn registry(release: u32) -> Arc<Registry> {
    static REGISTRIES: OnceLock<Vec<Arc<Registry>>> = OnceLock::new();
    let build = |release| Arc::new(Registry::builder().with(types(release)).build().expect("the types go together"));
    REGISTRIES.get_or_init(|| (1..=NEWEST).map(build).collect())[release as usize - 1].clone()
}

fn vault(release: u32) -> Files {
    let mut mapping = file("vault", false);
    mapping["mapping"] = json!({"dynamic": false, "properties": vault::fields(release)});
    Files { mapping, versions: vault::versions(release) }
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
