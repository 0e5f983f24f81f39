//! The blocker of an index without sequence numbers. Pure.

use super::{Blocker, CheckName};
use crate::cluster::IndexState;

/// The setting, by its name without `index.`. Servers have it since version 9.4. It is fixed when an index is created.
const DISABLED: &str = "disable_sequence_numbers";

/// Returns the blocker of an index of ours that keeps no sequence numbers: the server refuses conditional writes to it,
/// and searches that ask for the numbers.
pub(super) fn disabled(index: &str, state: &IndexState) -> Option<Blocker> {
    let value = state.settings.get(DISABLED)?;
    let is_set = value.as_bool() == Some(true) || value.as_str() == Some("true");
    is_set.then(|| Blocker {
        check: CheckName::Blocks,
        what: format!(
            "the index {index} keeps no sequence numbers (index.{DISABLED}), so it takes no conditional writes"
        ),
        hint: format!(
            "stop the platform, and find out what set it, such as a template; an index does not get the numbers back, \
             so make it anew: copy its documents into another index (POST /_reindex), delete it (DELETE /{index}), \
             create it again with the mapping and the aliases that GET /{index} has shown and without the setting, and \
             copy the documents back"
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_the_setting_that_is_true_is_a_blocker() {
        let state = |settings: &[(&str, Value)]| IndexState {
            uuid: String::new(),
            mapping: json!({}),
            aliases: BTreeMap::new(),
            write_blocked: false,
            other_blocks: BTreeSet::new(),
            settings: settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        };
        for (value, is_blocked) in [(json!("true"), true), (json!(true), true), (json!("false"), false)] {
            let found = disabled("notes", &state(&[("disable_sequence_numbers", value.clone())]));
            assert_eq!(found.is_some(), is_blocked, "{value}");
        }
        assert_eq!(disabled("notes", &state(&[])), None);
    }
}
