//! The pass over documents: reading, transforming and writing overlap in bounded memory. It rewrites outdated ones where they
//! are, or copies all of them into a fill.

use bytes::Bytes;

use super::progress::ProgressSender;
use super::report::MAX_BAD_NAMED;
use super::{BadDocument, DocumentCounts, Fate, GroupPlan};
use crate::cluster::{
    BulkAction, BulkOperation, BulkRequest, Cluster, Hit, ItemErrorKind, ItemOutcome, Query, Refresh, Scan,
};
use crate::conversion::Conversion;
use crate::document::{DocumentHeader, StoredDocument};
use crate::model::VirtualVersion;
use crate::{Error, ErrorKind, Result};

/// What a pass did.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub(super) counts: DocumentCounts,
    /// The first bad documents, [`MAX_BAD_NAMED`] at most.
    pub(super) bad: Vec<BadDocument>,
}

impl Pass {
    fn add(&mut self, other: Self) {
        self.counts.add(other.counts);
        let room = MAX_BAD_NAMED.saturating_sub(self.bad.len());
        self.bad.extend(other.bad.into_iter().take(room));
    }
}

/// What a pass works on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Converter<'a> {
    pub(super) cluster: &'a dyn Cluster,
    pub(super) conversion: &'a Conversion,
    pub(super) plan: &'a GroupPlan,
    pub(super) progress: &'a ProgressSender,
    /// The alias that is written through.
    pub(super) write_alias: &'a str,
    pub(super) target: Target,
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
            Target::SameIndex => self.plan.outdated(),
            Target::Fill => Query::Everything,
        };
        let scan = Scan { cluster: self.cluster, index: &self.plan.index, query };
        let mut pass = Pass::default();
        scan.run(|page| self.convert_page(page), |converted| pass.add(converted)).await?;
        Ok(pass)
    }

    async fn convert_page(self, page: Vec<Hit>) -> Result<Pass> {
        let conversion = self.conversion.clone();
        let plan = self.plan.clone();
        let target = self.target;
        let mut converted =
            tokio::task::spawn_blocking(move || convert_page(&conversion, &plan, target, page)).await.map_err(
                |error| Error::new(ErrorKind::Internal, "converting documents was aborted").with_source(error),
            )?;
        let operations = std::mem::take(&mut converted.operations);
        let request = BulkRequest { alias: self.write_alias, operations: &operations, refresh: Refresh::Later };
        let outcomes = if operations.is_empty() { Vec::new() } else { self.cluster.bulk(&request).await? };
        let mut pass = converted.pass;
        for (operation, outcome) in operations.iter().zip(outcomes) {
            self.count(&mut pass, operation, outcome)?;
        }
        self.progress.add(pass.counts.read, pass.counts.written);
        Ok(pass)
    }

    fn count(self, pass: &mut Pass, operation: &BulkOperation, outcome: ItemOutcome) -> Result<()> {
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
            ItemErrorKind::MappingRefused => {
                pass.counts.bad += 1;
                pass.bad.push(bad(self.plan, &operation.id, None, error.reason));
                Ok(())
            }
            kind => {
                let kind = match kind {
                    // Another node is further on.
                    ItemErrorKind::AliasMissing | ItemErrorKind::WriteBlocked => ErrorKind::Conflict,
                    ItemErrorKind::Unavailable => ErrorKind::Unavailable,
                    ItemErrorKind::OutcomeUnknown => ErrorKind::OutcomeUnknown,
                    _ => ErrorKind::Internal,
                };
                let index = &self.plan.index;
                Err(Error::new(kind, format!("documents of {index} could not be written: {}", error.reason)).with_cure(
                    "see `saved-objects status`, put right what it names, and start again: what is done stays done",
                ))
            }
        }
    }
}

#[derive(Debug, Default)]
struct ConvertedPage {
    operations: Vec<BulkOperation>,
    pass: Pass,
}

fn convert_page(conversion: &Conversion, plan: &GroupPlan, target: Target, page: Vec<Hit>) -> ConvertedPage {
    let mut converted = ConvertedPage { operations: Vec::with_capacity(page.len()), ..ConvertedPage::default() };
    for hit in page {
        converted.pass.counts.read += 1;
        match convert_document(conversion, plan, &hit) {
            Ok(Some(source)) if target == Target::SameIndex => {
                let action = BulkAction::Replace { source, read: hit.sequence };
                converted.operations.push(BulkOperation { id: hit.id, action });
            }
            Ok(None) if target == Target::SameIndex => {}
            Ok(source) => {
                let source = source.unwrap_or_else(|| one_line(hit.source.get()));
                converted.operations.push(BulkOperation { id: hit.id, action: BulkAction::Create { source } });
            }
            Err((type_name, reason)) => {
                converted.pass.counts.bad += 1;
                converted.pass.bad.push(bad(plan, &hit.id, type_name, reason));
            }
        }
    }
    converted
}

/// The document's new source, or none if it is fine as it is; or its type, if it has one, and why it is bad.
fn convert_document(
    conversion: &Conversion,
    plan: &GroupPlan,
    hit: &Hit,
) -> Result<Option<Bytes>, (Option<String>, String)> {
    let source = hit.source.get();
    let header = DocumentHeader::from_source(source).map_err(|corruption| (None, corruption.to_string()))?;
    let convert = || -> Result<Option<Bytes>, String> {
        let Some(definition) = plan.definition(header.type_name()) else { return Ok(None) };
        header.check(&hit.id, definition.namespace_kind()).map_err(|corruption| corruption.to_string())?;
        let latest = definition.latest();
        // Most documents of a copy need no change, and are not parsed any further.
        if VirtualVersion::of_document(header.version()).is_ok_and(|version| version.number() >= latest.number) {
            return Ok(None);
        }
        let mut document =
            StoredDocument::from_source(source.as_bytes()).map_err(|corruption| corruption.to_string())?;
        let id =
            document.object_id(&hit.id, definition.namespace_kind()).map_err(|corruption| corruption.to_string())?;
        conversion.upgrade(definition, id, &mut document).map_err(|error| error.message().to_owned())?;
        latest.create.validate(&document.attributes).map_err(|violations| {
            let violations: Vec<String> =
                violations.iter().map(|violation| format!("{}: {}", violation.path, violation.message)).collect();
            format!("the converted document breaks the create schema: {}", violations.join("; "))
        })?;
        Ok(Some(Bytes::from(document.to_source())))
    };
    convert().map_err(|reason| (Some(header.type_name().to_owned()), reason))
}

/// A document as it was stored, without the line breaks that a bulk cannot carry.
fn one_line(source: &str) -> Bytes {
    let compact = || serde_json::from_str::<serde_json::Value>(source).map(|value| value.to_string());
    match source.contains('\n').then(compact) {
        Some(Ok(compact)) => Bytes::from(compact),
        _ => Bytes::copy_from_slice(source.as_bytes()),
    }
}

fn bad(plan: &GroupPlan, id: &str, type_name: Option<String>, reason: String) -> BadDocument {
    let alias = plan.names.alias().to_owned();
    BadDocument { alias, id: id.to_owned(), type_name, reason, fate: Fate::Kept }
}
