use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::convert::{Converter, Pass};
use super::progress::ProgressSender;
use super::record::record;
use super::report::{BadDocument, per_second};
use super::status::{self, Status, Survey};
use super::{
    Brought, DocumentCounts, Ended, GroupMetadata, GroupPlan, IndexReport, Outcome, Plan, Progress, Report,
    ReportedError, State, Way, plan,
};
use crate::cluster::{Cluster, CreateIndex, Health, IndexPurpose};
use crate::conversion::Conversion;
use crate::encryption::EncryptionService;
use crate::environment::Environment;
use crate::layout::Prefix;
use crate::registry::Registry;
use crate::{Error, ErrorKind, Result};

/// How long a new index may take until its primary shard is there.
const INDEX_TIMEOUT: Duration = Duration::from_secs(60);

/// Migrates the indices of one prefix to the types of a registry.
#[derive(Debug)]
pub struct Migrator {
    cluster: Arc<dyn Cluster>,
    registry: Arc<Registry>,
    prefix: Prefix,
    conversion: Conversion,
    environment: Environment,
    progress: ProgressSender,
}

/// What was done for the groups so far.
#[derive(Debug, Default)]
struct Work {
    indices: Vec<IndexReport>,
    bad: Vec<BadDocument>,
    bad_total: u64,
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
        let conversion = Conversion::new(registry.clone(), encryption);
        Self { cluster, registry, prefix, conversion, environment, progress: ProgressSender::new() }
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
        let mut metadata: BTreeMap<String, GroupMetadata> = BTreeMap::new();
        for group in self.registry.groups().into_keys() {
            let names = self.prefix.group(group);
            metadata.insert(group.to_owned(), self.cluster.indices(&[names.alias()]).await?);
        }
        plan(&self.registry, &self.prefix, &metadata)
    }

    /// The plan with a survey of the documents: what [`migrate`](Self::migrate) would do. Writes nothing. Errors are in the
    /// report.
    pub async fn describe(&self) -> Report {
        let run = Run::begin(self);
        let described = async {
            let plan = self.plan().await?;
            let survey = self.survey(&plan).await?;
            Ok((plan, survey))
        };
        match described.await {
            Ok((plan, survey)) => {
                let indices = plan.groups.iter().map(|group| survey.report(group)).collect();
                let work = Work { indices, ..Work::default() };
                let outcome = match (plan.blockers.is_empty(), plan.is_nothing_to_do()) {
                    (false, _) => Outcome::Blocked,
                    (true, true) => Outcome::NothingToDo,
                    (true, false) => Outcome::Planned,
                };
                run.report(outcome, work, &survey, plan, None)
            }
            Err(error) => run.failed(&error),
        }
    }

    /// Brings every index to the registered versions. All groups are checked for blockers before the first write. Errors
    /// are in the report; what was done stays done, and the next start goes on from there.
    pub async fn migrate(&self) -> Report {
        let run = Run::begin(self);
        let plan = match self.plan().await {
            Ok(plan) => plan,
            Err(error) => return run.failed(&error),
        };
        let mut work = Work::default();
        if plan.is_nothing_to_do() {
            work.indices = plan.groups.iter().map(|group| Survey::default().report(group)).collect();
            return run.report(Outcome::NothingToDo, work, &Survey::default(), plan, None);
        }
        let survey = match self.survey(&plan).await {
            Ok(survey) => survey,
            Err(error) => return run.failed(&error),
        };
        if !plan.blockers.is_empty() {
            work.indices = plan.groups.iter().map(|group| survey.report(group)).collect();
            return run.report(Outcome::Blocked, work, &survey, plan, None);
        }
        let mut ended = Ok(());
        for group in &plan.groups {
            let mut report = survey.report(group);
            if ended.is_ok() {
                ended = self.migrate_group(group, &survey, &mut report, &mut work).await;
            }
            work.indices.push(report);
        }
        match ended {
            Ok(()) => run.report(Outcome::Migrated, work, &survey, plan, None),
            Err(error) => run.report(Outcome::Failed, work, &survey, plan, Some(&error)),
        }
    }

    /// What is stored, by index and type, and what a migration would do. Writes nothing.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub async fn status(&self) -> Result<Status> {
        let plan = self.plan().await?;
        let survey = self.survey(&plan).await?;
        Ok(status::status(&plan, &survey))
    }

    async fn survey(&self, plan: &Plan) -> Result<Survey> {
        let mut survey = Survey::default();
        for group in plan.groups.iter().filter(|group| group.way != Way::Create) {
            survey.add(group, self.cluster.count_by_type(&group.index).await?);
        }
        Ok(survey)
    }

    /// Walks one group through its states.
    async fn migrate_group(
        &self,
        group: &GroupPlan,
        survey: &Survey,
        report: &mut IndexReport,
        work: &mut Work,
    ) -> Result<()> {
        self.progress.begin(group.names.alias(), survey.outdated(group));
        let mut converting = Duration::ZERO;
        let mut state = State::first(group.way);
        loop {
            let started = self.environment.clock().monotonic();
            let mut brought = Brought::default();
            match state {
                State::Create => self.create(group).await?,
                State::AddMapping => {
                    record(self.cluster.as_ref(), &group.index, &group.mapping, &group.meta_before()).await?;
                }
                State::Refresh { .. } => self.cluster.refresh(&group.index).await?,
                State::Convert { .. } => {
                    let pass = self.convert(group).await?;
                    brought = Brought { read: pass.counts.read, bad: pass.counts.bad };
                    converting += self.environment.clock().monotonic().saturating_sub(started);
                    report.documents.add(pass.counts);
                    report.docs_per_s = per_second(report.documents.written, converting);
                    work.bad_total += pass.counts.bad;
                    work.bad.extend(pass.bad);
                }
                State::RecordDocuments => {
                    record(self.cluster.as_ref(), &group.index, &group.mapping, &group.meta_after()).await?;
                }
                State::Ended(Ended::BadDocuments) => return Err(bad_documents(group, report.documents)),
                State::Ended(Ended::NothingToDo | Ended::Migrated) => return Ok(()),
            }
            let took = self.environment.clock().monotonic().saturating_sub(started);
            tracing::info!(alias = group.names.alias(), ?state, took_ms = took.as_millis(), "migration step done");
            state = state.next(brought);
        }
    }

    async fn create(&self, group: &GroupPlan) -> Result<()> {
        let mut mapping = group.mapping.clone();
        mapping["_meta"] = group.meta_after().into_meta(None);
        let aliases = vec![group.names.alias().to_owned(), group.names.write_alias(group.generation)];
        self.cluster
            .create_index(&CreateIndex { name: group.index.clone(), mapping, aliases, purpose: IndexPurpose::Serving })
            .await?;
        let health = self.cluster.wait_for_health(&group.index, Health::Yellow, INDEX_TIMEOUT).await?;
        if health == Health::Red {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("the new index {} has no primary shard", group.index),
            )
            .with_cure(
                "see GET _cluster/allocation/explain for why the cluster does not allocate it, and start again",
            ));
        }
        Ok(())
    }

    async fn convert(&self, plan: &GroupPlan) -> Result<Pass> {
        let cluster = self.cluster.as_ref();
        Converter { cluster, conversion: &self.conversion, plan, progress: &self.progress }.run().await
    }
}

fn bad_documents(group: &GroupPlan, counts: DocumentCounts) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("{} documents of {} cannot be converted; the good ones are", counts.bad, group.names.alias()),
    )
    .with_cure("correct or delete the documents that the report names, and start again")
}

/// One run: when it began, and what it had cost by then.
struct Run<'a> {
    migrator: &'a Migrator,
    started: Duration,
    requests_before: u64,
}

impl<'a> Run<'a> {
    fn begin(migrator: &'a Migrator) -> Self {
        let started = migrator.environment.clock().monotonic();
        Self { migrator, started, requests_before: migrator.cluster.requests().total() }
    }

    fn report(&self, outcome: Outcome, work: Work, survey: &Survey, plan: Plan, error: Option<&Error>) -> Report {
        let elapsed = self.migrator.environment.clock().monotonic().saturating_sub(self.started);
        Report {
            outcome,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            requests: self.migrator.cluster.requests().total() - self.requests_before,
            error: error.map(ReportedError::from),
            indices: work.indices,
            bad: work.bad,
            bad_total: work.bad_total,
            unregistered: survey.unregistered(),
            blockers: plan.blockers,
        }
    }

    fn failed(&self, error: &Error) -> Report {
        let plan = Plan { groups: Vec::new(), blockers: Vec::new() };
        self.report(Outcome::Failed, Work::default(), &Survey::default(), plan, Some(error))
    }
}
