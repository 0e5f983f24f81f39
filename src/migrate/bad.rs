//! What becomes of documents that cannot be converted (design decision 12).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::convert::{Pass, Target};
use super::{BadDocument, Fate, GroupPlan, OnUnreadable};
use crate::cluster::{
    BulkAction, BulkOperation, BulkRequest, Cluster, Gone, Hit, ItemErrorKind, ItemOutcome, Refresh, SequenceNumber,
};
use crate::quarantine::{Placed, Put, Quarantine, ReadAt, Stage};
use crate::{Error, ErrorKind, Result};

/// What a migration does with documents that it cannot convert. Those of which only a secret does not open are not among
/// them: see [`OnUnreadable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBad {
    /// Names all of them and fails: they stay where they are, and good ones stay converted.
    #[default]
    Fail,
    /// Puts them into quarantine, from where they can be restored.
    Quarantine,
    /// Deletes them, or leaves them out of the copy.
    Discard,
}

impl FromStr for OnBad {
    type Err = Error;

    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for any other word than `fail`, `quarantine` and `discard`.
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

/// Why a document is bad.
#[derive(Debug)]
pub(super) struct Defect {
    pub(super) type_name: Option<String>,
    pub(super) reason: String,
    /// The first attribute whose secret does not open, if it is that: the document itself may be fine.
    pub(super) unreadable: Option<String>,
}

/// A bad document as it was read.
#[derive(Debug)]
pub(super) struct BadHit {
    pub(super) hit: Hit,
    pub(super) defect: Defect,
}

/// A bad document that does not stay where it is.
#[derive(Debug)]
struct Disposed {
    fate: Fate,
    bad: BadHit,
    /// Its entry in quarantine, if it goes there.
    placed: Option<Placed>,
}

/// The policy, and what it needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy<'a> {
    pub(super) on_bad: OnBad,
    pub(super) on_unreadable: OnUnreadable,
    pub(super) quarantine: &'a Quarantine,
    /// When the run began, as it is stored.
    pub(super) since: &'a str,
}

impl Policy<'_> {
    fn fate(self, defect: &Defect) -> Fate {
        match (defect.unreadable.is_some(), self.on_bad, self.on_unreadable) {
            (true, _, OnUnreadable::Quarantine) | (false, OnBad::Quarantine, _) => Fate::Quarantined,
            (false, OnBad::Discard, _) => Fate::Discarded,
            // What can be stripped is, before it gets here.
            (true, _, OnUnreadable::Fail | OnUnreadable::Strip) | (false, OnBad::Fail, _) => Fate::Kept,
        }
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
    /// Deals with the bad documents of one page, and counts and names them.
    pub(super) async fn dispose(self, bad: Vec<BadHit>, pass: &mut Pass) -> Result<()> {
        let (kept, disposed): (Vec<_>, Vec<_>) =
            bad.into_iter().map(|bad| (self.policy.fate(&bad.defect), bad)).partition(|(fate, _)| *fate == Fate::Kept);
        kept.into_iter().for_each(|(fate, bad)| self.name(pass, bad, fate));
        if disposed.is_empty() {
            return Ok(());
        }
        let disposed = self.put_aside(disposed, pass).await?;
        if disposed.is_empty() {
            return Ok(());
        }
        if self.target == Target::Fill {
            // The source takes no writes: they are left out of the copy, and stay in the old generation.
            disposed.into_iter().for_each(|Disposed { fate, bad, .. }| self.name(pass, bad, fate));
            return Ok(());
        }
        let (mut deleted, mut changed) = (Vec::new(), Vec::new());
        for (disposed, outcome) in disposed.iter().zip(self.delete(&disposed).await?) {
            match outcome {
                Ok(_) => deleted.push(disposed),
                // Whoever changed or deleted it meanwhile has the last word; the next run looks again.
                Err(error) if matches!(error.kind, ItemErrorKind::Conflict | ItemErrorKind::NotFound) => {
                    changed.push(disposed);
                }
                Err(error) => {
                    let what = format!("{} could not be taken out of {}", disposed.bad.hit.id, self.plan.index);
                    let cure = "put right what the reason says, and start again: no document is lost";
                    return Err(error.into_error(ErrorKind::Unavailable, what, cure));
                }
            }
        }
        let confirmed: Vec<_> =
            deleted.iter().filter_map(|one| Some((self.put(&one.bad), one.placed.clone()?))).collect();
        self.policy.quarantine.confirm(&confirmed, self.policy.since).await?;
        self.forget(&changed).await?;
        pass.counts.conflicts += changed.len() as u64;
        let changed: BTreeSet<String> = changed.iter().map(|one| one.bad.hit.id.clone()).collect();
        for Disposed { fate, bad, .. } in disposed {
            if !changed.contains(&bad.hit.id) {
                self.name(pass, bad, fate);
            }
        }
        Ok(())
    }

    /// Takes those out of quarantine again that are in their index, as somebody changed them. One that is not may have been taken
    /// out by another node.
    async fn forget(self, changed: &[&Disposed]) -> Result<()> {
        let (ids, placed): (Vec<&str>, Vec<&Placed>) =
            changed.iter().filter_map(|one| Some((one.bad.hit.id.as_str(), one.placed.as_ref()?))).unzip();
        if ids.is_empty() {
            return Ok(());
        }
        let found = self.cluster.get_many(&self.plan.index, &ids).await?;
        let is_there = placed.into_iter().zip(found).filter(|(_, found)| found.is_some());
        let forgotten: Vec<Placed> = is_there.map(|(placed, _)| placed.clone()).collect();
        self.policy.quarantine.forget(&forgotten).await
    }

    /// Puts those that are to go there into quarantine, and gives all but those that are too large for it, which stay where
    /// they are.
    async fn put_aside(self, disposed: Vec<(Fate, BadHit)>, pass: &mut Pass) -> Result<Vec<Disposed>> {
        let (to_be_put, rest): (Vec<_>, Vec<_>) =
            disposed.into_iter().partition(|(fate, _)| *fate == Fate::Quarantined);
        let mut rest: Vec<_> = rest.into_iter().map(|(fate, bad)| Disposed { fate, bad, placed: None }).collect();
        if to_be_put.is_empty() {
            return Ok(rest);
        }
        let puts: Vec<_> = to_be_put.iter().map(|(_, bad)| self.put(bad)).collect();
        let answers = self.policy.quarantine.put(&puts, self.policy.since).await?;
        for ((fate, mut bad), answer) in to_be_put.into_iter().zip(answers) {
            match answer {
                Ok(placed) => rest.push(Disposed { fate, bad, placed: Some(placed) }),
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
                Target::Fill => Stage::LeftOut,
            },
            read: ReadAt::of(&bad.hit),
        }
    }

    async fn delete(self, disposed: &[Disposed]) -> Result<Vec<ItemOutcome>> {
        let delete = |id: &str, read: SequenceNumber| BulkOperation {
            id: id.to_owned(),
            action: BulkAction::Delete { read, gone: Gone::Done },
        };
        let operations: Vec<_> = disposed.iter().map(|one| delete(&one.bad.hit.id, one.bad.hit.sequence)).collect();
        let request = BulkRequest { alias: self.write_alias, operations: &operations, refresh: Refresh::Later };
        Ok(self.cluster.bulk(&request).await?)
    }

    /// Counts a bad document, and names it.
    pub(super) fn name(self, pass: &mut Pass, bad: BadHit, fate: Fate) {
        let BadHit { hit, defect } = bad;
        if fate == Fate::Kept {
            pass.kept += 1;
            pass.kept_unreadable += u64::from(defect.unreadable.is_some());
        }
        self.name_one(pass, hit.id, defect, fate);
    }

    /// As [`name`](Self::name), for one that is not kept.
    pub(super) fn name_one(self, pass: &mut Pass, id: String, defect: Defect, fate: Fate) {
        pass.counts.bad += 1;
        match fate {
            Fate::Kept => {}
            Fate::Stripped => tracing::warn!(id, reason = defect.reason, "a secret that does not open was removed"),
            Fate::Quarantined => {
                pass.counts.quarantined += 1;
                pass.left_out_unreadable += u64::from(defect.unreadable.is_some());
            }
            Fate::Discarded => pass.counts.deleted += 1,
        }
        let alias = self.plan.names.alias().to_owned();
        let Defect { type_name, reason, .. } = defect;
        pass.bad.push(BadDocument { alias, id, type_name, reason, fate });
    }
}
