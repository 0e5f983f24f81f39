//! What every [`Cluster`] must do, as named cases: run on the real server and in memory, they prove that both do the same.
//! Whoever writes a cluster of their own, a wrapper for instance, can run them on it.
//!
//! ```
//! # use std::sync::Arc;
//! # use saved_objects::cluster::{InMemory, conformance};
//! # use saved_objects::environment::Environment;
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let cluster = Arc::new(InMemory::new(Environment::system()));
//! for case in conformance::cases() {
//!     case.run(cluster.clone(), "conformance").await.map_err(|failure| format!("{}: {failure}", case.name()))?;
//! }
//! # Ok::<(), String>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod aliases;
mod bulk;
mod conditions;
mod copying;
mod documents;
mod indices;
mod mappings;
mod paging;
mod points_in_time;
mod queries;
mod room;
mod sorting;
mod values;

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::{Cluster, ClusterError, ClusterErrorKind, ClusterResult, ItemError};
use room::Room;

/// One behaviour, and how to see it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    path: &'static str,
    run: fn(Room) -> BoxFuture<'static, Verdict>,
}

/// Whether a cluster behaves as it must.
pub type Verdict = Result<(), Failure>;

/// What a cluster did otherwise.
#[derive(Debug)]
pub struct Failure(String);

/// All cases.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    [
        indices::CASES,
        conditions::CASES,
        aliases::CASES,
        mappings::CASES,
        values::CASES,
        bulk::CASES,
        documents::CASES,
        queries::CASES,
        sorting::CASES,
        paging::CASES,
        points_in_time::CASES,
        copying::CASES,
    ]
    .into_iter()
    .flatten()
}

impl Case {
    /// Its name, as `bulk::a_document_is_created_once`.
    pub fn name(&self) -> &'static str {
        self.path.split_once("conformance::").map_or(self.path, |(_, name)| name)
    }

    /// Runs it on `cluster`, in indices whose names begin with `prefix` and the case's name; any that are there are deleted,
    /// before and after. Different cases can run at the same time, each on a client of its own: some count its requests.
    ///
    /// # Errors
    /// What the cluster did otherwise.
    pub async fn run(&self, cluster: Arc<dyn Cluster>, prefix: &str) -> Verdict {
        // The end keeps a case from sweeping another one whose name only begins like its own.
        let room = Room::new(cluster, &format!("{prefix}-{}-case", self.name().replace("::", "-")));
        room.sweep().await?;
        let verdict = (self.run)(room.clone()).await;
        room.sweep().await?;
        verdict
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        Self(format!("refused, which it must not be: {error}"))
    }
}

impl From<ItemError> for Failure {
    fn from(error: ItemError) -> Self {
        Self(format!("refused, which it must not be: {:?} {}", error.kind, error.reason))
    }
}

/// The cases of a module: functions from a room to a verdict.
macro_rules! named_cases {
    ($($case:ident),+ $(,)?) => {
        pub(super) const CASES: &[$crate::cluster::conformance::Case] = &[$($crate::cluster::conformance::Case {
            path: concat!(module_path!(), "::", stringify!($case)),
            run: |room| Box::pin($case(room)),
        }),+];
    };
}
use named_cases;

/// Fails unless both are equal.
fn equal<T: PartialEq<U> + fmt::Debug, U: fmt::Debug>(what: &str, actual: T, expected: U) -> Verdict {
    match actual == expected {
        true => Ok(()),
        false => Err(Failure(format!("{what}: expected {expected:?}, and it is {actual:?}"))),
    }
}

/// Fails unless the request was refused with this kind of error.
fn refused<T: fmt::Debug>(what: &str, result: ClusterResult<T>, kind: ClusterErrorKind) -> Verdict {
    match result {
        Err(error) => equal(&format!("{what}, refused with {error}"), error.kind, kind),
        Ok(answer) => Err(Failure(format!("{what}: expected {kind:?}, and it is {answer:?}"))),
    }
}

/// What must be there.
fn some<T>(what: &str, value: Option<T>) -> Result<T, Failure> {
    value.ok_or_else(|| Failure(format!("{what} is missing")))
}
