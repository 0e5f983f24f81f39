//! Documents read, decided about as they are stored and written, each over what was read, until nobody else is in the way.

use super::many::PAGE;
use super::read::Fetched;
use super::rounds::Rounds;
use super::write::{Sources, Write};
use super::{ObjectKey, Repository};
use crate::Result;
use crate::cluster::{Gone, Refresh};
use crate::document::{StoredDocument, VersionToken};
use crate::registry::TypeDefinition;

/// A document to be looked at.
pub(super) struct Candidate<'a> {
    pub(super) definition: &'a TypeDefinition,
    pub(super) key: ObjectKey,
    /// As it was read; none if it is still to be read.
    pub(super) fetched: Option<Fetched>,
}

/// What is to become of a document.
pub(super) enum Decision {
    Keep,
    Replace(Box<StoredDocument>),
    /// What it means that it is gone, if the answer is lost.
    Delete(Gone),
}

/// What became of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rewritten {
    Kept,
    Replaced(VersionToken),
    Deleted,
}

impl Repository {
    /// Asks `decide` what is to become of each document (none if there is none) and does it, unless it was written meanwhile: then
    /// it is read anew and asked about again, a few times. Each document has its own answer, in order.
    pub(super) async fn rewrite<F>(
        &self,
        candidates: Vec<Candidate<'_>>,
        mut decide: F,
        refresh: Refresh,
    ) -> Vec<Result<Rewritten>>
    where
        F: FnMut(usize, &Candidate<'_>, Option<Fetched>) -> Result<Decision> + Send,
    {
        let mut rest = candidates;
        let mut answers = Vec::with_capacity(rest.len());
        while !rest.is_empty() {
            let first = answers.len();
            let page: Vec<Candidate<'_>> = rest.drain(..rest.len().min(PAGE)).collect();
            answers.extend(self.rewrite_page(page, first, &mut decide, refresh).await);
        }
        answers
    }

    async fn rewrite_page<F>(
        &self,
        mut page: Vec<Candidate<'_>>,
        first: usize,
        decide: &mut F,
        refresh: Refresh,
    ) -> Vec<Result<Rewritten>>
    where
        F: FnMut(usize, &Candidate<'_>, Option<Fetched>) -> Result<Decision> + Send,
    {
        let mut rounds = Rounds::new(self, page.iter().map(|candidate| candidate.key.clone()).collect());
        let mut known = Vec::with_capacity(page.len());
        for (at, candidate) in page.iter_mut().enumerate() {
            known.extend(candidate.fetched.take().map(|fetched| (at, Some(fetched))));
        }
        let mut round = if known.is_empty() { rounds.read().await } else { Some(known) };
        while let Some(read) = round {
            let mut writes = Vec::with_capacity(read.len());
            let mut sources = Sources::of(read.len(), &self.shared.environment);
            for (at, fetched) in read {
                let candidate = &page[at];
                let version = fetched.as_ref().map(|fetched| fetched.version);
                let decision = decide(first + at, candidate, fetched);
                match decision.and_then(|decision| write(candidate, version, decision, &mut sources)) {
                    Ok(Some(write)) => writes.push((at, write)),
                    Ok(None) => rounds.end(at, Ok(Rewritten::Kept)),
                    Err(error) => rounds.end(at, Err(error)),
                }
            }
            let deletions: Vec<usize> =
                writes.iter().filter(|(_, write)| write.is_deletion()).map(|(at, _)| *at).collect();
            for (at, done) in rounds.write(writes, refresh).await {
                match done {
                    Some(_) if deletions.contains(&at) => rounds.end(at, Ok(Rewritten::Deleted)),
                    Some(version) => rounds.end(at, Ok(Rewritten::Replaced(version))),
                    None => {}
                }
            }
            round = rounds.read().await;
        }
        rounds.into_answers()
    }
}

/// What is to be written; none if it stays.
fn write(
    candidate: &Candidate<'_>,
    read: Option<VersionToken>,
    decision: Decision,
    sources: &mut Sources,
) -> Result<Option<Write>> {
    let Some(read) = read else { return Ok(None) };
    let (definition, key) = (candidate.definition, &candidate.key);
    match decision {
        Decision::Keep => Ok(None),
        Decision::Replace(document) => Write::replace(definition, key, &document, read, sources).map(Some),
        Decision::Delete(gone) => Write::delete(definition, key, read, gone).map(Some),
    }
}
