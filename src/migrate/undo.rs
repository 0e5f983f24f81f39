//! Undoes copies, and deletes the indices that interrupted copies left.

use std::collections::BTreeMap;

use super::GroupPlan;
use super::gate::{Gatekeeper, update_aliases};
use super::generations::{self, Removal};
use crate::Result;
use crate::cluster::{AliasAction, Cluster, ClusterError, IndexState};
use crate::engine::control::GenerationNumbers;
use crate::environment::Environment;
use crate::layout::Gate;
use crate::registry;

/// What the steps of a copy of one group's index, and its undoing, work with.
#[derive(Debug, Clone, Copy)]
pub(super) struct CopyContext<'a> {
    pub(super) cluster: &'a dyn Cluster,
    pub(super) environment: &'a Environment,
    pub(super) numbers: &'a GenerationNumbers,
    pub(super) plan: &'a GroupPlan,
}

impl CopyContext<'_> {
    pub(super) fn gatekeeper(&self) -> Gatekeeper<'_> {
        let Self { cluster, environment, plan, .. } = *self;
        Gatekeeper { cluster, environment, names: &plan.names, generation: plan.generation, index: &plan.index }
    }

    /// Returns all indices of the group.
    pub(super) async fn indices(&self) -> Result<BTreeMap<String, IndexState>> {
        let names = &self.plan.names;
        Ok(self.cluster.indices(&[names.alias(), &names.any()]).await?)
    }

    /// Undoes a copy. Opens the gate of the source first, so that no swap can happen any more, then deletes the indices
    /// that the copy made. A source that is no longer the current generation, or whose gate is not closed by a copy,
    /// stays as it is.
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
                // Another node finished the take-over, so the clone of this node is not needed.
                Some((current, _)) => {
                    let gatekeeper = Gatekeeper { index: current, ..self.gatekeeper() };
                    for name in generations::unused_clones(cluster, &plan.names, &indices, uuid).await? {
                        generations::remove_generation(&gatekeeper, &name, &indices).await?;
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

    /// Removes the alias of a staging index, without which no swap can happen, and in the same request its clones. If a
    /// snapshot keeps a clone from being deleted, removes only the alias.
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

    /// Opens the gate of the current index, no matter what closed it, adds the field of the nonce to its mapping, and
    /// deletes what copies left. Sets `has_healed` as soon as something is done, even if an error follows.
    pub(super) async fn heal(&self, has_healed: &mut bool) -> Result<()> {
        let Self { cluster, plan, .. } = *self;
        if plan.is_closed() {
            *has_healed = true;
            tracing::info!(index = plan.index, gate = ?plan.gate, "letting the index take writes again");
            self.gatekeeper().open(&plan.gate).await?;
        }
        if plan.lacks_nonce_field {
            *has_healed = true;
            tracing::info!(index = plan.index, "adding the field of the nonce to the mapping of an index");
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

    /// Returns the generations that copies made and that never became current.
    fn abandoned<'i>(&self, indices: &'i BTreeMap<String, IndexState>) -> impl Iterator<Item = &'i String> {
        let plan = self.plan;
        indices.keys().filter(move |name| **name != plan.index && generations::is_abandoned(&plan.names, name, indices))
    }

    /// Deletes the generations that copies made and that never became current. Returns whether anything was written.
    async fn remove_abandoned(&self, indices: &BTreeMap<String, IndexState>) -> Result<bool> {
        let dead = generations::remove_dead_clones(&self.gatekeeper(), indices).await?;
        let mut has_written = !dead.is_empty();
        for name in self.abandoned(indices).filter(|name| !dead.contains(name)) {
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
