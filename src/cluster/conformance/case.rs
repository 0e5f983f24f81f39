//! A conformance case: one behaviour, and the check that runs it.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::room::Room;
use super::verdict::Verdict;
use crate::cluster::Cluster;

/// One behaviour, and how to check it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub(super) path: &'static str,
    pub(super) run: fn(Room) -> BoxFuture<'static, Verdict>,
}

impl Case {
    /// Returns the case's name, such as `bulk::a_document_is_created_once`.
    pub fn name(&self) -> &'static str {
        self.path.split_once("conformance::").map_or(self.path, |(_, name)| name)
    }

    /// Runs the case on `cluster`, in indices whose names begin with `prefix` and the case's name.
    ///
    /// Existing indices of such names are deleted before and after. Different cases can run at the same time if each
    /// has a client of its own: some count the client's requests.
    ///
    /// # Errors
    /// A description of how the cluster deviated.
    pub async fn run(&self, cluster: Arc<dyn Cluster>, prefix: &str) -> Verdict {
        // The ending keeps a case from deleting the indices of another case whose name begins with this one's.
        let room = Room::new(cluster, &format!("{prefix}-{}-case", self.name().replace("::", "-")));
        room.sweep().await?;
        let verdict = (self.run)(room.clone()).await;
        room.sweep().await?;
        verdict
    }
}

/// Lists the cases of a module: functions from a `Room` to a `Verdict`.
macro_rules! named_cases {
    ($($case:ident),+ $(,)?) => {
        pub(super) const CASES: &[$crate::cluster::conformance::case::Case] = &[$($crate::cluster::conformance::case::Case {
            path: concat!(module_path!(), "::", stringify!($case)),
            run: |room| Box::pin($case(room)),
        }),+];
    };
}
pub(super) use named_cases;
