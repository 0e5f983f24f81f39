use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::decide::{GroupMetadata, block_of, is_behind, new_plans, plan};
use super::preflight::{self, Obstacles};
use super::progress::ProgressSender;
use super::status::Survey;
use super::take_over;
use super::{Blocker, GroupPlan, OnBad, OnUnreadable, Plan, Progress, Source, TakeOver, Way};
use crate::Result;
use crate::cluster::{Cluster, IndexState, Unseen};
use crate::control::{Control, GenerationNumbers, KeysInUse};
use crate::conversion::Conversion;
use crate::encryption::{EncryptionService, KibanaCodec, KibanaKeys};
use crate::environment::Environment;
use crate::layout::{IndexNames, Prefix};
use crate::quarantine::Quarantine;
use crate::registry::Registry;

/// Migrates the indices of one prefix to the types of a registry.
#[derive(Debug)]
pub struct Migrator {
    pub(super) cluster: Arc<dyn Cluster>,
    pub(super) registry: Arc<Registry>,
    pub(super) prefix: Prefix,
    pub(super) conversion: Conversion,
    encryption: EncryptionService,
    pub(super) keys: KeysInUse,
    pub(super) environment: Environment,
    pub(super) progress: ProgressSender,
    pub(super) delete_removed: bool,
    pub(super) rescan: bool,
    pub(super) without_lease: bool,
    pub(super) quarantine: Quarantine,
    pub(super) on_bad: OnBad,
    pub(super) on_unreadable: OnUnreadable,
    take_overs: Vec<TakeOver>,
    pub(super) kibana: Option<KibanaCodec>,
    /// The copies that were begun and did not end, by group.
    copying: Mutex<BTreeMap<String, GroupPlan>>,
}

impl Migrator {
    /// A migrator for the indices under `prefix`.
    pub fn new(
        cluster: Arc<dyn Cluster>,
        registry: Arc<Registry>,
        prefix: Prefix,
        encryption: EncryptionService,
        environment: Environment,
    ) -> Self {
        let conversion = Conversion::new(registry.clone(), encryption.clone());
        let quarantine = Quarantine::new(cluster.clone(), prefix.clone());
        let keys = KeysInUse::new(cluster.clone(), &prefix);
        Self {
            cluster,
            registry,
            prefix,
            conversion,
            encryption,
            keys,
            environment,
            progress: ProgressSender::new(),
            delete_removed: false,
            rescan: false,
            without_lease: false,
            quarantine,
            on_bad: OnBad::default(),
            on_unreadable: OnUnreadable::default(),
            take_overs: Vec::new(),
            kibana: None,
            copying: Mutex::default(),
        }
    }

    /// Lets the migration delete the documents of types that are marked as removed.
    #[must_use]
    pub fn delete_removed(mut self) -> Self {
        self.delete_removed = true;
        self
    }

    /// Lets the migration convert what nodes of an older version wrote after an in-place migration had ended. Such documents
    /// are converted whenever they are read, and [`status`](Self::status) counts them.
    #[must_use]
    pub fn rescan(mut self) -> Self {
        self.rescan = true;
        self
    }

    /// Lets the migration neither take nor watch the lease. Several nodes then do the same work at the same time, which is
    /// right but a waste.
    #[must_use]
    pub fn without_lease(mut self) -> Self {
        self.without_lease = true;
        self
    }

    /// What is done with documents that cannot be converted.
    #[must_use]
    pub fn on_bad(mut self, on_bad: OnBad) -> Self {
        self.on_bad = on_bad;
        self
    }

    /// What is done with documents of which a secret that is to be encrypted again does not open.
    #[must_use]
    pub fn on_unreadable(mut self, on_unreadable: OnUnreadable) -> Self {
        self.on_unreadable = on_unreadable;
        self
    }

    /// Lets the migration begin a group with a copy of an index that Kibana wrote, which is write-blocked and otherwise left
    /// as it is. May be called for several. A group that was taken over already is migrated as any other.
    #[must_use]
    pub fn take_over(mut self, take_over: TakeOver) -> Self {
        self.take_overs.push(take_over);
        self
    }

    /// Shares what this process knows of the keys in use.
    pub(crate) fn knowing(mut self, keys: KeysInUse) -> Self {
        self.keys = keys;
        self
    }

    /// The keys that Kibana encrypted with, which only a take-over needs.
    #[must_use]
    pub fn kibana_keys(mut self, keys: KibanaKeys) -> Self {
        self.kibana = Some(KibanaCodec::new(keys, self.environment.clone()));
        self
    }

    /// Tells `progress` how far the migration is.
    pub(crate) fn telling(mut self, progress: ProgressSender) -> Self {
        self.progress = progress;
        self
    }

    /// How far a running migration is.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Reads the metadata of every index group, one GET each, and plans.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the cluster cannot be reached, [`Incompatible`](crate::ErrorKind::Incompatible) if an
    /// index says of itself what this version does not understand.
    pub async fn plan(&self) -> Result<Plan> {
        self.plan_with(&BTreeSet::new()).await
    }

    /// As [`plan`](Self::plan), for an operator: it is asked of every index whether the credentials see it, and not only where one
    /// seems to be missing. One request more.
    pub(super) async fn plan_for_operator(&self) -> Result<Plan> {
        let mut plan = self.plan().await?;
        if plan.unseen.is_empty() {
            let unseen = self.unseen_groups().await?;
            leave_out(&mut plan, unseen);
        }
        Ok(plan)
    }

    /// What the credentials do not see of the groups and of the engine's own indices. One request.
    pub(super) async fn unseen_groups(&self) -> Result<Unseen> {
        let names = self.registry.groups().into_keys().map(|group| self.prefix.group(group));
        let names: Vec<String> = names.chain([self.prefix.control()]).flat_map(|names| names.all()).collect();
        Ok(Unseen::among(self.cluster.as_ref(), &names).await?)
    }

    /// As [`plan`](Self::plan), knowing which groups' indices refused the registered mapping.
    pub(super) async fn plan_with(&self, refused: &BTreeSet<String>) -> Result<Plan> {
        let mut sources = Vec::with_capacity(self.take_overs.len());
        for wanted in &self.take_overs {
            let indices = self.cluster.indices(&[&wanted.alias]).await?;
            sources.push((wanted.clone(), Source { alias: wanted.alias.clone(), indices }));
        }
        let (mut sources, blockers) = take_over::assign(&self.registry, sources);
        let (mut metadata, mut own) = (BTreeMap::new(), None);
        let control = self.prefix.control();
        for group in new_plans(&self.registry, &self.prefix) {
            let indices = match own {
                Some(_) => self.indices_of(&group.names).await?,
                // The first request has the engine's own indices too.
                None => {
                    let wanted = [group.names.alias(), &group.names.any(), control.alias(), &control.any()];
                    let found = self.cluster.indices(&wanted).await?;
                    let is_own = |name: &String| *name == control.alias() || control.is_within(name);
                    let (engines, groups) = found.into_iter().partition(|(name, _)| is_own(name));
                    own = Some(engines);
                    groups
                }
            };
            let mapping_refused = refused.contains(&group.group);
            let take_over = sources.remove(&group.group);
            metadata.insert(group.group, GroupMetadata { indices, mapping_refused, take_over });
        }
        let mut plan = plan(&self.registry, &self.prefix, &metadata)?;
        let sources = metadata.iter().filter_map(|(group, found)| Some((group, found.take_over.as_ref()?)));
        let missing_sources: Vec<_> = sources.filter(|(_, source)| source.indices.is_empty()).collect();
        let without_index = plan.groups.iter().filter(|group| group.current.is_none());
        let missing = without_index.flat_map(|group| group.names.all());
        let missing: Vec<String> = missing.chain(missing_sources.iter().map(|(_, it)| it.alias.clone())).collect();
        let unseen = Unseen::among(self.cluster.as_ref(), &missing).await?;
        for (group, source) in missing_sources.into_iter().filter(|(_, source)| unseen.0.contains(&source.alias)) {
            plan.blockers.retain(|blocker| *blocker != take_over::no_source(&source.alias));
            plan.groups.retain(|plan| plan.group != *group);
        }
        leave_out(&mut plan, unseen);
        plan.blockers.extend(blockers);
        let own: BTreeMap<String, IndexState> = own.unwrap_or_default();
        let is_ours = |(name, state): &(&String, &IndexState)| {
            [&control, &self.quarantine.names()]
                .iter()
                .any(|names| names.generation(name).is_some() || is_behind(names.alias(), name, state))
        };
        plan.blockers.extend(own.iter().filter(is_ours).filter_map(|(name, state)| block_of(name, state, false)));
        Ok(plan)
    }

    /// What of Kibana's keys and ours a take-over lacks.
    pub(super) fn missing_keys(&self, plan: &Plan) -> Vec<Blocker> {
        take_over::missing_keys(&plan.groups, self.kibana.is_some(), self.conversion.can_encrypt())
    }

    /// The indices of a group, current or not. One request.
    pub(super) async fn indices_of(&self, names: &IndexNames) -> Result<BTreeMap<String, IndexState>> {
        Ok(self.cluster.indices(&[names.alias(), &names.any()]).await?)
    }

    /// Returns the blocker of a node that lacks keys which are in use. One request at most.
    pub(super) async fn lacking_keys(&self) -> Result<Option<Blocker>> {
        let lacking = self.keys.lacking(self.encryption.key_ring().as_deref(), &self.registry).await?;
        Ok(lacking.map(|lacking| Blocker { what: lacking.what(), cure: lacking.cure() }))
    }

    pub(super) fn copying(&self) -> MutexGuard<'_, BTreeMap<String, GroupPlan>> {
        self.copying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn generation_numbers(&self) -> GenerationNumbers {
        GenerationNumbers::new(self.cluster.clone(), &self.prefix)
    }

    pub(super) fn control(&self) -> Control {
        Control::new(self.cluster.clone(), &self.prefix)
    }

    pub(super) async fn obstacles(&self, plan: &Plan, patience: Duration) -> Result<Obstacles> {
        preflight::obstacles(self.cluster.as_ref(), plan, &self.prefix.control(), patience).await
    }

    /// The survey; an empty one if what blocks the migration keeps from reading too.
    pub(super) async fn survey_if_possible(&self, plan: &Plan) -> Result<Survey> {
        match self.survey(plan).await {
            Err(_) if !plan.blockers.is_empty() => Ok(Survey::default()),
            survey => survey,
        }
    }

    pub(super) async fn survey(&self, plan: &Plan) -> Result<Survey> {
        let mut survey = Survey::default();
        for group in plan.groups.iter().filter(|group| group.way != Way::Create) {
            survey.add(group, self.cluster.count_by_type(&group.index).await?);
        }
        Ok(survey)
    }
}

/// Adds what the credentials do not see to the plan. Groups that seem to have no index may have one then, and are left out.
fn leave_out(plan: &mut Plan, unseen: Unseen) {
    if unseen.is_empty() {
        return;
    }
    let is_unseen = |group: &GroupPlan| group.names.all().iter().any(|name| unseen.0.contains(name));
    plan.groups.retain(|group| group.current.is_some() || !is_unseen(group));
    plan.blockers.push(Blocker { what: unseen.what(), cure: unseen.cure() });
    plan.unseen = unseen.0;
}
