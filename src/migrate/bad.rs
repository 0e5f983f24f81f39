//! The policy for documents that cannot be converted, and what a pass does by it (record 24).

use std::fmt;
use std::str::FromStr;

use super::defect::{BadHit, Defect};
use super::pass::{Pass, Target};
use super::{BadDocument, Fate, GroupPlan, OnUnreadable};
use crate::cluster::{Cluster, ItemError};
use crate::engine::quarantine::{EntryVersion, Put, Quarantine, ReadAt, Stage};
use crate::engine::rewrite::{self, Bulk, Conflicts, Refusals, Written};
use crate::{Error, ErrorKind, Result};

/// What a migration does with documents that it cannot convert. For documents of which only a secret cannot be
/// decrypted, see [`OnUnreadable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBad {
    /// Names all of them and fails. They stay where they are, and the others stay converted.
    #[default]
    Fail,
    /// Puts them into quarantine. They can be restored from there.
    Quarantine,
    /// Deletes them, or leaves them out of a copy.
    Discard,
}

impl FromStr for OnBad {
    type Err = Error;

    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) unless `text` is `fail`, `quarantine` or `discard`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "fail" => Ok(Self::Fail),
            "quarantine" => Ok(Self::Quarantine),
            "discard" => Ok(Self::Discard),
            _ => Err(Error::invalid(format!("{text:?} is no policy"), "use fail, quarantine or discard")),
        }
    }
}

impl fmt::Display for OnBad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fail => "fail",
            Self::Quarantine => "quarantine",
            Self::Discard => "discard",
        })
    }
}

/// A bad document that is put into quarantine or discarded.
#[derive(Debug)]
struct Disposed {
    fate: Fate,
    bad: BadHit,
    /// Its entry in quarantine, if it goes there.
    entry: Option<EntryVersion>,
}

/// The policies of a run, and what they need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy<'a> {
    pub(super) on_bad: OnBad,
    pub(super) on_unreadable: OnUnreadable,
    pub(super) quarantine: &'a Quarantine,
    /// The time when the run began, in its stored form.
    pub(super) since: &'a str,
}

impl Policy<'_> {
    fn fate(self, defect: &Defect) -> Fate {
        fate(defect.unreadable.is_some(), self.on_bad, self.on_unreadable)
    }
}

/// Returns the fate of a bad document that is not stripped. `is_unreadable`: it is bad because a secret cannot be
/// decrypted.
pub(super) fn fate(is_unreadable: bool, on_bad: OnBad, on_unreadable: OnUnreadable) -> Fate {
    match (is_unreadable, on_bad, on_unreadable) {
        (true, _, OnUnreadable::Quarantine) | (false, OnBad::Quarantine, _) => Fate::Quarantined,
        (false, OnBad::Discard, _) => Fate::Discarded,
        // With `Strip`, only documents that cannot be stripped get here.
        (true, _, OnUnreadable::Fail | OnUnreadable::Strip) | (false, OnBad::Fail, _) => Fate::Kept,
    }
}

/// Carries out the policy in one pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disposal<'a> {
    pub(super) cluster: &'a dyn Cluster,
    pub(super) policy: Policy<'a>,
    pub(super) plan: &'a GroupPlan,
    pub(super) write_alias: &'a str,
    pub(super) target: Target,
}

impl Disposal<'_> {
    /// Does with the bad documents of a page what the policy says, counts them and names them.
    pub(super) async fn dispose(self, bad: Vec<BadHit>, pass: &mut Pass) -> Result<()> {
        let (kept, disposed): (Vec<_>, Vec<_>) =
            bad.into_iter().map(|bad| (self.policy.fate(&bad.defect), bad)).partition(|(fate, _)| *fate == Fate::Kept);
        kept.into_iter().for_each(|(fate, bad)| self.name(pass, bad, fate));
        if disposed.is_empty() {
            return Ok(());
        }
        let mut disposed = self.put_aside(disposed, pass).await?;
        // The source of a copy takes no writes: the documents are left out of the copy, and stay in the old generation.
        if self.target == Target::SameIndex && !disposed.is_empty() {
            disposed = self.delete(disposed, pass).await?;
        }
        disposed.into_iter().for_each(|Disposed { fate, bad, .. }| self.name(pass, bad, fate));
        Ok(())
    }

    /// Deletes documents from their index. Returns those that were deleted. Documents that another process changed or
    /// deleted first stay as they are, and the next run reads them again.
    async fn delete(self, disposed: Vec<Disposed>, pass: &mut Pass) -> Result<Vec<Disposed>> {
        let failure = |id: &str, error: ItemError| {
            let what = format!("{id} could not be taken out of {}", self.plan.index);
            let hint = "put right what the reason says, and start again: no document is lost";
            error.into_error(ErrorKind::Unavailable, what, hint)
        };
        let bulk = Bulk {
            cluster: self.cluster,
            alias: self.write_alias,
            conflicts: Conflicts::Leave,
            refusals: Refusals::Abort,
            failure: &failure,
        };
        let operations: Vec<_> =
            disposed.iter().map(|one| rewrite::deletion(one.bad.hit.id.clone(), one.bad.hit.sequence)).collect();
        let results = bulk.write(&operations).await?;
        let (deleted, changed): (Vec<_>, Vec<_>) =
            disposed.into_iter().zip(results).partition(|(_, written)| matches!(written, Written::Done));
        let deleted: Vec<Disposed> = deleted.into_iter().map(|(one, _)| one).collect();
        let confirmed: Vec<_> =
            deleted.iter().filter_map(|one| Some((self.put(&one.bad), one.entry.clone()?))).collect();
        self.policy.quarantine.confirm(&confirmed, self.policy.since).await?;
        self.delete_entries(changed.iter().map(|(one, _)| one)).await?;
        pass.counts.conflicts += changed.len() as u64;
        Ok(deleted)
    }

    /// Deletes the quarantine entries of those documents that are in their index, as another process changed them. A
    /// document that is not there may have been put into quarantine by another node, so its entry stays.
    async fn delete_entries(self, changed: impl Iterator<Item = &Disposed>) -> Result<()> {
        let (ids, entry): (Vec<&str>, Vec<&EntryVersion>) =
            changed.filter_map(|one| Some((one.bad.hit.id.as_str(), one.entry.as_ref()?))).unzip();
        if ids.is_empty() {
            return Ok(());
        }
        let found = self.cluster.get_many(&self.plan.index, &ids).await?;
        let is_there = entry.into_iter().zip(found).filter(|(_, found)| found.is_some());
        let stale: Vec<EntryVersion> = is_there.map(|(entry, _)| entry.clone()).collect();
        self.policy.quarantine.delete_entries(&stale).await
    }

    /// Puts the documents with that fate into quarantine. Returns all documents but those that are too large for the
    /// quarantine, which stay where they are.
    async fn put_aside(self, disposed: Vec<(Fate, BadHit)>, pass: &mut Pass) -> Result<Vec<Disposed>> {
        let (to_be_put, rest): (Vec<_>, Vec<_>) =
            disposed.into_iter().partition(|(fate, _)| *fate == Fate::Quarantined);
        let mut rest: Vec<_> = rest.into_iter().map(|(fate, bad)| Disposed { fate, bad, entry: None }).collect();
        if to_be_put.is_empty() {
            return Ok(rest);
        }
        let puts: Vec<_> = to_be_put.iter().map(|(_, bad)| self.put(bad)).collect();
        let answers = self.policy.quarantine.put(&puts, self.policy.since).await?;
        for ((fate, mut bad), answer) in to_be_put.into_iter().zip(answers) {
            match answer {
                Ok(entry) => rest.push(Disposed { fate, bad, entry: Some(entry) }),
                Err(refusal) => {
                    bad.defect.reason = format!("{}; and it cannot be put aside: {refusal}", bad.defect.reason);
                    self.name(pass, bad, Fate::Kept);
                }
            }
        }
        Ok(rest)
    }

    fn put<'b>(&'b self, bad: &'b BadHit) -> Put<'b> {
        Put {
            alias: self.plan.names.alias(),
            id: &bad.hit.id,
            type_name: bad.defect.type_name.as_deref(),
            reason: &bad.defect.reason,
            attribute: bad.defect.unreadable.as_deref(),
            source: bad.hit.source.get(),
            stage: match self.target {
                Target::SameIndex => Stage::TakingOut,
                Target::StagingIndex => Stage::LeftOut,
            },
            read: ReadAt::of(&bad.hit),
        }
    }

    fn name(self, pass: &mut Pass, bad: BadHit, fate: Fate) {
        pass.name(self.plan, bad.hit.id, bad.defect, fate);
    }
}

impl Pass {
    /// Counts and names a bad document of the group of `plan`.
    pub(super) fn name(&mut self, plan: &GroupPlan, id: String, defect: Defect, fate: Fate) {
        let (is_unreadable, is_too_large) = (u64::from(defect.unreadable.is_some()), u64::from(defect.is_too_large));
        self.counts.bad += 1;
        match fate {
            Fate::Kept => {
                self.kept += 1;
                self.kept_unreadable += is_unreadable;
                self.kept_too_large += is_too_large;
            }
            Fate::Stripped => {
                tracing::warn!(id, reason = defect.reason, "a secret that cannot be decrypted was removed");
            }
            Fate::Quarantined => {
                self.counts.quarantined += 1;
                self.left_out_unreadable += is_unreadable;
            }
            Fate::Discarded => self.counts.deleted += 1,
        }
        let alias = plan.names.alias().to_owned();
        let Defect { type_name, reason, .. } = defect;
        self.bad.push(BadDocument { alias, id, type_name, reason, fate });
    }
}
