//! What a run of a migration has done so far, and the report that is made from it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::report::{BadDocuments, PlanEstimate};
use super::survey::Survey;
use super::{Blocker, GroupPlan, IndexReport, Migrator, Outcome, Report, ReportedError, Unregistered, Way};
use crate::environment::Stopwatch;
use crate::{Error, telemetry};

/// What was done so far, in all attempts.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// By alias.
    pub(super) indices: BTreeMap<String, IndexReport>,
    pub(super) bad: BadDocuments,
    pub(super) unregistered: Vec<Unregistered>,
    pub(super) blockers: Vec<Blocker>,
    /// The checks that could not be made.
    pub(super) skipped: Vec<Blocker>,
    /// The indices under the prefix that no registered type belongs to.
    pub(super) not_visited: Vec<String>,
    /// The deleted generations.
    pub(super) dropped: Vec<String>,
    /// What a plan knows of the duration of the migration.
    pub(super) estimate: Option<PlanEstimate>,
    /// Whether the remains of a copy were removed, or something missing was added.
    pub(super) has_healed: bool,
}

impl Work {
    /// Adds a group as it is planned now. What earlier attempts did for it stays in the report.
    pub(super) fn add(&mut self, survey: &Survey, group: &GroupPlan) {
        let planned = survey.report(group);
        match self.indices.get_mut(group.names.alias()) {
            None => drop(self.indices.insert(planned.alias.clone(), planned)),
            Some(report) => {
                report.index = planned.index;
                report.take_over = report.take_over.take().or(planned.take_over);
                if planned.way != Way::None {
                    report.way = planned.way;
                    report.carried = planned.carried;
                }
            }
        }
    }

    pub(super) fn outcome(&self, has_waited: bool) -> Outcome {
        let is_untouched = |report: &IndexReport| report.way == Way::None && report.documents.deleted == 0;
        match !self.has_healed && self.indices.values().all(is_untouched) {
            true if has_waited => Outcome::Waited,
            true => Outcome::NothingToDo,
            false => Outcome::Migrated,
        }
    }
}

impl Migrator {
    /// Returns the report of a start that was given up after `elapsed`. What it had done by then is not known.
    pub(crate) fn given_up(&self, error: &Error, blockers: Vec<Blocker>, elapsed: Duration) -> Report {
        let run = Run { requests_before: 0, ..Run::begin(self) };
        let work = Work { blockers, ..Work::default() };
        run.report_after(elapsed, Outcome::Failed, work, Some(error))
    }
}

/// One run: when it began, and how many requests had been sent by then.
pub(super) struct Run<'a> {
    migrator: &'a Migrator,
    since: Stopwatch,
    requests_before: u64,
}

impl<'a> Run<'a> {
    pub(super) fn begin(migrator: &'a Migrator) -> Self {
        let since = migrator.engine.environment.stopwatch();
        Self { migrator, since, requests_before: migrator.engine.cluster.requests().total() }
    }

    pub(super) fn report(&self, outcome: Outcome, work: Work, error: Option<&Error>) -> Report {
        self.report_after(self.since.elapsed(), outcome, work, error)
    }

    fn report_after(&self, elapsed: Duration, outcome: Outcome, work: Work, error: Option<&Error>) -> Report {
        telemetry::run_ended(outcome.name(), elapsed);
        Report {
            outcome,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            requests: self.migrator.engine.cluster.requests().total() - self.requests_before,
            error: error.map(ReportedError::from),
            indices: work.indices.into_values().collect(),
            bad_total: work.bad.total,
            bad: work.bad.named,
            unregistered: work.unregistered,
            blockers: work.blockers,
            skipped: work.skipped,
            not_visited: work.not_visited,
            dropped: work.dropped,
            estimate: work.estimate,
        }
    }
}
