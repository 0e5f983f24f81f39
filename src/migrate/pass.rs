//! The target and the results of a pass over documents.

use super::report::MAX_BAD_NAMED;
use super::{BadDocument, DocumentCounts};

/// Where a pass writes converted documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Over the documents that were read, unless they were changed meanwhile. Only outdated ones are read.
    SameIndex,
    /// Into a staging index, which gets every document.
    StagingIndex,
}

/// The results of a pass.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub(super) counts: DocumentCounts,
    /// The first bad documents, [`MAX_BAD_NAMED`] at most.
    pub(super) bad: Vec<BadDocument>,
    /// The number of bad documents that stay in their index.
    pub(super) kept: u64,
    /// Those of the kept ones that are bad because a secret cannot be decrypted.
    pub(super) kept_unreadable: u64,
    /// Those of the kept ones that are too large for the server.
    pub(super) kept_too_large: u64,
    /// The number of documents that went into quarantine because a secret cannot be decrypted.
    pub(super) left_out_unreadable: u64,
}

impl Pass {
    /// Adds the results of another part of the pass.
    pub(super) fn add(&mut self, other: Self) {
        self.counts.add(other.counts);
        self.kept += other.kept;
        self.kept_unreadable += other.kept_unreadable;
        self.kept_too_large += other.kept_too_large;
        self.left_out_unreadable += other.left_out_unreadable;
        let room = MAX_BAD_NAMED.saturating_sub(self.bad.len());
        self.bad.extend(other.bad.into_iter().take(room));
    }
}
