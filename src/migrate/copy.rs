//! The steps of a copy into a new generation.

use std::collections::BTreeMap;
use std::time::Duration;

use super::carry;
use super::gate::{moved, update_aliases};
use super::generations;
use super::pass::Pass;
use super::state::{StagingState, StepResult};
use super::undo::CopyContext;
use super::{OnBad, OnUnreadable};
use crate::cluster::{AliasAction, CloneIndex, ClusterErrorKind, CreateIndex, Health, IndexPurpose, IndexState};
use crate::layout::{Complete, CopyRecord, Gate, IndexMeta};
use crate::{Error, ErrorKind, Result};

/// The time limit for the allocation of a new index's shards.
const INDEX_TIMEOUT: Duration = Duration::from_secs(60);
/// The time until a clone without a primary shard is checked for its source. A server usually starts a clone
/// immediately.
const CLONE_TIMEOUT: Duration = Duration::from_secs(5);

/// A copy of one group's index, with what its steps have found out.
#[derive(Debug)]
pub(super) struct Copy<'a> {
    context: CopyContext<'a>,
    /// The policies for documents and secrets that cannot be converted.
    policies: String,
    /// The mark that keeps the source's gate closed. `None` before the gate is closed, and in a take-over.
    mark: Option<String>,
    /// The state of the source that the copy is made from.
    record: Option<CopyRecord>,
    /// The number of the generation that the copy becomes.
    target: Option<u32>,
}

impl<'a> Copy<'a> {
    pub(super) fn new(context: CopyContext<'a>, on_bad: OnBad, on_unreadable: OnUnreadable) -> Self {
        let policies = format!("bad={on_bad} unreadable={on_unreadable}");
        Self { context, policies, mark: None, record: None, target: None }
    }

    /// Closes the source's gate, waits for the writes in progress, and reads the state of the source.
    pub(super) async fn block_source(&mut self) -> Result<StepResult> {
        let CopyContext { cluster, plan, .. } = self.context;
        // A take-over changes nothing of Kibana's index but the write block.
        if plan.take_over.is_none() {
            let seen = match &self.mark {
                Some(mark) => Gate { copying: vec![mark.clone()], ..Gate::default() },
                None => plan.gate.clone(),
            };
            self.mark = Some(self.context.gatekeeper().close(&seen).await?);
        }
        cluster.add_write_block(&plan.index).await?;
        self.lift_block_if_undone().await?;
        // The history is read before the refresh, so that a point in time that is opened later shows all of it.
        self.record = Some(self.source_now().await?);
        self.target = None;
        cluster.refresh(&plan.index).await?;
        Ok(StepResult::default())
    }

    /// Fails if the mark is gone: another node undid or finished the copy before the block was set. After an undo this
    /// lifts the block again, because without a mark no start would recognize it as a copy's. After a swap the source
    /// is no longer current, and keeps the block.
    async fn lift_block_if_undone(&self) -> Result<()> {
        let CopyContext { cluster, plan, .. } = self.context;
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
        let CopyContext { cluster, plan, .. } = self.context;
        let history = cluster.history(&plan.index).await?;
        plan.copy_record(&history, self.policies.clone())
            .ok_or_else(|| Error::new(ErrorKind::Internal, format!("there is no index {} to copy", plan.index)))
    }

    /// Returns whether the source has left the state that is copied.
    pub(super) async fn check_source(&self) -> Result<StepResult> {
        let source_moved = self.source_now().await? != *self.record()?;
        Ok(StepResult { source_moved, ..StepResult::default() })
    }

    fn record(&self) -> Result<&CopyRecord> {
        let not_begun = || Error::new(ErrorKind::Internal, "a copy went on whose source was not blocked");
        self.record.as_ref().ok_or_else(not_begun)
    }

    /// Returns the name of the staging index.
    pub(super) fn fill(&self) -> Result<String> {
        Ok(self.context.plan.names.fill(&self.record()?.digest()))
    }

    /// Returns the alias that writes to the staging index go through.
    pub(super) fn fill_alias(&self) -> Result<String> {
        Ok(self.context.plan.names.fill_alias(&self.record()?.digest()))
    }

    /// Creates the staging index, or finds the one that an earlier start created from the same state of the source.
    pub(super) async fn prepare_fill(&mut self) -> Result<StepResult> {
        let CopyContext { cluster, plan, .. } = self.context;
        let (record, fill, alias) = (self.record()?.clone(), self.fill()?, self.fill_alias()?);
        let indices = self.context.indices().await?;
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
        if plan.take_over.is_none() {
            generations::remove_dead_clones(&self.context.gatekeeper(), &indices).await?;
        }
        let Some(found) = indices.get(&fill) else {
            let mut mapping = plan.copy_mapping();
            // The `_meta` of Kibana's index describes that index only.
            let inherited = plan.current.as_ref().filter(|_| plan.take_over.is_none()).map(|current| &current.mapping);
            let settings = plan.carried().while_copying();
            mapping["_meta"] = plan.meta_of_copy(record).into_meta(inherited);
            let request =
                CreateIndex { name: fill, mapping, aliases: vec![alias], purpose: IndexPurpose::Filling, settings };
            cluster.create_index(&request).await?;
            return Ok(StepResult::default());
        };
        if !found.aliases.contains_key(&alias) {
            // A copy of the same state was undone, and its staging index is not deleted yet. Its documents are valid.
            let mut actions = self.while_mine()?;
            actions.push(AliasAction::Add { index: fill, alias });
            update_aliases(cluster, &actions).await?;
        }
        let complete = IndexMeta::from_mapping(&found.mapping)?.copy.and_then(|copy| copy.complete);
        let staging = match complete.is_some_and(|complete| complete.uuid == found.uuid) {
            true => StagingState::Complete,
            false if found.write_blocked => StagingState::Blocked,
            false => StagingState::Begun,
        };
        Ok(StepResult { staging, ..StepResult::default() })
    }

    /// Returns the actions that fail if the copy was undone. A take-over has no such condition before its staging index
    /// exists.
    fn while_mine(&self) -> Result<Vec<AliasAction>> {
        let plan = self.context.plan;
        let Some(alias) = self.mark.clone() else { return Ok(Vec::new()) };
        let index = plan.index.clone();
        Ok(vec![AliasAction::Remove { index: index.clone(), alias: alias.clone() }, AliasAction::Add { index, alias }])
    }

    /// Records in the staging index how many documents the copy leaves out, for later comparisons with the source.
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
        super::record::record_facts(self.context.cluster, index, &facts).await
    }

    /// Blocks writes to the staging index, counts its documents, and records that it is complete.
    pub(super) async fn block_fill(&self) -> Result<StepResult> {
        let CopyContext { cluster, plan, .. } = self.context;
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
            return Ok(StepResult::default());
        }
        // The gate of the source was opened in the meantime, so the next state reads the source again.
        let moved_on = self.check_source().await?;
        if moved_on.source_moved {
            return Ok(moved_on);
        }
        Err(Error::new(
            ErrorKind::Internal,
            format!("the copy of {} is not complete: {} became {}", plan.index, text_of(&source), text_of(&copy)),
        )
        .with_hint("nothing was swapped; report this, and start again"))
    }

    /// Returns the number of documents by type.
    async fn count(&self, index: &str) -> Result<BTreeMap<Option<String>, u64>> {
        let mut by_type = BTreeMap::new();
        for count in self.context.cluster.count_by_type(index).await? {
            *by_type.entry(count.type_name).or_default() += count.documents;
        }
        Ok(by_type)
    }

    /// Clones the staging index to the next generation and waits for its shards.
    pub(super) async fn clone_fill(&mut self) -> Result<()> {
        let CopyContext { cluster, plan, .. } = self.context;
        let source = self.fill()?;
        let indices = self.context.indices().await?;
        let complete =
            indices.get(&source).and_then(|state| IndexMeta::from_mapping(&state.mapping).ok()?.copy?.complete);
        let complete = complete.ok_or_else(|| moved("another node undid the copy"))?;
        let generation = self.choose_target(&indices, &complete).await?;
        let target = plan.names.index(generation);
        let settings = plan.carried().when_complete();
        let has_settings = !settings.is_empty();
        let request = CloneIndex { source: source.clone(), target: target.clone(), aliases: Vec::new(), settings };
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
        // If no node can take the replicas that operators asked for, waiting for them would only prolong the time
        // without writes.
        let lacks_replicas =
            has_settings && cluster.wait_for_health(&plan.index, Health::Green, Duration::ZERO).await? != Health::Green;
        let wanted = if lacks_replicas { Health::Yellow } else { Health::Green };
        let wait =
            async |timeout| self.context.environment.stop().or(cluster.wait_for_health(&target, wanted, timeout)).await;
        let mut health = wait(CLONE_TIMEOUT).await??;
        if health == Health::Red && !cluster.indices(&[&source]).await?.contains_key(&source) {
            // Without its source the clone may never get a shard. The next attempt finds that out and deletes it.
            return Err(moved("another node undid the copy"));
        }
        if health == Health::Red || health != wanted && wanted == Health::Green {
            health = wait(INDEX_TIMEOUT.saturating_sub(CLONE_TIMEOUT)).await??;
        }
        if health == Health::Red {
            return Err(Error::new(ErrorKind::Unavailable, format!("the new index {target} has no primary shard"))
                .with_hint(
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
        // From now on searches see the documents of the clone.
        cluster.refresh(&target).await?;
        self.target = Some(generation);
        Ok(())
    }

    /// Returns the number of a clone that this copy, or another node with the same copy, has made already. If there is
    /// none, reserves a number that was never used.
    async fn choose_target(&self, indices: &BTreeMap<String, IndexState>, complete: &Complete) -> Result<u32> {
        let CopyContext { cluster, numbers, plan, .. } = self.context;
        for (name, state) in indices.iter().filter(|(_, state)| self.is_clone(state, complete)) {
            let Some(generation) = plan.names.generation(name) else { continue };
            let is_used = [plan.names.alias(), &plan.names.write_alias(generation)]
                .iter()
                .any(|alias| state.aliases.contains_key(*alias));
            // A clone with other writes was current once.
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
        self.target.map(|generation| self.context.plan.names.index(generation))
    }

    /// Makes the next generation current, in one atomic request.
    pub(super) async fn swap(&self) -> Result<()> {
        let CopyContext { cluster, numbers, plan, .. } = self.context;
        let names = &plan.names;
        let (Some(generation), Some(target)) = (self.target, self.target()) else {
            return Err(Error::new(ErrorKind::Internal, "a copy was to be swapped that was not cloned"));
        };
        // A clone that an operator makes of this index later has the same `_meta`; the recorded uuid tells the two
        // apart.
        let mut found = cluster.indices(&[&target, &plan.index]).await?;
        let source = found.remove(&plan.index);
        let found = found.remove(&target).ok_or_else(|| moved("another node undid the copy"))?;
        let copy = CopyRecord { generation_uuid: Some(found.uuid), ..self.record()?.clone() };
        let facts = IndexMeta { highest_generation: generation, copy: Some(copy), ..IndexMeta::default() };
        super::record::record_facts(cluster, &target, &facts).await?;
        numbers.give(&plan.group, &self.record()?.digest()).await?;
        let remove =
            |index: &str, alias: &str| AliasAction::Remove { index: index.to_owned(), alias: alias.to_owned() };
        let mut swap = Vec::new();
        // A take-over leaves the aliases of Kibana's index.
        if let Some(mark) = &self.mark {
            swap.extend([remove(&plan.index, names.alias()), remove(&plan.index, mark)]);
        }
        swap.extend([
            remove(&self.fill()?, &self.fill_alias()?),
            AliasAction::Add { index: target.clone(), alias: names.alias().to_owned() },
            AliasAction::Add { index: target.clone(), alias: names.write_alias(generation) },
        ]);
        if let (Some(source), None) = (&source, &plan.take_over) {
            swap.extend(carry::move_aliases(names, &plan.index, source, &target));
        }
        update_aliases(cluster, &swap).await
    }

    /// Deletes the staging indices of the source: that of this copy, and those of other definitions or policies.
    pub(super) async fn delete_fills(&self) -> Result<()> {
        let (record, plan) = (self.record()?, self.context.plan);
        for (name, _, other) in generations::fills(&plan.names, &self.context.indices().await?) {
            if other.source_uuid == record.source_uuid {
                generations::remove_fill(self.context.cluster, name).await;
            }
        }
        Ok(())
    }

    /// Returns an error if the source took writes while its gate was closed, because someone opened the gate by hand.
    pub(super) async fn check_nothing_came_late(&self) -> Result<()> {
        let (Some(target), plan) = (self.target(), self.context.plan) else { return Ok(()) };
        let source = &plan.index;
        let late = match self.context.cluster.write_count(source).await {
            Ok(writes) => writes.saturating_sub(self.record()?.source_writes),
            // An operator who needs no rollback has deleted the source.
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
        .with_hint(format!("they are in {source}, which is kept: {way_back}compare the two")))
    }
}

/// Returns numbers of documents by type as text.
fn text_of(counts: &BTreeMap<Option<String>, u64>) -> String {
    let text =
        |(name, count): (&Option<String>, &u64)| format!("{count} {}", name.as_deref().unwrap_or("without a type"));
    if counts.is_empty() { "none".to_owned() } else { counts.iter().map(text).collect::<Vec<_>>().join(", ") }
}
