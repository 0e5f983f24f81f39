//! What credentials do not see. Elasticsearch leaves out what they may not see as if it were not there, so that nothing can be
//! concluded from its absence.

use std::fmt;

use super::{Cluster, ClusterResult};
use crate::{Error, ErrorKind};

/// Names of indices, aliases and patterns whose indices the credentials may not all see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unseen(pub(crate) Vec<String>);

impl Unseen {
    /// Asks which of `names` these are. One request; none if there are no names.
    pub(crate) async fn among(cluster: &dyn Cluster, names: &[String]) -> ClusterResult<Self> {
        if names.is_empty() {
            return Ok(Self::default());
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(Self(cluster.unseen(&names).await?))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns what is wrong.
    pub(crate) fn what(&self) -> String {
        format!(
            "these credentials may not see everything that is called {}: nothing is concluded from what seems to be missing there",
            self.0.join(", ")
        )
    }

    /// Returns what the operator does about it.
    pub(crate) fn cure(&self) -> String {
        format!(
            "grant the index privileges `read` and `view_index_metadata` (which `manage` includes) on {}; `saved-objects \
             privileges` prints what each job needs",
            self.0.join(", ")
        )
    }

    /// Returns the error of something that seems to be missing.
    pub(crate) fn error(&self) -> Error {
        Error::new(ErrorKind::Forbidden, self.what()).with_cure(self.cure()).with_source(self.clone())
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what())
    }
}

impl std::error::Error for Unseen {}
