//! Performs the states of one group's migration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tracing::Instrument;

use super::bad::Policy;
use super::convert::Converter;
use super::copy::Copy;
use super::dry_run::DryRun;
use super::misfits::NewMappings;
use super::pass::{Pass, Target};
use super::progress::ProgressSender;
use super::record::{record, record_mapping};
use super::report::{BadDocuments, per_second};
use super::state::StepResult;
use super::steps::Steps;
use super::undo::CopyContext;
use super::{Ended, GroupPlan, IndexReport, OnBad, State, Way};
use crate::cluster::{Cluster, CreateIndex, Health, IndexPurpose, Pace, Query};
use crate::encryption::SourceReader;
use crate::engine::control::{GenerationNumbers, KeysInUse};
use crate::engine::conversion::Conversion;
use crate::environment::{Clock, Stop};
use crate::{Error, ErrorKind, Result, telemetry};

/// How long a new index may take to start its primary shard.
const INDEX_TIMEOUT: Duration = Duration::from_secs(60);

/// Performs the states of one index group, from the first to the end.
pub(super) struct GroupExecutor<'a> {
    pub(super) cluster: &'a Arc<dyn Cluster>,
    pub(super) conversion: &'a Conversion,
    pub(super) keys: &'a KeysInUse,
    pub(super) clock: &'a dyn Clock,
    pub(super) progress: &'a ProgressSender,
    /// The types whose documents are deleted at the end.
    pub(super) removed: &'a [String],
    pub(super) group: &'a GroupPlan,
    pub(super) numbers: &'a GenerationNumbers,
    pub(super) policy: Policy<'a>,
    /// The pace of the migration. A copy is not limited, because its source takes no writes meanwhile.
    pub(super) pace: &'a Pace,
    /// Decrypts the secrets of the source, if the group is taken over and has secrets.
    pub(super) source_reader: Option<&'a Arc<dyn SourceReader>>,
}

impl GroupExecutor<'_> {
    /// Performs all states, from the first one of the planned way to the end.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) or [`NotFound`](ErrorKind::NotFound) if other nodes changed what the plan was
    /// made from, [`Corrupt`](ErrorKind::Corrupt) or [`Decrypt`](ErrorKind::Decrypt) if documents cannot be converted,
    /// and the errors of the cluster.
    pub(super) async fn run(
        &self,
        report: &mut IndexReport,
        bad: &mut BadDocuments,
        has_healed: &mut bool,
    ) -> Result<()> {
        if self.group.way != Way::Copy {
            self.copy_context().heal(has_healed).await?;
        }
        let mut converting = Duration::ZERO;
        let mut kept = KeptBad::default();
        let mut copy = Copy::new(self.copy_context(), self.policy.on_bad, self.policy.on_unreadable);
        let mut mapped = BTreeMap::new();
        let mut state = State::first(self.group.way);
        loop {
            // Little is left to do after the swap or an abort, less than it would take to undo it.
            if !matches!(state, State::DeleteFill | State::AbortCopy | State::Ended(_)) {
                self.stop().check()?;
                if self.group.rewrites_documents() {
                    self.pace.check()?;
                }
            }
            let started = self.clock.monotonic();
            self.progress.enter(state);
            let result = self
                .perform(state, report, bad, &mut kept, &mut copy, &mut mapped)
                .instrument(telemetry::migration_step(state))
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
                state = state.next(result);
                continue;
            };
            self.clean_up(report, &copy).await?;
            return match ended {
                Ended::NothingToDo => Ok(()),
                Ended::Migrated => {
                    report.done = true;
                    Ok(())
                }
                Ended::BadDocuments => Err(bad_documents(self.group, kept, Some(rest(self.group, kept)))),
            };
        }
    }

    /// Performs the action of a state.
    async fn perform(
        &self,
        state: State,
        report: &mut IndexReport,
        bad: &mut BadDocuments,
        kept: &mut KeptBad,
        copy: &mut Copy<'_>,
        mapped: &mut BTreeMap<String, u64>,
    ) -> Result<StepResult> {
        let (cluster, group) = (self.cluster.as_ref(), self.group);
        let done = |()| StepResult::default();
        match state {
            State::Create => self.create(report).await.map(done),
            State::AddMapping => {
                let misfits = self.misfits().await?;
                if misfits.kept > 0 {
                    kept.add(&misfits);
                    kept.are_misfits = true;
                    return Ok(add(misfits, report, bad));
                }
                *mapped = record_mapping(cluster, group).await?;
                Ok(StepResult::default())
            }
            State::Refresh { .. } => Ok(cluster.refresh(&group.index).await.map(done)?),
            State::Convert { pass } => {
                let alias = group.names.write_alias(group.generation);
                let pass = self.pass(&alias, Target::SameIndex, pass == 1, mapped, None).await?;
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
                // Before the staging index counts as complete, since the documents of the generation that a swap makes
                // current decide what is in quarantine.
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
                Ok(StepResult::default())
            }
            State::DeleteFill => {
                copy.delete_fills().await?;
                copy.check_nothing_came_late().await.map(done)
            }
            State::AbortCopy => self.copy_context().undo().await.map(done),
            State::Ended(_) => Ok(StepResult::default()),
        }
    }

    fn stop(&self) -> &Stop {
        self.conversion.environment().stop()
    }

    fn copy_context(&self) -> CopyContext<'_> {
        let Self { cluster, group, numbers, .. } = *self;
        CopyContext { cluster: cluster.as_ref(), environment: self.conversion.environment(), numbers, plan: group }
    }

    async fn fill(&self, report: &mut IndexReport, alias: &str) -> Result<Pass> {
        let (Some(reader), Some(of_take_over)) = (self.source_reader, &mut report.take_over) else {
            return self.pass(alias, Target::StagingIndex, true, &BTreeMap::new(), None).await;
        };
        let steps = Steps::new(self.conversion.environment().parallelism());
        let (started, derived_before) = (self.clock.monotonic(), reader.derivation_time());
        let pass = self.pass(alias, Target::StagingIndex, true, &BTreeMap::new(), Some(&steps)).await?;
        let elapsed = self.clock.monotonic().saturating_sub(started);
        of_take_over.add(elapsed, reader.derivation_time().saturating_sub(derived_before), steps.cores());
        Ok(pass)
    }

    async fn pass(
        &self,
        write_alias: &str,
        target: Target,
        reads_everything: bool,
        mapped: &BTreeMap<String, u64>,
        steps: Option<&Steps>,
    ) -> Result<Pass> {
        let Self { cluster, group: plan, progress, policy, keys, .. } = *self;
        let pace = &match target {
            Target::SameIndex => self.pace.clone(),
            Target::StagingIndex => self.pace.unlimited(),
        };
        let conversion = &match self.source_reader {
            Some(reader) => self.conversion.clone().taking_over(reader.clone()),
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
            mapped,
            policy,
            pace,
            steps,
        };
        converter.run().await
    }

    /// Finds the documents that the mapping does not fit which the index is about to get. With a policy for them, the
    /// pass finds them, and puts them aside.
    async fn misfits(&self) -> Result<Pass> {
        let new_mappings = NewMappings::of(self.group).of_known_fields(self.group);
        let types: Vec<Value> = new_mappings.types().map(Value::from).collect();
        if types.is_empty() || self.policy.on_bad != OnBad::Fail {
            return Ok(Pass::default());
        }
        let dry_run = DryRun {
            conversion: self.conversion.clone(),
            group: self.group.clone(),
            policies: (self.policy.on_bad, self.policy.on_unreadable),
            new_mappings,
            finds_misfits_only: true,
        };
        dry_run.over(self.cluster, Query::AnyOf { field: "type".to_owned(), values: types }, |_| {}).await
    }

    async fn create(&self, report: &mut IndexReport) -> Result<()> {
        let group = self.group;
        let mut mapping = group.mapping.clone();
        mapping["_meta"] = group.meta_of_new().into_meta(None);
        let aliases = vec![group.names.alias().to_owned(), group.names.write_alias(group.generation)];
        let request = CreateIndex {
            name: group.index.clone(),
            mapping,
            aliases,
            purpose: IndexPurpose::Serving,
            settings: Default::default(),
        };
        self.cluster.create_index(&request).await?;
        report.done = true;
        let health =
            self.stop().or(self.cluster.wait_for_health(&group.index, Health::Yellow, INDEX_TIMEOUT)).await??;
        if health == Health::Red {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("the new index {} has no primary shard", group.index),
            )
            .with_hint(
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
            let environment = self.conversion.environment();
            let (cluster, types, pace) = (self.cluster, self.removed, self.pace);
            report.documents.deleted +=
                super::removal::delete_types(cluster, environment, &index, &alias, types, pace).await?;
        }
        Ok(())
    }
}

/// Adds a pass to the reports, and returns what the next state depends on.
fn add(pass: Pass, report: &mut IndexReport, bad: &mut BadDocuments) -> StepResult {
    let result = StepResult { read: pass.counts.read, bad: pass.kept, ..StepResult::default() };
    let (quarantined, discarded) = (pass.counts.quarantined, pass.counts.deleted);
    let stripped = pass.counts.bad.saturating_sub(pass.kept + quarantined + discarded);
    let by_fate = [("kept", pass.kept), ("quarantined", quarantined), ("stripped", stripped), ("discarded", discarded)];
    by_fate.into_iter().for_each(|(fate, documents)| telemetry::bad_documents(&report.alias, fate, documents));
    report.documents.add(pass.counts);
    bad.add(pass.bad, pass.counts.bad);
    result
}

/// The numbers of bad documents that stay in their index.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct KeptBad {
    pub(super) documents: u64,
    /// Those with a secret that cannot be decrypted.
    unreadable: u64,
    /// Those that are too large for the server.
    too_large: u64,
    /// Whether they were found before the index got the mapping that does not fit them.
    are_misfits: bool,
}

impl KeptBad {
    pub(super) fn add(&mut self, pass: &Pass) {
        self.documents += pass.kept;
        self.unreadable += pass.kept_unreadable;
        self.too_large += pass.kept_too_large;
    }
}

/// Returns what happened to the other documents, for the error.
fn rest(group: &GroupPlan, kept: KeptBad) -> String {
    match (group.way, &group.take_over) {
        _ if kept.are_misfits => format!("{} did not get the new mapping, and nothing was written to it", group.index),
        (Way::Copy, Some(source)) => format!("nothing was taken over, and {} is Kibana's as before", source.index),
        (Way::Copy, None) => "nothing was swapped".to_owned(),
        (Way::None | Way::Create | Way::InPlace, _) => "the others are converted".to_owned(),
    }
}

/// Returns the error of a migration that ends with bad documents. A plan reports the same error beforehand.
pub(super) fn bad_documents(
    group: &GroupPlan,
    KeptBad { documents: kept, unreadable, too_large, .. }: KeptBad,
    rest: Option<String>,
) -> Error {
    let of_them = match unreadable {
        0 => String::new(),
        unreadable => format!(" ({unreadable} of them because a secret cannot be decrypted)"),
    };
    let others = kept.saturating_sub(unreadable).saturating_sub(too_large);
    let mut steps = Vec::new();
    if too_large > 0 {
        steps.push(format!(
            "raise http.max_content_length in the elasticsearch.yml of all nodes ({too_large} of them {} too large for \
             the server)",
            if too_large == 1 { "is" } else { "are" }
        ));
    }
    if unreadable > 0 {
        steps.push("configure every key that these secrets were encrypted with".to_owned());
    }
    if others > 0 {
        steps.push("correct the documents that the report names".to_owned());
    }
    let aside = match (unreadable > 0, others > 0) {
        (true, true) => " --on-unreadable quarantine --on-bad quarantine",
        (true, false) => " --on-unreadable quarantine",
        (false, true) => " --on-bad quarantine",
        (false, false) => "",
    };
    let steps = steps.join(", ");
    let hint = match aside {
        "" => format!("{steps}, and start again"),
        aside => format!(
            "{steps}, and start again; or put them aside, which keeps them in quarantine: `saved-objects \
             migrate{aside}`"
        ),
    };
    let kind = if unreadable > 0 && unreadable >= kept { ErrorKind::Decrypt } else { ErrorKind::Corrupt };
    let rest = rest.map(|rest| format!("; {rest}")).unwrap_or_default();
    Error::new(kind, format!("{kept} documents of {} cannot be converted{of_them}{rest}", group.names.alias()))
        .with_hint(hint)
}
