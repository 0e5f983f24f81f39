//! The `Migrator`: its options, and the reading that every run begins with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::blockers::{block_of, control_misled, quarantine_misled};
use super::decide::{new_plans, plan};
use super::metadata::{GroupMetadata, is_behind};
use super::moved::{self, Moved};
use super::preflight::{self, Obstacles};
use super::progress::ProgressSender;
use super::survey::Survey;
use super::take_over;
use super::{Blocker, GroupPlan, OnBad, OnUnreadable, Plan, Progress, Source, TakeOver, Way};
use crate::Result;
use crate::cluster::{ClusterResult, IndexState, TypeCount, Unrefreshed, Unseen};
use crate::encryption::SourceReader;
#[cfg(any(test, feature = "kibana"))]
use crate::encryption::{KibanaCodec, KibanaKeys};
use crate::engine::Engine;
use crate::engine::control::GenerationNumbers;
use crate::engine::quarantine::Quarantine;
use crate::engine::under_prefix::UnderPrefix;
use crate::layout::IndexNames;

/// Migrates the indices of one prefix to the types of a registry.
#[derive(Debug)]
pub struct Migrator {
    pub(super) engine: Engine,
    pub(super) progress: ProgressSender,
    pub(super) delete_removed: bool,
    pub(super) rescan: bool,
    pub(super) without_lease: bool,
    pub(super) quarantine: Quarantine,
    pub(super) on_bad: OnBad,
    pub(super) on_unreadable: OnUnreadable,
    take_overs: Vec<TakeOver>,
    pub(super) source_reader: Option<Arc<dyn SourceReader>>,
    /// The plans of the copies that were begun and did not end, by group.
    copying: Mutex<BTreeMap<String, GroupPlan>>,
}

impl Migrator {
    /// Creates a migrator for the engine's indices.
    pub fn new(engine: &Engine) -> Self {
        Self {
            engine: engine.clone(),
            quarantine: Quarantine::new(engine),
            progress: ProgressSender::new(),
            delete_removed: false,
            rescan: false,
            without_lease: false,
            on_bad: OnBad::default(),
            on_unreadable: OnUnreadable::default(),
            take_overs: Vec::new(),
            source_reader: None,
            copying: Mutex::default(),
        }
    }

    /// Lets the migration delete the documents of types that the registry marks as removed.
    #[must_use]
    pub fn delete_removed(mut self) -> Self {
        self.delete_removed = true;
        self
    }

    /// Lets the migration convert the documents that nodes of an older version wrote after an in-place migration had
    /// ended. Without a rescan they are converted whenever they are read, and [`status`](Self::status) counts them.
    #[must_use]
    pub fn rescan(mut self) -> Self {
        self.rescan = true;
        self
    }

    /// Lets the migration neither take nor watch the lease. Several nodes may then do the same work at the same time,
    /// with the same result.
    #[must_use]
    pub fn without_lease(mut self) -> Self {
        self.without_lease = true;
        self
    }

    /// Sets what the migration does with documents that cannot be converted.
    #[must_use]
    pub fn on_bad(mut self, on_bad: OnBad) -> Self {
        self.on_bad = on_bad;
        self
    }

    /// Sets what the migration does with documents that have a secret which must be encrypted again and cannot be
    /// decrypted.
    #[must_use]
    pub fn on_unreadable(mut self, on_unreadable: OnUnreadable) -> Self {
        self.on_unreadable = on_unreadable;
        self
    }

    /// Lets the migration create a group from a copy of an index that Kibana wrote. That index is write-blocked and not
    /// changed otherwise. Call it once for each such index. A group that was taken over already is migrated as any
    /// other.
    #[must_use]
    pub fn take_over(mut self, take_over: TakeOver) -> Self {
        self.take_overs.push(take_over);
        self
    }

    /// Sets the keys that Kibana encrypted with, which only a take-over needs.
    #[cfg(any(test, feature = "kibana"))]
    #[must_use]
    pub fn kibana_keys(mut self, keys: KibanaKeys) -> Self {
        self.source_reader = Some(Arc::new(KibanaCodec::new(keys, self.engine.environment.clone())));
        self
    }

    /// Lets the migration report its progress to `progress`.
    pub(crate) fn reporting_to(mut self, progress: ProgressSender) -> Self {
        self.progress = progress;
        self
    }

    /// Returns a receiver of the progress of a running migration.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Reads the metadata of all indices under the prefix, with one request, and plans. If an index records that it had
    /// documents of a type that is now registered in another group, these are counted.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the cluster cannot be reached,
    /// [`Incompatible`](crate::ErrorKind::Incompatible) if the `_meta` of an index has a form that this version does
    /// not know.
    pub async fn plan(&self) -> Result<Plan> {
        self.plan_with(&BTreeSet::new()).await
    }

    /// Plans for an operator, like [`plan`](Self::plan), but checks for every index whether the credentials see it, and
    /// not only for those that seem to be missing. Sends one request more.
    pub(super) async fn plan_for_operator(&self) -> Result<Plan> {
        let mut plan = self.plan().await?;
        if plan.unseen.is_empty() {
            let unseen = self.unseen_groups().await?;
            leave_out(&mut plan, unseen);
        }
        Ok(plan)
    }

    /// Returns which indices of the groups and of the engine the credentials do not see. Sends one request.
    pub(super) async fn unseen_groups(&self) -> Result<Unseen> {
        let names = self.engine.registry.groups().into_keys().map(|group| self.engine.prefix.group(group));
        let names: Vec<String> = names.chain([self.engine.prefix.control()]).flat_map(|names| names.all()).collect();
        Ok(Unseen::among(self.engine.cluster.as_ref(), &names).await?)
    }

    /// Plans like [`plan`](Self::plan), given the groups whose indices refused the registered mapping.
    pub(super) async fn plan_with(&self, refused: &BTreeSet<String>) -> Result<Plan> {
        let mut sources = Vec::with_capacity(self.take_overs.len());
        for wanted in &self.take_overs {
            let indices = self.engine.cluster.indices(&[&wanted.alias]).await?;
            sources.push((wanted.clone(), Source { alias: wanted.alias.clone(), indices }));
        }
        let is_missing =
            |(wanted, source): &(TakeOver, Source)| source.indices.is_empty().then(|| wanted.alias.clone());
        let missing_sources: Vec<String> = sources.iter().filter_map(is_missing).collect();
        let (mut sources, blockers) = take_over::assign(&self.engine.registry, sources);
        let mut metadata = BTreeMap::new();
        let control = self.engine.prefix.control();
        let all = self.engine.cluster.indices(&[&format!("{}-*", self.engine.prefix)]).await?;
        for group in new_plans(&self.engine.registry, &self.engine.prefix) {
            let of_group = all.iter().filter(|(name, state)| is_among(&group.names, name, state));
            let indices = of_group.map(|(name, state)| (name.clone(), state.clone())).collect();
            let mapping_refused = refused.contains(&group.group);
            let take_over = sources.remove(&group.group);
            metadata.insert(group.group, GroupMetadata { indices, mapping_refused, take_over });
        }
        let mut plan = plan(&self.engine.registry, &self.engine.prefix, &metadata)?;
        plan.blockers.extend(blockers);
        let without_index = plan.groups.iter().filter(|group| group.current.is_none());
        let missing = without_index.flat_map(|group| group.names.all());
        let missing: Vec<String> = missing.chain(missing_sources.iter().cloned()).collect();
        let unseen = Unseen::among(self.engine.cluster.as_ref(), &missing).await?;
        for alias in missing_sources.iter().filter(|alias| unseen.0.contains(alias)) {
            plan.blockers.retain(|blocker| *blocker != take_over::no_source(alias));
            let source_of = |group: &GroupPlan| metadata.get(&group.group)?.take_over.as_ref();
            plan.groups.retain(|group| source_of(group).is_none_or(|source| source.alias != *alias));
        }
        leave_out(&mut plan, unseen);
        let moved = moved::find(self.engine.cluster.as_ref(), &self.engine.registry, &self.engine.prefix, &all).await?;
        plan.blockers.extend(moved.iter().map(Moved::blocker));
        plan.moved_types = moved.iter().flat_map(Moved::types).cloned().collect();
        plan.unregistered_indices = moved::unregistered(&self.engine.registry, &self.engine.prefix, &all);
        let is_ours = |(name, state): &(&String, &IndexState)| {
            [&control, &self.quarantine.names()]
                .iter()
                .any(|names| names.generation(name).is_some() || is_behind(names.alias(), name, state))
        };
        let misled = control_misled(&control, &all);
        plan.control_misled = misled.is_some();
        plan.blockers.extend(misled);
        plan.blockers.extend(quarantine_misled(&self.quarantine.names(), &all));
        plan.has_control = all.iter().any(|(name, state)| is_behind(control.alias(), name, state));
        plan.blockers.extend(all.iter().filter(is_ours).filter_map(|(name, state)| block_of(name, state, false)));
        self.add_missing_transforms(&mut plan).await?;
        Ok(plan)
    }

    /// Returns the blockers of a take-over that lacks Kibana's keys or ours.
    pub(super) fn missing_keys(&self, plan: &Plan) -> Vec<Blocker> {
        take_over::missing_keys(&plan.groups, self.source_reader.is_some(), self.engine.conversion.can_encrypt())
    }

    /// Returns the indices of a group, current or not. Sends one request.
    pub(super) async fn indices_of(&self, names: &IndexNames) -> Result<BTreeMap<String, IndexState>> {
        Ok(self.engine.cluster.indices(&[names.alias(), &names.any()]).await?)
    }

    /// Returns the blocker of a node that lacks keys which are in use. Sends at most one request, and none if the plan
    /// says that the keys in use cannot be read.
    pub(super) async fn lacking_keys(&self, plan: &Plan) -> Result<Option<Blocker>> {
        if plan.control_misled {
            return Ok(None);
        }
        let lacking =
            self.engine.keys.lacking(self.engine.encryption.key_ring().as_deref(), &self.engine.registry).await?;
        Ok(lacking.map(|lacking| Blocker { what: lacking.what(), hint: lacking.hint() }))
    }

    pub(super) fn copying(&self) -> MutexGuard<'_, BTreeMap<String, GroupPlan>> {
        self.copying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn generation_numbers(&self) -> GenerationNumbers {
        GenerationNumbers::new(self.engine.cluster.clone(), &self.engine.prefix)
    }

    pub(super) async fn obstacles(&self, plan: &Plan, patience: Duration) -> Result<Obstacles> {
        // The checks only read, so they may be dropped at any moment.
        let checks = preflight::obstacles(self.engine.cluster.as_ref(), plan, patience);
        self.engine.environment.stop().or(checks).await?
    }

    /// Returns the survey, or an empty one if it fails and the migration is blocked anyway.
    pub(super) async fn survey_if_possible(&self, plan: &Plan) -> Result<Survey> {
        match self.survey(plan).await {
            Err(_) if !plan.blockers.is_empty() => Ok(Survey::default()),
            survey => survey,
        }
    }

    /// Returns the survey, including the documents of groups that are not registered.
    pub(super) async fn survey_of_all(&self, plan: &Plan) -> Result<Survey> {
        let mut survey = self.survey_if_possible(plan).await?;
        let (cluster, unregistered) = (self.engine.cluster.as_ref(), &plan.unregistered_indices);
        match moved::survey(cluster, &self.engine.registry, unregistered, &mut survey).await {
            Err(_) if !plan.blockers.is_empty() => Ok(survey),
            counted => counted.map(|()| survey),
        }
    }

    pub(super) async fn survey(&self, plan: &Plan) -> Result<Survey> {
        let mut survey = Survey::default();
        for group in &plan.groups {
            match group.way {
                Way::Create if plan.blockers.is_empty() => survey.add(group, Vec::new()),
                // There may be an index that a blocker is about.
                Way::Create => {}
                Way::None | Way::InPlace | Way::Copy => {
                    let counts = self.count(&group.index, &mut survey.skipped).await?;
                    survey.add(group, counts);
                }
            }
        }
        Ok(survey)
    }

    /// Counts the documents of an index, including those that were written a moment ago.
    pub(super) async fn count(&self, index: &str, skipped: &mut Vec<Blocker>) -> ClusterResult<Vec<TypeCount>> {
        let unrefreshed = Unrefreshed::after_refresh(self.engine.cluster.as_ref(), index).await?;
        skipped.extend(unrefreshed.map(|it| Blocker { what: it.what(), hint: it.hint().to_owned() }));
        self.engine.cluster.count_by_type(index).await
    }

    /// Returns the indices under the prefix that no registered type belongs to. Sends one request.
    pub(super) async fn not_visited(&self) -> Result<Vec<String>> {
        Ok(UnderPrefix::read(&self.engine).await?.not_visited)
    }
}

/// Returns whether an index or one of its aliases has a name of the group.
fn is_among(names: &IndexNames, index: &str, state: &IndexState) -> bool {
    let is_of_group = |name: &str| name == names.alias() || names.is_within(name);
    is_of_group(index) || state.aliases.keys().any(|alias| is_of_group(alias))
}

/// Adds the indices that the credentials do not see to the plan. Removes the groups that may have such an index.
fn leave_out(plan: &mut Plan, unseen: Unseen) {
    if unseen.is_empty() {
        return;
    }
    let is_unseen = |group: &GroupPlan| group.names.all().iter().any(|name| unseen.0.contains(name));
    plan.groups.retain(|group| group.current.is_some() || !is_unseen(group));
    plan.blockers.push(Blocker { what: unseen.what(), hint: unseen.hint() });
    plan.unseen = unseen.0;
}
