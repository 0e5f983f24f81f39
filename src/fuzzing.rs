//! What must hold for any input, however odd. The fuzz targets (`fuzz/`) call these, and the tests replay the inputs that
//! the targets have found (`fuzz/corpus/`).

pub use crate::encryption::fuzzing::{canonical_json, envelope, kibana_ciphertext};
use crate::repository::Kql;

/// Any text is read as a filter or refused at one of its places; what is read is printed as a text that is read the same.
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

    /// Calls `check` with every input that is kept for a target.
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
        replay("kql", |data| String::from_utf8(data.to_vec()).into_iter().for_each(|text| kql(&text)));
    }
}
