use std::collections::BTreeMap;
use std::time::Duration;

use super::report::BadDocuments;
use super::status::Survey;
use super::{Blocker, GroupPlan, IndexReport, Migrator, Outcome, Report, ReportedError, Unregistered, Way};
use crate::Error;

/// What was done so far, over all attempts.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// By alias.
    pub(super) indices: BTreeMap<String, IndexReport>,
    pub(super) bad: BadDocuments,
    pub(super) unregistered: Vec<Unregistered>,
    pub(super) blockers: Vec<Blocker>,
    /// Checks that could not be made.
    pub(super) skipped: Vec<Blocker>,
    /// Indices deleted.
    pub(super) dropped: Vec<String>,
    /// Whether something was healed that a copy left behind, or that was missing.
    pub(super) has_healed: bool,
}

impl Work {
    /// Adds a group as it is planned now. What an earlier attempt did for it stays in the report.
    pub(super) fn add(&mut self, survey: &Survey, group: &GroupPlan) {
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

    pub(super) fn outcome(&self, has_waited: bool) -> Outcome {
        let is_untouched = |report: &IndexReport| report.way == Way::None && report.documents.deleted == 0;
        match !self.has_healed && self.indices.values().all(is_untouched) {
            true if has_waited => Outcome::Waited,
            true => Outcome::NothingToDo,
            false => Outcome::Migrated,
        }
    }
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
            skipped: work.skipped,
            dropped: work.dropped,
        }
    }
}
