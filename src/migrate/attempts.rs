//! Migrates all groups: plans, executes the plan, and plans again while other nodes change the indices.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use super::bad::Policy;
use super::decide::is_beyond_others;
use super::executor::GroupExecutor;
use super::generations;
use super::lease::{self, Lease};
use super::plan::OwnIndex;
use super::preflight::{self, Scope};
use super::survey::Survey;
use super::undo::CopyContext;
use super::work::{Run, Work};
use super::{CurrentIndex, GroupPlan, Migrator, OnBad, OnUnreadable, Outcome, Pause, Plan, Report, Way, take_over};
use crate::cluster::{ClusterError, ClusterErrorKind, Paused, Search, SearchIn};
use crate::environment::{Stopped, WAITING};
use crate::registry::TypeDefinition;
use crate::{Error, ErrorKind, Result, telemetry};

/// How often the migration is planned again because other nodes, whose lease this node does not see, changed what it
/// had planned with.
const MAX_REPLANS: u32 = 120;

/// The number of plans between two messages to a person who waits. The first message comes after about a second.
const REPLANS_BETWEEN_TELLINGS: u32 = 10;

/// The pause before a request that a snapshot in progress prevented is repeated.
const SNAPSHOT_PAUSE: Duration = Duration::from_secs(1);

/// How an attempt at all groups ended.
enum Attempt {
    Done,
    Blocked,
    /// Another node has the lease.
    OtherAtWork,
    /// Migrations are paused.
    Paused(Pause),
    /// The index of this group refuses the registered mapping.
    MappingRefused(String),
}

impl Migrator {
    /// Migrates every index to the registered versions.
    ///
    /// All groups are checked for blockers before the first write. If other nodes are migrating, the migration waits
    /// for them; if they change what it planned with, it plans again. Errors are in the report. What was done stays
    /// done, and the next start resumes from there.
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
        let (mut replans, mut pauses, mut snapshot_waits) = (0, lease::pauses(), 0_u32);
        loop {
            let attempted = match self.engine.environment.stop().check() {
                Ok(()) => Box::pin(self.attempt(&refused, lease, &mut work)).await,
                Err(stopped) => Err(stopped),
            };
            let error = match attempted {
                Ok(Attempt::Done) => return run.report(work.outcome(lease.has_waited), work, None),
                Ok(Attempt::OtherAtWork) => {
                    tracing::debug!("another node migrates: waiting for it");
                    lease.wait_for_others().await;
                    continue;
                }
                Ok(Attempt::Paused(pause)) => {
                    self.wait_for_resume(&pause, lease).await;
                    continue;
                }
                Err(error) if Paused::is_cause_of(&error) => {
                    self.undo_copies().await;
                    continue;
                }
                Ok(Attempt::Blocked) if replans == 0 => return run.report(Outcome::Blocked, work, None),
                // The node that changed the indices may also be the one that blocks them, and may be done soon.
                Ok(Attempt::Blocked) if replans >= MAX_REPLANS => return run.report(Outcome::Blocked, work, None),
                Ok(Attempt::Blocked) => None,
                Ok(Attempt::MappingRefused(group)) => {
                    tracing::info!(group, "the index refuses the mapping, so it is copied");
                    refused.insert(group);
                    continue;
                }
                Err(error) if is_moved(&error) && replans < MAX_REPLANS => Some(error),
                Err(error) if is_in_snapshot(&error) => {
                    // A snapshot may take hours, and ends by itself. The deadline of the start limits the wait.
                    if snapshot_waits % 10 == 0 {
                        tracing::info!(target: WAITING, %error, "a snapshot is being made: waiting for it");
                    }
                    snapshot_waits += 1;
                    self.undo_copies().await;
                    lease.report_waiting(&error).await;
                    lease.sleep(SNAPSHOT_PAUSE).await;
                    continue;
                }
                Err(error) => return run.report(Outcome::Failed, work, Some(&error)),
            };
            let error = error.map(tracing::field::display);
            match replans % REPLANS_BETWEEN_TELLINGS == REPLANS_BETWEEN_TELLINGS / 2 {
                true => tracing::info!(
                    target: WAITING,
                    error,
                    "waiting until other nodes have done their work on the indices: planned {replans} times so far"
                ),
                false => tracing::info!(error, "planning again, because other nodes are at work"),
            }
            replans += 1;
            lease.pause(&mut pauses).await;
        }
    }

    /// Waits until other nodes have migrated every index to the registered versions, and writes nothing.
    ///
    /// The wait has no deadline of its own; the caller limits it. It ends earlier with an error, or as
    /// [`Blocked`](Outcome::Blocked) if this software cannot work with the indices, whatever other nodes do.
    pub async fn wait(&self) -> Report {
        let run = Run::begin(self);
        let lease = self.lease();
        let (mut work, mut waited, mut pauses) = (Work::default(), false, lease::pauses());
        loop {
            let planned = match self.engine.environment.stop().check() {
                Ok(()) => self.plan().await,
                Err(stopped) => Err(stopped),
            };
            match planned {
                Ok(plan) => {
                    let is_ready = plan.is_ready();
                    // While others work, the keys are read only once.
                    let lacking = match plan.unseen.is_empty() && (is_ready || !waited) {
                        true => self.lacking_keys(&plan).await,
                        false => Ok(None),
                    };
                    match lacking {
                        Ok(lacking) => work.blockers.extend(lacking),
                        Err(error) => return run.report(Outcome::Failed, work, Some(&error)),
                    }
                    if is_beyond_others(&plan) {
                        work.blockers.extend(plan.blockers.clone());
                    }
                    if !work.blockers.is_empty() {
                        return run.report(Outcome::Blocked, work, None);
                    }
                    if is_ready {
                        plan.groups.iter().for_each(|group| work.add(&Survey::default(), group));
                        return run.report(work.outcome(waited), work, None);
                    }
                    // On another product no node will ever migrate.
                    if !waited && let Err(error) = preflight::refuse_other_products(self.engine.cluster.as_ref()).await
                    {
                        return run.report(Outcome::Failed, work, Some(&error));
                    }
                    // Another node may be about to heal the other blockers.
                    waited = true;
                }
                Err(error) => return run.report(Outcome::Failed, work, Some(&error)),
            }
            lease.pause(&mut pauses).await;
        }
    }

    /// Undoes the copies that this migrator began and did not end, so that their sources take writes again. The next
    /// start of any release undoes what cannot be undone now.
    pub(crate) async fn undo_copies(&self) {
        let begun = std::mem::take(&mut *self.copying());
        let numbers = self.generation_numbers();
        for plan in begun.into_values() {
            let context = CopyContext {
                cluster: self.engine.cluster.as_ref(),
                environment: &self.engine.environment,
                numbers: &numbers,
                plan: &plan,
            };
            if let Err(error) = context.undo().await {
                let index = &plan.index;
                tracing::warn!(index, %error, "a copy was not undone, and its source takes no writes until the next \
                                               start");
            }
        }
    }

    fn lease(&self) -> Lease<'_> {
        let lease = Lease::new(self.engine.control(), &self.engine.environment, &self.progress);
        if self.without_lease { lease.switched_off() } else { lease }
    }

    /// Plans once, and executes the plan.
    async fn attempt(&self, refused: &BTreeSet<String>, lease: &mut Lease<'_>, work: &mut Work) -> Result<Attempt> {
        let mut plan = self.plan_with(refused).await?;
        if !plan.unseen.is_empty() {
            work.blockers = plan.blockers;
            return Ok(Attempt::Blocked);
        }
        plan.blockers.extend(self.lacking_keys(&plan).await?);
        work.blockers.clone_from(&plan.blockers);
        if plan.is_nothing_to_do() && !self.delete_removed && !self.rescan {
            plan.groups.iter().for_each(|group| work.add(&Survey::default(), group));
            return Ok(Attempt::Done);
        }
        let obstacles = self.obstacles(&plan, Scope::Planned, preflight::PATIENCE).await?;
        plan.blockers.extend(obstacles.blockers);
        work.skipped = obstacles.skipped;
        plan.blockers.extend(self.missing_keys(&plan));
        work.blockers.clone_from(&plan.blockers);
        // Another node's work may be what blocks this node.
        if !plan.blockers.is_empty() && lease.is_other_at_work().await {
            return Ok(Attempt::OtherAtWork);
        }
        let survey = if self.rescan && plan.blockers.is_empty() {
            self.plan_rescan(&mut plan).await?
        } else {
            self.survey_if_possible(&plan).await?
        };
        work.skipped.extend(survey.skipped.iter().cloned());
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
        if let Some(pause) = self.pause_of(&plan).await {
            lease.during(self.open_indices(&plan, work)).await?;
            return Ok(Attempt::Paused(pause));
        }
        // On the heap, since a start within a start-up of a platform leaves little of a thread's stack.
        let executing = Box::pin(self.execute(&plan, &survey, work));
        lease.during(self.pausing(executing)).await
    }

    /// Plans a conversion for each group that is at the registered versions but has documents to convert.
    async fn plan_rescan(&self, plan: &mut Plan) -> Result<Survey> {
        let survey = self.survey(plan).await?;
        for group in &mut plan.groups {
            if group.way != Way::None {
                continue;
            }
            // A bad document need not be an outdated one.
            let is_marked = |current: &CurrentIndex| group.not_marked(&current.meta).is_empty();
            let needs_conversion = survey.outdated(group).unwrap_or_default() > 0
                || !group.current.as_ref().is_none_or(is_marked)
                || self.has_unmapped(group).await?
                || (self.on_bad != OnBad::Fail || self.on_unreadable != OnUnreadable::Fail)
                    && self.dry_run(&self.engine.conversion, group, &survey).await?.counts.bad > 0;
            if needs_conversion {
                group.way = Way::InPlace;
            }
        }
        Ok(survey)
    }

    /// Returns whether documents are left that were written before their type was mapped, as after a stopped rescan.
    async fn has_unmapped(&self, group: &GroupPlan) -> Result<bool> {
        let meta = group.current.as_ref().map(|current| current.meta.clone()).unwrap_or_default();
        let mapped = GroupPlan::writes_before_mapping(meta);
        if mapped.is_empty() {
            return Ok(false);
        }
        let query = GroupPlan::written_before(&mapped);
        let search = Search { size: 1, ..Search::new(SearchIn::Index(group.index.clone()), query) };
        Ok(!self.engine.cluster.search(&search).await?.hits.is_empty())
    }

    /// Executes the plans of all groups, one after the other.
    async fn execute(&self, plan: &Plan, survey: &Survey, work: &mut Work) -> Result<Attempt> {
        let since = self.engine.environment.now_iso();
        let (on_bad, on_unreadable) = (self.on_bad, self.on_unreadable);
        let policy = Policy { on_bad, on_unreadable, quarantine: &self.quarantine, since: &since };
        let numbers = self.generation_numbers();
        if plan.control == OwnIndex::Missing && plan.groups.iter().any(begins_with_secrets) {
            // Processes that write secrets later record keys and claims there, and may lack the privilege to create it.
            self.engine.control().create_index().await?;
        }
        for group in &plan.groups {
            self.progress.begin(group.names.alias(), survey.to_be_converted(group));
            let Some(report) = work.indices.get_mut(group.names.alias()) else { continue };
            if group.way == Way::Copy {
                self.copying().insert(group.group.clone(), group.clone());
            }
            let executor = GroupExecutor {
                cluster: &self.engine.cluster,
                conversion: &self.engine.conversion,
                keys: &self.engine.keys,
                clock: self.engine.environment.clock(),
                progress: &self.progress,
                removed: &self.removed_types(group),
                group,
                numbers: &numbers,
                policy,
                pace: &self.pace,
                source_reader: self.source_reader.as_ref().filter(|_| group.take_over.is_some()),
            };
            if group.way == Way::Copy && self.pace.is_limited() {
                let index = &group.index;
                tracing::warn!(
                    index,
                    "the rate of a copy is not limited, because its source takes no writes meanwhile"
                );
            }
            let before = report.documents;
            let span = telemetry::migration(group.names.alias(), group.way);
            let executed = Box::pin(executor.run(report, &mut work.bad, &mut work.has_healed)).instrument(span).await;
            let has_ended_early = |error: &Error| Stopped::is_cause_of(error) || Paused::is_cause_of(error);
            if executed.as_ref().is_err_and(has_ended_early) && group.way == Way::InPlace {
                // A pass that ended early returns no counts, but what it wrote stays.
                let now = self.progress.now();
                report.documents.read = before.read.saturating_add(now.read);
                report.documents.written = before.written.saturating_add(now.written);
            }
            if executed.as_ref().is_err_and(is_refused_mapping) {
                return Ok(Attempt::MappingRefused(group.group.clone()));
            }
            // After an error, as when another node made the copy first, the copy stays listed, and is undone at the
            // end.
            executed?;
            self.progress.end();
            if group.way == Way::Copy {
                self.copying().remove(&group.group);
            }
        }
        Ok(Attempt::Done)
    }

    /// Returns the removed types whose documents the migration deletes from a group's index.
    pub(super) fn removed_types(&self, group: &GroupPlan) -> Vec<String> {
        let of_group = |definition: &&Arc<TypeDefinition>| definition.group() == group.group;
        match self.delete_removed {
            true => {
                self.engine.registry.removed_types().filter(of_group).map(|removed| removed.name().to_owned()).collect()
            }
            false => Vec::new(),
        }
    }
}

/// Returns whether the plan converts documents. Only then is a lease worth its requests: an index is created as fast as
/// a lease, and creating it twice does no harm.
fn converts(plan: &Plan) -> bool {
    plan.groups.iter().any(|group| matches!(group.way, Way::InPlace | Way::Copy) || group.needs_healing())
}

/// Returns whether the plan creates an index for objects with secrets.
fn begins_with_secrets(group: &GroupPlan) -> bool {
    group.way == Way::Create && group.types.iter().any(|of_type| of_type.definition.encrypts())
}

/// Returns the digests of the definitions of all groups.
fn digest(plan: &Plan) -> String {
    plan.groups.iter().map(GroupPlan::digest).collect::<Vec<_>>().join(",")
}

/// Returns whether an error says that other nodes changed what this node planned with.
fn is_moved(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound)
}

fn is_in_snapshot(error: &Error) -> bool {
    error.find_source::<ClusterError>().is_some_and(generations::is_in_snapshot)
}

fn is_refused_mapping(error: &Error) -> bool {
    error.find_source::<ClusterError>().is_some_and(|cause| cause.kind == ClusterErrorKind::MappingRefused)
}
