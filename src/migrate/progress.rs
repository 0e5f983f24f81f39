use tokio::sync::watch;

use super::State;

/// How far a migration is, for whoever watches ([`Migrator::progress`](super::Migrator::progress)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The alias of the index group at work.
    pub alias: String,
    /// The state that it is in; none before the first one.
    pub state: Option<State>,
    /// Documents that the survey found outdated in it.
    pub outdated: u64,
    /// Documents read so far.
    pub read: u64,
    /// Documents written so far.
    pub written: u64,
}

/// Where a migration tells how far it is.
#[derive(Debug, Clone)]
pub(super) struct ProgressSender(watch::Sender<Progress>);

impl ProgressSender {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Progress::default()))
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Progress> {
        self.0.subscribe()
    }

    pub(super) fn now(&self) -> Progress {
        self.0.borrow().clone()
    }

    pub(super) fn begin(&self, alias: &str, outdated: u64) {
        self.0.send_replace(Progress { alias: alias.to_owned(), outdated, ..Progress::default() });
    }

    pub(super) fn enter(&self, state: State) {
        self.0.send_modify(|progress| progress.state = Some(state));
    }

    pub(super) fn add(&self, read: u64, written: u64) {
        self.0.send_modify(|progress| {
            progress.read += read;
            progress.written += written;
        });
    }
}
