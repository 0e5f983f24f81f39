use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::Instrument;

use super::bad::Policy;
use super::decide::{GroupMetadata, is_beyond_others, new_plans, plan};
use super::lease::{self, Lease};
use super::preflight;
use super::progress::ProgressSender;
use super::report::BadDocuments;
use super::status::{self, KeptIndex, Status, Survey};
use super::survey;
use super::take_over;
use super::walk::Walk;
use super::{
    Blocker, GroupPlan, IndexReport, LeaseStatus, OnBad, OnUnreadable, Outcome, Plan, Progress, Report, ReportedError,
    Source, TakeOver, Unregistered, Way,
};
use crate::cluster::{Cluster, ClusterError, ClusterErrorKind, IndexState};
use crate::control::{Control, KeysInUse, Standing};
use crate::conversion::Conversion;
use crate::encryption::{EncryptionService, KibanaCodec, KibanaKeys};
use crate::environment::Environment;
use crate::layout::{IndexNames, Prefix};
use crate::quarantine::Quarantine;
use crate::registry::{Registry, TypeDefinition};
use crate::{Error, ErrorKind, Result};

/// How often it is planned anew because other nodes, that this one sees no lease of, moved what it had planned with.
const MAX_REPLANS: u32 = 120;

/// Migrates the indices of one prefix to the types of a registry.
#[derive(Debug)]
pub struct Migrator {
    pub(super) cluster: Arc<dyn Cluster>,
    pub(super) registry: Arc<Registry>,
    pub(super) prefix: Prefix,
    conversion: Conversion,
    encryption: EncryptionService,
    keys: KeysInUse,
    environment: Environment,
    progress: ProgressSender,
    delete_removed: bool,
    rescan: bool,
    without_lease: bool,
    quarantine: Quarantine,
    on_bad: OnBad,
    on_unreadable: OnUnreadable,
    take_overs: Vec<TakeOver>,
    kibana: Option<KibanaCodec>,
}

/// How an attempt at all groups ended.
enum Attempt {
    Done,
    Blocked,
    /// Another node has the lease.
    OtherAtWork,
    /// The index of this group does not take the registered mapping.
    MappingRefused(String),
}

/// What was done so far, over all attempts.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// By alias.
    pub(super) indices: BTreeMap<String, IndexReport>,
    bad: BadDocuments,
    unregistered: Vec<Unregistered>,
    pub(super) blockers: Vec<Blocker>,
    /// Indices deleted.
    pub(super) dropped: Vec<String>,
}

impl Work {
    /// Adds a group as it is planned now. What an earlier attempt did for it stays in the report.
    fn add(&mut self, survey: &Survey, group: &GroupPlan) {
        let planned = survey.report(group);
        match self.indices.get_mut(group.names.alias()) {
            None => drop(self.indices.insert(planned.alias.clone(), planned)),
            Some(report) => {
                report.index = planned.index;
                report.take_over = report.take_over.take().or(planned.take_over);
                if planned.way != Way::None {
                    report.way = planned.way;
                }
            }
        }
    }

    fn outcome(&self, has_waited: bool) -> Outcome {
        let is_untouched = |report: &IndexReport| report.way == Way::None && report.documents.deleted == 0;
        match self.indices.values().all(is_untouched) {
            true if has_waited => Outcome::Waited,
            true => Outcome::NothingToDo,
            false => Outcome::Migrated,
        }
    }
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
    /// [`Unavailable`](ErrorKind::Unavailable) if the cluster cannot be reached, [`Incompatible`](ErrorKind::Incompatible) if an
    /// index says of itself what this version does not understand.
    pub async fn plan(&self) -> Result<Plan> {
        self.plan_with(&BTreeSet::new()).await
    }

    /// As [`plan`](Self::plan), knowing which groups' indices refused the registered mapping.
    async fn plan_with(&self, refused: &BTreeSet<String>) -> Result<Plan> {
        let mut sources = Vec::with_capacity(self.take_overs.len());
        for wanted in &self.take_overs {
            let indices = self.cluster.indices(&[&wanted.alias]).await?;
            sources.push((wanted.clone(), Source { alias: wanted.alias.clone(), indices }));
        }
        let (mut sources, blockers) = take_over::assign(&self.registry, sources);
        let mut metadata = BTreeMap::new();
        for group in new_plans(&self.registry, &self.prefix) {
            let indices = self.indices_of(&group.names).await?;
            let mapping_refused = refused.contains(&group.group);
            let take_over = sources.remove(&group.group);
            metadata.insert(group.group, GroupMetadata { indices, mapping_refused, take_over });
        }
        let mut plan = plan(&self.registry, &self.prefix, &metadata)?;
        plan.blockers.extend(blockers);
        Ok(plan)
    }

    /// What of Kibana's keys and ours a take-over lacks.
    fn missing_keys(&self, plan: &Plan) -> Vec<Blocker> {
        take_over::missing_keys(&plan.groups, self.kibana.is_some(), self.conversion.can_encrypt())
    }

    /// The indices of a group, current or not. One request.
    pub(super) async fn indices_of(&self, names: &IndexNames) -> Result<BTreeMap<String, IndexState>> {
        Ok(self.cluster.indices(&[names.alias(), &names.any()]).await?)
    }

    /// The plan with a survey of the documents: what [`migrate`](Self::migrate) would do. Writes nothing. Errors are in the
    /// report.
    pub async fn describe(&self) -> Report {
        let run = Run::begin(self);
        let mut work = Work::default();
        let described = async {
            let mut plan = self.plan().await?;
            plan.blockers.extend(lacking_keys(&self.keys_standing().await?));
            plan.blockers.extend(self.obstacles(&plan, preflight::A_LOOK).await?);
            let survey = self.survey_if_possible(&plan).await?;
            plan.groups.iter().for_each(|group| work.add(&survey, group));
            let can_be_read = |group: &&GroupPlan| group.current.is_some() && plan.blockers.is_empty();
            for group in plan.groups.iter().filter(can_be_read) {
                // To open all secrets would take nearly as long as the take-over itself, and needs the keys.
                let conversion = match group.take_over {
                    Some(_) => &self.conversion.clone().leaving_secrets_closed(),
                    None => &self.conversion,
                };
                let found = survey::dry_run(self.cluster.as_ref(), conversion, group).await?;
                if let Some(report) = work.indices.get_mut(group.names.alias()) {
                    report.documents.bad = found.total;
                }
                work.bad.add(found.named, found.total);
            }
            plan.blockers.extend(self.missing_keys(&plan));
            plan.blockers.extend(take_over::misplaced(&plan.groups, &survey));
            Ok::<_, Error>((plan, survey))
        };
        let (plan, survey) = match described.await {
            Ok(described) => described,
            Err(error) => return run.report(Outcome::Failed, work, Some(&error)),
        };
        work.unregistered = survey.unregistered();
        let outcome = match (plan.blockers.is_empty(), plan.is_nothing_to_do()) {
            (false, _) => Outcome::Blocked,
            (true, true) => Outcome::NothingToDo,
            (true, false) => Outcome::Planned,
        };
        work.blockers = plan.blockers;
        run.report(outcome, work, None)
    }

    /// Brings every index to the registered versions. All groups are checked for blockers before the first write. If other
    /// nodes are at work, it waits for them; if they change what was planned with, it is planned anew. Errors are in the
    /// report; what was done stays done, and the next start goes on from there.
    pub async fn migrate(&self) -> Report {
        let mut lease = self.lease();
        let report = self.migrate_under(&mut lease).await;
        lease.release(report.error.as_ref().map(Error::from).as_ref()).await;
        report
    }

    async fn migrate_under(&self, lease: &mut Lease<'_>) -> Report {
        let run = Run::begin(self);
        let mut work = Work::default();
        let mut refused = BTreeSet::new();
        let (mut replans, mut pause) = (0, Lease::FIRST_PAUSE);
        loop {
            let error = match self.attempt(&refused, lease, &mut work).await {
                Ok(Attempt::Done) => return run.report(work.outcome(lease.has_waited), work, None),
                Ok(Attempt::OtherAtWork) => {
                    tracing::info!("another node migrates: waiting for it");
                    lease.wait_for_others().await;
                    continue;
                }
                Ok(Attempt::Blocked) if replans == 0 => return run.report(Outcome::Blocked, work, None),
                // Whoever moved the indices under this node may be the one who blocks them, and be done soon.
                Ok(Attempt::Blocked) if replans >= MAX_REPLANS => return run.report(Outcome::Blocked, work, None),
                Ok(Attempt::Blocked) => None,
                Ok(Attempt::MappingRefused(group)) => {
                    tracing::info!(group, "the index refuses the mapping, so it is copied");
                    refused.insert(group);
                    continue;
                }
                Err(error) if is_moved(&error) && replans < MAX_REPLANS => Some(error),
                Err(error) => return run.report(Outcome::Failed, work, Some(&error)),
            };
            tracing::info!(
                error = error.map(tracing::field::display),
                "planning anew, because other nodes are at work"
            );
            replans += 1;
            pause = lease.pause(pause).await;
        }
    }

    /// Waits until other nodes have brought every index to the registered versions, and writes nothing. It ends only then,
    /// with an error, or blocked, if this software cannot go on with the indices whatever others do: whoever waits decides how
    /// long.
    pub async fn wait(&self) -> Report {
        let run = Run::begin(self);
        let lease = self.lease();
        let (mut work, mut waited, mut pause) = (Work::default(), false, Lease::FIRST_PAUSE);
        loop {
            match self.plan().await {
                Ok(plan) => {
                    let is_ready = plan.is_ready();
                    // While others work, the keys are looked at once.
                    let standing = match (is_ready, waited) {
                        (true, _) => self.recorded_keys().await,
                        (false, false) => self.keys_standing().await,
                        (false, true) => Ok(Standing::Fine),
                    };
                    match standing {
                        Ok(standing) => work.blockers.extend(lacking_keys(&standing)),
                        Err(error) => return run.report(Outcome::Failed, work, Some(&error)),
                    }
                    if is_beyond_others(&self.registry, &plan) {
                        work.blockers.extend(plan.blockers.clone());
                    }
                    if !work.blockers.is_empty() {
                        return run.report(Outcome::Blocked, work, None);
                    }
                    if is_ready {
                        plan.groups.iter().for_each(|group| work.add(&Survey::default(), group));
                        return run.report(work.outcome(waited), work, None);
                    }
                    // Other blockers may be what another node is about to heal.
                    waited = true;
                }
                Err(error) => return run.report(Outcome::Failed, work, Some(&error)),
            }
            pause = lease.pause(pause).await;
        }
    }

    fn lease(&self) -> Lease<'_> {
        let lease = Lease::new(self.control(), &self.environment, &self.progress);
        if self.without_lease { lease.switched_off() } else { lease }
    }

    /// How this node's keys stand to those in use. One request at most.
    async fn keys_standing(&self) -> Result<Standing> {
        self.keys.standing(self.encryption.key_ring().as_deref(), &self.registry).await
    }

    /// The same, once this node's primary key is recorded as in use: it may write under it then.
    pub(super) async fn recorded_keys(&self) -> Result<Standing> {
        let standing = self.keys_standing().await?;
        match (&standing, self.encryption.key_ring()) {
            (Standing::NewPrimary, Some(ring)) => self.keys.record(&ring).await,
            _ => Ok(standing),
        }
    }

    fn control(&self) -> Control {
        Control::new(self.cluster.clone(), &self.prefix)
    }

    /// Plans, and does what is planned.
    async fn attempt(&self, refused: &BTreeSet<String>, lease: &mut Lease<'_>, work: &mut Work) -> Result<Attempt> {
        let mut plan = self.plan_with(refused).await?;
        if plan.is_nothing_to_do() && !self.delete_removed && !self.rescan {
            plan.blockers.extend(lacking_keys(&self.recorded_keys().await?));
        } else {
            plan.blockers.extend(lacking_keys(&self.keys_standing().await?));
        }
        work.blockers.clone_from(&plan.blockers);
        if plan.is_nothing_to_do() && !self.delete_removed && !self.rescan {
            plan.groups.iter().for_each(|group| work.add(&Survey::default(), group));
            return Ok(Attempt::Done);
        }
        plan.blockers.extend(self.obstacles(&plan, preflight::PATIENCE).await?);
        plan.blockers.extend(self.missing_keys(&plan));
        work.blockers.clone_from(&plan.blockers);
        // What blocks this node may be another node's work.
        if !plan.blockers.is_empty() && lease.is_other_at_work().await {
            return Ok(Attempt::OtherAtWork);
        }
        let survey = if self.rescan && plan.blockers.is_empty() {
            self.plan_rescan(&mut plan).await?
        } else {
            self.survey_if_possible(&plan).await?
        };
        plan.blockers.extend(take_over::misplaced(&plan.groups, &survey));
        work.blockers.clone_from(&plan.blockers);
        if plan.blockers.is_empty() && converts(&plan) && !lease.take(&digest(&plan)).await {
            return Ok(Attempt::OtherAtWork);
        }
        work.unregistered = survey.unregistered();
        plan.groups.iter().for_each(|group| work.add(&survey, group));
        if !plan.blockers.is_empty() {
            return Ok(Attempt::Blocked);
        }
        work.blockers.extend(lacking_keys(&self.recorded_keys().await?));
        if !work.blockers.is_empty() {
            return Ok(Attempt::Blocked);
        }
        lease.during(self.walk(&plan, &survey, work)).await
    }

    /// Turns the plan of each group that is where it should be, but has older documents, into one to convert them.
    async fn plan_rescan(&self, plan: &mut Plan) -> Result<Survey> {
        for group in plan.groups.iter().filter(|group| group.way == Way::None) {
            // What was written a moment ago is to be counted.
            self.cluster.refresh(&group.index).await?;
        }
        let survey = self.survey(plan).await?;
        for group in &mut plan.groups {
            if group.way != Way::None {
                continue;
            }
            // Bad documents are among the outdated ones only by chance.
            let is_to_be_done = survey.outdated(group) > 0
                || (self.on_bad != OnBad::Fail || self.on_unreadable != OnUnreadable::Fail)
                    && survey::dry_run(self.cluster.as_ref(), &self.conversion, group).await?.total > 0;
            if is_to_be_done {
                group.way = Way::InPlace;
            }
        }
        Ok(survey)
    }

    /// Walks every group through its states.
    async fn walk(&self, plan: &Plan, survey: &Survey, work: &mut Work) -> Result<Attempt> {
        let since = self.environment.now_iso();
        let (on_bad, on_unreadable) = (self.on_bad, self.on_unreadable);
        let policy = Policy { on_bad, on_unreadable, quarantine: &self.quarantine, since: &since };
        for group in &plan.groups {
            self.progress.begin(group.names.alias(), survey.to_be_converted(group));
            let Some(report) = work.indices.get_mut(group.names.alias()) else { continue };
            let walk = Walk {
                cluster: self.cluster.as_ref(),
                conversion: &self.conversion,
                clock: self.environment.clock(),
                progress: &self.progress,
                removed: &self.removed_types(group),
                group,
                policy,
                codec: self.kibana.as_ref().filter(|_| group.take_over.is_some()),
            };
            let span = tracing::info_span!("migrate", alias = group.names.alias(), way = ?group.way);
            let walked = walk.run(report, &mut work.bad).instrument(span).await;
            if walked.as_ref().is_err_and(is_refused_mapping) {
                return Ok(Attempt::MappingRefused(group.group.clone()));
            }
            walked?;
        }
        Ok(Attempt::Done)
    }

    /// The removed types whose documents are to be deleted from a group's index.
    fn removed_types(&self, group: &GroupPlan) -> Vec<String> {
        let of_group = |definition: &&Arc<TypeDefinition>| definition.group() == group.group;
        match self.delete_removed {
            true => self.registry.removed_types().filter(of_group).map(|removed| removed.name().to_owned()).collect(),
            false => Vec::new(),
        }
    }

    /// What is stored, by index and type, and what a migration would do. Writes nothing.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub async fn status(&self) -> Result<Status> {
        let mut plan = self.plan().await?;
        plan.blockers.extend(self.obstacles(&plan, preflight::A_LOOK).await?);
        let survey = self.survey_if_possible(&plan).await?;
        let mut status = status::status(&plan, &survey, self.lease_status().await?);
        let quarantined = self.quarantine.list().await?;
        for (group, index) in plan.groups.iter().zip(&mut status.indices) {
            index.quarantined = quarantined.iter().filter(|document| document.alias == index.alias).count() as u64;
            for kept in &group.kept {
                let counts = self.cluster.count_by_type(kept).await?;
                let documents = counts.iter().map(|count| count.documents).sum();
                index.kept.push(KeptIndex { index: kept.clone(), documents });
            }
        }
        Ok(status)
    }

    /// Which node migrates now and how far it is, or how the last migration failed; none if neither is the case. One request.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) if the cluster cannot be reached, [`Corrupt`](ErrorKind::Corrupt) if the lease has
    /// a form that this version does not know.
    pub async fn lease_status(&self) -> Result<Option<LeaseStatus>> {
        lease::read(self.control(), &self.environment).await
    }

    async fn obstacles(&self, plan: &Plan, patience: Duration) -> Result<Vec<Blocker>> {
        preflight::obstacles(self.cluster.as_ref(), plan, patience).await
    }

    /// The survey; an empty one if what blocks the migration keeps from reading too.
    async fn survey_if_possible(&self, plan: &Plan) -> Result<Survey> {
        match self.survey(plan).await {
            Err(_) if !plan.blockers.is_empty() => Ok(Survey::default()),
            survey => survey,
        }
    }

    async fn survey(&self, plan: &Plan) -> Result<Survey> {
        let mut survey = Survey::default();
        for group in plan.groups.iter().filter(|group| group.way != Way::Create) {
            survey.add(group, self.cluster.count_by_type(&group.index).await?);
        }
        Ok(survey)
    }
}

/// What keeps a node that lacks keys from starting.
pub(super) fn lacking_keys(standing: &Standing) -> Option<Blocker> {
    match standing {
        Standing::Lacking(lacking) => Some(Blocker { what: lacking.what(), cure: lacking.cure() }),
        Standing::Fine | Standing::NewPrimary => None,
    }
}

/// Whether documents are to be converted. An index is created as fast as a lease is, and twice is as good as once.
fn converts(plan: &Plan) -> bool {
    plan.groups.iter().any(|group| matches!(group.way, Way::InPlace | Way::Copy) || group.needs_healing())
}

/// The definitions of all groups.
fn digest(plan: &Plan) -> String {
    plan.groups.iter().map(GroupPlan::digest).collect::<Vec<_>>().join(",")
}

/// Whether other nodes changed what this one planned with.
fn is_moved(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound)
}

fn is_refused_mapping(error: &Error) -> bool {
    error.find_source::<ClusterError>().is_some_and(|cause| cause.kind == ClusterErrorKind::MappingRefused)
}

/// One run: when it began, and what it had cost by then.
pub(super) struct Run<'a> {
    migrator: &'a Migrator,
    started: Duration,
    requests_before: u64,
}

impl<'a> Run<'a> {
    pub(super) fn begin(migrator: &'a Migrator) -> Self {
        let started = migrator.environment.clock().monotonic();
        Self { migrator, started, requests_before: migrator.cluster.requests().total() }
    }

    pub(super) fn report(&self, outcome: Outcome, work: Work, error: Option<&Error>) -> Report {
        let elapsed = self.migrator.environment.clock().monotonic().saturating_sub(self.started);
        Report {
            outcome,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            requests: self.migrator.cluster.requests().total() - self.requests_before,
            error: error.map(ReportedError::from),
            indices: work.indices.into_values().collect(),
            bad_total: work.bad.total,
            bad: work.bad.named,
            unregistered: work.unregistered,
            blockers: work.blockers,
            dropped: work.dropped,
        }
    }
}
