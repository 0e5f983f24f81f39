//! The actions of a copy into a new generation.

use std::collections::BTreeMap;
use std::time::Duration;

use super::convert::Pass;
use super::gate::{Gatekeeper, moved, update_aliases};
use super::generations::{self, Removal};
use super::{Brought, FillState, GroupPlan, OnBad, OnUnreadable};
use crate::cluster::{
    AliasAction, CloneIndex, Cluster, ClusterError, ClusterErrorKind, CreateIndex, Health, IndexPurpose, IndexState,
};
use crate::control::GenerationNumbers;
use crate::environment::Environment;
use crate::layout::{Complete, CopyRecord, Gate, IndexMeta};
use crate::registry;
use crate::{Error, ErrorKind, Result};

/// How long a new index may take until its shards are there.
const INDEX_TIMEOUT: Duration = Duration::from_secs(60);

/// What a copy of one group's index works with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) cluster: &'a dyn Cluster,
    pub(super) environment: &'a Environment,
    pub(super) numbers: &'a GenerationNumbers,
    pub(super) plan: &'a GroupPlan,
}

/// A copy of one group's index, and what is known of it so far.
#[derive(Debug)]
pub(super) struct Copy<'a> {
    place: Place<'a>,
    /// What is done about documents and secrets that cannot be converted.
    policies: String,
    /// What keeps the source's gate closed. None before it is, and in a take-over.
    mark: Option<String>,
    /// What the copy is made from.
    record: Option<CopyRecord>,
    /// The number of the generation that it becomes.
    target: Option<u32>,
}

impl<'a> Copy<'a> {
    pub(super) fn new(place: Place<'a>, on_bad: OnBad, on_unreadable: OnUnreadable) -> Self {
        let policies = format!("bad={on_bad} unreadable={on_unreadable}");
        Self { place, policies, mark: None, record: None, target: None }
    }

    /// Closes the source's gate, lets the writes under way end, and reads in which state that left it.
    pub(super) async fn block_source(&mut self) -> Result<Brought> {
        let Place { cluster, plan, .. } = self.place;
        // Kibana's index is left as it is, but for the block.
        if plan.take_over.is_none() {
            let seen = match &self.mark {
                Some(mark) => Gate { copying: vec![mark.clone()], ..Gate::default() },
                None => plan.gate.clone(),
            };
            self.mark = Some(self.place.gatekeeper().close(&seen).await?);
        }
        cluster.add_write_block(&plan.index).await?;
        self.keep_block().await?;
        // The history first: a point in time shows only what was refreshed, which then is all of it.
        self.record = Some(self.source_now().await?);
        self.target = None;
        cluster.refresh(&plan.index).await?;
        Ok(Brought::default())
    }

    /// Lifts the write block again if the copy was undone before the block was set: no mark would say whose block it is. If another
    /// node has swapped, the source is not current any more and keeps the block.
    async fn keep_block(&self) -> Result<()> {
        let Place { cluster, plan, .. } = self.place;
        let Some(mark) = &self.mark else { return Ok(()) };
        let source = cluster.indices(&[&plan.index]).await?.remove(&plan.index);
        let has = |alias: &str| source.as_ref().is_some_and(|source| source.aliases.contains_key(alias));
        if has(mark) {
            return Ok(());
        }
        if has(plan.names.alias()) {
            cluster.remove_write_block(&plan.index).await?;
        }
        Err(moved("another node undid or finished the copy"))
    }

    /// Returns the record of a copy of the source as it is now.
    async fn source_now(&self) -> Result<CopyRecord> {
        let Place { cluster, plan, .. } = self.place;
        let history = cluster.history(&plan.index).await?;
        plan.copy_record(&history, self.policies.clone())
            .ok_or_else(|| Error::new(ErrorKind::Internal, format!("there is no index {} to copy", plan.index)))
    }

    /// Tells whether the source is no longer as it is copied.
    pub(super) async fn check_source(&self) -> Result<Brought> {
        let source_moved = self.source_now().await? != *self.record()?;
        Ok(Brought { source_moved, ..Brought::default() })
    }

    fn record(&self) -> Result<&CopyRecord> {
        let not_begun = || Error::new(ErrorKind::Internal, "a copy went on whose source was not blocked");
        self.record.as_ref().ok_or_else(not_begun)
    }

    /// Returns the name of the staging index.
    pub(super) fn fill(&self) -> Result<String> {
        Ok(self.place.plan.names.fill(&self.record()?.digest()))
    }

    /// Returns the alias that writes to the staging index go through.
    pub(super) fn fill_alias(&self) -> Result<String> {
        Ok(self.place.plan.names.fill_alias(&self.record()?.digest()))
    }

    /// Creates the staging index, or finds the one that was begun from the same state of the source.
    pub(super) async fn prepare_fill(&mut self) -> Result<Brought> {
        let Place { cluster, plan, .. } = self.place;
        let (record, fill, alias) = (self.record()?.clone(), self.fill()?, self.fill_alias()?);
        let indices = self.place.indices().await?;
        let has_alias = |state: &IndexState| state.aliases.contains_key(plan.names.alias());
        if plan.take_over.is_some() && indices.values().any(has_alias) {
            return Err(moved("another node was faster"));
        }
        for (name, _, other) in generations::fills(&plan.names, &indices) {
            if other.is_outdated_by(&record) {
                tracing::info!(name, "deleting a staging index of a state that the source has left");
                generations::remove_fill(cluster, name).await;
            }
        }
        let Some(found) = indices.get(&fill) else {
            let mut mapping = plan.copy_mapping();
            // What Kibana says there is of its own index only.
            let inherited = plan.current.as_ref().filter(|_| plan.take_over.is_none()).map(|current| &current.mapping);
            mapping["_meta"] = plan.meta_of_copy(record).into_meta(inherited);
            let request = CreateIndex { name: fill, mapping, aliases: vec![alias], purpose: IndexPurpose::Filling };
            cluster.create_index(&request).await?;
            return Ok(Brought::default());
        };
        if !found.aliases.contains_key(&alias) {
            // A copy of the same state was undone, and its staging index was not deleted yet: what is in it is right.
            let mut actions = self.while_mine()?;
            actions.push(AliasAction::Add { index: fill, alias });
            update_aliases(cluster, &actions).await?;
        }
        let complete = IndexMeta::from_mapping(&found.mapping)?.copy.and_then(|copy| copy.complete);
        let fill = match complete.is_some_and(|complete| complete.uuid == found.uuid) {
            true => FillState::Complete,
            false if found.write_blocked => FillState::Blocked,
            false => FillState::Begun,
        };
        Ok(Brought { fill, ..Brought::default() })
    }

    /// Returns the condition that the copy was not undone. In a take-over there is none before the staging index is there.
    fn while_mine(&self) -> Result<Vec<AliasAction>> {
        let plan = self.place.plan;
        let Some(alias) = self.mark.clone() else { return Ok(Vec::new()) };
        let index = plan.index.clone();
        Ok(vec![AliasAction::Remove { index: index.clone(), alias: alias.clone() }, AliasAction::Add { index, alias }])
    }

    /// Records in the staging index how many documents it lacks on purpose, for those who compare it with the source.
    pub(super) async fn record_left_out(&self, pass: &Pass) -> Result<()> {
        let left_out_unreadable = pass.left_out_unreadable;
        match pass.counts.quarantined + pass.counts.deleted {
            0 => Ok(()),
            left_out => {
                let record = CopyRecord { left_out, left_out_unreadable, ..self.record()?.clone() };
                self.record_in(&self.fill()?, record).await
            }
        }
    }

    async fn record_in(&self, index: &str, record: CopyRecord) -> Result<()> {
        let facts = IndexMeta { copy: Some(record), ..IndexMeta::default() };
        super::record::record_facts(self.place.cluster, index, &facts).await
    }

    /// Ends the writing to the staging index, and records that it is complete once its documents are counted.
    pub(super) async fn block_fill(&self) -> Result<Brought> {
        let Place { cluster, plan, .. } = self.place;
        let fill = self.fill()?;
        cluster.add_write_block(&fill).await?;
        cluster.refresh(&fill).await?;
        let (source, copy) = (self.count(&plan.index).await?, self.count(&fill).await?);
        let found = cluster.indices(&[&fill]).await?.remove(&fill);
        let found = found.ok_or_else(|| moved("another node undid the copy"))?;
        let left_out = IndexMeta::from_mapping(&found.mapping)?.copy.map_or(0, |copy| copy.left_out);
        let lacks: u64 =
            source.iter().map(|(name, count)| count - copy.get(name).copied().unwrap_or(0).min(*count)).sum();
        if lacks == left_out && copy.values().sum::<u64>().saturating_add(left_out) == source.values().sum::<u64>() {
            let complete = Some(Complete { uuid: found.uuid, writes: cluster.write_count(&fill).await? });
            self.record_in(&fill, CopyRecord { complete, ..self.record()?.clone() }).await?;
            return Ok(Brought::default());
        }
        // The source was let loose since, and is looked at next.
        let moved_on = self.check_source().await?;
        if moved_on.source_moved {
            return Ok(moved_on);
        }
        Err(Error::new(
            ErrorKind::Internal,
            format!("the copy of {} is not complete: {source:?} documents became {copy:?}", plan.index),
        )
        .with_cure("nothing was swapped; report this, and start again"))
    }

    /// Returns the number of documents by type.
    async fn count(&self, index: &str) -> Result<BTreeMap<Option<String>, u64>> {
        let mut by_type = BTreeMap::new();
        for count in self.place.cluster.count_by_type(index).await? {
            *by_type.entry(count.type_name).or_default() += count.documents;
        }
        Ok(by_type)
    }

    /// Clones the staging index to the next generation and waits for it.
    pub(super) async fn clone_fill(&mut self) -> Result<()> {
        let Place { cluster, plan, .. } = self.place;
        let source = self.fill()?;
        let indices = self.place.indices().await?;
        let complete =
            indices.get(&source).and_then(|state| IndexMeta::from_mapping(&state.mapping).ok()?.copy?.complete);
        let complete = complete.ok_or_else(|| moved("another node undid the copy"))?;
        let generation = self.choose_target(&indices, &complete).await?;
        let target = plan.names.index(generation);
        let request = CloneIndex { source, target: target.clone(), aliases: Vec::new() };
        match cluster.clone_index(&request).await {
            Ok(()) => {}
            Err(error) if error.kind == ClusterErrorKind::IndexExists => {
                let found = cluster.indices(&[&target]).await?.remove(&target);
                if !found.is_some_and(|found| self.is_clone(&found, &complete)) {
                    return Err(moved(format!("another copy had made {target}")).with_source(error));
                }
            }
            Err(error) => return Err(error.into()),
        }
        let health = cluster.wait_for_health(&target, Health::Green, INDEX_TIMEOUT).await?;
        if health == Health::Red {
            return Err(Error::new(ErrorKind::Unavailable, format!("the new index {target} has no primary shard"))
                .with_cure(
                    "see GET _cluster/allocation/explain for why the cluster does not allocate it, and start again",
                ));
        }
        let writes = cluster.write_count(&target).await?;
        if writes != complete.writes {
            return Err(moved(format!(
                "{target} took {writes} writes, where its staging index took {}",
                complete.writes
            )));
        }
        // Searches see what is in it from now on.
        cluster.refresh(&target).await?;
        self.target = Some(generation);
        Ok(())
    }

    /// Returns the number of a clone that this copy, or another node that makes the same, has made already; else one that was
    /// never used.
    async fn choose_target(&self, indices: &BTreeMap<String, IndexState>, complete: &Complete) -> Result<u32> {
        let Place { cluster, numbers, plan, .. } = self.place;
        for (name, state) in indices.iter().filter(|(_, state)| self.is_clone(state, complete)) {
            let Some(generation) = plan.names.generation(name) else { continue };
            let is_used = [plan.names.alias(), &plan.names.write_alias(generation)]
                .iter()
                .any(|alias| state.aliases.contains_key(*alias));
            // If users have written to it, it was current once.
            if !is_used && cluster.write_count(name).await? == complete.writes {
                return Ok(generation);
            }
        }
        let highest = generations::highest(&plan.names, indices).max(plan.highest_generation);
        numbers.reserve(&plan.group, &self.record()?.digest(), highest).await
    }

    fn is_clone(&self, state: &IndexState, complete: &Complete) -> bool {
        let found = IndexMeta::from_mapping(&state.mapping).ok().and_then(|meta| meta.copy);
        let (Some(found), Some(record)) = (found, &self.record) else { return false };
        found.is_made_as(record) && found.complete.as_ref() == Some(complete) && found.is_of(&state.uuid)
    }

    /// Returns the generation that the copy becomes.
    pub(super) fn target(&self) -> Option<String> {
        self.target.map(|generation| self.place.plan.names.index(generation))
    }

    /// Makes the next generation current, from one moment to the next.
    pub(super) async fn swap(&self) -> Result<()> {
        let Place { cluster, numbers, plan, .. } = self.place;
        let names = &plan.names;
        let (Some(generation), Some(target)) = (self.target, self.target()) else {
            return Err(Error::new(ErrorKind::Internal, "a copy was to be swapped that was not cloned"));
        };
        // Users may write to this index soon. A clone that an operator makes of it has the same `_meta`, and is told by its uuid.
        let found = cluster.indices(&[&target]).await?.remove(&target);
        let found = found.ok_or_else(|| moved("another node undid the copy"))?;
        let copy = CopyRecord { generation_uuid: Some(found.uuid), ..self.record()?.clone() };
        let facts = IndexMeta { highest_generation: generation, copy: Some(copy), ..IndexMeta::default() };
        super::record::record_facts(cluster, &target, &facts).await?;
        numbers.give(&plan.group, &self.record()?.digest()).await?;
        let remove =
            |index: &str, alias: &str| AliasAction::Remove { index: index.to_owned(), alias: alias.to_owned() };
        let mut swap = Vec::new();
        // Kibana's index keeps its aliases.
        if let Some(mark) = &self.mark {
            swap.extend([remove(&plan.index, names.alias()), remove(&plan.index, mark)]);
        }
        swap.extend([
            remove(&self.fill()?, &self.fill_alias()?),
            AliasAction::Add { index: target.clone(), alias: names.alias().to_owned() },
            AliasAction::Add { index: target, alias: names.write_alias(generation) },
        ]);
        update_aliases(cluster, &swap).await
    }

    /// Deletes the staging indices of the source: this copy's, and those of other definitions or policies.
    pub(super) async fn delete_fills(&self) -> Result<()> {
        let (record, plan) = (self.record()?, self.place.plan);
        for (name, _, other) in generations::fills(&plan.names, &self.place.indices().await?) {
            if other.source_uuid == record.source_uuid {
                generations::remove_fill(self.place.cluster, name).await;
            }
        }
        Ok(())
    }

    /// Tells what reached the source though its gate was closed: somebody opened it by hand.
    pub(super) async fn check_nothing_came_late(&self) -> Result<()> {
        let (Some(target), plan) = (self.target(), self.place.plan) else { return Ok(()) };
        let source = &plan.index;
        let late = match self.place.cluster.write_count(source).await {
            Ok(writes) => writes.saturating_sub(self.record()?.source_writes),
            // It was deleted by an operator who wants no rollback any more.
            Err(error) if error.kind == ClusterErrorKind::IndexNotFound => 0,
            Err(error) => return Err(error.into()),
        };
        if late == 0 {
            return Ok(());
        }
        let way_back = match plan.take_over {
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
}

impl Place<'_> {
    fn gatekeeper(&self) -> Gatekeeper<'_> {
        let Self { cluster, environment, plan, .. } = *self;
        Gatekeeper { cluster, environment, names: &plan.names, generation: plan.generation, index: &plan.index }
    }

    /// Returns all indices of the group.
    async fn indices(&self) -> Result<BTreeMap<String, IndexState>> {
        let names = &self.plan.names;
        Ok(self.cluster.indices(&[names.alias(), &names.any()]).await?)
    }

    /// Undoes a copy: opens the gate of the source first, so that no swap can happen any more, then deletes what it made. A
    /// source that is not the current generation any more, or whose gate is not closed by a copy, is left as it is.
    pub(super) async fn undo(&self) -> Result<()> {
        let Self { cluster, plan, .. } = *self;
        let indices = self.indices().await?;
        let uuid = plan.current.as_ref().map(|current| current.uuid.as_str()).unwrap_or_default();
        let fills: Vec<_> =
            generations::fills(&plan.names, &indices).filter(|(.., record)| record.source_uuid == uuid).collect();
        if plan.take_over.is_some() {
            for (name, state, record) in &fills {
                let alias = plan.names.fill_alias(&record.digest());
                if state.aliases.contains_key(&alias) {
                    let close = AliasAction::Remove { index: (*name).clone(), alias };
                    let clones = generations::unused_clones(cluster, &plan.names, &indices, uuid).await?;
                    self.close_take_over(close, clones).await?;
                }
            }
            match indices.iter().find(|(_, state)| state.aliases.contains_key(plan.names.alias())) {
                None => cluster.remove_write_block(&plan.index).await?,
                // Another node took it over, and this one's clone is of no use.
                Some((current, _)) => {
                    let place = Gatekeeper { index: current, ..self.gatekeeper() };
                    for name in generations::unused_clones(cluster, &plan.names, &indices, uuid).await? {
                        generations::remove_generation(&place, &name, &indices).await?;
                    }
                }
            }
        } else {
            let source = indices.get(&plan.index).filter(|state| state.aliases.contains_key(plan.names.alias()));
            let Some(source) = source else { return Ok(()) };
            let gate = Gate::of(&plan.names, plan.generation, source.aliases.keys());
            if gate.is_marked() {
                self.gatekeeper().open(&gate).await?;
            }
        }
        for (name, ..) in fills {
            generations::remove_fill(cluster, name).await;
        }
        if plan.take_over.is_none() {
            self.remove_abandoned(&indices).await?;
        }
        Ok(())
    }

    /// Removes the alias of a staging index, without which no swap can happen, and in the same request the clones that were
    /// made of it. One that a snapshot keeps stays.
    async fn close_take_over(&self, close: AliasAction, clones: Vec<String>) -> Result<()> {
        let mut actions = vec![close];
        actions.extend(clones.into_iter().map(|index| AliasAction::RemoveIndex { index }));
        match update_aliases(self.cluster, &actions).await {
            Err(error) if error.find_source::<ClusterError>().is_some_and(generations::is_in_snapshot) => {
                actions.truncate(1);
                update_aliases(self.cluster, &actions).await
            }
            updated => updated,
        }
    }

    /// Opens the gate of the current index, whatever closed it, lets it take nonces, and deletes what copies left behind.
    /// `has_healed` tells whether anything was done, also if it ends with an error.
    pub(super) async fn heal(&self, has_healed: &mut bool) -> Result<()> {
        let Self { cluster, plan, .. } = *self;
        if plan.is_closed() {
            *has_healed = true;
            tracing::info!(index = plan.index, gate = ?plan.gate, "letting the index take writes again");
            self.gatekeeper().open(&plan.gate).await?;
        }
        if plan.lacks_nonce_field {
            *has_healed = true;
            tracing::info!(index = plan.index, "giving an index the field that writes are known by");
            cluster.put_mapping(&plan.index, &registry::nonce_mapping()).await?;
        }
        for fill in &plan.leftover_fills {
            tracing::info!(fill, "deleting what a copy left behind");
            *has_healed |= generations::remove_fill(cluster, fill).await;
        }
        if !plan.abandoned.is_empty() {
            *has_healed |= self.remove_abandoned(&self.indices().await?).await?;
        }
        Ok(())
    }

    /// Deletes the generations that copies made and that never became current. Returns whether anything was written.
    async fn remove_abandoned(&self, indices: &BTreeMap<String, IndexState>) -> Result<bool> {
        let mut has_written = false;
        let plan = self.plan;
        let is_one = |name: &&String| **name != plan.index && generations::is_abandoned(&plan.names, name, indices);
        for name in indices.keys().filter(is_one) {
            match generations::remove_generation(&self.gatekeeper(), name, indices).await? {
                Removal::Removed => {
                    tracing::info!(name, "deleted a generation that never became current");
                    has_written = true;
                }
                Removal::Kept => {
                    tracing::info!(name, "a snapshot is being made of a generation that never became current");
                    has_written = true;
                }
                Removal::Unproven => tracing::warn!(name, "left a generation that never became current"),
            }
        }
        Ok(has_written)
    }
}
