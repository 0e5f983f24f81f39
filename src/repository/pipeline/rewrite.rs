//! Rewrites documents in their stored form: reads them, decides about each, and replaces or deletes it if it is as it
//! was read. After a conflict the document is read and decided about again.

use std::ops::ControlFlow;

use super::attempts::Attempts;
use super::errors;
use super::item::Items;
use super::read::Fetched;
use super::target::Target;
use super::write::{Sources, Write, Written};
use crate::Result;
use crate::cluster::{Gone, Refresh};
use crate::document::{StoredDocument, VersionToken};
use crate::repository::Repository;

/// A document to decide about.
pub(in crate::repository) struct Candidate {
    pub(in crate::repository) target: Target,
    /// The stored document, as it was read.
    pub(in crate::repository) fetched: Fetched,
}

/// The decision about a document.
pub(in crate::repository) enum Decision {
    /// Leaves it as it is.
    Keep,
    /// Stores this document in its place.
    Replace(Box<StoredDocument>),
    /// Deletes it. The [`Gone`] says how to settle a lost answer if the document is gone.
    Delete(Gone),
}

/// The result for a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::repository) enum Rewritten {
    Kept,
    Replaced(VersionToken),
    Deleted,
}

impl Repository {
    /// Calls `decide` for each document that was read and does what it returns. If another writer was first, reads the
    /// document and calls `decide` again (with `None` if it no longer exists), a few times. Returns an answer for each
    /// document, in order.
    pub(in crate::repository) async fn rewrite<F>(
        &self,
        candidates: Vec<Candidate>,
        mut decide: F,
        refresh: Refresh,
    ) -> Vec<Result<Rewritten>>
    where
        F: FnMut(&Target, Option<Fetched>) -> Result<Decision> + Send,
    {
        let count = candidates.len();
        let mut items = Items::with_capacity(count);
        for (at, Candidate { target, fetched }) in candidates.into_iter().enumerate() {
            items.open(at, target, Some(fetched));
        }
        let mut rewritten = Items::with_capacity(count);
        for page in items.pages() {
            rewritten.append(self.rewrite_page(page, &mut decide, refresh).await);
        }
        rewritten.end(count, |target, _| Err(errors::changed(&target.key)))
    }

    async fn rewrite_page<F>(
        &self,
        items: Items<Option<Fetched>, Rewritten>,
        decide: &mut F,
        refresh: Refresh,
    ) -> Items<(), Rewritten>
    where
        F: FnMut(&Target, Option<Fetched>) -> Result<Decision> + Send,
    {
        let mut attempts = Attempts::several(&self.shared.engine.environment);
        let mut read = items.each(|_, fetched| Ok(((), fetched)));
        loop {
            let mut sources = Sources::of(read.open_count(), &self.shared.engine.environment);
            let writes = read.each_or_answer(|target, ((), fetched)| {
                let version = fetched.as_ref().map(|fetched| fetched.version);
                let decision = decide(target, fetched);
                match decision.and_then(|decision| write(target, version, decision, &mut sources)) {
                    Ok(Some(write)) => ControlFlow::Continue((write.is_deletion(), write)),
                    Ok(None) => ControlFlow::Break(Ok(Rewritten::Kept)),
                    Err(error) => ControlFlow::Break(Err(error)),
                }
            });
            let written = self.write_items(writes, refresh).await;
            let items = written.each_or_answer(|_, (is_deletion, written)| match written {
                Written::Done(_) if is_deletion => ControlFlow::Break(Ok(Rewritten::Deleted)),
                Written::Done(version) => ControlFlow::Break(Ok(Rewritten::Replaced(version))),
                Written::Conflict => ControlFlow::Continue(()),
            });
            if items.are_answered() || !attempts.wait_for_next().await {
                return items;
            }
            read = self.fetch_items(items).await;
        }
    }
}

/// Returns the write of a decision, or `None` if the document stays as it is.
fn write(
    target: &Target,
    read: Option<VersionToken>,
    decision: Decision,
    sources: &mut Sources,
) -> Result<Option<Write>> {
    let Some(read) = read else { return Ok(None) };
    match decision {
        Decision::Keep => Ok(None),
        Decision::Replace(document) => Write::replace(target, &document, read, sources).map(Some),
        Decision::Delete(gone) => Ok(Some(Write::delete(read, gone))),
    }
}
