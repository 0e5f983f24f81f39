//! The refusals of a server, in its words.

use std::fmt::Display;

use crate::cluster::ClusterError;
use crate::cluster::elastic::{NOT_SUPPORTED, error_kind};

/// Creates a server's refusal. The caller adds the request's method and path.
pub(super) fn refusal(status: u16, server_type: &str, reason: impl Into<String>) -> ClusterError {
    let reason = reason.into();
    let kind = error_kind(status, server_type, &reason);
    let mut error = ClusterError::new(kind, "", "", reason);
    error.status = Some(status);
    error.server_type = Some(server_type.to_owned());
    error
}

pub(super) fn missing(name: &str) -> ClusterError {
    refusal(404, "index_not_found_exception", format!("no such index [{name}]"))
}

pub(super) fn rejected(reason: impl Into<String>) -> ClusterError {
    refusal(400, "illegal_argument_exception", reason)
}

/// Creates the refusal of a request that the cluster in memory does not model. `what` repeats no value of the
/// request.
pub(super) fn unsupported(what: impl Display) -> ClusterError {
    refusal(400, NOT_SUPPORTED, format!("the cluster in memory does not support {what}"))
}

pub(super) fn closed(index: &str) -> ClusterError {
    ClusterError { index: Some(index.to_owned()), ..refusal(400, "index_closed_exception", "closed") }
}

/// The reason why a search or a mapping is refused, in a server's words, or that the cluster in memory does not model
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) server_type: &'static str,
    pub(super) reason: String,
    /// The type of the cause.
    pub(super) cause: Option<&'static str>,
}

impl Refused {
    /// Creates the refusal of a search from which no query can be made.
    pub(super) fn query(cause: &'static str, reason: impl Display) -> Self {
        let reason = format!("failed to create query: {reason}");
        Self { server_type: "query_shard_exception", reason, cause: Some(cause) }
    }

    /// Returns the form of this refusal that the server uses before it makes a query: it parses the bounds of dates
    /// then.
    pub(super) fn before_the_query(self) -> Self {
        match self.reason.strip_prefix("failed to create query: ") {
            Some(reason) => Self { server_type: "parse_exception", reason: reason.to_owned(), ..self },
            None => self,
        }
    }

    /// Creates the refusal of a search for a field that the index does not map as searchable or sortable.
    pub(super) fn mapping(reason: impl Into<String>) -> Self {
        Self { server_type: "query_shard_exception", reason: reason.into(), cause: None }
    }

    /// Creates the refusal of a request that the cluster in memory does not model. `what` repeats no value of the
    /// request.
    pub(super) fn unsupported(what: impl Display) -> Self {
        let reason = format!("the cluster in memory does not support {what}");
        Self { server_type: NOT_SUPPORTED, reason, cause: None }
    }

    /// Returns whether a real server might answer the request.
    pub(super) fn is_unsupported(&self) -> bool {
        self.server_type == NOT_SUPPORTED
    }

    /// Returns the error as a client reads it from the server's answer.
    pub(super) fn into_error(self, index: &str) -> ClusterError {
        let mut error = refusal(400, self.server_type, self.reason);
        error.cause_type = self.cause.map(str::to_owned);
        error.index = Some(index.to_owned());
        error.path = "_search".to_owned();
        error.leave_out_values();
        error
    }
}

impl<T: Into<String>> From<T> for Refused {
    fn from(reason: T) -> Self {
        Self { server_type: "illegal_argument_exception", reason: reason.into(), cause: None }
    }
}
