//! Deletes generations that were kept for a rollback.

use super::gate::Gatekeeper;
use super::generations::{self, Removal};
use super::work::{Run, Work};
use super::{Blocker, CheckName, Migrator, Outcome, Report};
use crate::Result;

/// Whether generations are deleted, or only what would be deleted is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deletion {
    Real,
    DryRun,
}

impl Migrator {
    /// Deletes every generation that is no longer current, if it provably holds nothing that the current one lacks. A
    /// rollback to a deleted generation is not possible. Nothing is deleted if the plan has blockers. Errors are in the
    /// report.
    pub async fn drop_old(&self) -> Report {
        self.report_dropped(Deletion::Real).await
    }

    /// Reports what [`drop_old`](Self::drop_old) would delete: the outcome is [`Planned`](Outcome::Planned), and
    /// `dropped` has the generations. Writes nothing. Errors are in the report.
    pub async fn plan_drop_old(&self) -> Report {
        self.report_dropped(Deletion::DryRun).await
    }

    async fn report_dropped(&self, deletion: Deletion) -> Report {
        let run = Run::begin(self);
        let mut work = Work::default();
        match self.try_drop_old(&mut work, deletion).await {
            Ok(outcome) => run.report(outcome, work, None),
            Err(error) => run.report(Outcome::Failed, work, Some(&error)),
        }
    }

    async fn try_drop_old(&self, work: &mut Work, deletion: Deletion) -> Result<Outcome> {
        let plan = self.plan_for_operator().await?;
        // Which generations are kept is only known if the current one is.
        work.blockers = plan.blockers;
        if !work.blockers.is_empty() {
            return Ok(Outcome::Blocked);
        }
        for group in plan.groups {
            // The records about one generation are in the others, so all are read before the first is deleted. Newer
            // ones go first, since a clone needs its source as a proof.
            let indices = self.indices_of(&group.names).await?;
            let (cluster, environment, names) = (self.engine.cluster.as_ref(), &self.engine.environment, &group.names);
            let gatekeeper =
                Gatekeeper { cluster, environment, names, generation: group.generation, index: &group.index };
            for index in group.kept.into_iter().rev() {
                let removal = match deletion {
                    Deletion::Real => generations::remove_generation(&gatekeeper, &index, &indices).await?,
                    Deletion::DryRun => match generations::is_removable(&gatekeeper, &index, &indices).await? {
                        true => Removal::Removed,
                        false => Removal::Unproven,
                    },
                };
                match removal {
                    Removal::Removed => {
                        if deletion == Deletion::Real {
                            tracing::info!(index, "dropped a generation that was kept");
                        }
                        work.dropped.push(index);
                    }
                    Removal::Unproven => work.blockers.push(unproven(&index, &group.index)),
                    Removal::Kept => work.blockers.push(in_snapshot(&index)),
                }
            }
        }
        work.dropped.sort_unstable();
        // With the outcome `Dropped`, the blockers name the generations that stay.
        Ok(match (work.dropped.is_empty(), work.blockers.is_empty()) {
            (false, _) if deletion == Deletion::DryRun => Outcome::Planned,
            (false, _) => Outcome::Dropped,
            (true, false) => Outcome::Blocked,
            (true, true) => Outcome::NothingToDo,
        })
    }
}

fn unproven(index: &str, current: &str) -> Blocker {
    Blocker {
        check: CheckName::Generations,
        what: format!(
            "{index} may hold objects that {current} does not: no record says that it is as it was when it was copied"
        ),
        hint: format!(
            "compare the two, bring over by export and import what {current} lacks, then delete it: DELETE /{index}"
        ),
    }
}

fn in_snapshot(index: &str) -> Blocker {
    Blocker {
        check: CheckName::Generations,
        what: format!("{index} is kept for now, because a snapshot is being made of it"),
        hint: "wait until the snapshot is done (GET /_snapshot/_status), and start again".to_owned(),
    }
}
