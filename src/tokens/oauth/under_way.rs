use tokio::sync::watch;

/// How many tasks are under way that do not end with whoever waits for them. Cloning shares the count.
#[derive(Debug, Clone, Default)]
pub(super) struct UnderWay(watch::Sender<usize>);

/// A task that is under way until this is dropped.
pub(super) struct Task(UnderWay);

impl UnderWay {
    pub(super) fn begin(&self) -> Task {
        self.0.send_modify(|tasks| *tasks += 1);
        Task(self.clone())
    }

    /// Waits until there is none.
    pub(super) async fn settle(&self) {
        // The sender is in `self`, and so cannot go away.
        let _ = self.0.subscribe().wait_for(|tasks| *tasks == 0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.0.send_modify(|tasks| *tasks = tasks.saturating_sub(1));
    }
}
