//! What credentials do not see. Elasticsearch leaves out the indices that the credentials may not see, as if they did
//! not exist, so nothing can be concluded from the absence of an index.

use std::collections::BTreeMap;
use std::fmt;

use super::{Cluster, ClusterErrorKind, ClusterResult};
use crate::{Error, ErrorKind};

/// Privileges of Elasticsearch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Privileges {
    /// Privileges on the cluster.
    pub cluster: Vec<String>,
    /// Privileges on indices, by the name or the pattern of the indices.
    pub indices: BTreeMap<String, Vec<String>>,
}

impl Privileges {
    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cluster.is_empty() && self.indices.values().all(Vec::is_empty)
    }
}

impl fmt::Display for Privileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cluster = (!self.cluster.is_empty()).then(|| format!("{} on the cluster", self.cluster.join(", ")));
        let indices = self.indices.iter().filter(|(_, privileges)| !privileges.is_empty());
        let indices = indices.map(|(name, privileges)| format!("{} on {name}", privileges.join(", ")));
        f.write_str(&cluster.into_iter().chain(indices).collect::<Vec<_>>().join("; "))
    }
}

/// Names of indices, aliases and patterns that match indices which the credentials may not see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unseen(pub Vec<String>);

impl Unseen {
    /// Returns the `names` of which the credentials may not see every index. Sends one request, or no request if
    /// `names` is empty.
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

    /// Returns a description of the problem.
    pub fn what(&self) -> String {
        format!(
            "these credentials may not see everything that is called {}: nothing is concluded from what seems to be \
             missing there",
            self.0.join(", ")
        )
    }

    /// Returns what an operator can do about it.
    pub fn hint(&self) -> String {
        format!(
            "grant the index privileges `read` and `view_index_metadata` (which `manage` includes) on {}; \
             `saved-objects privileges` prints what each job needs",
            self.0.join(", ")
        )
    }

    /// Returns the error to report for an index that seems to be missing.
    pub fn error(&self) -> Error {
        Error::new(ErrorKind::Forbidden, self.what()).with_hint(self.hint()).with_source(self.clone())
    }
}

/// An index whose latest writes a search may not see, because the credentials allow no refresh.
#[derive(Debug, Clone)]
pub struct Unrefreshed {
    index: String,
    error: Error,
}

impl Unrefreshed {
    /// Makes every acknowledged write to an index or alias visible to searches. Returns `Some` if the credentials do
    /// not allow it.
    pub(crate) async fn after_refresh(cluster: &dyn Cluster, index: &str) -> ClusterResult<Option<Self>> {
        match cluster.refresh(index).await {
            Ok(()) => Ok(None),
            // Credentials that the server does not know at all are an error.
            Err(error) if error.kind == ClusterErrorKind::Forbidden && error.status != Some(401) => {
                Ok(Some(Self { index: index.to_owned(), error: error.into() }))
            }
            Err(error) => Err(error),
        }
    }

    /// Returns a description of the problem.
    pub fn what(&self) -> String {
        format!(
            "what was written to {} within the last second may be missing: the credentials allow no refresh",
            self.index
        )
    }

    /// Returns what an operator can do about it.
    pub fn hint(&self) -> &str {
        self.error.hint().unwrap_or_default()
    }

    /// Returns the error for a caller that must not miss any write.
    pub(crate) fn into_error(self) -> Error {
        self.error
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what())
    }
}

impl std::error::Error for Unseen {}
