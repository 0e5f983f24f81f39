//! The metadata that a group is planned from: its indices, and those of Kibana in a take-over.

use std::collections::BTreeMap;

use crate::cluster::IndexState;

/// The metadata that an index group is planned from.
#[derive(Debug, Clone, Default)]
pub struct GroupMetadata {
    /// The indices behind the group's alias, and all whose names begin with it: every generation and staging index.
    pub indices: BTreeMap<String, IndexState>,
    /// Whether the index has already refused the registered mapping.
    pub mapping_refused: bool,
    /// The source of the take-over, or `None` if the group is not taken over.
    pub take_over: Option<Source>,
}

/// The index of Kibana that becomes a group in a take-over.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The alias that the caller named.
    pub alias: String,
    /// The indices behind it.
    pub indices: BTreeMap<String, IndexState>,
}

/// Returns whether a name leads to the index, because it is an alias of the index or its own name.
pub(super) fn is_behind(alias: &str, name: &str, state: &IndexState) -> bool {
    name == alias || state.aliases.contains_key(alias)
}
