//! Writes: the requests that change documents, indices or aliases, and how they change the state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::documents::Documents;
use super::mapping::Mapping;
use super::refusals::{Refused, missing, refusal, rejected};
use super::settings::{GivenSettings, Level, Settings};
use super::state::{Index, State};
use super::{aliases, bulk};
use crate::cluster::elastic::{clone_settings, creation_settings};
use crate::cluster::{
    AliasAction, AliasState, BulkOperation, CloneIndex, ClusterError, ClusterErrorKind, ClusterResult, CreateIndex,
    ItemOutcome, Refresh,
};

/// A request that changes documents, indices or aliases.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// [`Cluster::bulk`](crate::cluster::Cluster::bulk).
    Bulk {
        /// The alias to write through.
        alias: String,
        /// The operations.
        operations: Vec<BulkOperation>,
        /// When the writes become visible to searches.
        refresh: Refresh,
    },
    /// [`Cluster::create_index`](crate::cluster::Cluster::create_index).
    CreateIndex(CreateIndex),
    /// [`Cluster::put_mapping`](crate::cluster::Cluster::put_mapping).
    PutMapping {
        /// The index or alias.
        index: String,
        /// The addition to the mapping.
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

impl Write {
    /// Returns the method and the path of the request.
    pub(super) fn request(&self) -> (&'static str, String) {
        match self {
            Self::Bulk { alias, .. } => ("POST", format!("{alias}/_bulk")),
            Self::CreateIndex(create) => ("PUT", create.name.clone()),
            Self::PutMapping { index, .. } => ("PUT", format!("{index}/_mapping")),
            Self::DeleteIndex(index) => ("DELETE", index.clone()),
            Self::UpdateAliases(_) => ("POST", "_aliases".to_owned()),
            Self::AddWriteBlock(index) => ("PUT", format!("{index}/_block/write")),
            Self::RemoveWriteBlock(index) => ("PUT", format!("{index}/_settings")),
            Self::CloneIndex(clone) => ("PUT", format!("{}/_clone/{}", clone.source, clone.target)),
        }
    }
}

/// A request to create an index.
#[derive(Debug)]
pub(super) struct NewIndex<'a> {
    pub(super) name: &'a str,
    pub(super) aliases: BTreeMap<String, AliasState>,
    pub(super) settings: GivenSettings,
}

impl State {
    /// Applies the write, and settles it like a client: a repeat of a write that is already done succeeds. Returns a
    /// bulk's outcomes; other writes have none.
    pub(super) fn apply(&mut self, write: &Write, now: Duration) -> ClusterResult<Vec<ItemOutcome>> {
        match write {
            Write::Bulk { alias, operations, refresh } => {
                return bulk::bulk(self, alias, operations, *refresh == Refresh::WaitFor, now);
            }
            Write::CreateIndex(create) => {
                let settings = GivenSettings::of(creation_settings(create))?;
                let new = NewIndex { name: &create.name, aliases: hidden(&create.aliases), settings };
                let created = self.create_index(new, &create.mapping);
                self.settle_existing(
                    created,
                    &create.name,
                    create.mapping.get("_meta").filter(|meta| !meta.is_null()),
                )?;
            }
            Write::PutMapping { index, mapping } => self.put_mapping(index, mapping).map_err(|mut error| {
                let is_malformed = error.status == Some(400) && error.kind != ClusterErrorKind::Unsupported;
                if is_malformed || error.server_type.as_deref() == Some("mapper_exception") {
                    error.kind = ClusterErrorKind::MappingRefused;
                }
                error
            })?,
            Write::DeleteIndex(index) => self.delete_index(index, true)?,
            Write::UpdateAliases(actions) => match aliases::update(self, actions) {
                Err(error)
                    if AliasAction::refusals_when_done(actions).contains(&error.kind)
                        && aliases::are_done(self, actions) => {}
                updated => updated?,
            },
            Write::AddWriteBlock(index) => drop(self.add_block(index, "write")?),
            Write::RemoveWriteBlock(index) => self.put_settings(index, &GivenSettings::block("write", false))?,
            Write::CloneIndex(clone) => {
                let CloneIndex { source, target, aliases, .. } = clone;
                let settings = GivenSettings::of(clone_settings(clone))?;
                let cloned = self.clone_index(source, NewIndex { name: target, aliases: hidden(aliases), settings });
                let meta = self.indices.get(source).and_then(Index::meta).cloned();
                self.settle_existing(cloned, target, meta.as_ref())?;
            }
        }
        Ok(Vec::new())
    }

    /// Accepts an existing index with this `_meta` as created.
    fn settle_existing(&self, made: ClusterResult<()>, name: &str, meta: Option<&Value>) -> ClusterResult<()> {
        match made {
            Err(error) if error.kind == ClusterErrorKind::IndexExists => {
                let is_it = self.indices.get(name).is_some_and(|index| index.meta() == meta);
                if is_it { Ok(()) } else { Err(error) }
            }
            made => made,
        }
    }

    pub(super) fn create_index(&mut self, new: NewIndex<'_>, mapping: &Value) -> ClusterResult<()> {
        aliases::check_index_name(self, new.name)?;
        let mapping = Mapping::from_json(mapping).map_err(malformed_mapping)?;
        let mut settings = Settings::default();
        settings.set(&new.settings);
        check_fields(&mapping, &settings)?;
        self.add_index(new, Arc::new(mapping), settings, Documents::default())
    }

    pub(super) fn put_mapping(&mut self, name: &str, mapping: &Value) -> ClusterResult<()> {
        let names = self.existing(name)?;
        self.check_blocks(&names, Level::MetadataWrite)?;
        let refused = |reason: String| match reason.contains("[enabled] parameter can't be updated") {
            true => refusal(500, "mapper_exception", reason),
            false => rejected(reason),
        };
        let added = Mapping::from_json(mapping).map_err(malformed_mapping)?;
        let mut merged = BTreeMap::new();
        for name in names {
            let index = self.index_mut(&name)?;
            let mapping = index.mapping.merged(added.clone()).map_err(refused)?;
            check_fields(&mapping, &index.settings)?;
            merged.insert(name, Arc::new(mapping));
        }
        for (name, mapping) in merged {
            self.index_mut(&name)?.mapping = mapping;
        }
        Ok(())
    }

    /// Deletes an index. With `passes_over_missing`, neither a missing index nor an alias is an error.
    pub(super) fn delete_index(&mut self, name: &str, passes_over_missing: bool) -> ClusterResult<()> {
        match self.indices.get(name) {
            Some(index) => {
                if let Some(block) = index.settings.block(Level::MetadataWrite) {
                    return Err(block.refusal(name));
                }
                self.check_not_in_snapshot("delete", &[name])?;
                self.indices.remove(name);
                Ok(())
            }
            None if passes_over_missing => Ok(()),
            None if self.behind(name).is_empty() => Err(missing(name)),
            None => Err(aliases::is_alias(name)),
        }
    }

    /// Sets a block. Returns the names of the indices that did not have it.
    pub(super) fn add_block(&mut self, name: &str, block: &str) -> ClusterResult<Vec<String>> {
        let names = self.existing(name)?;
        self.check_blocks(&names, Level::MetadataWrite)?;
        let mut blocked = Vec::new();
        for name in names {
            let settings = &mut self.index_mut(&name)?.settings;
            if settings.blocks().all(|has| has.setting != block) {
                settings.set(&GivenSettings::block(block, true));
                blocked.push(name);
            }
        }
        Ok(blocked)
    }

    pub(super) fn put_settings(&mut self, name: &str, settings: &GivenSettings) -> ClusterResult<()> {
        let names = self.existing(name)?;
        if !settings.lifts_its_own_block() {
            self.check_blocks(&names, Level::MetadataWrite)?;
        }
        names.iter().try_for_each(|name| {
            self.index_mut(name)?.settings.set(settings);
            Ok(())
        })
    }

    pub(super) fn clone_index(&mut self, source: &str, new: NewIndex<'_>) -> ClusterResult<()> {
        let index = self.indices.get(source).ok_or_else(|| missing(source))?;
        let is_write_blocked = index.is_closed || index.settings.block(Level::Write).is_some();
        let (mapping, mut documents) = (index.mapping.clone(), index.documents.clone());
        let mut settings = index.settings.clone();
        aliases::check_index_name(self, new.name)?;
        if !is_write_blocked {
            return Err(refusal(
                500,
                "illegal_state_exception",
                format!("index {source} must be read-only to resize index. use \"index.blocks.write=true\""),
            ));
        }
        settings.set(&new.settings);
        documents.recover();
        documents.set_primary_term(documents.primary_term() + 1);
        self.add_index(new, mapping, settings, documents)
    }

    fn add_index(
        &mut self,
        new: NewIndex<'_>,
        mapping: Arc<Mapping>,
        settings: Settings,
        documents: Documents,
    ) -> ClusterResult<()> {
        let NewIndex { name, aliases, .. } = new;
        aliases.keys().try_for_each(|alias| match alias == name {
            true => Err(rejected(format!("alias name [{alias}] self-conflicts with index name"))),
            false => aliases::check_alias_name(self, alias),
        })?;
        if let Some(limit) = self.shard_limit.filter(|limit| self.open_shards() >= *limit) {
            let there = self.open_shards();
            return Err(refusal(
                400,
                "validation_exception",
                format!(
                    "Validation Failed: 1: this action would add [1] shards, but this cluster currently has \
                     [{there}]/[{limit}] maximum normal shards open; for more information, see \
                     https://www.elastic.co/docs/deploy-manage/production-guidance/optimize-performance/size-shards\
                     ?version=9.5#troubleshooting-max-shards-open;"
                ),
            ));
        }
        let (uuid, history_uuid) = (self.new_uuid(), self.new_uuid());
        let index = Index { uuid, history_uuid, mapping, aliases, settings, is_closed: false, documents };
        self.indices.insert(name.to_owned(), index);
        Ok(())
    }
}

fn malformed_mapping(refused: Refused) -> ClusterError {
    match refused.is_unsupported() {
        true => refusal(400, refused.server_type, refused.reason),
        false => refusal(400, "mapper_parsing_exception", format!("Failed to parse mapping: {}", refused.reason)),
    }
}

fn hidden(aliases: &[String]) -> BTreeMap<String, AliasState> {
    aliases.iter().map(|alias| (alias.clone(), AliasState::hidden())).collect()
}

fn check_fields(mapping: &Mapping, settings: &Settings) -> ClusterResult<()> {
    let limit = settings.max_fields();
    if mapping.field_count() <= limit {
        return Ok(());
    }
    Err(rejected(format!("Limit of total fields [{limit}] has been exceeded")))
}
