//! Closes the gate of an index before it is copied, and opens it again. Each step is one request about aliases that
//! names what it found: of two nodes that take the same step one succeeds, and a request that arrives late fails.

use crate::cluster::{AliasAction, Cluster, ClusterErrorKind};
use crate::environment::Environment;
use crate::layout::{Gate, IndexNames, Mark};
use crate::{Error, ErrorKind, Result};

/// The gate of one generation's index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gatekeeper<'a> {
    pub(super) cluster: &'a dyn Cluster,
    pub(super) environment: &'a Environment,
    pub(super) names: &'a IndexNames,
    pub(super) generation: u32,
    pub(super) index: &'a str,
}

impl Gatekeeper<'_> {
    /// Closes the gate and returns the mark that keeps it closed. Joins a copy that is in progress or was stopped. The
    /// caller sets a write block afterwards, so that running writes end.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if the gate is not as `seen`, or the index is not the current generation.
    pub(super) async fn close(&self, seen: &Gate) -> Result<String> {
        let joined = seen.copying.first().filter(|_| !seen.is_open);
        let mark = match joined {
            Some(mark) => mark.clone(),
            None => self.new_mark(Mark::Copying)?,
        };
        let mut actions = self.while_current();
        if seen.is_open {
            actions.push(self.remove(&self.names.write_alias(self.generation)));
        }
        actions.extend(seen.marks().map(|found| self.remove(found)));
        actions.push(self.add(&mark));
        self.update(actions).await?;
        Ok(mark)
    }

    /// Opens the gate, and lifts the write block if a mark says that it is a copy's. Acknowledged writes stay. From the
    /// first step on, the copy cannot be swapped in.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if another node was faster.
    pub(super) async fn open(&self, seen: &Gate) -> Result<()> {
        if seen.is_open {
            // Users write. A block next to a mark is a copy's, so the mark is removed only after the block.
            if seen.is_marked() {
                self.cluster.remove_write_block(self.index).await?;
            }
            return self.update(seen.marks().map(|mark| self.remove(mark)).collect()).await;
        }
        let undoing = match seen.undoing.first().filter(|_| seen.copying.is_empty() && seen.undoing.len() == 1) {
            Some(mark) => mark.clone(),
            None => {
                let mark = self.new_mark(Mark::Undoing)?;
                let mut actions = self.while_current();
                actions.extend(seen.marks().map(|found| self.remove(found)));
                actions.push(self.add(&mark));
                self.update(actions).await?;
                mark
            }
        };
        if seen.is_marked() {
            self.cluster.remove_write_block(self.index).await?;
        }
        let mut actions = self.while_current();
        actions.push(self.remove(&undoing));
        actions.push(self.add(&self.names.write_alias(self.generation)));
        self.update(actions).await
    }

    /// Marks a generation that will be removed, if `current` is the current generation. If this node ends here, any
    /// start lifts the write block, because it is next to a mark.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if `current` is not the current generation.
    pub(super) async fn mark_for_removal(&self, current: &str) -> Result<String> {
        let mark = self.new_mark(Mark::Undoing)?;
        let mut actions = Gatekeeper { index: current, ..*self }.while_current();
        actions.push(self.add(&mark));
        self.update(actions).await?;
        Ok(mark)
    }

    /// Removes the mark of a removal that does not happen, and the write block unless it existed before.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if another node was faster.
    pub(super) async fn unmark(&self, mark: &str, was_blocked: bool) -> Result<()> {
        if !was_blocked {
            self.cluster.remove_write_block(self.index).await?;
        }
        self.update(vec![self.remove(mark)]).await
    }

    /// Returns the actions that fail if the index is no longer the current generation.
    pub(super) fn while_current(&self) -> Vec<AliasAction> {
        vec![self.remove(self.names.alias()), self.add(self.names.alias())]
    }

    fn new_mark(&self, mark: Mark) -> Result<String> {
        let nonce = self.environment.random_uuid()?.simple().to_string();
        Ok(self.names.mark(self.generation, mark, &nonce))
    }

    fn add(&self, alias: &str) -> AliasAction {
        AliasAction::Add { index: self.index.to_owned(), alias: alias.to_owned() }
    }

    fn remove(&self, alias: &str) -> AliasAction {
        AliasAction::Remove { index: self.index.to_owned(), alias: alias.to_owned() }
    }

    async fn update(&self, actions: Vec<AliasAction>) -> Result<()> {
        if actions.is_empty() { Ok(()) } else { update_aliases(self.cluster, &actions).await }
    }
}

/// Changes aliases under the conditions that the actions name.
///
/// # Errors
/// [`Conflict`](ErrorKind::Conflict) if a condition does not hold.
pub(super) async fn update_aliases(cluster: &dyn Cluster, actions: &[AliasAction]) -> Result<()> {
    match cluster.update_aliases(actions).await {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.kind, ClusterErrorKind::AliasNotFound | ClusterErrorKind::IndexNotFound) => {
            Err(moved("another node was faster").with_source(error))
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns the error that another node changed what this one planned with, after which the migration plans again.
pub(super) fn moved(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Conflict, what).with_hint("start again; if it stays so, see `saved-objects status`")
}
