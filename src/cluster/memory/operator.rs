//! What an operator does to a cluster, or what befalls it, beside the requests of clients.

use super::snapshot::{RestoreOptions, Snapshot};
use super::{InMemory, at};
use crate::cluster::ClusterResult;

impl InMemory {
    /// Takes a snapshot of indices.
    ///
    /// # Errors
    /// [`IndexNotFound`](crate::cluster::ClusterErrorKind::IndexNotFound).
    pub fn snapshot(&self, names: &[&str]) -> ClusterResult<Snapshot> {
        self.inner.state().snapshot(names).map_err(|error| at("PUT", "_snapshot", error))
    }

    /// Restores an index of a snapshot under its name. It gets the documents, mapping and settings (blocks too) of the
    /// snapshot, and a new history uuid; its primary term rises. An index that is there keeps its uuid.
    ///
    /// # Errors
    /// [`IndexNotFound`](crate::cluster::ClusterErrorKind::IndexNotFound) if the snapshot does not have it,
    /// [`Unexpected`](crate::cluster::ClusterErrorKind::Unexpected) if an open index has the name.
    pub fn restore(&self, snapshot: &Snapshot, index: &str, options: RestoreOptions) -> ClusterResult<()> {
        let restored = self.inner.state().restore(snapshot, index, options);
        restored.map_err(|error| at("POST", "_snapshot/_restore", error))
    }

    /// A snapshot of these indices is under way from now on: they can be neither deleted nor closed.
    pub fn begin_snapshot(&self, names: &[&str]) {
        self.inner.state().in_snapshot = names.iter().map(|&name| name.to_owned()).collect();
    }

    /// No snapshot is under way any more.
    pub fn end_snapshot(&self) {
        self.inner.state().in_snapshot.clear();
    }

    /// Closes an index. Its documents can be neither read nor written until it is opened.
    ///
    /// # Errors
    /// [`IndexNotFound`](crate::cluster::ClusterErrorKind::IndexNotFound), or why it cannot be closed.
    pub fn close_index(&self, index: &str) -> ClusterResult<()> {
        let closed = self.inner.state().close_index(index);
        closed.map(drop).map_err(|error| at("POST", format!("{index}/_close"), error))
    }

    /// Opens an index that was closed.
    ///
    /// # Errors
    /// [`IndexNotFound`](crate::cluster::ClusterErrorKind::IndexNotFound).
    pub fn open_index(&self, index: &str) -> ClusterResult<()> {
        self.inner.state().open_index(index).map_err(|error| at("POST", format!("{index}/_open"), error))
    }

    /// Another copy of the index's shard becomes the primary: later writes carry a higher primary term.
    ///
    /// # Errors
    /// [`IndexNotFound`](crate::cluster::ClusterErrorKind::IndexNotFound).
    pub fn fail_over(&self, index: &str) -> ClusterResult<()> {
        let mut state = self.inner.state();
        let documents = &mut state.index_mut(index).map_err(|error| at("POST", "_cluster/reroute", error))?.documents;
        documents.set_primary_term(documents.primary_term() + 1);
        Ok(())
    }
}
