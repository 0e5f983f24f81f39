//! What is stored and what a migration would do, for operators. Writes nothing.

use super::status::{self, KeptIndex, Status, Survey};
use super::work::{Run, Work};
use super::{GroupPlan, LeaseStatus, Migrator, Outcome, Report, lease, preflight, survey, take_over};
use crate::cluster::ClusterErrorKind;
use crate::{Error, Result};

impl Migrator {
    /// The plan with a survey of the documents: what [`migrate`](Self::migrate) would do. Writes nothing. Errors are in the
    /// report.
    pub async fn describe(&self) -> Report {
        let run = Run::begin(self);
        let mut work = Work::default();
        let described = async {
            let mut plan = self.plan_for_operator().await?;
            if !plan.unseen.is_empty() {
                plan.groups.iter().for_each(|group| work.add(&Survey::default(), group));
                return Ok((plan, Survey::default()));
            }
            plan.blockers.extend(self.lacking_keys().await?);
            let obstacles = self.obstacles(&plan, preflight::A_LOOK).await?;
            plan.blockers.extend(obstacles.blockers);
            work.skipped = obstacles.skipped;
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

    /// What is stored, by index and type, and what a migration would do. Writes nothing.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub async fn status(&self) -> Result<Status> {
        let mut plan = self.plan_for_operator().await?;
        plan.blockers.extend(self.obstacles(&plan, preflight::A_LOOK).await?.blockers);
        let survey = self.survey_if_possible(&plan).await?;
        let sees_control = !self.prefix.control().all().iter().any(|name| plan.unseen.contains(name));
        let lease = if sees_control { self.lease_status().await? } else { None };
        let mut status = status::status(&plan, &survey, lease);
        let quarantined = if sees_control { self.quarantine.list().await? } else { Vec::new() };
        for (group, index) in plan.groups.iter().zip(&mut status.indices) {
            index.quarantined = quarantined.iter().filter(|document| document.alias == index.alias).count() as u64;
            for kept in &group.kept {
                let documents = match self.cluster.count_by_type(kept).await {
                    Ok(counts) => Some(counts.iter().map(|count| count.documents).sum()),
                    Err(error) if error.kind == ClusterErrorKind::IndexClosed => None,
                    Err(error) => return Err(error.into()),
                };
                index.kept.push(KeptIndex { index: kept.clone(), documents });
            }
        }
        Ok(status)
    }

    /// Which node migrates now and how far it is, or how the last migration failed; none if neither is the case. One request.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the cluster cannot be reached, [`Corrupt`](crate::ErrorKind::Corrupt) if the lease has
    /// a form that this version does not know.
    pub async fn lease_status(&self) -> Result<Option<LeaseStatus>> {
        lease::read(self.control(), &self.environment).await
    }
}
