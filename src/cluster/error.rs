//! The error of a call to the cluster.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::elastic::Misconfiguration;
use super::reason::{MissingPrivilege, blocked_in, quoted_from};
use super::refusal::Refusal;

/// The kinds of errors that the engine distinguishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClusterErrorKind {
    /// Until the retries were used up, there was no connection, or the server answered 408, 429, 502, 503 or 504, or a
    /// proxy answered in its place.
    Unavailable,
    /// The server did not answer in time.
    Timeout,
    /// The answer of a write does not say whether the write happened, and reading back did not settle it.
    OutcomeUnknown,
    /// The index, or the alias that leads to it, does not exist.
    IndexNotFound,
    /// Another index of this name exists already.
    IndexExists,
    /// An alias that must exist does not.
    AliasNotFound,
    /// The mapping cannot be changed in this way, or does not accept the document.
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
    /// The index to clone has no write block.
    NotWriteBlocked,
    /// The cluster has as many shards as its limit allows.
    ShardLimit,
    /// The request or its answer is larger than the server accepts.
    TooLarge,
    /// The point in time is not open, or no longer open.
    PointInTimeMissing,
    /// The credentials are missing or refused, or do not allow this.
    Forbidden,
    /// No connection can be made with these settings and certificates.
    Misconfigured(Misconfiguration),
    /// The server rejected the request as malformed.
    Rejected,
    /// The cluster in memory does not model the request. A real server might answer it.
    Unsupported,
    /// The engine does not understand the answer.
    Unexpected,
}

/// An error of a [`Cluster`](super::Cluster) call, with everything that is known about it, but never a request's body.
#[derive(Debug)]
pub struct ClusterError {
    /// The kind, on which the engine acts.
    pub kind: ClusterErrorKind,
    /// The HTTP method.
    pub method: &'static str,
    /// The path, without the server's address.
    pub path: String,
    /// The HTTP status of the last answer, if there was one.
    pub status: Option<u16>,
    /// The server's error type, such as `index_not_found_exception`. If a search failed on its shards, the type of the
    /// first failure.
    pub server_type: Option<String>,
    /// The type of the innermost cause on the server.
    pub cause_type: Option<String>,
    /// The server's reason. The reason for a failed search is cut off where it may repeat a value.
    pub reason: Option<String>,
    /// The index that the error is about, if the server names it.
    pub index: Option<String>,
    /// The addresses of the server, if it could not be reached or did not answer.
    pub server: Option<String>,
    /// The number of times that the request was sent.
    pub attempts: u32,
    /// The time that the server asked to wait, if it did.
    pub retry_after: Option<Duration>,
    /// The time from the first attempt to the last answer.
    pub elapsed: Duration,
    /// The transport's error, if there was no answer.
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl ClusterError {
    /// Creates an error of `kind` for a request that was not sent or has ended.
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
            cause_type: None,
            reason: Some(reason.into()),
            index: None,
            server: None,
            attempts: 1,
            retry_after: None,
            elapsed: Duration::ZERO,
            source: None,
        }
    }

    /// Returns the privilege that the credentials lack, if the server names it.
    pub fn missing_privilege(&self) -> Option<MissingPrivilege<'_>> {
        match self.kind {
            ClusterErrorKind::Forbidden => MissingPrivilege::in_reason(self.reason.as_deref()?),
            _ => None,
        }
    }

    /// Returns the indices whose blocks the server names as the reason.
    pub(crate) fn blocked_indices(&self) -> impl Iterator<Item = &str> {
        let reason = self.reason.as_deref().filter(|_| self.kind == ClusterErrorKind::Blocked);
        reason.into_iter().flat_map(blocked_in)
    }

    /// Returns why the server refuses a search, if this is the error of a search and the reason is a known one.
    pub fn refusal(&self) -> Option<Refusal<'_>> {
        let is_search = self.path.ends_with("_search") || self.path.ends_with("_pit");
        let is_refused = matches!(self.kind, ClusterErrorKind::Rejected | ClusterErrorKind::Unexpected)
            || self.server_type.as_deref() == Some("too_many_scroll_contexts_exception");
        let reason = self.reason.as_deref().filter(|_| is_search && is_refused)?;
        Refusal::of(self.server_type.as_deref()?, self.cause_type.as_deref(), reason)
    }

    /// Cuts the reason off where it may repeat a value of the search, because errors are logged.
    pub(super) fn leave_out_values(&mut self) {
        // A refusal that is known only by its type may have any reason: `Failed to parse query [a*]`.
        let is_worded = self.reason.as_deref().is_some_and(|reason| Refusal::of("", None, reason).is_some());
        let is_expensive = self.refusal() == Some(Refusal::Expensive);
        let is_known = self.refusal().is_some_and(|refusal| refusal != Refusal::Value) && (is_worded || is_expensive);
        let may_repeat = match self.kind {
            ClusterErrorKind::Rejected | ClusterErrorKind::Unexpected => !is_known,
            ClusterErrorKind::Unavailable => !self.is_out_of_memory(),
            _ => false,
        };
        if let Some(reason) = &mut self.reason
            && may_repeat
            && let Some(at) = quoted_from(reason)
        {
            reason.truncate(at);
            reason.push('…');
        }
    }

    /// Returns whether a circuit breaker of the server refused the request.
    pub(super) fn is_out_of_memory(&self) -> bool {
        self.server_type.as_deref() == Some("circuit_breaking_exception")
    }
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(refusal) = self.refusal() {
            return self.write_details(f, &format!("elasticsearch refuses the search: {}", refusal.what()));
        }
        if self.is_out_of_memory() {
            return self.write_details(f, "elasticsearch has no memory for a request or its answer now");
        }
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
            ClusterErrorKind::NotWriteBlocked => "the index to clone is not write-blocked",
            ClusterErrorKind::ShardLimit => "the cluster's shard limit is reached",
            ClusterErrorKind::TooLarge => "a request or its answer is too large",
            ClusterErrorKind::PointInTimeMissing => "a point in time is not open",
            ClusterErrorKind::Forbidden if self.status == Some(403) => "elasticsearch does not allow it",
            ClusterErrorKind::Forbidden => "elasticsearch refuses the credentials",
            ClusterErrorKind::Misconfigured(wrong) => {
                f.write_str("no connection to elasticsearch can be made: ")?;
                return self.write_details(f, &wrong.to_string());
            }
            // The reason says all, and no server was asked.
            ClusterErrorKind::Unsupported => return f.write_str(self.reason.as_deref().unwrap_or_default()),
            ClusterErrorKind::Rejected => "elasticsearch rejected a request",
            ClusterErrorKind::Unexpected => "elasticsearch gave an unexpected answer",
        };
        self.write_details(f, what)
    }
}

impl ClusterError {
    fn write_details(&self, f: &mut fmt::Formatter<'_>, what: &str) -> fmt::Result {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        write!(f, "{what}: {} {path}", self.method)?;
        if let Some(server) = &self.server {
            write!(f, " at {server}")?;
        }
        if let Some(status) = self.status {
            write!(f, " status={status}")?;
        }
        if let Some(server_type) = &self.server_type {
            write!(f, " type={server_type}")?;
        }
        if let Some(cause_type) = &self.cause_type {
            write!(f, " cause_type={cause_type}")?;
        }
        if let Some(index) = self.index.as_ref().filter(|index| !self.path.starts_with(index.as_str())) {
            write!(f, " index={index}")?;
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

/// Returns the innermost source of an error, or the error itself.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ErrorKind};

    fn error(status: u16, server_type: &str, cause: Option<&str>, reason: &str) -> ClusterError {
        let kind = if status == 400 { ClusterErrorKind::Rejected } else { ClusterErrorKind::Unavailable };
        let mut error = ClusterError::new(kind, "POST", "so-notes/_search", reason);
        error.status = Some(status);
        error.server_type = Some(server_type.to_owned());
        error.cause_type = cause.map(str::to_owned);
        error.index = Some("so-notes-000001".to_owned());
        error.leave_out_values();
        error
    }

    const SHARD: &str = "query_shard_exception";
    const ARGUMENT: &str = "illegal_argument_exception";

    #[test]
    fn each_refusal_has_its_kind_and_its_hint() {
        let table = [
            (
                SHARD,
                Some(ARGUMENT),
                "failed to create query: The number of terms [9] used",
                Refusal::TooManyTerms,
                "index.max_terms_count",
            ),
            (
                SHARD,
                Some(ARGUMENT),
                "failed to create query: The length of regex [1001] used",
                Refusal::PatternTooLong,
                "max_regex_length",
            ),
            (
                SHARD,
                Some("too_many_nested_clauses"),
                "failed to create query: x",
                Refusal::TooManyClauses,
                "`Filter::any_of`",
            ),
            ("too_many_clauses", None, "maxClauseCount is set to 1024", Refusal::TooManyClauses, "divide the search"),
            (
                SHARD,
                Some("too_complex_to_determinize_exception"),
                "Failed to parse query [a*]",
                Refusal::PatternTooComplex,
                "fewer `*`",
            ),
            (ARGUMENT, None, "Result window is too large, from + size", Refusal::PageTooFar, "`stream`"),
            (
                "too_many_buckets_exception",
                None,
                "Trying to create too many buckets.",
                Refusal::TooManyBuckets,
                "search.max_buckets",
            ),
            (
                ARGUMENT,
                None,
                "Keep alive for request (1d) is too large.",
                Refusal::KeptOpenTooLong,
                "search.max_keep_alive",
            ),
            (
                SHARD,
                Some("exception"),
                "failed to create query: [joining] queries cannot be executed when 'search.allow_expensive_queries' is \
                 set to false.",
                Refusal::Expensive,
                "search.allow_expensive_queries\":null",
            ),
            (
                SHARD,
                None,
                "No mapping found for [note.x] in order to sort on",
                Refusal::NotMapped("note.x"),
                "saved-objects migrate",
            ),
            (SHARD, Some(ARGUMENT), "failed to create query: no such thing", Refusal::Value, "fit the fields' types"),
        ];
        for (server_type, cause, reason, refusal, hint) in table {
            let error = error(400, server_type, cause, reason);
            assert_eq!(error.refusal(), Some(refusal), "{reason}");
            let error = Error::from(error);
            assert_eq!(error.kind(), refusal.kind());
            assert!(error.message().starts_with("elasticsearch refuses the search: "), "{error}");
            assert!(error.hint().is_some_and(|given| given.contains(hint)), "{error}");
        }
        let contexts =
            error(429, "too_many_scroll_contexts_exception", None, "Trying to create too many scroll contexts.");
        assert_eq!(contexts.refusal(), Some(Refusal::TooManyContexts));
        assert_eq!(Error::from(contexts).kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn a_reason_is_kept_as_far_as_it_repeats_no_value() {
        let table = [
            (
                SHARD,
                Some("number_format_exception"),
                "failed to create query: For input string: \"SECRET\"",
                "failed to create query: For input string: …",
            ),
            (
                SHARD,
                Some(ARGUMENT),
                "failed to create query: failed to parse date field [SECRET] with",
                "failed to create query: failed to parse date field …",
            ),
            (SHARD, Some("parse_exception"), "Failed to parse query [SECRET]", "Failed to parse query …"),
            // A value that looks like a refusal is still a value.
            (
                SHARD,
                Some("number_format_exception"),
                "failed to create query: For input string: \"The number of terms [SECRET\"",
                "failed to create query: For input string: …",
            ),
            (ARGUMENT, None, "Result window is too large, was [15]", "Result window is too large, was [15]"),
            (ARGUMENT, None, "Can't parse boolean value [SECRET], expected", "Can't parse boolean value …"),
            (ARGUMENT, None, "Value [SECRET] is out of range for a long", "Value …"),
            ("x", None, "'SECRET' is odd", "…"),
        ];
        for (server_type, cause, reason, expected) in table {
            let error = error(400, server_type, cause, reason);
            assert_eq!(error.reason.as_deref(), Some(expected));
            assert!(
                !format!("{:?} {}", error, Error::from(ClusterError::new(ClusterErrorKind::Rejected, "", "", "")))
                    .contains("SECRET")
            );
        }
        let memory =
            error(429, "circuit_breaking_exception", None, "[parent] Data too large, data for [<http_request>]");
        assert_eq!(memory.reason.as_deref(), Some("[parent] Data too large, data for [<http_request>]"));
        let busy = error(429, "es_rejected_execution_exception", None, "rejected execution of Task{SECRET}");
        assert_eq!(busy.reason.as_deref(), Some("rejected execution of Task…"));
    }
}
