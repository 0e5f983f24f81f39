//! The verdict of a case, and the comparisons that lead to it.

use std::fmt;

use crate::cluster::{ClusterError, ClusterErrorKind, ClusterResult, ItemError};

/// The result of a case: whether the cluster behaves as it must.
pub type Verdict = Result<(), Failure>;

/// A description of how a cluster deviated.
#[derive(Debug)]
pub struct Failure(pub(super) String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        Self(format!("must not be refused: {error}"))
    }
}

impl From<ItemError> for Failure {
    fn from(error: ItemError) -> Self {
        Self(format!("must not be refused: {:?} {}", error.kind, error.reason))
    }
}

/// Fails unless both are equal.
pub(super) fn equal<T: PartialEq<U> + fmt::Debug, U: fmt::Debug>(what: &str, actual: T, expected: U) -> Verdict {
    match actual == expected {
        true => Ok(()),
        false => Err(Failure(format!("{what}: expected {expected:?}, found {actual:?}"))),
    }
}

/// Fails unless the request was refused with this kind of error.
pub(super) fn refused<T: fmt::Debug>(what: &str, result: ClusterResult<T>, kind: ClusterErrorKind) -> Verdict {
    match result {
        Err(error) => equal(&format!("{what}, refused with {error}"), error.kind, kind),
        Ok(answer) => Err(Failure(format!("{what}: expected the error {kind:?}, found {answer:?}"))),
    }
}

/// Returns a value that must be present, and fails if it is missing.
pub(super) fn some<T>(what: &str, value: Option<T>) -> Result<T, Failure> {
    value.ok_or_else(|| Failure(format!("{what} is missing")))
}
