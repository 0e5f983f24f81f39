use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::documents::{Documents, Snapshot};
use super::mapping::Mapping;
use super::points_in_time::PointsInTime;
use crate::cluster::{AliasState, ClusterError, ClusterErrorKind, ClusterResult, IndexPurpose, IndexState, TypeCount};

/// All that a cluster has.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) indices: BTreeMap<String, Index>,
    pub(super) points_in_time: PointsInTime,
    /// How many indices were created so far, for their ids.
    pub(super) created: u64,
    pub(super) shard_limit: Option<usize>,
    pub(super) request_limit: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Index {
    pub(super) uuid: String,
    pub(super) mapping: Arc<Mapping>,
    pub(super) aliases: BTreeSet<String>,
    pub(super) write_blocked: bool,
    pub(super) purpose: IndexPurpose,
    pub(super) documents: Documents,
}

/// What a search looks at: the documents of one index as they were at one moment.
#[derive(Debug, Clone)]
pub(super) struct Searched {
    pub(super) index: String,
    pub(super) uuid: String,
    pub(super) mapping: Arc<Mapping>,
    pub(super) documents: Snapshot,
}

impl State {
    /// The names of the indices behind an index or alias.
    pub(super) fn behind(&self, name: &str) -> Vec<String> {
        if let Some((first, rest)) = name.split_once(',') {
            let both = [self.behind(first), self.behind(rest)];
            // One that is missing fails all, as a list of names does on a server.
            return if both.iter().any(Vec::is_empty) { Vec::new() } else { both.concat() };
        }
        if self.indices.contains_key(name) {
            return vec![name.to_owned()];
        }
        let has_alias = |index: &Index| index.aliases.contains(name);
        self.indices.iter().filter(|(_, index)| has_alias(index)).map(|(name, _)| name.clone()).collect()
    }

    /// The one index behind a name.
    pub(super) fn one_behind(&self, name: &str) -> ClusterResult<(&str, &Index)> {
        match self.behind(name).as_slice() {
            [] => Err(missing("GET", name)),
            [one] => self
                .indices
                .get_key_value(one)
                .map(|(name, index)| (name.as_str(), index))
                .ok_or_else(|| missing("GET", name)),
            _ => Err(rejected(
                "GET",
                name,
                "the alias has more than one index, which a request for one document cannot have",
            )),
        }
    }

    /// The index of this name; an alias will not do.
    pub(super) fn index_mut(&mut self, name: &str, method: &'static str) -> ClusterResult<&mut Index> {
        self.indices.get_mut(name).ok_or_else(|| missing(method, name))
    }

    pub(super) fn searched(&mut self, name: &str, now: Duration) -> ClusterResult<Vec<Searched>> {
        let names = self.behind(name);
        if names.is_empty() {
            return Err(missing("POST", format!("{name}/_search")));
        }
        let searched = |name: String| {
            let index = self.indices.get_mut(&name)?;
            let documents = index.documents.visible(index.purpose, now);
            Some(Searched { index: name, uuid: index.uuid.clone(), mapping: index.mapping.clone(), documents })
        };
        Ok(names.into_iter().filter_map(searched).collect())
    }

    /// An error if an index of a point in time is gone: its documents went with it.
    pub(super) fn check_still_there(&self, searched: &[Searched]) -> ClusterResult<()> {
        let is_there =
            |searched: &Searched| self.indices.get(&searched.index).is_some_and(|index| index.uuid == searched.uuid);
        match searched.iter().all(is_there) {
            true => Ok(()),
            false => {
                let reason = "the index of the point in time was deleted";
                Err(ClusterError::new(ClusterErrorKind::Unavailable, "POST", "_search", reason))
            }
        }
    }

    pub(super) fn index_states(&self, names: &[&str]) -> BTreeMap<String, IndexState> {
        let is_meant = |pattern: &str, name: &str| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        };
        let is_wanted = |name: &String, index: &Index| {
            names
                .iter()
                .any(|pattern| is_meant(pattern, name) || index.aliases.iter().any(|alias| is_meant(pattern, alias)))
        };
        let wanted = self.indices.iter().filter(|(name, index)| is_wanted(name, index));
        wanted.map(|(name, index)| (name.clone(), index.state())).collect()
    }

    pub(super) fn count_by_type(&mut self, name: &str, now: Duration) -> ClusterResult<Vec<TypeCount>> {
        let mut counts: BTreeMap<(Option<String>, Option<String>), u64> = BTreeMap::new();
        for searched in self.searched(name, now)? {
            for document in searched.documents.iter() {
                for type_name in document.texts("type") {
                    for version in document.texts("typeMigrationVersion") {
                        *counts.entry((type_name.clone(), version)).or_default() += 1;
                    }
                }
            }
        }
        let count = |((type_name, version), documents)| TypeCount { type_name, version, documents };
        Ok(counts.into_iter().map(count).collect())
    }
}

impl Index {
    fn state(&self) -> IndexState {
        let hidden = |alias: &String| (alias.clone(), AliasState { is_hidden: true });
        IndexState {
            uuid: self.uuid.clone(),
            mapping: self.mapping.to_json(),
            aliases: self.aliases.iter().map(hidden).collect(),
            write_blocked: self.write_blocked,
            other_blocks: BTreeSet::new(),
        }
    }

    pub(super) fn meta(&self) -> Option<&Value> {
        self.mapping.meta.as_ref()
    }
}

pub(super) fn missing(method: &'static str, path: impl Into<String>) -> ClusterError {
    ClusterError::new(ClusterErrorKind::IndexNotFound, method, path, "no such index")
}

pub(super) fn rejected(method: &'static str, path: impl Into<String>, reason: impl Into<String>) -> ClusterError {
    ClusterError::new(ClusterErrorKind::Rejected, method, path, reason)
}
