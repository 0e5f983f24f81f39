use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::documents::Documents;
use super::mapping::Mapping;
use super::state::{Index, State, missing, rejected};
use super::{aliases, bulk};
use crate::cluster::{
    AliasAction, BulkOperation, CloneIndex, ClusterError, ClusterErrorKind, ClusterResult, CreateIndex, IndexPurpose,
    ItemOutcome, Refresh,
};

/// A request that changes documents, indices or aliases.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// [`Cluster::bulk`](crate::cluster::Cluster::bulk).
    Bulk {
        /// The alias that is written through.
        alias: String,
        /// What is done.
        operations: Vec<BulkOperation>,
        /// When searches see it.
        refresh: Refresh,
    },
    /// [`Cluster::create_index`](crate::cluster::Cluster::create_index).
    CreateIndex(CreateIndex),
    /// [`Cluster::put_mapping`](crate::cluster::Cluster::put_mapping).
    PutMapping {
        /// The index or alias.
        index: String,
        /// What is added.
        mapping: Value,
    },
    /// [`Cluster::delete_index`](crate::cluster::Cluster::delete_index).
    DeleteIndex(String),
    /// [`Cluster::update_aliases`](crate::cluster::Cluster::update_aliases).
    UpdateAliases(Vec<AliasAction>),
    /// [`Cluster::add_write_block`](crate::cluster::Cluster::add_write_block).
    AddWriteBlock(String),
    /// [`Cluster::remove_write_block`](crate::cluster::Cluster::remove_write_block).
    RemoveWriteBlock(String),
    /// [`Cluster::clone_index`](crate::cluster::Cluster::clone_index).
    CloneIndex(CloneIndex),
}

impl State {
    /// Does the write at once. The outcomes are a bulk's; other writes have none.
    pub(super) fn apply(&mut self, write: &Write, now: Duration) -> ClusterResult<Vec<ItemOutcome>> {
        match write {
            Write::Bulk { alias, operations, refresh } => {
                return bulk::bulk(self, alias, operations, *refresh, now);
            }
            Write::CreateIndex(create) => self.create_index(create)?,
            Write::PutMapping { index, mapping } => self.put_mapping(index, mapping)?,
            // An alias is left alone, without a word.
            Write::DeleteIndex(index) => drop(self.indices.remove(index)),
            Write::UpdateAliases(actions) => aliases::update(self, actions)?,
            Write::AddWriteBlock(index) => self.set_write_block(index, true)?,
            Write::RemoveWriteBlock(index) => self.set_write_block(index, false)?,
            Write::CloneIndex(clone) => self.clone_index(clone)?,
        }
        Ok(Vec::new())
    }

    fn create_index(&mut self, create: &CreateIndex) -> ClusterResult<()> {
        let mapping = Mapping::from_json(&create.mapping).map_err(|reason| mapping_refused(&create.name, reason))?;
        if self.is_there(&create.name, mapping.meta.as_ref())? {
            return Ok(());
        }
        self.add_index(&create.name, &create.aliases, Arc::new(mapping), create.purpose, Documents::default())
    }

    fn put_mapping(&mut self, name: &str, mapping: &Value) -> ClusterResult<()> {
        let refused = |reason| mapping_refused(name, reason);
        let added = Mapping::from_json(mapping).map_err(refused)?;
        let names = self.behind(name);
        if names.is_empty() {
            return Err(missing("PUT", format!("{name}/_mapping")));
        }
        let mut merged = BTreeMap::new();
        for name in names {
            let index = self.index_mut(&name, "PUT")?;
            merged.insert(name, Arc::new(index.mapping.merged(added.clone()).map_err(refused)?));
        }
        for (name, mapping) in merged {
            self.index_mut(&name, "PUT")?.mapping = mapping;
        }
        Ok(())
    }

    fn set_write_block(&mut self, name: &str, write_blocked: bool) -> ClusterResult<()> {
        let names = self.behind(name);
        if names.is_empty() {
            return Err(missing("PUT", name));
        }
        names.iter().try_for_each(|name| {
            self.index_mut(name, "PUT")?.write_blocked = write_blocked;
            Ok(())
        })
    }

    fn clone_index(&mut self, clone: &CloneIndex) -> ClusterResult<()> {
        let CloneIndex { source, target, aliases } = clone;
        let source_index = self.index_mut(source, "POST")?;
        let (mapping, mut documents) = (source_index.mapping.clone(), source_index.documents.clone());
        let write_blocked = source_index.write_blocked;
        documents.refresh();
        if self.is_there(target, mapping.meta.as_ref())? {
            return Ok(());
        }
        if !write_blocked {
            let reason = "the index must be read-only to be cloned";
            return Err(ClusterError::new(
                ClusterErrorKind::NotWriteBlocked,
                "POST",
                format!("{source}/_clone"),
                reason,
            ));
        }
        self.add_index(target, aliases, mapping, IndexPurpose::Serving, documents)
    }

    /// Whether there is an index of this name with this `_meta`.
    fn is_there(&self, name: &str, meta: Option<&Value>) -> ClusterResult<bool> {
        match self.indices.get(name) {
            None => Ok(false),
            Some(index) if index.meta() == meta => Ok(true),
            Some(_) => {
                Err(ClusterError::new(ClusterErrorKind::IndexExists, "PUT", name, "there is an index of this name"))
            }
        }
    }

    fn add_index(
        &mut self,
        name: &str,
        aliases: &[String],
        mapping: Arc<Mapping>,
        purpose: IndexPurpose,
        documents: Documents,
    ) -> ClusterResult<()> {
        aliases::check_index_name(self, name)?;
        aliases.iter().try_for_each(|alias| match alias == name {
            true => Err(rejected("PUT", name, "an alias cannot have the name of its index")),
            false => aliases::check_alias_name(self, alias),
        })?;
        if self.shard_limit.is_some_and(|limit| self.indices.len() >= limit) {
            let reason = "this action would add shards beyond the limit";
            return Err(ClusterError::new(ClusterErrorKind::ShardLimit, "PUT", name, reason));
        }
        self.created += 1;
        let uuid = format!("index-{}", self.created);
        let aliases = aliases.iter().cloned().collect();
        let index = Index { uuid, mapping, aliases, write_blocked: false, purpose, documents };
        self.indices.insert(name.to_owned(), index);
        Ok(())
    }
}

fn mapping_refused(index: &str, reason: String) -> ClusterError {
    ClusterError::new(ClusterErrorKind::MappingRefused, "PUT", index, reason)
}
