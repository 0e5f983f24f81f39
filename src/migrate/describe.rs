//! Reports, for operators, what is stored and what a migration would do. Writes nothing.

use super::executor::{self, KeptBad};
use super::status::{self, KeptIndex, Status};
use super::survey::Survey;
use super::work::{Run, Work};
use super::{GroupPlan, LeaseStatus, Migrator, Outcome, Plan, Report, Way, lease, preflight, take_over};
use crate::cluster::ClusterErrorKind;
use crate::engine::quarantine::Quarantined;
use crate::{Error, Result};

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
        let outcome = match (plan.blockers.is_empty(), plan.is_nothing_to_do()) {
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
        let lacking = self.lacking_keys(&plan).await?;
        plan.blockers.extend(lacking);
        let obstacles = self.obstacles(&plan, preflight::SHORT_PATIENCE).await?;
        plan.blockers.extend(obstacles.blockers);
        work.skipped = obstacles.skipped;
        work.not_visited = self.not_visited().await?;
        let survey = self.survey_of_all(&plan).await?;
        work.skipped.extend(survey.skipped.iter().cloned());
        work.unregistered = survey.unregistered();
        plan.groups.iter().for_each(|group| work.add(&survey, group));
        let can_be_read = |group: &&GroupPlan| group.current.is_some() && plan.blockers.is_empty();
        let mut failure = None;
        for group in plan.groups.iter().filter(can_be_read) {
            // Decrypting all secrets would take nearly as long as the take-over itself, and needs the keys.
            let conversion = match group.take_over {
                Some(_) => &self.engine.conversion.clone().leaving_secrets_closed(),
                None => &self.engine.conversion,
            };
            let found = self.dry_run(conversion, group).await?;
            if let Some(report) = work.indices.get_mut(group.names.alias()) {
                report.documents.bad = found.counts.bad;
            }
            let mut kept = KeptBad::default();
            kept.add(&found);
            if failure.is_none() && kept.documents > 0 && group.way != Way::None {
                failure = Some(executor::bad_documents(group, kept, None));
            }
            work.bad.add(found.bad, found.counts.bad);
        }
        plan.blockers.extend(self.missing_keys(&plan));
        plan.blockers.extend(take_over::misplaced(&plan.groups, &survey));
        Ok((plan, failure))
    }

    /// Returns what is stored, by index and type, and what a migration would do. Writes nothing.
    ///
    /// # Errors
    /// The same as [`plan`](Self::plan).
    pub async fn status(&self) -> Result<Status> {
        let mut plan = self.plan_for_operator().await?;
        let obstacles = self.obstacles(&plan, preflight::SHORT_PATIENCE).await?;
        plan.blockers.extend(obstacles.blockers);
        let hides_control = self.engine.prefix.control().all().iter().any(|name| plan.unseen.contains(name));
        let sees_control = !hides_control && !plan.control_misled;
        if sees_control {
            let lacking = self.lacking_keys(&plan).await?;
            plan.blockers.extend(lacking);
        }
        let survey = self.survey_of_all(&plan).await?;
        let mut lease = if sees_control { self.lease_status().await? } else { None };
        if let Some(lease) = lease.as_mut().filter(|lease| lease.held) {
            lease.held = lease::is_alive(self.engine.control(), &self.engine.environment).await?;
        }
        let mut status = status::status(&plan, &survey, lease);
        status.skipped.extend(obstacles.skipped);
        status.not_visited = self.not_visited().await?;
        let quarantined = if sees_control { Some(self.quarantine.list().await?) } else { None };
        for (group, index) in plan.groups.iter().zip(&mut status.indices) {
            let is_of_it = |document: &&Quarantined| document.alias == index.alias;
            index.quarantined = quarantined.as_ref().map(|all| all.iter().filter(is_of_it).count() as u64);
            for kept in &group.kept {
                let documents = match self.count(kept, &mut status.skipped).await {
                    Ok(counts) => Some(counts.iter().map(|count| count.documents).sum()),
                    Err(error) if error.kind == ClusterErrorKind::IndexClosed => None,
                    Err(error) => return Err(error.into()),
                };
                index.kept.push(KeptIndex { index: kept.clone(), documents });
            }
        }
        Ok(status)
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
