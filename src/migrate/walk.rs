use std::time::Duration;

use super::bad::Policy;
use tracing::Instrument;

use super::convert::{Converter, Pass, Target};
use super::copy::{Copy, Place};
use super::progress::ProgressSender;
use super::record::record;
use super::report::{BadDocuments, per_second};
use super::steps::Steps;
use super::{Brought, Ended, GroupPlan, IndexReport, State, Way};
use crate::cluster::{Cluster, CreateIndex, Health, IndexPurpose};
use crate::control::{GenerationNumbers, KeysInUse};
use crate::conversion::Conversion;
use crate::encryption::KibanaCodec;
use crate::environment::Clock;
use crate::{Error, ErrorKind, Result};

/// How long a new index may take until its primary shard is there.
const INDEX_TIMEOUT: Duration = Duration::from_secs(60);

/// Walks one index group through its states.
pub(super) struct Walk<'a> {
    pub(super) cluster: &'a dyn Cluster,
    pub(super) conversion: &'a Conversion,
    pub(super) keys: &'a KeysInUse,
    pub(super) clock: &'a dyn Clock,
    pub(super) progress: &'a ProgressSender,
    /// Types whose documents are to be deleted.
    pub(super) removed: &'a [String],
    pub(super) group: &'a GroupPlan,
    pub(super) numbers: &'a GenerationNumbers,
    pub(super) policy: Policy<'a>,
    /// What opens Kibana's secrets, if the group is taken over and has some.
    pub(super) codec: Option<&'a KibanaCodec>,
}

impl Walk<'_> {
    /// Goes from the first state of the planned way to the end.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) or [`NotFound`](ErrorKind::NotFound) if other nodes changed what was planned with,
    /// [`Corrupt`](ErrorKind::Corrupt) if documents cannot be converted, and whatever the cluster answers.
    pub(super) async fn run(
        &self,
        report: &mut IndexReport,
        bad: &mut BadDocuments,
        has_healed: &mut bool,
    ) -> Result<()> {
        if self.group.way != Way::Copy {
            self.place().heal(has_healed).await?;
        }
        let mut converting = Duration::ZERO;
        let mut kept = Kept::default();
        let mut copy = Copy::new(self.place(), self.policy.on_bad, self.policy.on_unreadable);
        let mut state = State::first(self.group.way);
        loop {
            let started = self.clock.monotonic();
            self.progress.enter(state);
            let brought = self
                .act(state, report, bad, &mut kept, &mut copy)
                .instrument(tracing::debug_span!("step", ?state))
                .await?;
            let took = self.clock.monotonic().saturating_sub(started);
            if matches!(state, State::Convert { .. } | State::Fill) {
                converting += took;
                report.docs_per_s = per_second(report.documents.written, converting);
            }
            let State::Ended(ended) = state else {
                tracing::info!(
                    alias = self.group.names.alias(),
                    ?state,
                    took_ms = took.as_millis(),
                    "migration step done"
                );
                state = state.next(brought);
                continue;
            };
            self.clean_up(report, &copy).await?;
            return match ended {
                Ended::NothingToDo | Ended::Migrated => Ok(()),
                Ended::BadDocuments => Err(bad_documents(self.group, kept)),
            };
        }
    }

    /// Does the action of a state.
    async fn act(
        &self,
        state: State,
        report: &mut IndexReport,
        bad: &mut BadDocuments,
        kept: &mut Kept,
        copy: &mut Copy<'_>,
    ) -> Result<Brought> {
        let (cluster, group) = (self.cluster, self.group);
        let done = |()| Brought::default();
        match state {
            State::Create => self.create().await.map(done),
            State::AddMapping => record(cluster, &group.index, &group.mapping, &group.meta_before()).await.map(done),
            State::Refresh { .. } => Ok(cluster.refresh(&group.index).await.map(done)?),
            State::Convert { pass } => {
                let alias = group.names.write_alias(group.generation);
                let pass = self.pass(&alias, Target::SameIndex, pass == 1, None).await?;
                kept.add(&pass);
                Ok(add(pass, report, bad))
            }
            State::RecordDocuments => {
                record(cluster, &group.index, &group.mapping, &group.meta_after()).await.map(done)
            }
            State::BlockSource => copy.block_source().await,
            State::PrepareFill => copy.prepare_fill().await,
            State::Fill => {
                let pass = self.fill(report, &copy.fill_alias()?).await?;
                // Before it counts as complete: what a swap makes current decides what is in quarantine.
                self.policy.quarantine.settle(group.names.alias(), &group.index, &copy.fill()?).await?;
                copy.record_left_out(&pass).await?;
                kept.add(&pass);
                Ok(add(pass, report, bad))
            }
            State::BlockFill => copy.block_fill().await,
            State::Clone => copy.clone_fill().await.map(done),
            State::CheckSource => copy.check_source().await,
            State::Swap => {
                copy.swap().await?;
                report.index = copy.target().unwrap_or_default();
                Ok(Brought::default())
            }
            State::DeleteFill => {
                copy.delete_fills().await?;
                copy.check_nothing_came_late().await.map(done)
            }
            State::AbortCopy => self.place().undo().await.map(done),
            State::Ended(_) => Ok(Brought::default()),
        }
    }

    fn place(&self) -> Place<'_> {
        let Self { cluster, group, numbers, .. } = *self;
        Place { cluster, environment: self.conversion.environment(), numbers, plan: group }
    }

    async fn fill(&self, report: &mut IndexReport, alias: &str) -> Result<Pass> {
        let (Some(codec), Some(of_take_over)) = (self.codec, &mut report.take_over) else {
            return self.pass(alias, Target::Fill, true, None).await;
        };
        let steps = Steps::new(self.conversion.environment().parallelism());
        let (started, derived_before) = (self.clock.monotonic(), codec.derivation_time());
        let pass = self.pass(alias, Target::Fill, true, Some(&steps)).await?;
        let elapsed = self.clock.monotonic().saturating_sub(started);
        of_take_over.add(elapsed, codec.derivation_time().saturating_sub(derived_before), steps.cores());
        Ok(pass)
    }

    async fn pass(
        &self,
        write_alias: &str,
        target: Target,
        reads_everything: bool,
        steps: Option<&Steps>,
    ) -> Result<Pass> {
        let Self { cluster, group: plan, progress, policy, keys, .. } = *self;
        let conversion = &match self.codec {
            Some(codec) => self.conversion.clone().taking_over(codec.clone()),
            None => self.conversion.clone(),
        };
        let converter = Converter {
            cluster,
            conversion,
            keys,
            plan,
            progress,
            write_alias,
            target,
            reads_everything,
            policy,
            steps,
        };
        converter.run().await
    }

    async fn create(&self) -> Result<()> {
        let group = self.group;
        let mut mapping = group.mapping.clone();
        mapping["_meta"] = group.meta_after().into_meta(None);
        let aliases = vec![group.names.alias().to_owned(), group.names.write_alias(group.generation)];
        let request = CreateIndex { name: group.index.clone(), mapping, aliases, purpose: IndexPurpose::Serving };
        self.cluster.create_index(&request).await?;
        let health = self.cluster.wait_for_health(&group.index, Health::Yellow, INDEX_TIMEOUT).await?;
        if health == Health::Red {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("the new index {} has no primary shard", group.index),
            )
            .with_cure(
                "see GET _cluster/allocation/explain for why the cluster does not allocate it, and start again",
            ));
        }
        Ok(())
    }

    /// Deletes the documents of removed types.
    async fn clean_up(&self, report: &mut IndexReport, copy: &Copy<'_>) -> Result<()> {
        if !self.removed.is_empty() && self.group.way != Way::Create {
            let index = copy.target().unwrap_or_else(|| self.group.index.clone());
            let generation = self.group.names.generation(&index).unwrap_or(self.group.generation);
            let alias = self.group.names.write_alias(generation);
            report.documents.deleted +=
                super::removal::delete_types(self.cluster, &index, &alias, self.removed).await?;
        }
        Ok(())
    }
}

fn add(pass: Pass, report: &mut IndexReport, bad: &mut BadDocuments) -> Brought {
    let brought = Brought { read: pass.counts.read, bad: pass.kept, ..Brought::default() };
    report.documents.add(pass.counts);
    bad.add(pass.bad, pass.counts.bad);
    brought
}

/// Bad documents that are where they were.
#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    documents: u64,
    /// Those of them whose secrets do not open.
    unreadable: u64,
}

impl Kept {
    fn add(&mut self, pass: &Pass) {
        self.documents += pass.kept;
        self.unreadable += pass.kept_unreadable;
    }
}

fn bad_documents(group: &GroupPlan, Kept { documents: kept, unreadable }: Kept) -> Error {
    let rest = match (group.way, &group.take_over) {
        (Way::Copy, Some(source)) => format!("nothing was taken over, and {} is Kibana's as before", source.index),
        (Way::Copy, None) => "nothing was swapped".to_owned(),
        (Way::None | Way::Create | Way::InPlace, _) => "the good ones are".to_owned(),
    };
    let of_them = match unreadable {
        0 => String::new(),
        unreadable => format!(" ({unreadable} of them because a secret does not open)"),
    };
    let cure = match unreadable {
        0 => {
            "correct or delete the documents that the report names, or put them aside with `saved-objects migrate --on-bad \
             quarantine`, and start again"
        }
        unreadable if unreadable >= kept => {
            "configure every key that these secrets were encrypted with, or put the documents aside with `saved-objects \
             migrate --on-unreadable quarantine`, and start again"
        }
        _ => {
            "configure every key that these secrets were encrypted with, correct or delete the other documents that the report \
             names, or put them aside with `saved-objects migrate --on-unreadable quarantine --on-bad quarantine`, and start \
             again"
        }
    };
    let kind = if unreadable > 0 && unreadable >= kept { ErrorKind::Decrypt } else { ErrorKind::Corrupt };
    Error::new(kind, format!("{kept} documents of {} cannot be converted{of_them}; {rest}", group.names.alias()))
        .with_cure(cure)
}
