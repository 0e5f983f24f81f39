//! The state of the cluster in memory: its indices, and the rules by which names resolve to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::documents::{Documents, Searched};
use super::mapping::Mapping;
use super::points_in_time::PointsInTime;
use super::refusals::{closed, missing, refusal, rejected};
use super::settings::{Level, Settings};
use crate::cluster::{AliasState, ClusterResult, IndexState, SearchIn, TypeCount};

/// The time after which searches see a write to an index that refreshes by itself.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// The whole state of a cluster.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) indices: BTreeMap<String, Index>,
    pub(super) points_in_time: PointsInTime,
    /// The number of uuids made so far.
    uuids: u64,
    /// Whether searches see a write immediately, in indices that refresh by themselves.
    pub(super) refreshes_immediately: bool,
    pub(super) shard_limit: Option<usize>,
    pub(super) request_limit: Option<usize>,
    /// The indices of a snapshot in progress.
    pub(super) in_snapshot: BTreeSet<String>,
    /// The prefixes of indices that the credentials do not see.
    pub(super) hidden: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Index {
    pub(super) uuid: String,
    pub(super) history_uuid: String,
    pub(super) mapping: Arc<Mapping>,
    pub(super) aliases: BTreeMap<String, AliasState>,
    pub(super) settings: Settings,
    pub(super) is_closed: bool,
    pub(super) documents: Documents,
}

impl State {
    /// Returns a unique uuid: the number of uuids made so far.
    pub(super) fn new_uuid(&mut self) -> String {
        self.uuids += 1;
        format!("uuid-{}", self.uuids)
    }

    /// Returns the number of shards that count towards the limit: those of open indices.
    pub(super) fn open_shards(&self) -> usize {
        self.indices.values().filter(|index| !index.is_closed).count()
    }

    /// Returns the names of the indices behind an index or alias.
    pub(super) fn behind(&self, name: &str) -> Vec<String> {
        if let Some((first, rest)) = name.split_once(',') {
            let both = [self.behind(first), self.behind(rest)];
            // A missing name fails the whole list, as on a server.
            return if both.iter().any(Vec::is_empty) { Vec::new() } else { both.concat() };
        }
        if self.indices.contains_key(name) {
            return vec![name.to_owned()];
        }
        let has_alias = |index: &Index| index.aliases.contains_key(name);
        self.indices.iter().filter(|(_, index)| has_alias(index)).map(|(name, _)| name.clone()).collect()
    }

    /// Returns the names of the indices behind a name, closed ones included.
    pub(super) fn existing(&self, name: &str) -> ClusterResult<Vec<String>> {
        let names = self.behind(name);
        if names.is_empty() { Err(missing(name)) } else { Ok(names) }
    }

    /// Returns the names of the indices behind a name, all of which are open and allow `level`.
    pub(super) fn open(&self, name: &str, level: Level) -> ClusterResult<Vec<String>> {
        let names = self.existing(name)?;
        self.check_none_closed(&names)?;
        self.check_blocks(&names, level)?;
        Ok(names)
    }

    fn check_none_closed(&self, names: &[String]) -> ClusterResult<()> {
        match names.iter().find(|name| self.indices.get(*name).is_some_and(|index| index.is_closed)) {
            Some(name) => Err(closed(name)),
            None => Ok(()),
        }
    }

    /// Fails if a block of one of the indices forbids `level`.
    pub(super) fn check_blocks(&self, names: &[String], level: Level) -> ClusterResult<()> {
        let indices = names.iter().filter_map(|name| Some((name, self.indices.get(name)?)));
        for (name, index) in indices {
            if let Some(block) = index.settings.block(level) {
                return Err(block.refusal(name));
            }
        }
        Ok(())
    }

    /// Returns the one index behind a name, whose documents can be read.
    pub(super) fn readable(&self, name: &str) -> ClusterResult<(&str, &Index)> {
        match self.existing(name)?.as_slice() {
            [one] => {
                let (name, index) = self.indices.get_key_value(one).ok_or_else(|| missing(one))?;
                if index.is_closed {
                    return Err(closed(name));
                }
                match index.settings.block(Level::Read) {
                    None => Ok((name, index)),
                    Some(block) => Err(block.refusal(name)),
                }
            }
            names => Err(rejected(format!(
                "alias [{name}] has more than one index associated with it [{}], can't execute a single index op",
                names.join(", ")
            ))),
        }
    }

    /// Returns the index of this name. An alias is refused.
    pub(super) fn index_mut(&mut self, name: &str) -> ClusterResult<&mut Index> {
        self.indices.get_mut(name).ok_or_else(|| missing(name))
    }

    pub(super) fn searched(&mut self, name: &str, now: Duration) -> ClusterResult<Vec<Searched>> {
        let names = self.open(name, Level::Read)?;
        let interval = if self.refreshes_immediately { Duration::ZERO } else { REFRESH_INTERVAL };
        let searched = |name: String| {
            let index = self.indices.get_mut(&name)?;
            let interval = index.settings.refreshes().then_some(interval);
            let documents = index.documents.visible(interval, now);
            Some(Searched { index: name, uuid: index.uuid.clone(), mapping: index.mapping.clone(), documents })
        };
        Ok(names.into_iter().filter_map(searched).collect())
    }

    /// Returns what a search reads. For a point in time this extends its expiry.
    pub(super) fn searched_in(&mut self, within: &SearchIn, now: Duration) -> ClusterResult<Vec<Searched>> {
        match within {
            SearchIn::Index(name) => self.searched(name, now),
            SearchIn::PointInTime(point_in_time) => {
                let searched = self.points_in_time.use_again(point_in_time, now)?;
                self.check_still_there(&searched)?;
                Ok(searched)
            }
        }
    }

    pub(super) fn refresh(&mut self, name: &str) -> ClusterResult<usize> {
        let names = self.existing(name)?;
        self.check_none_closed(&names)?;
        for name in &names {
            self.index_mut(name)?.documents.refresh();
        }
        Ok(names.len())
    }

    /// Fails if an index of a point in time was deleted: its documents are gone.
    pub(super) fn check_still_there(&self, searched: &[Searched]) -> ClusterResult<()> {
        let is_there =
            |searched: &Searched| self.indices.get(&searched.index).is_some_and(|index| index.uuid == searched.uuid);
        match searched.iter().all(is_there) {
            true => Ok(()),
            false => Err(refusal(503, "search_phase_execution_exception", "all shards failed")),
        }
    }

    /// Returns the indices that `names` match. A name may be an alias or end in `*`. After `-` it is left out.
    pub(super) fn meant(&self, names: &[&str]) -> impl Iterator<Item = (&String, &Index)> {
        let is_meant = |pattern: &str, name: &str| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        };
        let is_left_out = move |name: &str| names.iter().any(|left_out| left_out.strip_prefix('-') == Some(name));
        self.indices.iter().filter(move |(name, index)| {
            !is_left_out(name)
                && names.iter().any(|pattern| {
                    is_meant(pattern, name) || index.aliases.keys().any(|alias| is_meant(pattern, alias))
                })
        })
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
    pub(super) fn state(&self) -> IndexState {
        let mut blocks: BTreeSet<String> = self.settings.blocks().map(|block| block.setting.to_owned()).collect();
        let mut settings = self.settings.without_blocks();
        if self.is_closed {
            settings.insert("verified_before_close".to_owned(), "true".into());
        }
        IndexState {
            uuid: self.uuid.clone(),
            mapping: self.mapping.to_json(),
            aliases: self.aliases.clone(),
            write_blocked: blocks.remove("write"),
            other_blocks: blocks,
            settings,
        }
    }

    pub(super) fn meta(&self) -> Option<&Value> {
        self.mapping.meta.as_ref()
    }
}
