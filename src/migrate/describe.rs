//! Reports, for operators, what is stored and what a migration would do. Writes nothing.

use super::executor::{self, KeptBad};
use super::plan::OwnIndex;
use super::preflight::{self, ConditionsNow, Obstacles, Scope};
use super::report::PlanEstimate;
use super::status::{self, KeptIndex, Status};
use super::survey::Survey;
use super::work::{Run, Work};
use super::{GroupPlan, LeaseStatus, Migrator, Outcome, Pause, Plan, Report, Way, lease, moved, take_over};
use crate::engine::quarantine::Quarantined;
use crate::{Error, Result};

/// What a status reports, and what else was read for it.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) status: Status,
    pub(super) plan: Plan,
    /// The conditions of the cluster, if they were read.
    pub(super) conditions: Option<ConditionsNow>,
    /// The number of documents in quarantine, or `None` if it could not be read.
    pub(super) quarantined: Option<usize>,
}

impl Migrator {
    /// Plans with a survey of the documents, and reports what [`migrate`](Self::migrate) would do. Writes nothing.
    ///
    /// Errors are in the report, and so is the error with which a migration would end because of bad documents.
    pub async fn describe(&self) -> Report {
        let run = Run::begin(self);
        let mut work = Work::default();
        let (plan, failure) = match self.try_describe(&mut work).await {
            Ok(described) => described,
            Err(error) => return run.report(Outcome::Failed, work, Some(&error)),
        };
        let is_any_deleted = work.indices.values().any(|index| index.documents.deleted > 0);
        let outcome = match (plan.blockers.is_empty(), plan.is_nothing_to_do() && !is_any_deleted) {
            (false, _) => Outcome::Blocked,
            (true, true) => Outcome::NothingToDo,
            (true, false) => Outcome::Planned,
        };
        work.blockers = plan.blockers;
        run.report(outcome, work, failure.as_ref())
    }

    /// Returns the plan, and the error with which it would fail.
    async fn try_describe(&self, work: &mut Work) -> Result<(Plan, Option<Error>)> {
        let mut plan = self.plan_for_operator().await?;
        if !plan.unseen.is_empty() {
            plan.groups.iter().for_each(|group| work.add(&Survey::default(), group));
            return Ok((plan, None));
        }
        plan.blockers.extend(self.lacking_keys(&plan).await?);
        let obstacles = self.obstacles(&plan, Scope::Planned, preflight::SHORT_PATIENCE).await?;
        plan.blockers.extend(obstacles.blockers);
        work.skipped = obstacles.skipped;
        work.not_visited.clone_from(&plan.not_visited);
        let survey = self.survey_of_all(&plan).await?;
        work.skipped.extend(survey.skipped.iter().cloned());
        work.unregistered = survey.unregistered();
        plan.groups.iter().for_each(|group| work.add(&survey, group));
        let can_be_read = |group: &&GroupPlan| group.current.is_some() && plan.blockers.is_empty();
        let (mut failure, started) = (None, self.engine.environment.clock().monotonic());
        let mut estimate = PlanEstimate::default();
        for group in plan.groups.iter().filter(can_be_read) {
            // Decrypting all secrets would take nearly as long as the take-over itself, and needs the keys.
            let conversion = match group.take_over {
                Some(_) => &self.engine.conversion.clone().leaving_secrets_closed(),
                None => &self.engine.conversion,
            };
            let found = self.dry_run(conversion, group, &survey).await?;
            estimate.read += found.counts.read;
            if group.way != Way::None {
                estimate.to_convert += survey.to_be_converted(group);
            }
            if let Some(report) = work.indices.get_mut(group.names.alias()) {
                report.documents.bad = found.counts.bad;
                report.documents.deleted = survey.documents_of(group, &self.removed_types(group));
            }
            let mut kept = KeptBad::default();
            kept.add(&found);
            if failure.is_none() && kept.documents > 0 && group.way != Way::None {
                failure = Some(executor::bad_documents(group, kept, None));
            }
            work.bad.add(found.bad, found.counts.bad);
        }
        let reading = self.engine.environment.clock().monotonic().saturating_sub(started);
        estimate.reading_ms = u64::try_from(reading.as_millis()).unwrap_or(u64::MAX);
        work.estimate = Some(estimate).filter(|estimate| estimate.read > 0);
        plan.blockers.extend(self.missing_keys(&plan));
        plan.blockers.extend(take_over::misplaced(&plan.groups, &survey));
        plan.blockers.extend(self.pause_of(&plan).await.map(|pause| pause.blocker()));
        Ok((plan, failure))
    }

    /// Returns what is stored, by index and type, and what a migration would do. Writes nothing.
    ///
    /// # Errors
    /// The same as [`plan`](Self::plan).
    pub async fn status(&self) -> Result<Status> {
        Ok(self.look(Scope::Planned).await?.status)
    }

    /// Reads everything that a status, or a diagnosis, reports.
    pub(super) async fn look(&self, scope: Scope) -> Result<Look> {
        let mut plan = self.plan_for_operator().await?;
        let Obstacles { blockers, skipped, conditions } =
            self.obstacles(&plan, scope, preflight::SHORT_PATIENCE).await?;
        plan.blockers.extend(blockers);
        let sees_control = !self.engine.prefix.control().all().iter().any(|name| plan.unseen.contains(name));
        let reads_control = sees_control && plan.control != OwnIndex::Unreadable;
        if sees_control {
            plan.blockers.extend(self.lacking_keys(&plan).await?);
        }
        let survey = self.survey_of_all(&plan).await?;
        let mut lease = if reads_control { self.lease_status().await? } else { None };
        if let Some(lease) = lease.as_mut().filter(|lease| lease.held) {
            lease.held = lease::is_alive(self.engine.control(), &self.engine.environment, &lease.note).await?;
        }
        let paused = if reads_control { self.paused().await? } else { None };
        if plan.groups.iter().any(GroupPlan::rewrites_documents) {
            plan.blockers.extend(paused.as_ref().map(Pause::blocker));
        }
        let mut status = Status { paused, ..status::status(&plan, &survey, lease) };
        status.skipped.extend(skipped);
        status.not_visited.clone_from(&plan.not_visited);
        let reads_quarantine = sees_control && plan.quarantine != OwnIndex::Unreadable;
        let quarantined = match reads_quarantine {
            true => match self.quarantine.list().await {
                // It reads the documents' indices too, which a blocker may be about.
                Err(_) if !plan.blockers.is_empty() => None,
                listed => Some(listed?),
            },
            false => None,
        };
        for (group, index) in plan.groups.iter().zip(&mut status.indices) {
            let is_of_it = |document: &&Quarantined| document.alias == index.alias;
            index.quarantined = quarantined.as_ref().map(|all| all.iter().filter(is_of_it).count() as u64);
            for kept in &group.kept {
                let documents = match self.count(kept, &mut status.skipped).await {
                    Ok(counts) => Some(counts.iter().map(|count| count.documents).sum()),
                    Err(error) if moved::is_unreadable(error.kind) => None,
                    Err(error) => return Err(error.into()),
                };
                index.kept.push(KeptIndex { index: kept.clone(), documents });
            }
        }
        Ok(Look { status, plan, conditions, quarantined: quarantined.map(|all| all.len()) })
    }

    /// Returns the progress of the node that migrates now, or how the last migration failed, or `None` if neither is
    /// the case. Sends one request.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the cluster cannot be reached,
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the lease has a form that this version does not know.
    pub async fn lease_status(&self) -> Result<Option<LeaseStatus>> {
        lease::read(self.engine.control(), &self.engine.environment).await
    }
}
