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
];

/// The definitions of the two token types, for [`Registry::builder`](crate::registry::Registry::builder).
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

/// What of the two types has been released.
///
/// # Errors
/// None in a released library: its tests read the same file.
pub fn released() -> Result<Lock> {
    let (name, text) = file!("model_versions/released.lock.json");
    Lock::from_json(name, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrations_are_those_that_kibana_pins() {
        // facts/tokens.md 1.6: the second and the third are published, the others follow from the same formula.
        let expected = [
            ("connector_token", 1, "16ca2154c13c5ee3d3a45b55d4ea6cd33aeaceaef3dc229b002d25470bfc9b3b"),
            ("connector_token", 2, "e446f5ff0fbf516f63398e474f126332b4c31e316daa613c6cb8c863400110c5"),
            ("user_connector_token", 1, "b443b022b46b79c0ff9fa674aecc64176a5fcbd09c2db2d9f050a6a88435732e"),
            ("user_connector_token", 2, "7f818fe3827daa31d23b874e480176d105e629cf5da88f5f4e56033e78c3acca"),
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
}
