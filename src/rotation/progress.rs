use tokio::sync::watch;

/// How far a rotation is, for whoever watches ([`KeyRotation::progress`](super::KeyRotation::progress)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The name of the index at work.
    pub index: String,
    /// How many documents it has.
    pub documents: u64,
    /// How many of them were looked at.
    pub looked_at: u64,
    /// How many of them were encrypted anew.
    pub rotated: u64,
}

/// Where a rotation tells how far it is.
#[derive(Debug)]
pub(super) struct ProgressSender(watch::Sender<Progress>);

impl ProgressSender {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Progress::default()))
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Progress> {
        self.0.subscribe()
    }

    pub(super) fn begin(&self, index: &str, documents: u64) {
        self.0.send_replace(Progress { index: index.to_owned(), documents, ..Progress::default() });
    }

    pub(super) fn add(&self, looked_at: u64, rotated: u64) {
        self.0.send_modify(|progress| {
            progress.looked_at += looked_at;
            progress.rotated += rotated;
        });
    }
}
