//! The server's answers as they are received, and the outcome of each operation of a bulk.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::server_error::{ServerError, is_write_block};
use crate::cluster::{Hit, HitRef, ItemError, ItemErrorKind, SequenceNumber};

/// A document in the answer to a get, multi-get or search.
#[derive(Debug, Deserialize)]
pub(super) struct DocumentAnswer<'a> {
    #[serde(rename = "_index", borrow)]
    index: Cow<'a, str>,
    #[serde(rename = "_id", borrow)]
    id: Cow<'a, str>,
    #[serde(rename = "_version")]
    version: Option<u64>,
    #[serde(rename = "_seq_no")]
    seq_no: Option<u64>,
    #[serde(rename = "_primary_term")]
    primary_term: Option<u64>,
    #[serde(rename = "_source", borrow)]
    source: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) sort: Option<Vec<Value>>,
    /// In a multi-get: why this document could not be read.
    #[serde(default)]
    pub(super) error: Option<ServerError>,
}

/// A hit with its `_version`, the number of its writes.
#[derive(Debug)]
pub(super) struct VersionedHit {
    pub(super) hit: Hit,
    pub(super) version: Option<u64>,
}

impl DocumentAnswer<'_> {
    /// Returns the hit, or `None` if the document was not found.
    pub(super) fn borrowed_hit(&self) -> Option<HitRef<'_>> {
        Some(HitRef { index: &self.index, id: &self.id, sequence: self.sequence()?, source: self.source?.get() })
    }

    /// Returns the hit, or `None` if the document was not found.
    pub(super) fn into_hit(self) -> Option<VersionedHit> {
        let sequence = self.sequence()?;
        let (index, id, source) = (self.index.into_owned(), self.id.into_owned(), self.source?.to_owned());
        Some(VersionedHit { hit: Hit { index, id, sequence, source }, version: self.version })
    }

    fn sequence(&self) -> Option<SequenceNumber> {
        Some(SequenceNumber { seq_no: self.seq_no?, primary_term: self.primary_term? })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct MultiGetAnswer<'a> {
    #[serde(borrow)]
    pub(super) docs: Vec<DocumentAnswer<'a>>,
}

/// The answer to a composite aggregation `types` over type and version.
#[derive(Debug, Deserialize)]
pub(super) struct TypeCountAnswer {
    pub(super) aggregations: TypesAnswer,
}

#[derive(Debug, Deserialize)]
pub(super) struct TypesAnswer {
    pub(super) types: CompositeAnswer,
}

#[derive(Debug, Deserialize)]
pub(super) struct CompositeAnswer {
    pub(super) after_key: Option<Value>,
    pub(super) buckets: Vec<BucketAnswer>,
}

#[derive(Debug, Deserialize)]
pub(super) struct BucketAnswer {
    pub(super) key: BucketKey,
    #[serde(deserialize_with = "documents")]
    pub(super) doc_count: u64,
}

/// More documents than an index of 1,024 shards can hold. Counts are capped at this, so that no answer makes their sum
/// overflow.
const MAX_DOCUMENTS: u64 = 1 << 42;

fn documents<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    u64::deserialize(deserializer).map(|count| count.min(MAX_DOCUMENTS))
}

#[derive(Debug, Deserialize)]
pub(super) struct BucketKey {
    #[serde(rename = "type")]
    pub(super) type_name: Option<String>,
    pub(super) version: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct BulkAnswer {
    pub(super) items: Vec<BulkItem>,
}

/// The answer to one operation, under the operation's name.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BulkItem {
    Create(BulkItemAnswer),
    Index(BulkItemAnswer),
    Delete(BulkItemAnswer),
}

impl BulkItem {
    pub(super) fn outcome(self) -> Result<SequenceNumber, ItemError> {
        match self {
            Self::Create(answer) | Self::Index(answer) | Self::Delete(answer) => answer.outcome(),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct BulkItemAnswer {
    status: u16,
    #[serde(rename = "_seq_no")]
    seq_no: Option<u64>,
    #[serde(rename = "_primary_term")]
    primary_term: Option<u64>,
    error: Option<ServerError>,
}

impl BulkItemAnswer {
    fn outcome(self) -> Result<SequenceNumber, ItemError> {
        if self.status == 404 && self.error.is_none() {
            let reason = "the document is not there".to_owned();
            return Err(ItemError { kind: ItemErrorKind::NotFound, reason });
        }
        match (self.status, self.seq_no, self.primary_term) {
            (200..300, Some(seq_no), Some(primary_term)) => Ok(SequenceNumber { seq_no, primary_term }),
            (status, ..) => {
                let error = self.error.unwrap_or_default();
                let (server_type, reason) = (error.kind.unwrap_or_default(), error.reason.unwrap_or_default());
                Err(item_error(status, &server_type, &reason, error.index.as_deref()))
            }
        }
    }
}

/// Returns the error of an operation whose answer has this status, error type and reason, and is about `index`.
pub(in crate::cluster) fn item_error(status: u16, server_type: &str, reason: &str, index: Option<&str>) -> ItemError {
    let kind = item_kind(status, server_type, reason);
    let shown = without_values(reason);
    let index = index.filter(|index| !shown.contains(index)).map(|index| format!(" index={index}")).unwrap_or_default();
    ItemError { kind, reason: format!("status={status} type={server_type}{index} reason={shown:?}") }
}

/// Returns the error kind of an operation's answer. With status 408 or from 500 on it is unknown whether the operation
/// was done: the primary shard may have done it before it failed, or before the connection to its node did.
fn item_kind(status: u16, server_type: &str, reason: &str) -> ItemErrorKind {
    match (status, server_type) {
        (_, "version_conflict_engine_exception") => ItemErrorKind::Conflict,
        (_, "index_not_found_exception") if reason.contains("require_alias") => ItemErrorKind::AliasMissing,
        (_, "index_not_found_exception") => ItemErrorKind::AliasMissing,
        (_, "cluster_block_exception") if is_write_block(reason) => ItemErrorKind::WriteBlocked,
        (403, "cluster_block_exception") | (_, "index_closed_exception") => ItemErrorKind::WriteBlocked,
        (400, "strict_dynamic_mapping_exception" | "mapper_parsing_exception" | "document_parsing_exception") => {
            ItemErrorKind::MappingRefused
        }
        // Version 8 answers this, with status 500, to a document that is not an object.
        (_, "not_x_content_exception") => ItemErrorKind::MappingRefused,
        (400, "illegal_argument_exception") if is_beyond_a_limit(reason) => ItemErrorKind::MappingRefused,
        (429, _) => ItemErrorKind::Unavailable,
        (408 | 500.., _) => ItemErrorKind::OutcomeUnknown,
        (401 | 403, _) => ItemErrorKind::Forbidden,
        (409, _) => ItemErrorKind::Conflict,
        (404, _) => ItemErrorKind::NotFound,
        _ => ItemErrorKind::Other,
    }
}

/// Returns whether a document has a term that is too long, or more nested objects than the index allows.
fn is_beyond_a_limit(reason: &str) -> bool {
    reason.starts_with("Document contains at least one immense term")
        || reason.contains("has exceeded the allowed limit of [")
}

/// Returns the reason without any part of the document, which may contain envelopes or plaintext. A parsing error
/// quotes the field's value, a term that is too long is quoted from its beginning, and the error of a missing shard
/// quotes the whole request.
fn without_values(reason: &str) -> &str {
    [". Preview of field's value", " The prefix of the first immense term is", ", request: ["]
        .iter()
        .fold(reason, |shown, quotation| shown.split_once(quotation).map_or(shown, |(before, _)| before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_an_item_means_is_told_by_type_and_status() {
        use ItemErrorKind as Kind;
        let read_only = "index [b] blocked by: [FORBIDDEN/5/index read-only (api)];";
        let full = "index [b] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark];";
        let table = [
            (409, "version_conflict_engine_exception", "", Kind::Conflict),
            (404, "index_not_found_exception", "", Kind::AliasMissing),
            (403, "cluster_block_exception", "blocked by: [FORBIDDEN/8/index write (api)];", Kind::WriteBlocked),
            (403, "cluster_block_exception", read_only, Kind::WriteBlocked),
            (429, "cluster_block_exception", full, Kind::Unavailable),
            (400, "index_closed_exception", "closed", Kind::WriteBlocked),
            (403, "security_exception", "", Kind::Forbidden),
            (400, "document_parsing_exception", "", Kind::MappingRefused),
            (500, "not_x_content_exception", "", Kind::MappingRefused),
            (400, "illegal_argument_exception", "", Kind::Other),
            (
                400,
                "illegal_argument_exception",
                "Document contains at least one immense term in field=\"k\"",
                Kind::MappingRefused,
            ),
            (
                400,
                "illegal_argument_exception",
                "The number of nested documents has exceeded the allowed limit of [10000].",
                Kind::MappingRefused,
            ),
            (429, "es_rejected_execution_exception", "", Kind::Unavailable),
            (429, "circuit_breaking_exception", "", Kind::Unavailable),
            (408, "", "", Kind::OutcomeUnknown),
            (500, "already_closed_exception", "", Kind::OutcomeUnknown),
            (502, "", "", Kind::OutcomeUnknown),
            (503, "unavailable_shards_exception", "", Kind::OutcomeUnknown),
            (503, "node_closed_exception", "", Kind::OutcomeUnknown),
            (504, "process_cluster_event_timeout_exception", "", Kind::OutcomeUnknown),
        ];
        for (status, server_type, reason, kind) in table {
            assert_eq!(item_kind(status, server_type, reason), kind, "{status} {server_type} {reason}");
        }
    }

    #[test]
    fn item_errors_are_told_apart_and_quote_no_value() {
        let item = |value: Value| serde_json::from_value::<BulkItemAnswer>(value).expect("an item").outcome();
        assert_eq!(
            item(json!({"status": 201, "_seq_no": 4, "_primary_term": 1})),
            Ok(SequenceNumber { seq_no: 4, primary_term: 1 })
        );
        let conflict =
            item(json!({"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "r"}}));
        assert_eq!(conflict.expect_err("conflict").kind, ItemErrorKind::Conflict);
        assert_eq!(item(json!({"status": 404})).expect_err("missing").kind, ItemErrorKind::NotFound);
        let refused = item(json!({"status": 400, "error": {"type": "document_parsing_exception",
            "reason": "failed to parse field [a] of type [long]. Preview of field's value: 'SECRET'"}}))
        .expect_err("refused");
        assert_eq!(refused.kind, ItemErrorKind::MappingRefused);
        assert!(!refused.reason.contains("SECRET"), "{refused:?}");
    }
}
