//! The indices under a prefix, including those whose types are not registered. A command that runs with the wrong
//! prefix, or without the definitions of a platform's types, reports which indices it did not visit.

use super::Engine;
use crate::cluster::{ClusterResult, IndexState};
use crate::layout::{IndexMeta, IndexNames};

/// An index whose name belongs to an index group.
#[derive(Debug)]
pub(crate) struct GroupIndex {
    /// The names of the index's group.
    pub(crate) names: IndexNames,
    group: String,
    /// The name of the index.
    pub(crate) name: String,
    pub(crate) state: IndexState,
}

impl GroupIndex {
    /// Returns the indices of all groups under the prefix. Sends one request.
    pub(crate) async fn all(engine: &Engine) -> ClusterResult<Vec<Self>> {
        let (cluster, prefix) = (&engine.cluster, &engine.prefix);
        let start = format!("{prefix}-");
        let of_group = |(name, state): (String, IndexState)| {
            // Group names have no hyphen, so a name with a further hyphen belongs to a longer prefix.
            let (group, _) = name.strip_prefix(&start)?.split_once('-')?;
            let names = prefix.group(group);
            let group = group.to_owned();
            (names != prefix.control()).then_some(Self { names, group, name, state })
        };
        Ok(cluster.indices(&[&format!("{start}*")]).await?.into_iter().filter_map(of_group).collect())
    }

    pub(crate) fn is_current(&self) -> bool {
        self.state.aliases.contains_key(self.names.alias())
    }

    /// Returns whether the index is a generation that this library made.
    fn is_generation(&self) -> bool {
        self.names.generation(&self.name).is_some() && (self.is_current() || IndexMeta::is_in(&self.state.mapping))
    }
}

/// The indices under a prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnderPrefix {
    /// Whether any group has a generation.
    pub has_indices: bool,
    /// The generations of groups without a registered type, which are therefore not visited.
    pub not_visited: Vec<String>,
}

impl UnderPrefix {
    /// Returns the indices under the engine's prefix, and which of them have no registered type. Sends one request.
    pub async fn read(engine: &Engine) -> ClusterResult<Self> {
        let mut all = GroupIndex::all(engine).await?;
        all.retain(GroupIndex::is_generation);
        let groups = engine.registry.groups();
        let is_visited = |index: &GroupIndex| groups.contains_key(index.group.as_str());
        let has_indices = !all.is_empty();
        let not_visited = all.into_iter().filter(|index| !is_visited(index)).map(|index| index.name).collect();
        Ok(Self { has_indices, not_visited })
    }
}
