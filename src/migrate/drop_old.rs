//! The end of a generation that was kept for a rollback.

use super::work::{Run, Work};
use super::{Migrator, Outcome, Report};
use crate::Result;

impl Migrator {
    /// Deletes every generation that is not current any more. There is no rollback to one after that. Nothing is deleted if
    /// there are blockers. Errors are in the report.
    pub async fn drop_old(&self) -> Report {
        let run = Run::begin(self);
        let mut work = Work::default();
        match self.try_drop_old(&mut work).await {
            Ok(outcome) => run.report(outcome, work, None),
            Err(error) => run.report(Outcome::Failed, work, Some(&error)),
        }
    }

    async fn try_drop_old(&self, work: &mut Work) -> Result<Outcome> {
        let plan = self.plan().await?;
        // Which generation is kept is only known where it is known which one is current.
        work.blockers = plan.blockers;
        if !work.blockers.is_empty() {
            return Ok(Outcome::Blocked);
        }
        for index in plan.groups.into_iter().flat_map(|group| group.kept) {
            self.cluster.delete_index(&index).await?;
            tracing::info!(index, "dropped a generation that was kept");
            work.dropped.push(index);
        }
        Ok(if work.dropped.is_empty() { Outcome::NothingToDo } else { Outcome::Dropped })
    }
}
