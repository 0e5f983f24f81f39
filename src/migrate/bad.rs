//! What becomes of documents that cannot be converted (design decision 12).

use std::fmt;
use std::str::FromStr;

use super::convert::{Pass, Target};
use super::{BadDocument, Fate, GroupPlan};
use crate::cluster::{
    BulkAction, BulkOperation, BulkRequest, Cluster, Hit, ItemErrorKind, ItemOutcome, Refresh, SequenceNumber,
};
use crate::quarantine::{Put, Quarantine};
use crate::{Error, ErrorKind, Result};

/// What a migration does with documents that it cannot convert. Secrets that do not open are never among those that are put
/// aside or deleted.
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
    /// Whether it is a secret that does not open: the document itself may be fine.
    pub(super) is_unreadable: bool,
}

/// A bad document as it was read.
#[derive(Debug)]
pub(super) struct BadHit {
    pub(super) hit: Hit,
    pub(super) defect: Defect,
}

/// The policy, and what it needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy<'a> {
    pub(super) on_bad: OnBad,
    pub(super) quarantine: &'a Quarantine,
    /// When the run began, as it is stored.
    pub(super) since: &'a str,
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
            bad.into_iter().partition(|bad| self.policy.on_bad == OnBad::Fail || bad.defect.is_unreadable);
        kept.into_iter().for_each(|bad| self.name(pass, bad, Fate::Kept));
        if disposed.is_empty() {
            return Ok(());
        }
        let (disposed, entry_ids) = match self.policy.on_bad {
            OnBad::Quarantine => self.put_aside(disposed, pass).await?,
            OnBad::Fail | OnBad::Discard => (disposed, Vec::new()),
        };
        if disposed.is_empty() {
            return Ok(());
        }
        let fate = if self.policy.on_bad == OnBad::Quarantine { Fate::Quarantined } else { Fate::Discarded };
        if self.target == Target::Fill {
            // The source takes no writes: they are left out of the copy, and stay in the old generation.
            disposed.into_iter().for_each(|bad| self.name(pass, bad, fate));
            return Ok(());
        }
        let mut changed = Vec::new();
        for (number, (bad, outcome)) in disposed.iter().zip(self.delete(&disposed).await?).enumerate() {
            match outcome {
                Ok(_) => {}
                // Whoever changed or deleted it meanwhile has the last word; the next run looks again.
                Err(error) if matches!(error.kind, ItemErrorKind::Conflict | ItemErrorKind::NotFound) => {
                    changed.push(number);
                }
                Err(error) => {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        format!("{} could not be taken out of {}: {}", bad.hit.id, self.plan.index, error.reason),
                    )
                    .with_cure("put right what the reason says, and start again: no document is lost"));
                }
            }
        }
        let forgotten: Vec<String> = changed.iter().filter_map(|&number| entry_ids.get(number).cloned()).collect();
        if !forgotten.is_empty() {
            self.policy.quarantine.forget(&forgotten).await?;
        }
        for (number, bad) in disposed.into_iter().enumerate() {
            match changed.contains(&number) {
                true => pass.counts.conflicts += 1,
                false => self.name(pass, bad, fate),
            }
        }
        Ok(())
    }

    /// Puts documents into quarantine, and gives them with the names of their entries. One that is too large for it stays
    /// where it is.
    async fn put_aside(self, bad: Vec<BadHit>, pass: &mut Pass) -> Result<(Vec<BadHit>, Vec<String>)> {
        let puts: Vec<_> = bad.iter().map(|bad| self.put(bad)).collect();
        let refusals = self.policy.quarantine.put(&puts, self.policy.since).await?;
        let entry_ids: Vec<_> = puts.iter().map(Put::entry_id).collect();
        let mut put_aside = (Vec::new(), Vec::new());
        for ((mut bad, entry_id), refusal) in bad.into_iter().zip(entry_ids).zip(refusals) {
            match refusal {
                None => {
                    put_aside.0.push(bad);
                    put_aside.1.push(entry_id);
                }
                Some(refusal) => {
                    bad.defect.reason = format!("{}; and it cannot be put aside: {refusal}", bad.defect.reason);
                    self.name(pass, bad, Fate::Kept);
                }
            }
        }
        Ok(put_aside)
    }

    fn put<'b>(&'b self, bad: &'b BadHit) -> Put<'b> {
        Put {
            alias: self.plan.names.alias(),
            id: &bad.hit.id,
            type_name: bad.defect.type_name.as_deref(),
            reason: &bad.defect.reason,
            source: bad.hit.source.get(),
        }
    }

    async fn delete(self, bad: &[BadHit]) -> Result<Vec<ItemOutcome>> {
        let delete =
            |id: &str, read: SequenceNumber| BulkOperation { id: id.to_owned(), action: BulkAction::Delete { read } };
        let operations: Vec<_> = bad.iter().map(|bad| delete(&bad.hit.id, bad.hit.sequence)).collect();
        let request = BulkRequest { alias: self.write_alias, operations: &operations, refresh: Refresh::Later };
        Ok(self.cluster.bulk(&request).await?)
    }

    /// Counts a bad document, and names it.
    pub(super) fn name(self, pass: &mut Pass, bad: BadHit, fate: Fate) {
        let BadHit { hit, defect } = bad;
        pass.counts.bad += 1;
        match fate {
            Fate::Kept => pass.kept += 1,
            Fate::Quarantined => pass.counts.quarantined += 1,
            Fate::Discarded => pass.counts.deleted += 1,
        }
        let alias = self.plan.names.alias().to_owned();
        let Defect { type_name, reason, .. } = defect;
        pass.bad.push(BadDocument { alias, id: hit.id, type_name, reason, fate });
    }
}
