//! The pass over documents: reading, transforming and writing overlap in bounded memory. It rewrites outdated ones where they
//! are, or copies all of them into a fill.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::bad::{BadHit, Defect, Disposal, Policy};
use super::progress::ProgressSender;
use super::report::MAX_BAD_NAMED;
use super::steps::Steps;
use super::{BadDocument, DocumentCounts, Fate, GroupPlan, OnUnreadable, unreadable};
use crate::cluster::{
    BulkAction, BulkOperation, BulkRequest, Cluster, Hit, ItemErrorKind, ItemOutcome, Query, Refresh, Scan,
};
use crate::control::KeysInUse;
use crate::conversion::{Conversion, Standing};
use crate::document::{Corruption, DocumentHeader, depth};
use crate::model::VirtualVersion;
use crate::quarantine::one_line;
use crate::registry::TypeDefinition;
use crate::{ErrorKind, Result};

/// What a pass did.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub(super) counts: DocumentCounts,
    /// The first bad documents, [`MAX_BAD_NAMED`] at most.
    pub(super) bad: Vec<BadDocument>,
    /// How many bad documents are where they were.
    pub(super) kept: u64,
    /// How many of those are bad because a secret does not open.
    pub(super) kept_unreadable: u64,
    /// How many went into quarantine for that.
    pub(super) left_out_unreadable: u64,
}

impl Pass {
    pub(super) fn add(&mut self, other: Self) {
        self.counts.add(other.counts);
        self.kept += other.kept;
        self.kept_unreadable += other.kept_unreadable;
        self.left_out_unreadable += other.left_out_unreadable;
        let room = MAX_BAD_NAMED.saturating_sub(self.bad.len());
        self.bad.extend(other.bad.into_iter().take(room));
    }
}

/// What a pass works on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Converter<'a> {
    pub(super) cluster: &'a dyn Cluster,
    pub(super) conversion: &'a Conversion,
    pub(super) keys: &'a KeysInUse,
    pub(super) plan: &'a GroupPlan,
    pub(super) progress: &'a ProgressSender,
    /// The alias that is written through.
    pub(super) write_alias: &'a str,
    pub(super) target: Target,
    /// Whether every document is looked at: the outdated ones alone miss bad ones that have no type or the current version.
    pub(super) reads_everything: bool,
    pub(super) policy: Policy<'a>,
    /// How a page is divided, if converting it takes long.
    pub(super) steps: Option<&'a Steps>,
}

/// Where converted documents go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Back to where they were read, unless somebody changed them meanwhile. Only outdated ones are read.
    SameIndex,
    /// Into a fill, which gets every document.
    Fill,
}

impl Converter<'_> {
    /// Converts every document that is to be converted now.
    pub(super) async fn run(self) -> Result<Pass> {
        let query = match self.target {
            Target::SameIndex if !self.reads_everything => self.plan.outdated(),
            Target::SameIndex | Target::Fill => Query::Everything,
        };
        let scan = Scan { cluster: self.cluster, index: &self.plan.index, query };
        let mut pass = Pass::default();
        let work = |page| async move {
            match self.steps {
                None => self.convert_page(page).await,
                Some(steps) => steps.convert(self, page).await,
            }
        };
        scan.run(work, |converted| pass.add(converted)).await?;
        Ok(pass)
    }

    pub(super) async fn convert_page(self, page: Vec<Hit>) -> Result<Pass> {
        let conversion = self.conversion.clone();
        let plan = self.plan.clone();
        let (target, on_unreadable) = (self.target, self.policy.on_unreadable);
        let turn = match self.steps {
            Some(steps) => Some(steps.turn().await?),
            None => None,
        };
        let converting = move || convert_page(&conversion, &plan, target, on_unreadable, page);
        let converted = self.conversion.environment().blocking(converting).await;
        let mut converted = converted.map_err(|error| error.context("converting documents"))?;
        drop(turn);
        let operations = std::mem::take(&mut converted.operations);
        let request = BulkRequest { alias: self.write_alias, operations: &operations, refresh: Refresh::Later };
        self.keys.before_writing(self.conversion.encryption()).await?;
        let outcomes = if operations.is_empty() { Vec::new() } else { self.cluster.bulk(&request).await? };
        let mut pass = converted.pass;
        let mut bad = converted.bad;
        let mut stripped = converted.stripped;
        let mut refused = Vec::new();
        for (number, (operation, outcome)) in operations.iter().zip(outcomes).enumerate() {
            match outcome {
                Err(error) if matches!(error.kind, ItemErrorKind::MappingRefused | ItemErrorKind::TooLarge) => {
                    refused.push((operation, error.reason))
                }
                outcome => {
                    // In a fill it is there already, and stripped, because an earlier start did that.
                    let is_written = outcome.is_ok() || self.target == Target::Fill;
                    self.count(&mut pass, outcome)?;
                    if let Some(defect) = stripped.remove(&number).filter(|_| is_written) {
                        self.disposal().name_one(&mut pass, operation.id.clone(), defect, Fate::Stripped);
                    }
                }
            }
        }
        self.find_refused(refused, &mut pass, &mut bad).await?;
        if !bad.is_empty() {
            self.disposal().dispose(bad, &mut pass).await?;
        }
        self.progress.add(pass.counts.read, pass.counts.written);
        Ok(pass)
    }

    pub(super) fn disposal(&self) -> Disposal<'_> {
        let Self { cluster, policy, plan, write_alias, target, .. } = *self;
        Disposal { cluster, policy, plan, write_alias, target }
    }

    /// Looks for the documents whose converted form the mapping does not take, or is too large for the server: they are bad as they are.
    async fn find_refused(
        self,
        refused: Vec<(&BulkOperation, String)>,
        pass: &mut Pass,
        bad: &mut Vec<BadHit>,
    ) -> Result<()> {
        if refused.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = refused.iter().map(|(operation, _)| operation.id.as_str()).collect();
        let found = self.cluster.get_many(&self.plan.index, &ids).await?;
        for ((operation, reason), hit) in refused.into_iter().zip(found) {
            let is_it = |hit: &Hit| match operation.action {
                BulkAction::Replace { read, .. } => hit.sequence == read,
                _ => true,
            };
            match hit.filter(is_it) {
                Some(hit) => {
                    let type_name =
                        DocumentHeader::from_source(hit.source.get()).map(|header| header.type_name().to_owned()).ok();
                    bad.push(BadHit { hit, defect: Defect { type_name, reason, unreadable: None } });
                }
                None => pass.counts.conflicts += 1,
            }
        }
        Ok(())
    }

    fn count(self, pass: &mut Pass, outcome: ItemOutcome) -> Result<()> {
        let Err(error) = outcome else {
            pass.counts.written += 1;
            return Ok(());
        };
        match error.kind {
            // In place, whoever changed or deleted it meanwhile has the last word, and the next pass looks again. In a fill the
            // document is there already: another node, or an earlier start, filled it from the same source.
            ItemErrorKind::Conflict | ItemErrorKind::NotFound => {
                pass.counts.conflicts += 1;
                Ok(())
            }
            ItemErrorKind::OutcomeUnknown if self.target == Target::SameIndex => {
                pass.counts.conflicts += 1;
                Ok(())
            }
            kind => {
                let otherwise = match kind {
                    // Another node is further on.
                    ItemErrorKind::AliasMissing | ItemErrorKind::WriteBlocked => ErrorKind::Conflict,
                    // The staging index may be gone, because another node undid the copy. If it is there, filling it again does
                    // what was not done.
                    ItemErrorKind::OutcomeUnknown => ErrorKind::Conflict,
                    ItemErrorKind::Unavailable => ErrorKind::Unavailable,
                    _ => ErrorKind::Internal,
                };
                let what = format!("documents of {} could not be written", self.plan.index);
                Err(error.into_error(
                    otherwise,
                    what,
                    "see `saved-objects status`, put right what it names, and start again: what is done stays done",
                ))
            }
        }
    }
}

#[derive(Debug, Default)]
struct ConvertedPage {
    operations: Vec<BulkOperation>,
    /// What was removed by some of them, by their number.
    stripped: BTreeMap<usize, Defect>,
    bad: Vec<BadHit>,
    pass: Pass,
}

fn convert_page(
    conversion: &Conversion,
    plan: &GroupPlan,
    target: Target,
    on_unreadable: OnUnreadable,
    page: Vec<Hit>,
) -> ConvertedPage {
    let mut converted = ConvertedPage { operations: Vec::with_capacity(page.len()), ..ConvertedPage::default() };
    for hit in page {
        let outcome = convert_document(conversion, plan, on_unreadable, &hit);
        // Nothing is to be done for a document that is looked at in its place and is fine.
        let is_to_be_done = target == Target::Fill || !matches!(outcome, Ok(None));
        converted.pass.counts.read += u64::from(is_to_be_done);
        let number = converted.operations.len();
        let action = match outcome {
            Ok(Some(New { source, stripped })) => {
                converted.stripped.extend(stripped.map(|defect| (number, defect)));
                match target {
                    Target::SameIndex => BulkAction::Replace { source, read: hit.sequence },
                    Target::Fill => BulkAction::Create { source },
                }
            }
            Ok(None) if target == Target::SameIndex => continue,
            Ok(None) => BulkAction::Create { source: one_line(hit.source.get()) },
            Err(defect) => {
                converted.bad.push(BadHit { hit, defect });
                continue;
            }
        };
        converted.operations.push(BulkOperation { id: hit.id, action });
    }
    converted
}

/// A converted document.
#[derive(Debug)]
pub(super) struct New {
    source: Bytes,
    /// What did not open and was removed, if that is the policy.
    stripped: Option<Defect>,
}

/// The document as it is to be stored, or none if it is fine as it is; or why it is bad.
pub(super) fn convert_document(
    conversion: &Conversion,
    plan: &GroupPlan,
    on_unreadable: OnUnreadable,
    hit: &Hit,
) -> Result<Option<New>, Defect> {
    let source = hit.source.get();
    let no_type = |corruption: Corruption| Defect { type_name: None, reason: corruption.to_string(), unreadable: None };
    // Most documents of a copy need no change, and are not parsed any further.
    let is_to_convert = |definition: &TypeDefinition, header: &DocumentHeader<'_>| {
        let is_current = |version: VirtualVersion| version.number() >= definition.latest().number;
        conversion.converts_all(definition) || !VirtualVersion::of_document(header.version()).is_ok_and(is_current)
    };
    let choose = |header: &DocumentHeader<'_>| {
        let definition = plan.definition(header.type_name())?;
        is_to_convert(definition, header).then_some(|_: &str| true)
    };
    let header = DocumentHeader::with_attributes(source, choose).map_err(no_type)?;
    let Some(definition) = plan.definition(header.type_name()) else { return Ok(None) };
    let defect = |reason: String| Defect { type_name: Some(definition.name().to_owned()), reason, unreadable: None };
    let corrupt = |corruption: Corruption| defect(corruption.to_string());
    header.check(&hit.id, definition.namespace_kind()).map_err(corrupt)?;
    if !is_to_convert(definition, &header) {
        return Ok(None);
    }
    let mut document = header.into_document().map_err(corrupt)?;
    let id = document.object_id(&hit.id, definition.namespace_kind()).map_err(corrupt)?;
    let upgraded =
        conversion.upgrade_each(definition, id, &mut document).map_err(|error| defect(error.message().to_owned()))?;
    // What a transform made must be readable, and writable by others, as what a caller gives.
    if let Some(name) = depth::too_deep(&document.attributes) {
        return Err(defect(format!("the converted document cannot be stored: {}", depth::refusal(name))));
    }
    let stripped = match upgraded.unreadable.as_slice() {
        [] => None,
        unreadable => {
            let of_kibana = plan.take_over.is_some();
            let defect = unreadable::defect(definition.name(), unreadable, of_kibana);
            if on_unreadable != OnUnreadable::Strip {
                return Err(defect);
            }
            Some(defect)
        }
    };
    // Before anything is removed: the schema asks for what was stored.
    if upgraded.standing == Standing::Older {
        definition.latest().create.validate_in_place(&mut document.attributes).map_err(|violations| {
            let violations: Vec<String> =
                violations.iter().map(|violation| format!("{}: {}", violation.path, violation.message)).collect();
            defect(format!("the converted document breaks the create schema: {}", violations.join("; ")))
        })?;
    }
    upgraded.unreadable.iter().for_each(|(name, _)| drop(document.attributes.remove(name)));
    Ok(Some(New { source: Bytes::from(document.to_source()), stripped }))
}
