//! A count of the tasks in progress that outlive their callers.

use tokio::sync::watch;

/// The number of tasks in progress. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct InProgress(watch::Sender<usize>);

/// A task that is in progress until this is dropped.
pub(super) struct Task(InProgress);

impl InProgress {
    pub(super) fn begin(&self) -> Task {
        self.0.send_modify(|tasks| *tasks += 1);
        Task(self.clone())
    }

    /// Waits until no task is in progress.
    pub(super) async fn settle(&self) {
        // The sender is in `self`, so the channel is open.
        let _ = self.0.subscribe().wait_for(|tasks| *tasks == 0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.0.send_modify(|tasks| *tasks = tasks.saturating_sub(1));
    }
}
