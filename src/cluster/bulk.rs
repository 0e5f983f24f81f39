//! Bulk requests: operations on documents, their outcomes and errors.

use std::fmt;

use bytes::Bytes;

use super::SequenceNumber;
use super::hints::{hint_of_block, hint_of_closed};
use super::reason::{MissingPrivilege, index_in};
use crate::{Error, ErrorKind};

/// A request to write documents through an alias.
#[derive(Debug, Clone, Copy)]
pub struct BulkRequest<'a> {
    /// The alias. The server refuses a concrete index or a missing name.
    pub alias: &'a str,
    /// The operations, each on a different document.
    pub operations: &'a [BulkOperation],
    /// When the writes become visible to searches.
    pub refresh: Refresh,
}

/// When a write becomes visible to searches. Reads by id see it immediately in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refresh {
    /// At the index's next refresh (usually within a second).
    #[default]
    Later,
    /// The answer waits for the index's next refresh.
    WaitFor,
}

/// One operation of a bulk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkOperation {
    /// The document's `_id`, at most 512 bytes: the server refuses the whole bulk if one is longer.
    pub id: String,
    /// What to do with the document.
    pub action: BulkAction,
}

/// The action of a bulk on one document.
///
/// All but [`Put`](Self::Put) are conditional: repeating them can never overwrite another writer's change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BulkAction {
    /// Writes the document if no document has the id.
    Create {
        /// The document's JSON.
        source: Bytes,
    },
    /// Replaces the document if its sequence number is still the one read.
    Replace {
        /// The document's JSON.
        source: Bytes,
        /// The sequence number of the document read.
        read: SequenceNumber,
    },
    /// Writes the document unconditionally. For filling an index that has no other writers.
    Put {
        /// The document's JSON.
        source: Bytes,
    },
    /// Deletes the document if its sequence number is still the one read.
    Delete {
        /// The sequence number of the document read.
        read: SequenceNumber,
        /// How to settle a lost answer if the document is gone.
        gone: Gone,
    },
}

/// How to settle a deletion whose answer was lost if the document is gone.
///
/// A deleted document does not show who deleted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// The deletion counts as done: it only had to remove the document, no matter who deleted it.
    Done,
    /// The outcome is unknown: of several callers that delete the document, only one may be told that it did.
    Unknown,
}

impl BulkAction {
    /// Returns the document to send, if the action has one.
    pub fn source(&self) -> Option<&Bytes> {
        match self {
            Self::Create { source } | Self::Replace { source, .. } | Self::Put { source } => Some(source),
            Self::Delete { .. } => None,
        }
    }

    pub(super) const LINE_BREAK_REFUSED: &'static str =
        "a document to be written has a line break between its JSON values";

    /// Returns whether the document has a line break. The server would read the rest as another operation of the bulk.
    pub(super) fn has_line_break(&self) -> bool {
        self.source().is_some_and(|source| source.contains(&b'\n'))
    }
}

/// The outcome of one operation: the document's new sequence number, or why the operation was not done.
pub type ItemOutcome = Result<SequenceNumber, ItemError>;

/// The reason why an operation of a bulk was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemError {
    /// The kind of error, which the engine acts on.
    pub kind: ItemErrorKind,
    /// The server's type and reason.
    pub reason: String,
}

impl ItemError {
    /// Creates the error of an operation whose document makes it `bytes` long, more than any request to the server may
    /// have.
    pub(super) fn too_large(bytes: usize) -> Self {
        let reason =
            format!("it has {bytes} bytes, more than the server takes in one request (http.max_content_length)");
        Self { kind: ItemErrorKind::TooLarge, reason }
    }

    /// Returns a hint if the index is closed or has a block.
    pub(crate) fn block_hint(&self) -> Option<String> {
        if self.reason.contains("type=index_closed_exception") {
            let index = self.reason.split_once(" index=").and_then(|(_, rest)| rest.split(' ').next());
            return Some(hint_of_closed(index.unwrap_or("<index>")));
        }
        let is_block = self.reason.contains("type=cluster_block_exception");
        is_block.then(|| hint_of_block(&self.reason, index_in(&self.reason).unwrap_or("<index>")))
    }

    /// Returns the privilege that the credentials lack, if the server names it.
    pub fn missing_privilege(&self) -> Option<MissingPrivilege<'_>> {
        match self.kind {
            ItemErrorKind::Forbidden => MissingPrivilege::in_reason(&self.reason),
            _ => None,
        }
    }

    /// Converts this into the error of a caller that cannot continue: `what` happened, and `hint` says what to do. The
    /// error has the kind `otherwise`, unless the credentials do not allow the operation. Its source is this error.
    pub(crate) fn into_error(self, otherwise: ErrorKind, what: impl fmt::Display, hint: &str) -> Error {
        let kind = if self.kind == ItemErrorKind::Forbidden { ErrorKind::Forbidden } else { otherwise };
        let hint = self.missing_privilege().map_or_else(|| hint.to_owned(), MissingPrivilege::hint);
        Error::new(kind, format!("{what}: {}", self.reason)).with_hint(hint).with_source(self)
    }
}

impl fmt::Display for ItemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for ItemError {}

/// The kinds of error of a bulk's operation that the engine distinguishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ItemErrorKind {
    /// The document already exists, or is no longer the one read.
    Conflict,
    /// The document to delete does not exist.
    NotFound,
    /// The alias does not exist, or its name is that of an index.
    AliasMissing,
    /// The index takes no writes: it has a block, or is closed.
    WriteBlocked,
    /// The credentials do not allow the operation.
    Forbidden,
    /// The mapping does not accept the document.
    MappingRefused,
    /// The document alone is larger than the server accepts in one request.
    TooLarge,
    /// The server was too busy until the retries were used up. The operation was not done.
    Unavailable,
    /// The answer was lost, and reading back does not tell whether the operation was done.
    OutcomeUnknown,
    /// Another error; the reason describes it.
    Other,
}
