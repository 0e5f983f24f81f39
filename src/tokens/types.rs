//! The built-in types, whose definition files are compiled in.

use crate::Result;
use crate::registry::{Lock, TypeDefinition};

/// The name and the text of a definition file, compiled in.
macro_rules! file {
    ($name:literal) => {
        ($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $name)))
    };
}

/// The definition file of a type, and the files of its model versions.
type TypeFiles = ((&'static str, &'static str), &'static [(&'static str, &'static str)]);

const FILES: &[TypeFiles] = &[
    (
        file!("mappings/connector_token.json"),
        &[file!("model_versions/connector_token/1.json"), file!("model_versions/connector_token/2.json")],
    ),
    (
        file!("mappings/user_connector_token.json"),
        &[file!("model_versions/user_connector_token/1.json"), file!("model_versions/user_connector_token/2.json")],
    ),
    // Registered without the feature `oauth` too: all nodes of a platform have one registry, and the clean-up needs no
    // OAuth.
    (
        file!("mappings/oauth_state.json"),
        &[
            file!("model_versions/oauth_state/1.json"),
            file!("model_versions/oauth_state/2.json"),
            file!("model_versions/oauth_state/3.json"),
        ],
    ),
];

/// The type of begun authorizations that are not finished.
pub(super) const OAUTH_STATE: &str = "oauth_state";

/// Returns the definitions of the two token types and of `oauth_state`, for
/// [`Registry::builder`](crate::registry::Registry::builder).
///
/// # Errors
/// None in a released library: its tests read the same files.
pub fn types() -> Result<Vec<TypeDefinition>> {
    FILES
        .iter()
        .map(|((name, text), versions)| {
            let versions: Vec<_> =
                versions.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            TypeDefinition::from_json(name, text, &versions)
        })
        .collect()
}

/// Returns the lock of these types: their released versions.
///
/// # Errors
/// None in a released library: its tests read the same file.
pub fn released() -> Result<Lock> {
    let (name, text) = file!("model_versions/released.lock.json");
    Lock::from_json(name, text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::document::StoredDocument;
    use crate::model::{Transforms, VirtualVersion};

    #[test]
    fn registrations_are_those_that_kibana_pins() {
        // Kibana's sources pin the second and the third. The first and the fourth follow from the same formula
        // (record 29). That of `oauth_state` is the pinned one plus `tokenScope`, which Kibana does not write and
        // therefore does not bind; the third version binds `provider` too.
        let expected = [
            ("connector_token", 1, "16ca2154c13c5ee3d3a45b55d4ea6cd33aeaceaef3dc229b002d25470bfc9b3b"),
            ("connector_token", 2, "e446f5ff0fbf516f63398e474f126332b4c31e316daa613c6cb8c863400110c5"),
            ("user_connector_token", 1, "b443b022b46b79c0ff9fa674aecc64176a5fcbd09c2db2d9f050a6a88435732e"),
            ("user_connector_token", 2, "7f818fe3827daa31d23b874e480176d105e629cf5da88f5f4e56033e78c3acca"),
            ("oauth_state", 1, "d29048dc99404ca90b0ace4964602803760976a0183bf334371c3d284e63361e"),
            ("oauth_state", 2, "d29048dc99404ca90b0ace4964602803760976a0183bf334371c3d284e63361e"),
            ("oauth_state", 3, "9ca38d44db5395ddf8996fb51ff0c70716b29839ad99dfad61dd80e2d21ddb6c"),
        ];
        let types = types().expect("the built-in definitions are valid");
        let actual: Vec<_> = types
            .iter()
            .flat_map(|definition| definition.versions().iter().map(move |version| (definition, version)))
            .map(|(definition, version)| (definition.name(), version.number, definition.registration_digest(version)))
            .collect();
        let actual: Vec<_> = actual.iter().map(|(name, number, digest)| (*name, *number, digest.as_str())).collect();
        assert_eq!(actual, expected);
    }

    /// Reads `tests/fixtures/model_versions/<type>/<version>.<which>.json`: a document as that version stored it, or as
    /// the newest version has it.
    fn fixture(type_name: &str, version: u32, which: &str) -> StoredDocument {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/model_versions");
        let path = format!("{folder}/{type_name}/{version}.{which}.json");
        let source = fs::read(&path).unwrap_or_else(|error| panic!("every version has its fixtures: {path}: {error}"));
        StoredDocument::from_source(&source).expect("a stored document")
    }

    #[test]
    fn documents_of_every_version_become_what_their_fixture_says() {
        let released = released().expect("a lock");
        for definition in types().expect("the built-in definitions are valid") {
            let versions = definition.versions().iter().map(|version| version.number);
            assert!(released.types[definition.name()].versions.keys().copied().eq(versions.clone()));
            for version in versions {
                let mut document = fixture(definition.name(), version, "stored");
                let from = VirtualVersion::of_document(document.root.type_migration_version.as_deref());
                assert_eq!(from.expect("a model version").number(), version);
                let stored_by = definition.version(version).expect("a version of the type");
                assert_eq!(stored_by.create.validate(&document.attributes), Ok(()));

                let latest = definition.latest();
                definition.upgrade(&Transforms::default(), version, &mut document.attributes).expect("upgrades");
                document.root.type_migration_version = Some(VirtualVersion::of(latest.number).to_string());
                assert_eq!(document, fixture(definition.name(), version, "expected"));
                assert_eq!(latest.create.validate(&document.attributes), Ok(()));

                // Software of each version keeps all that a document of its own version has.
                let own = fixture(definition.name(), version, "stored").attributes;
                let forward = stored_by.forward.as_ref().expect("older software can read what newer wrote");
                assert_eq!(forward.project(&own), own);
            }
        }
    }
}
