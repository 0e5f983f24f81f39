//! The names of an import's problems.

use super::summary::{NamedObject, Problem};
use crate::cluster::{ClusterError, ClusterErrorKind, ItemError, ItemErrorKind};
use crate::{Error, ErrorKind};

/// The largest number of problems that a summary names.
pub(super) const MAX_NAMED: usize = 1_000;

/// Returns a problem of a line.
pub(super) fn problem(line: u64, object: Option<&NamedObject>, kind: &'static str, message: String) -> Problem {
    let (destinations, missing) = (Vec::new(), Vec::new());
    Problem { line, column: None, object: object.cloned(), kind, message, destinations, missing }
}

/// Returns the name of an error's problem.
pub(super) fn kind_of(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Conflict => "conflict",
        ErrorKind::Decrypt | ErrorKind::Corrupt | ErrorKind::Incompatible => "unreadable",
        ErrorKind::Forbidden if is_of_credentials(error) => "forbidden",
        // The others mean that the index takes no writes now.
        ErrorKind::Unavailable | ErrorKind::NotFound | ErrorKind::Forbidden => "unavailable",
        ErrorKind::Internal => "internal",
        ErrorKind::OutcomeUnknown => "outcome_unknown",
        _ => "invalid",
    }
}

/// Returns whether the server refuses the credentials.
fn is_of_credentials(error: &Error) -> bool {
    let request = error.find_source::<ClusterError>().map(|request| request.kind);
    let item = error.find_source::<ItemError>().map(|item| item.kind);
    request == Some(ClusterErrorKind::Forbidden) || item == Some(ItemErrorKind::Forbidden)
}
