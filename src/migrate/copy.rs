//! The actions of a copy into a new generation (design decision 9).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::convert::Pass;
use super::{Brought, GroupPlan, OnBad, OnUnreadable};
use crate::cluster::{
    AliasAction, CloneIndex, Cluster, ClusterErrorKind, CreateIndex, Health, IndexPurpose, IndexState,
};
use crate::layout::{CopyRecord, IndexMeta};
use crate::{Error, ErrorKind, Result};

/// How long a new index may take until its shards are there.
const INDEX_TIMEOUT: Duration = Duration::from_secs(60);

/// A copy of one group's index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Copy<'a> {
    pub(super) cluster: &'a dyn Cluster,
    pub(super) plan: &'a GroupPlan,
    pub(super) on_bad: OnBad,
    pub(super) on_unreadable: OnUnreadable,
}

impl Copy<'_> {
    /// Blocks the source, and counts what it holds. First it is marked: whoever finds the block knows whose it is.
    pub(super) async fn block_source(self) -> Result<Brought> {
        // Kibana's index is left as it is, but for the block.
        if self.plan.take_over.is_none() {
            let mark = AliasAction::Add { index: self.plan.index.clone(), alias: self.mark() };
            self.update_while_current([mark]).await?;
        }
        self.cluster.add_write_block(&self.plan.index).await?;
        let counted = self.count_source_writes().await?;
        // A point in time shows only what was refreshed: all that was counted, and not less, whoever lifted the block meanwhile.
        self.cluster.refresh(&self.plan.index).await?;
        Ok(counted)
    }

    pub(super) async fn count_source_writes(self) -> Result<Brought> {
        let source_writes = self.cluster.write_count(&self.plan.index).await?;
        Ok(Brought { source_writes, ..Brought::default() })
    }

    /// Creates the fill, or finds the one that was begun from the same state of the source.
    pub(super) async fn prepare_fill(self, source_writes: u64) -> Result<Brought> {
        let (fill, target, record) = (self.plan.fill(), self.target(), self.record(source_writes)?);
        let indices = self.cluster.indices(&[&fill, &target, self.plan.names.alias()]).await?;
        let is_taken_over = |state: &IndexState| state.aliases.contains_key(self.plan.names.alias());
        if self.plan.take_over.is_some() && indices.values().any(is_taken_over) {
            return Err(moved("another node was faster"));
        }
        if let Some(found) = indices.get(&fill) {
            if self.may_go_on_with(&found.mapping, &record)? {
                return Ok(Brought { fill_is_complete: found.write_blocked, ..Brought::default() });
            }
            self.cluster.delete_index(&fill).await?;
        }
        // A swap that was sent long ago finds its fill again from now on, and must not find what was cloned for it.
        if indices.contains_key(&target) && self.plan.take_over.is_none() {
            self.remove_abandoned(&target).await?;
        }
        let mut mapping = self.plan.copy_mapping();
        mapping["_meta"] = self.plan.meta_of_copy(record).into_meta(self.inherited_mapping());
        let aliases = vec![self.plan.fill_alias()];
        self.cluster
            .create_index(&CreateIndex { name: fill, mapping, aliases, purpose: IndexPurpose::Filling })
            .await?;
        if let (Some(found), Some(_)) = (indices.get(&target), &self.plan.take_over)
            && !is_made_from(&found.mapping, &self.record(source_writes)?)?
        {
            self.remove_abandoned(&target).await?;
        }
        Ok(Brought::default())
    }

    /// Whether a fill is one of this copy, and lacks nothing that this run may not leave out.
    fn may_go_on_with(self, mapping: &Value, wanted: &CopyRecord) -> Result<bool> {
        let Some(found) = IndexMeta::from_mapping(mapping)?.copy.filter(|found| found.is_made_as(wanted)) else {
            return Ok(false);
        };
        let bad = found.left_out.saturating_sub(found.left_out_unreadable);
        let is_allowed = (bad == 0 || self.on_bad != OnBad::Fail)
            && (found.left_out_unreadable == 0 || self.on_unreadable == OnUnreadable::Quarantine);
        Ok(is_allowed)
    }

    /// Writes down in the fill how many documents it lacks on purpose, for whoever compares it with the source.
    pub(super) async fn record_left_out(self, pass: &Pass) -> Result<()> {
        let left_out_unreadable = pass.left_out_unreadable;
        let record = match pass.counts.quarantined + pass.counts.deleted {
            0 => return Ok(()),
            left_out => CopyRecord { left_out, left_out_unreadable, ..self.record(0)? },
        };
        let facts = IndexMeta { copy: Some(record), ..IndexMeta::default() };
        super::record::record_facts(self.cluster, &self.plan.fill(), &facts).await
    }

    pub(super) async fn block_fill(self) -> Result<()> {
        Ok(self.cluster.add_write_block(&self.plan.fill()).await?)
    }

    /// Clones the fill to the next generation and waits for it. A generation that another copy left there is removed, as
    /// long as nobody made it current.
    pub(super) async fn clone_fill(self, source_writes: u64) -> Result<()> {
        let (source, target) = (self.plan.fill(), self.target());
        let request = CloneIndex { source, target: target.clone(), aliases: Vec::new() };
        match self.cluster.clone_index(&request).await {
            Ok(()) => {}
            Err(error) if error.kind == ClusterErrorKind::IndexExists => {
                let found = self.cluster.indices(&[&target]).await?;
                let record = self.record(source_writes)?;
                let found = found.get(&target);
                let is_mine = found.map(|found| is_made_from(&found.mapping, &record)).transpose()?;
                if is_mine != Some(true) {
                    if found.is_some_and(|found| found.aliases.contains_key(self.plan.names.alias())) {
                        return Err(moved("another node was faster").with_source(error));
                    }
                    self.remove_abandoned(&target).await?;
                    return Err(moved(format!("another copy had made {target}")).with_source(error));
                }
            }
            Err(error) => return Err(error.into()),
        }
        let health = self.cluster.wait_for_health(&target, Health::Green, INDEX_TIMEOUT).await?;
        if health == Health::Red {
            return Err(Error::new(ErrorKind::Unavailable, format!("the new index {target} has no primary shard"))
                .with_cure(
                    "see GET _cluster/allocation/explain for why the cluster does not allocate it, and start again",
                ));
        }
        self.check_complete(&target, source_writes).await
    }

    /// Deletes a generation that is not current, in one request that fails if the source is no longer the current one: a
    /// generation is current only after its source has lost the alias, or, if that never had it, after the fill is gone.
    async fn remove_abandoned(self, target: &str) -> Result<()> {
        self.update_while_current([AliasAction::RemoveIndex { index: target.to_owned() }]).await
    }

    /// Does what is to be done only as long as the source is the current generation.
    async fn update_while_current(self, actions: impl IntoIterator<Item = AliasAction>) -> Result<()> {
        let (index, alias) = match self.plan.take_over {
            None => (self.plan.index.clone(), self.plan.names.alias().to_owned()),
            // Kibana's index is marked by nothing, but no swap leaves the fill behind.
            Some(_) => (self.plan.fill(), self.plan.fill_alias()),
        };
        let is_current =
            [AliasAction::Remove { index: index.clone(), alias: alias.clone() }, AliasAction::Add { index, alias }];
        self.update(&is_current.into_iter().chain(actions).collect::<Vec<_>>()).await
    }

    async fn update(self, actions: &[AliasAction]) -> Result<()> {
        match self.cluster.update_aliases(actions).await {
            Ok(()) => Ok(()),
            Err(error) if is_moved(error.kind) => Err(moved("another node was faster").with_source(error)),
            Err(error) => Err(error.into()),
        }
    }

    /// The last look before the swap: no type may have lost a document on the way.
    async fn check_complete(self, target: &str, source_writes: u64) -> Result<()> {
        self.cluster.refresh(target).await?;
        let (source, copy) = (self.count(&self.plan.index).await?, self.count(target).await?);
        let left_out = match self.cluster.indices(&[target]).await?.get(target) {
            Some(found) => IndexMeta::from_mapping(&found.mapping)?.copy.map_or(0, |copy| copy.left_out),
            None => 0,
        };
        let lacks: u64 =
            source.iter().map(|(name, count)| count - copy.get(name).copied().unwrap_or(0).min(*count)).sum();
        if lacks == left_out && copy.values().sum::<u64>() + left_out == source.values().sum::<u64>() {
            return Ok(());
        }
        // The source was written to since, because somebody lifted its block: it is looked at next, and copied anew.
        if self.cluster.write_count(&self.plan.index).await? != source_writes {
            return Ok(());
        }
        // What is current already is no copy any more: its users have written and deleted.
        let current = self.cluster.indices(&[self.plan.names.alias()]).await?;
        let is_still_to_come = match self.plan.take_over {
            None => current.contains_key(&self.plan.index),
            Some(_) => current.is_empty(),
        };
        if !is_still_to_come {
            return Err(moved("another node was faster"));
        }
        Err(Error::new(
            ErrorKind::Internal,
            format!("the copy of {} is not complete: {source:?} documents became {copy:?}", self.plan.index),
        )
        .with_cure("nothing was swapped; report this, and start again"))
    }

    /// Documents by type.
    async fn count(self, index: &str) -> Result<BTreeMap<Option<String>, u64>> {
        let mut by_type = BTreeMap::new();
        for count in self.cluster.count_by_type(index).await? {
            *by_type.entry(count.type_name).or_default() += count.documents;
        }
        Ok(by_type)
    }

    /// Makes the next generation current, from one moment to the next.
    pub(super) async fn swap(self) -> Result<()> {
        let (names, source, target) = (&self.plan.names, &self.plan.index, self.target());
        // A swap that was sent long ago finds a clone of this name again, which may not have its shards yet, and would take the
        // fill away that they are made of. It does not find this alias, which goes with the clone that it was given to.
        let checked = names.copy_checked(self.plan.next_generation());
        self.update_while_current([AliasAction::Add { index: target.clone(), alias: checked.clone() }]).await?;
        let writes = self.cluster.write_count(&target).await?;
        let record = CopyRecord { writes: Some(writes), ..self.record(0)? };
        let facts = IndexMeta { copy: Some(record), ..IndexMeta::default() };
        super::record::record_facts(self.cluster, &target, &facts).await?;
        let mut swap = match self.plan.take_over {
            None => vec![
                AliasAction::Remove { index: source.clone(), alias: names.alias().to_owned() },
                AliasAction::Remove { index: source.clone(), alias: names.write_alias(self.plan.generation) },
                AliasAction::Remove { index: source.clone(), alias: self.mark() },
            ],
            // Kibana's index keeps its aliases.
            Some(_) => Vec::new(),
        };
        swap.extend([
            AliasAction::Remove { index: target.clone(), alias: checked },
            AliasAction::Add { index: target.clone(), alias: names.alias().to_owned() },
            AliasAction::Add { index: target, alias: names.write_alias(self.plan.next_generation()) },
            // Whoever undoes this copy deletes the fill before anything else, and with it the way to this swap.
            AliasAction::RemoveIndex { index: self.plan.fill() },
        ]);
        self.update(&swap).await
    }

    pub(super) async fn delete_fill(self) -> Result<()> {
        Ok(self.cluster.delete_index(&self.plan.fill()).await?)
    }

    /// Whether the source is as it was copied, looked at after the swap, when nothing reaches it any more. An unblocking that
    /// another node sent before it was stopped may land between the last look and the swap, which has no condition for it.
    pub(super) async fn check_nothing_came_late(self) -> Result<()> {
        let (source, target) = (&self.plan.index, self.target());
        let found = self.cluster.indices(&[&target]).await?;
        let meta = found.get(&target).map(|state| IndexMeta::from_mapping(&state.mapping)).transpose()?;
        let Some(copy) = meta.and_then(|meta| meta.copy) else { return Ok(()) };
        let late = match self.cluster.write_count(source).await {
            Ok(writes) => writes.saturating_sub(copy.source_writes),
            // Somebody who wants no rollback any more deleted it.
            Err(error) if error.kind == ClusterErrorKind::IndexNotFound => 0,
            Err(error) => return Err(error.into()),
        };
        if late == 0 {
            return Ok(());
        }
        let way_back = match self.plan.take_over {
            None => {
                "`saved-objects migrate --rollback` makes it current again, if nothing was written since, and the next start \
                 copies all of it; else "
            }
            Some(_) => "",
        };
        Err(Error::new(
            ErrorKind::Internal,
            format!("{source} took {late} writes while {target} became current, which has not got them"),
        )
        .with_cure(format!("they are in {source}, which is kept: {way_back}compare the two")))
    }

    /// Deletes the fill first: with the block gone first, a start in between could take it for complete.
    pub(super) async fn abort(self) -> Result<()> {
        self.delete_fill().await?;
        self.unblock_source().await
    }

    /// Lifts the source's block, and takes away the mark that it was a copy's.
    pub(super) async fn unblock_source(self) -> Result<()> {
        self.cluster.remove_write_block(&self.plan.index).await?;
        if self.plan.take_over.is_some() {
            return Ok(());
        }
        let unmark = AliasAction::Remove { index: self.plan.index.clone(), alias: self.mark() };
        match self.cluster.update_aliases(&[unmark]).await {
            // Another node undid the same copy.
            Err(error) if !is_moved(error.kind) => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn mark(self) -> String {
        self.plan.names.copy_mark(self.plan.generation)
    }

    fn target(self) -> String {
        self.plan.names.index(self.plan.next_generation())
    }

    /// The mapping whose foreign `_meta` the copy takes over: what Kibana says there is of its own index only.
    fn inherited_mapping(&self) -> Option<&Value> {
        self.plan.current.as_ref().filter(|_| self.plan.take_over.is_none()).map(|current| &current.mapping)
    }

    fn record(self, source_writes: u64) -> Result<CopyRecord> {
        let record = self
            .plan
            .copy_record(source_writes)
            .ok_or_else(|| Error::new(ErrorKind::Internal, format!("there is no index {} to copy", self.plan.index)))?;
        Ok(CopyRecord { strips: self.on_unreadable == OnUnreadable::Strip, ..record })
    }
}

/// Whether an index was made by a copy from the same state of the same source to the same definitions.
fn is_made_from(mapping: &Value, record: &CopyRecord) -> Result<bool> {
    let found = IndexMeta::from_mapping(mapping)?.copy;
    Ok(found.is_some_and(|found| found.is_made_as(record)))
}

fn is_moved(kind: ClusterErrorKind) -> bool {
    matches!(kind, ClusterErrorKind::AliasNotFound | ClusterErrorKind::IndexNotFound)
}

/// Another node changed what this one planned with: a new plan is to be made.
fn moved(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Conflict, what).with_cure("start again; if it stays so, see `saved-objects status`")
}
