use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::elastic::Misconfiguration;
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
    /// No connection can be made with these settings and certificates.
    Misconfigured(Misconfiguration),
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

    /// Returns the privilege that the credentials lack, if the server says so.
    pub fn missing_privilege(&self) -> Option<MissingPrivilege<'_>> {
        match self.kind {
            ClusterErrorKind::Forbidden => MissingPrivilege::in_reason(self.reason.as_deref()?),
            _ => None,
        }
    }

    fn cure(&self) -> Cow<'static, str> {
        let fixed = match self.kind {
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
            ClusterErrorKind::Forbidden => return self.cure_of_refusal(),
            ClusterErrorKind::Misconfigured(wrong) => wrong.hint(),
            ClusterErrorKind::Rejected | ClusterErrorKind::Unexpected => {
                "check the server's version and the reason it gives; report it if both look right"
            }
        };
        fixed.into()
    }

    fn cure_of_refusal(&self) -> Cow<'static, str> {
        if let Some(missing) = self.missing_privilege() {
            return missing.hint().into();
        }
        let is_without = self.reason.as_deref().is_some_and(|reason| reason.contains("missing authentication"));
        match self.status {
            Some(401) if is_without => {
                "give credentials: SAVED_OBJECTS_ELASTICSEARCH_API_KEY_FILE, or SAVED_OBJECTS_ELASTICSEARCH_USERNAME with \
                 SAVED_OBJECTS_ELASTICSEARCH_PASSWORD_FILE, or ElasticSettings::credentials"
            }
            Some(401) => {
                "check the API key, the token, or user and password: the server does not know them, or they have expired"
            }
            Some(407) => "give the proxy its credentials, or leave it out by NO_PROXY",
            _ => {
                "give credentials that may read, write and manage the indices of the prefix: `saved-objects privileges` prints \
                 what each job needs"
            }
        }
        .into()
    }
}

/// A privilege that credentials lack, as the server's reason names it: `this action is granted by the index privileges
/// [create_index,manage,all]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingPrivilege<'a> {
    /// `index` or `cluster`.
    pub level: &'a str,
    /// The privileges that allow the action, the narrowest first; any of them is enough.
    pub any_of: &'a str,
    /// The indices, if it is about indices.
    pub indices: Option<&'a str>,
}

impl<'a> MissingPrivilege<'a> {
    /// Reads the server's reason.
    pub(super) fn in_reason(reason: &'a str) -> Option<Self> {
        let (action, granted) = reason.split_once("this action is granted by the ")?;
        let (level, granted) = granted.split_once(" privileges [")?;
        let (any_of, _) = granted.split_once(']')?;
        let indices = action.rsplit_once("indices [").and_then(|(_, rest)| Some(rest.split_once(']')?.0));
        Some(Self { level, any_of, indices })
    }

    /// Returns what to do about it.
    pub(super) fn hint(self) -> String {
        let Self { level, any_of, indices } = self;
        let (first, others) = any_of.split_once(',').map_or((any_of, None), |(first, others)| (first, Some(others)));
        let others = others.map(|others| format!(" (or {})", others.replace(',', ", "))).unwrap_or_default();
        let indices = indices.map(|indices| format!(" on {}", indices.replace(',', ", "))).unwrap_or_default();
        format!(
            "grant the {level} privilege `{first}`{others}{indices}; `saved-objects privileges` prints what each job needs"
        )
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
            ClusterErrorKind::Forbidden if self.status == Some(403) => "elasticsearch does not allow it",
            ClusterErrorKind::Forbidden => "elasticsearch refuses the credentials",
            ClusterErrorKind::Misconfigured(wrong) => {
                f.write_str("no connection to elasticsearch can be made: ")?;
                return self.write_details(f, &wrong.to_string());
            }
            ClusterErrorKind::Rejected => "elasticsearch rejected a request",
            ClusterErrorKind::Unexpected => "elasticsearch gave an unexpected answer",
        };
        self.write_details(f, what)
    }
}

impl ClusterError {
    fn write_details(&self, f: &mut fmt::Formatter<'_>, what: &str) -> fmt::Result {
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
            ClusterErrorKind::MappingRefused
            | ClusterErrorKind::FieldLimit
            | ClusterErrorKind::TooLarge
            | ClusterErrorKind::Misconfigured(_) => ErrorKind::Invalid,
            ClusterErrorKind::WriteBlocked | ClusterErrorKind::Blocked | ClusterErrorKind::Forbidden => {
                ErrorKind::Forbidden
            }
            ClusterErrorKind::PointInTimeMissing => ErrorKind::Conflict,
            ClusterErrorKind::Rejected | ClusterErrorKind::Unexpected => ErrorKind::Internal,
        };
        Error::new(kind, error.to_string()).with_cure(error.cure()).with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_privilege_is_read_from_the_servers_reason() {
        let of_index = "action [indices:admin/create] is unauthorized for API key id [x] of user [elastic] on indices \
                        [a-notes-000001], this action is granted by the index privileges [create_index,manage,all]";
        let of_cluster = "action [cluster:monitor/health] is unauthorized for user [kim] with effective roles [r], this \
                          action is granted by the cluster privileges [monitor,manage,all]";
        let table = [
            (of_index, "index privilege `create_index` (or manage, all) on a-notes-000001;"),
            (of_cluster, "cluster privilege `monitor` (or manage, all);"),
        ];
        for (reason, expected) in table {
            let mut error = ClusterError::new(ClusterErrorKind::Forbidden, "PUT", "a-notes-000001", reason);
            error.status = Some(403);
            let error = Error::from(error);
            assert_eq!(error.kind(), ErrorKind::Forbidden);
            assert!(error.cure().is_some_and(|cure| cure.contains(expected)), "{error}");
        }
        assert_eq!(MissingPrivilege::in_reason("this action is granted by the index privileges"), None);
    }

    #[test]
    fn refused_credentials_and_missing_ones_have_other_hints() {
        let table = [
            (401, "missing authentication credentials for REST request [/]", "give credentials"),
            (401, "unable to authenticate user [kim] for REST request [/]", "check the API key"),
            (403, "no", "saved-objects privileges"),
            (407, "", "the proxy"),
        ];
        for (status, reason, expected) in table {
            let mut error = ClusterError::new(ClusterErrorKind::Forbidden, "GET", "x", reason);
            error.status = Some(status);
            let error = Error::from(error);
            assert!(error.cure().is_some_and(|cure| cure.contains(expected)), "{status}: {error}");
        }
    }
}
