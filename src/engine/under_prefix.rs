//! The indices under a prefix, including those whose types are not registered. A command that runs with the wrong
//! prefix, or without the definitions of a platform's types, reports which indices it did not visit.

use std::collections::BTreeMap;

use super::Engine;
use crate::cluster::{Cluster, ClusterErrorKind, ClusterResult, IndexState};
use crate::layout::{IndexMeta, IndexNames, Prefix};

/// All indices whose names begin with a prefix.
#[derive(Debug, Default)]
pub(crate) struct AllIndices {
    /// By name.
    pub(crate) indices: BTreeMap<String, IndexState>,
    /// Those whose metadata has a block, so that nothing is known about them.
    pub(crate) blocked: Vec<String>,
}

impl AllIndices {
    /// Reads the metadata of the indices under a prefix. Sends one request, and one more if there are blocks. The
    /// server refuses a request for several indices if the metadata of one has a block.
    pub(crate) async fn read(cluster: &dyn Cluster, prefix: &Prefix) -> ClusterResult<Self> {
        let mut names = vec![format!("{prefix}-*")];
        let mut blocked: Vec<String> = Vec::new();
        loop {
            let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
            match cluster.indices(&wanted).await {
                Ok(indices) => return Ok(Self { indices, blocked }),
                Err(error) if error.kind == ClusterErrorKind::Blocked => {
                    let is_new = |name: &&str| !blocked.iter().any(|known| known == name);
                    let new: Vec<String> = error.blocked_indices().filter(is_new).map(str::to_owned).collect();
                    if new.is_empty() {
                        return Err(error);
                    }
                    names.extend(new.iter().map(|name| format!("-{name}")));
                    blocked.extend(new);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// An index whose name belongs to an index group.
#[derive(Debug)]
pub(crate) struct GroupIndex {
    /// The names of the index's group.
    pub(crate) names: IndexNames,
    /// The name of the index.
    pub(crate) name: String,
    pub(crate) state: IndexState,
}

impl GroupIndex {
    /// Returns the indices of all groups under the prefix. Sends one request.
    ///
    /// # Errors
    /// [`Blocked`](ClusterErrorKind::Blocked) if the metadata of one of them has a block: nothing may be concluded
    /// without it.
    pub(crate) async fn all(engine: &Engine) -> ClusterResult<Vec<Self>> {
        let of_group = |(name, state): (String, IndexState)| {
            let (_, names) = group_of(&engine.prefix, &name)?;
            Some(Self { names, name, state })
        };
        Ok(all(engine).await?.into_iter().filter_map(of_group).collect())
    }

    pub(crate) fn is_current(&self) -> bool {
        is_current(&self.names, &self.state)
    }
}

async fn all(engine: &Engine) -> ClusterResult<BTreeMap<String, IndexState>> {
    engine.cluster.indices(&[&format!("{}-*", engine.prefix)]).await
}

/// Returns the group that the name of an index belongs to, and the names of that group.
fn group_of<'a>(prefix: &Prefix, name: &'a str) -> Option<(&'a str, IndexNames)> {
    // Group names have no hyphen, so a name with a further hyphen belongs to a longer prefix.
    let (group, _) = name.strip_prefix(&format!("{prefix}-"))?.split_once('-')?;
    let names = prefix.group(group);
    (names != prefix.control()).then_some((group, names))
}

fn is_current(names: &IndexNames, state: &IndexState) -> bool {
    state.aliases.contains_key(names.alias())
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
        Ok(Self::among(engine, &all(engine).await?))
    }

    /// Returns those of `indices` that are under the engine's prefix, and which of them have no registered type.
    pub(crate) fn among(engine: &Engine, indices: &BTreeMap<String, IndexState>) -> Self {
        let groups = engine.registry.groups();
        let mut under = Self::default();
        for (name, state) in indices {
            let Some((group, names)) = group_of(&engine.prefix, name) else { continue };
            // This library made it.
            let is_ours = is_current(&names, state) || IndexMeta::is_in(&state.mapping);
            if names.generation(name).is_none() || !is_ours {
                continue;
            }
            under.has_indices = true;
            if !groups.contains_key(group) {
                under.not_visited.push(name.clone());
            }
        }
        under
    }
}
