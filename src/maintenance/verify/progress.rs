//! The progress of a verification, for callers that watch it.

use tokio::sync::watch;

/// The progress of a verification ([`Verifier::progress`](super::Verifier::progress)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerificationProgress {
    /// The alias of the index that is being read.
    pub alias: String,
    /// The number of its documents.
    pub documents: u64,
    /// The number of its documents that were read so far.
    pub read: u64,
}

/// The sender of the progress.
#[derive(Debug)]
pub(super) struct ProgressSender(watch::Sender<VerificationProgress>);

impl ProgressSender {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(VerificationProgress::default()))
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<VerificationProgress> {
        self.0.subscribe()
    }

    pub(super) fn begin(&self, alias: &str, documents: u64) {
        self.0.send_replace(VerificationProgress { alias: alias.to_owned(), documents, read: 0 });
    }

    pub(super) fn add(&self, read: u64) {
        self.0.send_modify(|progress| progress.read += read);
    }
}
