//! The pass over outdated documents: reading, transforming and writing overlap in bounded memory.

use bytes::Bytes;

use super::progress::ProgressSender;
use super::report::MAX_BAD_NAMED;
use super::{BadDocument, DocumentCounts, Fate, GroupPlan};
use crate::cluster::{BulkAction, BulkOperation, BulkRequest, Cluster, Hit, ItemErrorKind, ItemOutcome, Refresh, Scan};
use crate::conversion::{Conversion, Standing};
use crate::document::StoredDocument;
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
}

impl Converter<'_> {
    /// Rewrites every document that is outdated now.
    pub(super) async fn run(self) -> Result<Pass> {
        let scan = Scan { cluster: self.cluster, index: &self.plan.index, query: self.plan.outdated() };
        let mut pass = Pass::default();
        scan.run(|page| self.convert_page(page), |converted| pass.add(converted)).await?;
        Ok(pass)
    }

    async fn convert_page(self, page: Vec<Hit>) -> Result<Pass> {
        let conversion = self.conversion.clone();
        let plan = self.plan.clone();
        let mut converted = tokio::task::spawn_blocking(move || convert_page(&conversion, &plan, page))
            .await
            .map_err(|error| Error::new(ErrorKind::Internal, "converting documents was aborted").with_source(error))?;
        let operations = std::mem::take(&mut converted.operations);
        let alias = self.plan.names.write_alias(self.plan.generation);
        let request = BulkRequest { alias: &alias, operations: &operations, refresh: Refresh::Later };
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
            // Whoever changed or deleted it meanwhile has the last word; the next pass looks again.
            ItemErrorKind::Conflict | ItemErrorKind::NotFound | ItemErrorKind::OutcomeUnknown => {
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
                    ItemErrorKind::AliasMissing => ErrorKind::Conflict,
                    ItemErrorKind::WriteBlocked => ErrorKind::Forbidden,
                    ItemErrorKind::Unavailable => ErrorKind::Unavailable,
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

fn convert_page(conversion: &Conversion, plan: &GroupPlan, page: Vec<Hit>) -> ConvertedPage {
    let mut converted = ConvertedPage { operations: Vec::with_capacity(page.len()), ..ConvertedPage::default() };
    for hit in page {
        converted.pass.counts.read += 1;
        match convert_document(conversion, plan, &hit) {
            Ok(Some(source)) => {
                let action = BulkAction::Replace { source, read: hit.sequence };
                converted.operations.push(BulkOperation { id: hit.id, action });
            }
            Ok(None) => {}
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
    let mut document = StoredDocument::from_source(hit.source.get().as_bytes())
        .map_err(|corruption| (None, corruption.to_string()))?;
    let convert = |document: &mut StoredDocument| -> Result<Option<Bytes>, String> {
        let Some(definition) = plan.definition(&document.type_name) else { return Ok(None) };
        let id =
            document.object_id(&hit.id, definition.namespace_kind()).map_err(|corruption| corruption.to_string())?;
        match conversion.upgrade(definition, id, document).map_err(|error| error.message().to_owned())? {
            Standing::Current | Standing::Newer(_) => return Ok(None),
            Standing::Older => {}
        }
        definition.latest().create.validate(&document.attributes).map_err(|violations| {
            let violations: Vec<String> =
                violations.iter().map(|violation| format!("{}: {}", violation.path, violation.message)).collect();
            format!("the converted document breaks the create schema: {}", violations.join("; "))
        })?;
        Ok(Some(Bytes::from(document.to_source())))
    };
    convert(&mut document).map_err(|reason| (Some(document.type_name.clone()), reason))
}

fn bad(plan: &GroupPlan, id: &str, type_name: Option<String>, reason: String) -> BadDocument {
    let alias = plan.names.alias().to_owned();
    BadDocument { alias, id: id.to_owned(), type_name, reason, fate: Fate::Kept }
}
