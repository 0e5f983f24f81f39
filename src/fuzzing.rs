//! Functions that check what must hold for any input. The fuzz targets (`fuzz/`) call them, and the tests call them
//! with the inputs that the targets have found (`fuzz/corpus/`).

pub use crate::cluster::elastic::fuzzing::answer;
#[cfg(any(test, feature = "kibana"))]
pub use crate::encryption::fuzzing::kibana_ciphertext;
pub use crate::encryption::fuzzing::{canonical_json, envelope, key_file};
pub use crate::repository::fuzzing::import_line;

use crate::ErrorKind;
use crate::document::VersionToken;
use crate::registry::{Registry, TypeDefinition};
use crate::repository::Kql;

/// Checks that any text is parsed as a version token or refused, and that a parsed token is printed as a text that is
/// parsed to the same token.
pub fn version_token(text: &str) {
    if let Ok(token) = text.parse::<VersionToken>() {
        assert_eq!(token.to_string().parse::<VersionToken>().ok(), Some(token));
    }
}

/// Checks that any files are read as the definition of a type, or refused with at least one problem. Zero bytes
/// separate the files: the type's, and those of its model versions.
pub fn definition(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut files = text.split('\0');
    let mapping = files.next().unwrap_or_default();
    let versions: Vec<(String, String)> =
        files.zip(1..).map(|(text, number)| (format!("{number}.json"), text.to_owned())).collect();
    match TypeDefinition::from_json("type.json", mapping, &versions) {
        Ok(definition) => drop(Registry::builder().with([definition]).build()),
        Err(problems) => assert_eq!(problems.kind(), ErrorKind::Invalid),
    }
}

/// Checks that any text is parsed as a filter or refused at a position within it, and that a parsed filter is printed
/// as a text that is parsed to the same filter.
pub fn kql(text: &str) {
    match text.parse::<Kql>() {
        Ok(kql) => assert_eq!(kql.to_string().parse::<Kql>().as_ref(), Ok(&kql)),
        Err(error) => {
            let last = text.chars().count() + 1;
            assert!(error.problems().iter().all(|problem| (1..=last).contains(&problem.position)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Calls `check` with every stored input of a target.
    fn replay(target: &str, check: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let files: Vec<_> = std::fs::read_dir(&folder).expect("a corpus").collect();
        assert!(files.len() >= 10, "{} has {} inputs", folder.display(), files.len());
        for file in files {
            let path = file.expect("readable").path();
            check(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
        }
    }

    #[test]
    fn inputs_that_were_found_are_replayed() {
        replay("envelope", envelope);
        replay("kibana_ciphertext", kibana_ciphertext);
        replay("canonical_json", canonical_json);
        replay("key_file", key_file);
        replay("import_line", import_line);
        replay("answer", answer);
        replay("definition", definition);
        replay("version_token", |data| {
            String::from_utf8(data.to_vec()).into_iter().for_each(|text| version_token(&text))
        });
        replay("kql", |data| String::from_utf8(data.to_vec()).into_iter().for_each(|text| kql(&text)));
    }
}
