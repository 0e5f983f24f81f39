//! The pass over documents. Reading, conversion and writing overlap in bounded memory. A pass converts outdated
//! documents in their index, or copies all documents into a staging index.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::bad::{Disposal, Policy};
use super::defect::{BadHit, Defect};
use super::pass::{Pass, Target};
use super::progress::ProgressSender;
use super::steps::Steps;
use super::{Fate, GroupPlan, OnUnreadable, unreadable};
use crate::cluster::{BulkAction, BulkOperation, Cluster, Hit, ItemError, ItemErrorKind, Pace, Query, Scan};
use crate::document::{Corruption, DocumentHeader, StoredDocument, depth};
use crate::engine::control::KeysInUse;
use crate::engine::conversion::{Conversion, VersionStatus};
use crate::engine::quarantine::one_line;
use crate::engine::rewrite::{self, Bulk, Conflicts, Decide, Refusals, Rewrite, Written};
use crate::model::{UpgradeError, VirtualVersion};
use crate::registry::TypeDefinition;
use crate::{Error, Result};

/// A pass over the documents of one group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Converter<'a> {
    pub(super) cluster: &'a Arc<dyn Cluster>,
    pub(super) conversion: &'a Conversion,
    pub(super) keys: &'a KeysInUse,
    pub(super) plan: &'a GroupPlan,
    pub(super) progress: &'a ProgressSender,
    /// The alias that the writes go through.
    pub(super) write_alias: &'a str,
    pub(super) target: Target,
    /// Whether the pass reads every document. Bad documents without a type, or with the current version, are not among
    /// the outdated ones.
    pub(super) reads_everything: bool,
    /// By type: the number of writes that the index had taken before it got the type's mapping. The pass writes older
    /// documents again, so that searches find them by their fields.
    pub(super) mapped: &'a BTreeMap<String, u64>,
    pub(super) policy: Policy<'a>,
    pub(super) pace: &'a Pace,
    /// How to divide a page, if its conversion takes long.
    pub(super) steps: Option<&'a Steps>,
}

impl Converter<'_> {
    /// Converts all documents that the target needs.
    pub(super) async fn run(self) -> Result<Pass> {
        let query = match self.target {
            Target::SameIndex if !self.reads_everything => {
                Query::Or(vec![self.plan.outdated(), GroupPlan::written_before(self.mapped)])
            }
            Target::SameIndex | Target::StagingIndex => Query::Everything,
        };
        let conversions = Conversions {
            conversion: self.conversion.clone(),
            plan: self.plan.clone(),
            target: self.target,
            mapped: self.mapped.clone(),
            on_unreadable: self.policy.on_unreadable,
        };
        let failure = |_: &str, error: ItemError| {
            rewrite::failure(error, format!("documents of {} could not be written", self.plan.index))
        };
        let conflicts = match self.target {
            Target::SameIndex => Conflicts::NextPass,
            // The document is there already: another node, or an earlier start, copied it from the same source. After
            // an unknown outcome, filling the staging index again does what was not done, if the index still exists.
            Target::StagingIndex => Conflicts::Leave,
        };
        let bulk = Bulk {
            cluster: self.cluster.as_ref(),
            alias: self.write_alias,
            conflicts,
            refusals: Refusals::Collect,
            failure: &failure,
        };
        let rewrite = &Rewrite {
            environment: self.conversion.environment(),
            decisions: Arc::new(conversions),
            what: "converting documents",
            bulk: Some(bulk),
            keys: self.keys,
            encryption: self.conversion.encryption(),
            pace: Some(self.pace),
        };
        let environment = self.conversion.environment();
        let scan = Scan { cluster: self.cluster, environment, index: &self.plan.index, query, pace: Some(self.pace) };
        let mut pass = Pass::default();
        let work = |page| async move {
            match self.steps {
                None => self.convert(rewrite, page).await,
                Some(steps) => steps.convert(page, |step| self.convert_missing(rewrite, step)).await,
            }
        };
        scan.run(work, |converted| pass.add(converted)).await?;
        Ok(pass)
    }

    async fn convert(self, rewrite: &Rewrite<'_, Conversions>, page: Vec<Hit>) -> Result<Pass> {
        let turn = match self.steps {
            Some(steps) => Some(steps.turn().await?),
            None => None,
        };
        let decided = rewrite.decide(page).await?;
        drop(turn);
        let Converted { mut pass, mut bad, refused, .. } = rewrite.write(decided).await?;
        // A document that needs it may have been written after the plan was made.
        let missing = bad.iter().find_map(|bad| Some((&bad.hit.id, bad.defect.missing_transform.as_ref()?)));
        if let Some((id, error)) = missing {
            return Err(error.clone().context(format!("{id} of {} cannot be converted", self.plan.index)));
        }
        self.find_refused(refused, &mut pass, &mut bad).await?;
        if !bad.is_empty() {
            self.disposal().dispose(bad, &mut pass).await?;
        }
        self.progress.add(pass.counts.read, pass.counts.written);
        Ok(pass)
    }

    /// Converts those of the documents that the staging index lacks, so that the secrets of the others are not
    /// decrypted again.
    async fn convert_missing(self, rewrite: &Rewrite<'_, Conversions>, step: Vec<Hit>) -> Result<Pass> {
        let ids: Vec<&str> = step.iter().map(|hit| hit.id.as_str()).collect();
        let found = self.cluster.get_many(self.write_alias, &ids).await?;
        let (mut pass, mut missing) = (Pass::default(), Vec::new());
        for (hit, staged) in step.into_iter().zip(found) {
            let Some(staged) = staged else {
                missing.push(hit);
                continue;
            };
            pass.counts.read += 1;
            pass.counts.conflicts += 1;
            if self.policy.on_unreadable == OnUnreadable::Strip
                && let Some(defect) = stripped(self.plan, &hit, &staged)
            {
                pass.name(self.plan, hit.id, defect, Fate::Stripped);
            }
        }
        self.progress.add(pass.counts.read, pass.counts.read);
        if !missing.is_empty() {
            pass.add(self.convert(rewrite, missing).await?);
        }
        Ok(pass)
    }

    fn disposal(&self) -> Disposal<'_> {
        let Self { cluster, policy, plan, write_alias, target, .. } = *self;
        Disposal { cluster: cluster.as_ref(), policy, plan, write_alias, target }
    }

    /// Reads the documents whose converted form the mapping does not accept, or that is too large for the server. Those
    /// that are as they were read are bad.
    async fn find_refused(
        self,
        refused: Vec<(BulkOperation, ItemError)>,
        pass: &mut Pass,
        bad: &mut Vec<BadHit>,
    ) -> Result<()> {
        if refused.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = refused.iter().map(|(operation, _)| operation.id.as_str()).collect();
        let found = self.cluster.get_many(&self.plan.index, &ids).await?;
        for ((operation, error), hit) in refused.into_iter().zip(found) {
            let is_as_read = |hit: &Hit| match operation.action {
                BulkAction::Replace { read, .. } => hit.sequence == read,
                _ => true,
            };
            match hit.filter(is_as_read) {
                Some(hit) => {
                    let header = DocumentHeader::from_source(hit.source.get());
                    let type_name = header.map(|header| header.type_name().to_owned()).ok();
                    let is_too_large = error.kind == ItemErrorKind::TooLarge;
                    let defect = Defect { type_name, reason: error.reason, is_too_large, ..Defect::default() };
                    bad.push(BadHit { hit, defect });
                }
                None => pass.counts.conflicts += 1,
            }
        }
        Ok(())
    }
}

/// The decisions of a pass.
struct Conversions {
    conversion: Conversion,
    plan: GroupPlan,
    target: Target,
    mapped: BTreeMap<String, u64>,
    on_unreadable: OnUnreadable,
}

/// The result of one page.
#[derive(Default)]
struct Converted {
    pass: Pass,
    bad: Vec<BadHit>,
    /// By `_id`: what the conversion removed.
    stripped: BTreeMap<String, Defect>,
    refused: Vec<(BulkOperation, ItemError)>,
}

impl Decide for Conversions {
    type Tally = Converted;

    fn decide(&self, hit: Hit, converted: &mut Converted) -> Option<BulkOperation> {
        let outcome = convert_document(&self.conversion, &self.plan, self.on_unreadable, &hit);
        if self.target == Target::SameIndex && matches!(outcome, Ok(None)) && !self.is_before_mapping(&hit) {
            return None;
        }
        converted.pass.counts.read += 1;
        let source = match outcome {
            Ok(Some(New { source, stripped })) => {
                converted.stripped.extend(stripped.map(|defect| (hit.id.clone(), defect)));
                source
            }
            Ok(None) => one_line(hit.source.get()),
            Err(defect) => {
                converted.bad.push(BadHit { hit, defect });
                return None;
            }
        };
        let action = match self.target {
            Target::SameIndex => BulkAction::Replace { source, read: hit.sequence },
            Target::StagingIndex => BulkAction::Create { source },
        };
        Some(BulkOperation { id: hit.id, action })
    }

    fn count(&self, operation: BulkOperation, written: Written, converted: &mut Converted) {
        // In a staging index the stripped document is there already, because an earlier start did that.
        let is_stored = matches!(written, Written::Done) || self.target == Target::StagingIndex;
        match written {
            Written::Done => converted.pass.counts.written += 1,
            Written::Changed | Written::ReadAgain => converted.pass.counts.conflicts += 1,
            Written::Refused(error) => return converted.refused.push((operation, error)),
        }
        if let Some(defect) = converted.stripped.remove(&operation.id).filter(|_| is_stored) {
            converted.pass.name(&self.plan, operation.id, defect, Fate::Stripped);
        }
    }
}

impl Conversions {
    /// Returns whether the document may be older than the mapping of its fields.
    fn is_before_mapping(&self, hit: &Hit) -> bool {
        let seq_no = hit.sequence.seq_no;
        // Most documents are newer, and are not parsed for that.
        let may_be = self.mapped.values().any(|writes| seq_no < *writes);
        let writes = |header: DocumentHeader<'_>| self.mapped.get(header.type_name()).copied();
        let header = || DocumentHeader::from_source(hit.source.get()).ok();
        may_be && header().and_then(writes).is_some_and(|writes| seq_no < writes)
    }
}

/// A converted document.
#[derive(Debug)]
pub(super) struct New {
    pub(super) source: Bytes,
    /// The secrets that cannot be decrypted and were removed, if that is the policy.
    stripped: Option<Defect>,
}

/// Returns the document in its new form, or `None` if it needs no change.
///
/// # Errors
/// The reason why the document is bad.
pub(super) fn convert_document(
    conversion: &Conversion,
    plan: &GroupPlan,
    on_unreadable: OnUnreadable,
    hit: &Hit,
) -> Result<Option<New>, Defect> {
    let source = hit.source.get();
    let no_type = |corruption: Corruption| Defect { reason: corruption.to_string(), ..Defect::default() };
    // Most documents of a copy need no change, and are not parsed further.
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
    let defect = |reason: String| Defect { type_name: Some(definition.name().to_owned()), reason, ..Defect::default() };
    let corrupt = |corruption: Corruption| defect(corruption.to_string());
    header.check(&hit.id, definition.namespace_kind()).map_err(corrupt)?;
    if !is_to_convert(definition, &header) {
        return Ok(None);
    }
    let mut document = header.into_document().map_err(corrupt)?;
    let id = document.object_id(&hit.id, definition.namespace_kind()).map_err(corrupt)?;
    let upgraded = conversion.upgrade_each(definition, id, &mut document).map_err(|error| Defect {
        missing_transform: is_missing_transform(&error).then(|| error.clone()),
        ..defect(error.message().to_owned())
    })?;
    // The result of a transform obeys the same limit as what a caller stores: others must be able to read and write it.
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
    // The schema describes the document with all of its secrets, so this comes before the removal.
    if upgraded.status == VersionStatus::Older {
        definition.latest().create.validate_in_place(&mut document.attributes).map_err(|violations| {
            let violations: Vec<String> =
                violations.iter().map(|violation| format!("{}: {}", violation.path, violation.message)).collect();
            defect(format!("the converted document breaks the create schema: {}", violations.join("; ")))
        })?;
    }
    upgraded.unreadable.iter().for_each(|(name, _)| drop(document.attributes.remove(name)));
    Ok(Some(New { source: Bytes::from(document.to_source()), stripped }))
}

fn is_missing_transform(error: &Error) -> bool {
    matches!(error.find_source::<UpgradeError>(), Some(UpgradeError::MissingTransform { .. }))
}

/// Returns what an earlier start removed from a document, so that this start reports it too: the secrets that only the
/// source has.
fn stripped(plan: &GroupPlan, hit: &Hit, staged: &Hit) -> Option<Defect> {
    let of = |hit: &Hit| StoredDocument::from_source(hit.source.get().as_bytes()).ok();
    let (before, after) = (of(hit)?, of(staged)?);
    let definition = plan.definition(&before.type_name)?;
    let is_there = |document: &StoredDocument, name: &str| document.attributes.get(name).is_some_and(|v| !v.is_null());
    let encrypted = definition.latest().sets.encrypted.iter().map(|attribute| attribute.name.as_str());
    let gone: Vec<&str> = encrypted.filter(|name| is_there(&before, name) && !is_there(&after, name)).collect();
    let first = gone.first()?;
    Some(Defect {
        type_name: Some(before.type_name.clone()),
        reason: format!("secrets that do not open were removed by an earlier start: {}", gone.join(", ")),
        unreadable: Some((*first).to_owned()),
        ..Defect::default()
    })
}
