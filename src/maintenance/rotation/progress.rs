//! The progress of a rotation, for callers that watch it.

use tokio::sync::watch;

/// The progress of a rotation ([`KeyRotation::progress`](super::KeyRotation::progress)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RotationProgress {
    /// The name of the index that is being scanned.
    pub index: String,
    /// The number of its documents.
    pub documents: u64,
    /// The number of its documents that were read so far.
    pub read: u64,
    /// The number of its documents that were encrypted again so far.
    pub rotated: u64,
}

/// The sender of the progress.
#[derive(Debug)]
pub(super) struct ProgressSender(watch::Sender<RotationProgress>);

impl ProgressSender {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(RotationProgress::default()))
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<RotationProgress> {
        self.0.subscribe()
    }

    pub(super) fn begin(&self, index: &str, documents: u64) {
        self.0.send_replace(RotationProgress { index: index.to_owned(), documents, ..RotationProgress::default() });
    }

    pub(super) fn add(&self, read: u64, rotated: u64) {
        self.0.send_modify(|progress| {
            progress.read += read;
            progress.rotated += rotated;
        });
    }
}
