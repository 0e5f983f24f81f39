use std::fmt;

use bytes::Bytes;

use super::SequenceNumber;
use super::error::MissingPrivilege;
use crate::{Error, ErrorKind};

/// Documents to be written through an alias.
#[derive(Debug, Clone, Copy)]
pub struct BulkRequest<'a> {
    /// The alias; a concrete index or a missing name is refused by the server.
    pub alias: &'a str,
    /// What is to be done, each on another document.
    pub operations: &'a [BulkOperation],
    /// When searches see it.
    pub refresh: Refresh,
}

/// When a write becomes visible to searches. Reads by id see it at once in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refresh {
    /// At the index's next refresh (within a second, usually).
    #[default]
    Later,
    /// The answer waits for the index's next refresh.
    WaitFor,
}

/// One write of a bulk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkOperation {
    /// The document's `_id`: at most 512 bytes, or the server refuses the whole bulk.
    pub id: String,
    /// What is done to it.
    pub action: BulkAction,
}

/// What a bulk does to one document. All but [`Put`](Self::Put) are conditional: repeating them can never overwrite somebody's
/// work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BulkAction {
    /// Writes the document if no document has the id.
    Create {
        /// The document's JSON.
        source: Bytes,
    },
    /// Replaces the document if it still is the one read.
    Replace {
        /// The document's JSON.
        source: Bytes,
        /// The sequence number of the document read.
        read: SequenceNumber,
    },
    /// Writes the document whatever was there: for filling an index that nobody else writes anything else to.
    Put {
        /// The document's JSON.
        source: Bytes,
    },
    /// Deletes the document if it still is the one read.
    Delete {
        /// The sequence number of the document read.
        read: SequenceNumber,
        /// What it means that the document is gone after the answer was lost.
        gone: Gone,
    },
}

/// What it means for a deletion whose answer was lost that the document is gone. Nothing of a deleted document tells who
/// deleted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// The deletion is done: it was only to make the document go, whoever deleted it.
    Done,
    /// The outcome is unknown: of several who delete the document only one is to be told that it did.
    Unknown,
}

impl BulkAction {
    /// The document that is sent, if one is.
    pub fn source(&self) -> Option<&Bytes> {
        match self {
            Self::Create { source } | Self::Replace { source, .. } | Self::Put { source } => Some(source),
            Self::Delete { .. } => None,
        }
    }

    pub(super) const LINE_BREAK_REFUSED: &'static str =
        "a document to be written has a line break between its JSON values";

    /// Whether the document has a line break, which would make the rest of it another operation of the bulk.
    pub(super) fn has_line_break(&self) -> bool {
        self.source().is_some_and(|source| source.contains(&b'\n'))
    }
}

/// What became of one operation: the document's new sequence number, or why it was not done.
pub type ItemOutcome = Result<SequenceNumber, ItemError>;

/// Why an operation of a bulk was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemError {
    /// What the engine acts on.
    pub kind: ItemErrorKind,
    /// The server's type and reason.
    pub reason: String,
}

impl ItemError {
    /// Returns the privilege that the credentials lack, if the server says so.
    pub fn missing_privilege(&self) -> Option<MissingPrivilege<'_>> {
        match self.kind {
            ItemErrorKind::Forbidden => MissingPrivilege::in_reason(&self.reason),
            _ => None,
        }
    }

    /// Returns the error of a caller whom this keeps from going on: `what` happened, and `cure` helps. It is of the kind
    /// `otherwise`, unless the credentials do not allow the operation. This is its source.
    pub(crate) fn into_error(self, otherwise: ErrorKind, what: impl fmt::Display, cure: &str) -> Error {
        let kind = if self.kind == ItemErrorKind::Forbidden { ErrorKind::Forbidden } else { otherwise };
        let cure = self.missing_privilege().map_or_else(|| cure.to_owned(), MissingPrivilege::hint);
        Error::new(kind, format!("{what}: {}", self.reason)).with_cure(cure).with_source(self)
    }
}

impl fmt::Display for ItemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for ItemError {}

/// Why an operation of a bulk was not done, as far as the engine acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ItemErrorKind {
    /// The document exists already, or is no longer the one read.
    Conflict,
    /// The document to be deleted is not there.
    NotFound,
    /// The alias is not there, or is an index.
    AliasMissing,
    /// The index takes no writes: it has a block, or is closed.
    WriteBlocked,
    /// The credentials do not allow it.
    Forbidden,
    /// The mapping does not take the document.
    MappingRefused,
    /// The document alone is larger than what the server takes in one request.
    TooLarge,
    /// The server was too busy until the retries were used up. The operation was not done.
    Unavailable,
    /// No answer says whether the operation was done, and reading back does not tell.
    OutcomeUnknown,
    /// Something else, as the reason says.
    Other,
}
