//! The server's answers as they come over the wire, and what its errors mean.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::cluster::{ClusterErrorKind, Hit, HitRef, ItemError, ItemErrorKind, SequenceNumber};

/// `{"error": {"type", "reason"}}`; some errors are a bare text.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ErrorAnswer {
    #[serde(default)]
    pub(super) error: ServerError,
    #[serde(default)]
    status: Option<u16>,
}

#[derive(Debug, Default)]
pub(super) struct ServerError {
    pub(super) kind: Option<String>,
    pub(super) reason: Option<String>,
}

impl<'de> Deserialize<'de> for ServerError {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Full {
                #[serde(rename = "type")]
                kind: Option<String>,
                reason: Option<String>,
            },
            Text(String),
            Other(serde::de::IgnoredAny),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Full { kind, reason } => Self { kind, reason },
            Form::Text(reason) => Self { kind: None, reason: Some(reason) },
            Form::Other(_) => Self::default(),
        })
    }
}

impl ErrorAnswer {
    pub(super) fn from_reason(reason: String) -> Self {
        Self { error: ServerError { kind: None, reason: Some(reason) }, status: None }
    }

    /// Whether Elasticsearch wrote it for an answer of `status`.
    pub(super) fn is_servers(&self, status: u16) -> bool {
        self.error.kind.is_some() && self.status == Some(status)
    }

    /// What an answer of `status` with this error means.
    pub(super) fn kind(&self, status: u16) -> ClusterErrorKind {
        let ServerError { kind, reason } = &self.error;
        error_kind(status, kind.as_deref().unwrap_or_default(), reason.as_deref().unwrap_or_default())
    }
}

/// Returns what an answer of `status` with an error of this type and reason means.
pub(in crate::cluster) fn error_kind(status: u16, server_type: &str, reason: &str) -> ClusterErrorKind {
    match (status, server_type) {
        (_, "index_not_found_exception") => ClusterErrorKind::IndexNotFound,
        (_, "resource_already_exists_exception") => ClusterErrorKind::IndexExists,
        (_, "aliases_not_found_exception") => ClusterErrorKind::AliasNotFound,
        (_, "resource_not_found_exception") if reason.contains("required alias") => ClusterErrorKind::AliasNotFound,
        (_, "search_context_missing_exception") => ClusterErrorKind::PointInTimeMissing,
        (_, "search_phase_execution_exception") if status == 404 => ClusterErrorKind::PointInTimeMissing,
        (_, "cluster_block_exception") if is_write_block(reason) => ClusterErrorKind::WriteBlocked,
        (403, "cluster_block_exception") => ClusterErrorKind::Blocked,
        (_, "index_closed_exception") => ClusterErrorKind::IndexClosed,
        (_, "snapshot_in_progress_exception") => ClusterErrorKind::SnapshotInProgress,
        (_, "illegal_state_exception") if reason.contains("must be read-only to resize index") => {
            ClusterErrorKind::NotWriteBlocked
        }
        (_, "validation_exception") if is_shard_limit(reason) => ClusterErrorKind::ShardLimit,
        (400, "illegal_argument_exception" | "mapper_parsing_exception") if is_field_limit(reason) => {
            ClusterErrorKind::FieldLimit
        }
        (400, "illegal_argument_exception") if refuses_mapping(reason) => ClusterErrorKind::MappingRefused,
        (400, "strict_dynamic_mapping_exception" | "mapper_parsing_exception" | "document_parsing_exception") => {
            ClusterErrorKind::MappingRefused
        }
        // What the server says, with status 500, of a change of `enabled`.
        (_, "mapper_exception") => ClusterErrorKind::MappingRefused,
        (413, _) => ClusterErrorKind::TooLarge,
        (401 | 403 | 407, _) => ClusterErrorKind::Forbidden,
        (400, _) => ClusterErrorKind::Rejected,
        _ => ClusterErrorKind::Unexpected,
    }
}

fn is_write_block(reason: &str) -> bool {
    reason.contains("FORBIDDEN/8/")
}

/// Whether a limit on the fields of an index is meant: of all, of nested ones, or of their depth.
fn is_field_limit(reason: &str) -> bool {
    reason.split_once("Limit of ").is_some_and(|(_, limit)| limit.contains("has been exceeded"))
}

/// Whether the reason is that fields of an index cannot be changed so.
fn refuses_mapping(reason: &str) -> bool {
    const SAYINGS: &[&str] = &[
        "cannot be changed",
        "can't be changed",
        "conflicts with existing mapper",
        "can't merge",
        "Cannot merge",
        "can't be updated",
        "Cannot update parameter",
    ];
    SAYINGS.iter().any(|saying| reason.contains(saying))
}

fn is_shard_limit(reason: &str) -> bool {
    reason.contains("this action would add") && reason.contains("maximum normal shards open")
}

/// A document in an answer to get, multi-get or search.
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
    /// In a multi-get: why this one could not be read.
    #[serde(default)]
    pub(super) error: Option<ServerError>,
}

/// A hit with `_version`, the count of its writes.
#[derive(Debug)]
pub(super) struct VersionedHit {
    pub(super) hit: Hit,
    pub(super) version: Option<u64>,
}

impl DocumentAnswer<'_> {
    /// None if the document was not found.
    pub(super) fn borrowed_hit(&self) -> Option<HitRef<'_>> {
        Some(HitRef { index: &self.index, id: &self.id, sequence: self.sequence()?, source: self.source?.get() })
    }

    /// None if the document was not found.
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

/// More documents than an index of 1,024 shards holds: counts are added up, and no answer makes their sum overflow.
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
                Err(item_error(status, &error.kind.unwrap_or_default(), &error.reason.unwrap_or_default()))
            }
        }
    }
}

/// Returns what an operation's answer of `status` with an error of this type and reason means.
pub(in crate::cluster) fn item_error(status: u16, server_type: &str, reason: &str) -> ItemError {
    let kind = item_kind(status, server_type, reason);
    let shown = without_values(reason);
    ItemError { kind, reason: format!("status={status} type={server_type} reason={shown:?}") }
}

/// What the server says of one operation. Of 500 and above, and 408, it is not known whether it was done: a primary shard may
/// have done it before it failed, or before the connection to its node did.
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
        // What version 8 says, with status 500, of a document that is no object.
        (_, "not_x_content_exception") => ItemErrorKind::MappingRefused,
        (429, _) => ItemErrorKind::Unavailable,
        (408 | 500.., _) => ItemErrorKind::OutcomeUnknown,
        (401 | 403, _) => ItemErrorKind::Forbidden,
        (409, _) => ItemErrorKind::Conflict,
        (404, _) => ItemErrorKind::NotFound,
        _ => ItemErrorKind::Other,
    }
}

/// The reason without the document, which may hold a secret's envelope or worse: a parsing error quotes the field's value, and
/// a shard that is not there the whole request.
fn without_values(reason: &str) -> &str {
    [". Preview of field's value", ", request: ["]
        .iter()
        .fold(reason, |shown, quotation| shown.split_once(quotation).map_or(shown, |(before, _)| before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn server_errors_are_told_apart() {
        use ClusterErrorKind as Kind;
        let table = [
            (
                404,
                json!({"error": {"type": "index_not_found_exception", "reason": "no such index [x]"}}),
                Kind::IndexNotFound,
            ),
            (400, json!({"error": {"type": "resource_already_exists_exception", "reason": ""}}), Kind::IndexExists),
            (404, json!({"error": {"type": "aliases_not_found_exception", "reason": ""}}), Kind::AliasNotFound),
            (
                403,
                json!({"error": {"type": "cluster_block_exception",
                "reason": "index [x] blocked by: [FORBIDDEN/8/index write (api)];"}}),
                Kind::WriteBlocked,
            ),
            (403, json!({"error": {"type": "security_exception", "reason": "no"}}), Kind::Forbidden),
            (
                400,
                json!({"error": {"type": "validation_exception", "reason": "Validation Failed: 1: this action would add [2] \
                shards, but this cluster currently has [1000]/[1000] maximum normal shards open;"}}),
                Kind::ShardLimit,
            ),
            (
                500,
                json!({"error": {"type": "illegal_state_exception",
                "reason": "index x must be read-only to resize index. use \"index.blocks.write=true\""}}),
                Kind::NotWriteBlocked,
            ),
            (
                403,
                json!({"error": {"type": "cluster_block_exception",
                "reason": "index [x] blocked by: [FORBIDDEN/5/index read-only (api)];"}}),
                Kind::Blocked,
            ),
            (400, json!({"error": {"type": "index_closed_exception", "reason": "closed"}}), Kind::IndexClosed),
            (
                400,
                json!({"error": {"type": "snapshot_in_progress_exception",
                "reason": "Cannot delete indices that are being snapshotted: [[x/u]]."}}),
                Kind::SnapshotInProgress,
            ),
            (
                400,
                json!({"error": {"type": "illegal_argument_exception",
                "reason": "Limit of total fields [1500] has been exceeded"}}),
                Kind::FieldLimit,
            ),
            (
                400,
                json!({"error": {"type": "mapper_parsing_exception",
                "reason": "Failed to parse mapping: Limit of mapping depth [20] has been exceeded"}}),
                Kind::FieldLimit,
            ),
            (
                400,
                json!({"error": {"type": "illegal_argument_exception", "reason": "unknown setting [x]"}}),
                Kind::Rejected,
            ),
            (
                500,
                json!({"error": {"type": "mapper_exception",
                "reason": "the [enabled] parameter can't be updated for the object mapping [o]"}}),
                Kind::MappingRefused,
            ),
            (500, json!({"error": {"type": "null_pointer_exception", "reason": ""}}), Kind::Unexpected),
            (401, json!({}), Kind::Forbidden),
            (407, json!({}), Kind::Forbidden),
            (413, json!({}), Kind::TooLarge),
            (400, json!({"error": "odd"}), Kind::Rejected),
            (418, json!({"error": 7}), Kind::Unexpected),
        ];
        for (status, body, expected) in table {
            let answer: ErrorAnswer = serde_json::from_value(body.clone()).expect("any body parses");
            assert_eq!(answer.kind(status), expected, "{body}");
        }
    }

    /// As version 9.2.2 says it.
    #[test]
    fn what_a_mapping_is_refused_for_is_told() {
        for reason in [
            "mapper [k] cannot be changed from type [keyword] to [long]",
            "Mapper for [k] conflicts with existing mapper:\n\tCannot update parameter [index] from [true] to [false]",
            "can't merge a non object mapping [o] with an object mapping",
            "can't merge a non-nested mapping [o] with a nested mapping",
        ] {
            let body = json!({"error": {"type": "illegal_argument_exception", "reason": reason}, "status": 400});
            let answer: ErrorAnswer = serde_json::from_value(body).expect("an error");
            assert_eq!(answer.kind(400), ClusterErrorKind::MappingRefused, "{reason}");
        }
    }

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
