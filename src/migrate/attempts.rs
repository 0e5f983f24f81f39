//! Bringing every index to the registered versions: planned, done, and planned anew as long as other nodes move things.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use super::bad::Policy;
use super::copy::Place;
use super::decide::is_beyond_others;
use super::generations;
use super::lease::Lease;
use super::status::Survey;
use super::walk::Walk;
use super::work::{Run, Work};
use super::{GroupPlan, Migrator, OnBad, OnUnreadable, Outcome, Plan, Report, Way, preflight, survey, take_over};
use crate::cluster::{ClusterError, ClusterErrorKind};
use crate::registry::TypeDefinition;
use crate::{Error, ErrorKind, Result};

/// How often it is planned anew because other nodes, that this one sees no lease of, moved what it had planned with.
const MAX_REPLANS: u32 = 120;

/// How long to wait before it is looked again whether a snapshot is done.
const SNAPSHOT_PAUSE: Duration = Duration::from_secs(1);

/// How an attempt at all groups ended.
enum Attempt {
    Done,
    Blocked,
    /// Another node has the lease.
    OtherAtWork,
    /// The index of this group does not take the registered mapping.
    MappingRefused(String),
}

impl Migrator {
    /// Brings every index to the registered versions. All groups are checked for blockers before the first write. If other
    /// nodes are at work, it waits for them; if they change what was planned with, it is planned anew. Errors are in the
    /// report; what was done stays done, and the next start goes on from there.
    pub async fn migrate(&self) -> Report {
        let mut lease = self.lease();
        let report = self.migrate_under(&mut lease).await;
        self.undo_copies().await;
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
                Err(error) if is_in_snapshot(&error) => {
                    // It may take hours, and ends by itself. Whoever starts decides how long to wait.
                    tracing::info!(%error, "a snapshot is being made: waiting for it");
                    self.undo_copies().await;
                    lease.tell(&error).await;
                    self.environment.clock().sleep(SNAPSHOT_PAUSE).await;
                    continue;
                }
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
                    let lacking = match plan.unseen.is_empty() && (is_ready || !waited) {
                        true => self.lacking_keys().await,
                        false => Ok(None),
                    };
                    match lacking {
                        Ok(lacking) => work.blockers.extend(lacking),
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

    /// Undoes the copies that this migrator began and did not end, so that their sources take writes again. What cannot be
    /// undone now is by the next start of any release.
    pub(crate) async fn undo_copies(&self) {
        let begun = std::mem::take(&mut *self.copying());
        let numbers = self.generation_numbers();
        for plan in begun.into_values() {
            let place = Place {
                cluster: self.cluster.as_ref(),
                environment: &self.environment,
                numbers: &numbers,
                plan: &plan,
            };
            if let Err(error) = place.undo().await {
                let index = &plan.index;
                tracing::warn!(index, %error, "a copy was not undone, and its source takes no writes until the next start");
            }
        }
    }

    fn lease(&self) -> Lease<'_> {
        let lease = Lease::new(self.control(), &self.environment, &self.progress);
        if self.without_lease { lease.switched_off() } else { lease }
    }

    /// Plans, and does what is planned.
    async fn attempt(&self, refused: &BTreeSet<String>, lease: &mut Lease<'_>, work: &mut Work) -> Result<Attempt> {
        let mut plan = self.plan_with(refused).await?;
        if !plan.unseen.is_empty() {
            work.blockers = plan.blockers;
            return Ok(Attempt::Blocked);
        }
        plan.blockers.extend(self.lacking_keys().await?);
        work.blockers.clone_from(&plan.blockers);
        if plan.is_nothing_to_do() && !self.delete_removed && !self.rescan {
            plan.groups.iter().for_each(|group| work.add(&Survey::default(), group));
            return Ok(Attempt::Done);
        }
        let obstacles = self.obstacles(&plan, preflight::PATIENCE).await?;
        plan.blockers.extend(obstacles.blockers);
        work.skipped = obstacles.skipped;
        plan.blockers.extend(self.missing_keys(&plan));
        work.blockers.clone_from(&plan.blockers);
        // What blocks this node may be another node's work.
        if !plan.blockers.is_empty() && lease.is_other_at_work().await {
            return Ok(Attempt::OtherAtWork);
        }
        // Kibana wrote it, maybe a moment ago, and what is found in it may be a blocker.
        for group in plan.groups.iter().filter(|group| group.take_over.is_some() && plan.blockers.is_empty()) {
            self.cluster.refresh(&group.index).await?;
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
        let numbers = self.generation_numbers();
        for group in &plan.groups {
            self.progress.begin(group.names.alias(), survey.to_be_converted(group));
            let Some(report) = work.indices.get_mut(group.names.alias()) else { continue };
            if group.way == Way::Copy {
                self.copying().insert(group.group.clone(), group.clone());
            }
            let walk = Walk {
                cluster: self.cluster.as_ref(),
                conversion: &self.conversion,
                keys: &self.keys,
                clock: self.environment.clock(),
                progress: &self.progress,
                removed: &self.removed_types(group),
                group,
                numbers: &numbers,
                policy,
                codec: self.kibana.as_ref().filter(|_| group.take_over.is_some()),
            };
            let span = tracing::info_span!("migrate", alias = group.names.alias(), way = ?group.way);
            let walked = walk.run(report, &mut work.bad, &mut work.has_healed).instrument(span).await;
            if walked.as_ref().is_err_and(is_refused_mapping) {
                return Ok(Attempt::MappingRefused(group.group.clone()));
            }
            walked?;
            // One that another node was faster with is undone at the end.
            if group.way == Way::Copy {
                self.copying().remove(&group.group);
            }
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

fn is_in_snapshot(error: &Error) -> bool {
    error.find_source::<ClusterError>().is_some_and(generations::is_in_snapshot)
}

fn is_refused_mapping(error: &Error) -> bool {
    error.find_source::<ClusterError>().is_some_and(|cause| cause.kind == ClusterErrorKind::MappingRefused)
}
