//! The server's errors: their JSON form, and the error kinds that they mean.

use serde::Deserialize;
use serde_json::Value;

use crate::cluster::ClusterErrorKind;

/// `{"error": {"type", "reason", …}}`; some errors are a plain string.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ErrorAnswer {
    #[serde(default)]
    pub(super) error: ServerError,
    #[serde(default)]
    status: Option<u16>,
}

/// An error of the server. A search that fails on its shards has the error "all shards failed"; this type then holds
/// the error of the first shard.
#[derive(Debug, Default)]
pub(super) struct ServerError {
    pub(super) kind: Option<String>,
    pub(super) reason: Option<String>,
    /// The index that the error is about.
    pub(super) index: Option<String>,
    /// The type of the innermost cause.
    pub(super) cause: Option<String>,
    is_of_shards: bool,
}

impl<'de> Deserialize<'de> for ServerError {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::String(reason) => Self { reason: Some(reason), ..Self::default() },
            error => Self::of(&error),
        })
    }
}

impl ServerError {
    fn of(error: &Value) -> Self {
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let is_of_shards = kind(error) == Some(OF_SHARDS);
        let told = std::iter::successors(Some(error), says_it).last().unwrap_or(error);
        let innermost = std::iter::successors(cause(told), |inner| cause(inner)).last();
        let index_of_shard = || error.pointer("/failed_shards/0").and_then(|shard| text(shard, "index"));
        Self {
            kind: text(told, "type"),
            reason: text(told, "reason"),
            index: text(told, "index").or_else(index_of_shard),
            cause: innermost.and_then(|cause| text(cause, "type")),
            is_of_shards,
        }
    }
}

/// The type of an error that only says that shards failed.
const OF_SHARDS: &str = "search_phase_execution_exception";
/// The type of an error that only gives a position in the request.
const OF_PLACE: &str = "x_content_parse_exception";

fn kind(error: &Value) -> Option<&str> {
    error.get("type").and_then(Value::as_str)
}

fn cause(error: &Value) -> Option<&Value> {
    error.get("caused_by").filter(|cause| cause.is_object())
}

/// Returns the error within `error` that says what is wrong, or `None` if `error` itself does.
fn says_it<'a>(error: &&'a Value) -> Option<&'a Value> {
    match kind(error) {
        Some(OF_SHARDS) => error
            .pointer("/failed_shards/0/reason")
            .or_else(|| error.pointer("/root_cause/0").filter(|root| kind(root) != Some(OF_SHARDS)))
            .or_else(|| cause(error)),
        Some(OF_PLACE) => cause(error),
        _ => None,
    }
}

impl ErrorAnswer {
    pub(super) fn from_reason(reason: String) -> Self {
        Self { error: ServerError { reason: Some(reason), ..ServerError::default() }, status: None }
    }

    /// Returns whether Elasticsearch wrote this error for an answer of `status`.
    pub(super) fn is_servers(&self, status: u16) -> bool {
        self.error.kind.is_some() && self.status == Some(status)
    }

    /// Returns the error kind of an answer of `status` with this error.
    pub(super) fn kind(&self, status: u16) -> ClusterErrorKind {
        let ServerError { kind, reason, is_of_shards, .. } = &self.error;
        match (status, is_of_shards) {
            (404, true) => ClusterErrorKind::PointInTimeMissing,
            _ => error_kind(status, kind.as_deref().unwrap_or_default(), reason.as_deref().unwrap_or_default()),
        }
    }
}

/// The error type of requests that the cluster in memory does not model. No server has it.
pub(in crate::cluster) const NOT_SUPPORTED: &str = "not_supported_in_memory";

/// Returns the error kind of an answer of `status` with an error of this type and reason.
pub(in crate::cluster) fn error_kind(status: u16, server_type: &str, reason: &str) -> ClusterErrorKind {
    match (status, server_type) {
        (_, NOT_SUPPORTED) => ClusterErrorKind::Unsupported,
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
        // The server's answer, with status 500, to a change of `enabled`.
        (_, "mapper_exception") => ClusterErrorKind::MappingRefused,
        (413, _) => ClusterErrorKind::TooLarge,
        (401 | 403 | 407, _) => ClusterErrorKind::Forbidden,
        (400, _) => ClusterErrorKind::Rejected,
        _ => ClusterErrorKind::Unexpected,
    }
}

pub(super) fn is_write_block(reason: &str) -> bool {
    reason.contains("FORBIDDEN/8/")
}

/// Returns whether the reason is a limit on an index's fields: on all, on nested ones, or on their depth.
fn is_field_limit(reason: &str) -> bool {
    reason.split_once("Limit of ").is_some_and(|(_, limit)| limit.contains("has been exceeded"))
}

/// Returns whether the reason is that fields of an index cannot be changed this way.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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

    #[test]
    fn a_search_that_fails_on_its_shards_is_told_as_the_first_one_says_it() {
        let parse = |error: Value| {
            serde_json::from_value::<ErrorAnswer>(json!({ "error": error, "status": 400 })).expect("it parses")
        };
        let of_shard = json!({
            "type": "query_shard_exception", "reason": "failed to create query: For input string: \"x\"", "index": "a-000001",
            "caused_by": { "type": "illegal_state_exception", "reason": "r", "caused_by": { "type": "number_format_exception" } },
        });
        let root_cause = json!([{ "type": "query_shard_exception", "reason": "r", "index": "a-000001" }]);
        let wrapper = |failed_shards: Value| {
            json!({
                "type": "search_phase_execution_exception", "reason": "all shards failed", "root_cause": root_cause,
                "failed_shards": failed_shards,
            })
        };
        let told = parse(wrapper(json!([{ "shard": 0, "index": "a-000001", "reason": of_shard }]))).error;
        assert_eq!(told.kind.as_deref(), Some("query_shard_exception"));
        assert_eq!(told.reason.as_deref(), Some("failed to create query: For input string: \"x\""));
        assert_eq!((told.index.as_deref(), told.cause.as_deref()), (Some("a-000001"), Some("number_format_exception")));
        let told = parse(wrapper(json!([]))).error;
        assert_eq!((told.kind.as_deref(), told.cause), (Some("query_shard_exception"), None));
        let buckets = json!({
            "type": "search_phase_execution_exception", "reason": "", "root_cause": [], "failed_shards": [],
            "caused_by": { "type": "too_many_buckets_exception", "reason": "Trying to create too many buckets." },
        });
        assert_eq!(parse(buckets).error.kind.as_deref(), Some("too_many_buckets_exception"));
        let deep = json!({
            "type": "x_content_parse_exception", "reason": "[1:680] [bool] failed to parse field [must_not]",
            "caused_by": { "type": "x_content_parse_exception", "reason": "[1:680] [bool] failed to parse field [filter]",
                "caused_by": { "type": "illegal_argument_exception", "reason": "The nested depth of the query exceeds the maximum" } },
        });
        assert_eq!(parse(deep).error.reason.as_deref(), Some("The nested depth of the query exceeds the maximum"));
        // A 404 means that the point in time is gone, whatever the shards say.
        assert_eq!(parse(wrapper(json!([]))).kind(404), ClusterErrorKind::PointInTimeMissing);
        let breaker = json!({ "type": "circuit_breaking_exception", "reason": "[parent] Data too large" });
        let told = parse(wrapper(json!([{ "shard": 0, "reason": breaker }]))).error;
        assert_eq!(told.kind.as_deref(), Some("circuit_breaking_exception"));
    }

    /// The reasons are those of version 9.2.2.
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
}
