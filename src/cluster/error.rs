use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::{Error, ErrorKind};

/// What went wrong with a request, as far as the engine acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClusterErrorKind {
    /// No connection, or the server answered 408, 429, 502, 503 or 504, or something between answered in its place, until the
    /// retries were used up.
    Unavailable,
    /// The server did not answer in time.
    Timeout,
    /// A write had no answer that says whether it happened, and reading back could not tell.
    OutcomeUnknown,
    /// The index, or the alias that stands for it, does not exist.
    IndexNotFound,
    /// An index of this name exists already, and it is not the one that was to be created.
    IndexExists,
    /// An alias that had to exist does not.
    AliasNotFound,
    /// The mapping cannot be changed in this way, or does not take the document.
    MappingRefused,
    /// The index would have more fields than its settings allow.
    FieldLimit,
    /// The index has a write block.
    WriteBlocked,
    /// The index or the cluster has a block of another kind.
    Blocked,
    /// The index is closed.
    IndexClosed,
    /// The index cannot be deleted or closed while a snapshot is made of it.
    SnapshotInProgress,
    /// The index that was to be cloned takes writes.
    NotWriteBlocked,
    /// The cluster has as many shards as its limit allows.
    ShardLimit,
    /// The request or its answer is larger than the server takes.
    TooLarge,
    /// The point in time is not open (any more).
    PointInTimeMissing,
    /// The credentials are missing or refused, or do not allow this.
    Forbidden,
    /// The server calls the request malformed.
    Rejected,
    /// An answer that the engine does not understand.
    Unexpected,
}

/// An error of a [`Cluster`](super::Cluster) call, with all that is known of it: never with a request's body.
#[derive(Debug)]
pub struct ClusterError {
    /// What the engine acts on.
    pub kind: ClusterErrorKind,
    /// The HTTP method.
    pub method: &'static str,
    /// The path, without the server's address.
    pub path: String,
    /// The HTTP status of the last answer, if there was one.
    pub status: Option<u16>,
    /// The server's error type, such as `index_not_found_exception`.
    pub server_type: Option<String>,
    /// The server's reason.
    pub reason: Option<String>,
    /// How often the request was sent.
    pub attempts: u32,
    /// How long the server asked to wait, if it did.
    pub retry_after: Option<Duration>,
    /// Time from the first attempt to the last answer.
    pub elapsed: Duration,
    /// The transport's error, if there was no answer.
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl ClusterError {
    /// An error of `kind` for a request that is not (or no longer) under way.
    pub fn new(
        kind: ClusterErrorKind,
        method: &'static str,
        path: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            method,
            path: path.into(),
            status: None,
            server_type: None,
            reason: Some(reason.into()),
            attempts: 1,
            retry_after: None,
            elapsed: Duration::ZERO,
            source: None,
        }
    }

    fn cure(&self) -> &'static str {
        match self.kind {
            ClusterErrorKind::Unavailable | ClusterErrorKind::Timeout => {
                "check that Elasticsearch runs at the configured URL and is not overloaded, then try again"
            }
            ClusterErrorKind::OutcomeUnknown => {
                "read what the write was to change to see whether it happened; if it was a migration's, start that again"
            }
            ClusterErrorKind::IndexNotFound | ClusterErrorKind::AliasNotFound => {
                "run `saved-objects migrate` to create or heal the indices, and check the prefix"
            }
            ClusterErrorKind::IndexExists => "run `saved-objects status` to see what has the name",
            ClusterErrorKind::MappingRefused => "run `saved-objects migrate --plan` to see what the mapping lacks",
            ClusterErrorKind::WriteBlocked => {
                "find out who set the write block; lift it with the setting index.blocks.write=false if it was left behind"
            }
            ClusterErrorKind::FieldLimit => {
                "raise the setting index.mapping.total_fields.limit of the index (or the limit that the reason names), or map fewer fields"
            }
            ClusterErrorKind::Blocked => {
                "lift the block that the reason names: a setting index.blocks.* of the index or cluster.blocks.* of the cluster"
            }
            ClusterErrorKind::IndexClosed => "open the index with POST <index>/_open",
            ClusterErrorKind::SnapshotInProgress => "wait until the snapshot has ended: GET _snapshot/_status shows it",
            ClusterErrorKind::NotWriteBlocked => "find out who lifted the write block, and start the migration again",
            ClusterErrorKind::ShardLimit => "raise cluster.max_shards_per_node or delete indices that nobody needs",
            ClusterErrorKind::TooLarge => "send less at once, or raise http.max_content_length",
            ClusterErrorKind::PointInTimeMissing => "start the reading again",
            ClusterErrorKind::Forbidden => "give credentials that may read, write and manage the indices of the prefix",
            ClusterErrorKind::Rejected | ClusterErrorKind::Unexpected => {
                "check the server's version and the reason it gives; report it if both look right"
            }
        }
    }
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ClusterErrorKind::Unavailable => "elasticsearch is unavailable",
            ClusterErrorKind::Timeout => "elasticsearch did not answer in time",
            ClusterErrorKind::OutcomeUnknown => "the outcome of a write is unknown",
            ClusterErrorKind::IndexNotFound => "an index is missing",
            ClusterErrorKind::IndexExists => "an index exists already",
            ClusterErrorKind::AliasNotFound => "an alias is missing",
            ClusterErrorKind::MappingRefused => "the mapping was refused",
            ClusterErrorKind::FieldLimit => "an index would have too many fields",
            ClusterErrorKind::WriteBlocked => "the index is write-blocked",
            ClusterErrorKind::Blocked => "the index is blocked",
            ClusterErrorKind::IndexClosed => "the index is closed",
            ClusterErrorKind::SnapshotInProgress => "a snapshot of the index is being made",
            ClusterErrorKind::NotWriteBlocked => "an index to be cloned is not write-blocked",
            ClusterErrorKind::ShardLimit => "the cluster's shard limit is reached",
            ClusterErrorKind::TooLarge => "a request or its answer is too large",
            ClusterErrorKind::PointInTimeMissing => "a point in time is not open",
            ClusterErrorKind::Forbidden => "elasticsearch refuses the credentials",
            ClusterErrorKind::Rejected => "elasticsearch rejected a request",
            ClusterErrorKind::Unexpected => "elasticsearch gave an unexpected answer",
        };
        write!(f, "{what}: {} {}", self.method, self.path)?;
        if let Some(status) = self.status {
            write!(f, " status={status}")?;
        }
        if let Some(server_type) = &self.server_type {
            write!(f, " type={server_type}")?;
        }
        if let Some(reason) = &self.reason {
            write!(f, " reason={reason:?}")?;
        }
        if let Some(source) = &self.source {
            write!(f, " cause={:?}", innermost(source.as_ref()).to_string())?;
        }
        write!(f, " attempts={} elapsed={:.1}s", self.attempts, self.elapsed.as_secs_f64())
    }
}

fn innermost<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}

impl StdError for ClusterError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<ClusterError> for Error {
    fn from(error: ClusterError) -> Self {
        let kind = match error.kind {
            ClusterErrorKind::Unavailable
            | ClusterErrorKind::Timeout
            | ClusterErrorKind::ShardLimit
            | ClusterErrorKind::IndexClosed
            | ClusterErrorKind::SnapshotInProgress => ErrorKind::Unavailable,
            ClusterErrorKind::OutcomeUnknown => ErrorKind::OutcomeUnknown,
            ClusterErrorKind::IndexNotFound | ClusterErrorKind::AliasNotFound => ErrorKind::NotFound,
            ClusterErrorKind::IndexExists | ClusterErrorKind::NotWriteBlocked => ErrorKind::Conflict,
            ClusterErrorKind::MappingRefused | ClusterErrorKind::FieldLimit | ClusterErrorKind::TooLarge => {
                ErrorKind::Invalid
            }
            ClusterErrorKind::WriteBlocked | ClusterErrorKind::Blocked | ClusterErrorKind::Forbidden => {
                ErrorKind::Forbidden
            }
            ClusterErrorKind::PointInTimeMissing => ErrorKind::Conflict,
            ClusterErrorKind::Rejected | ClusterErrorKind::Unexpected => ErrorKind::Internal,
        };
        Error::new(kind, error.to_string()).with_cure(error.cure()).with_source(error)
    }
}
