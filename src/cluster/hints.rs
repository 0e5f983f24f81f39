//! Converts errors of the cluster to errors of the library, with a kind and a hint.

use std::borrow::Cow;

use super::error::{ClusterError, ClusterErrorKind};
use super::reason::index_in;
use super::refusal::Refusal;
use crate::{Error, ErrorKind};

impl From<ClusterError> for Error {
    fn from(error: ClusterError) -> Self {
        let refused = error.refusal().map(Refusal::kind);
        let kind = match error.kind {
            ClusterErrorKind::TooLarge if error.is_out_of_memory() => ErrorKind::Unavailable,
            ClusterErrorKind::Unavailable
            | ClusterErrorKind::Timeout
            | ClusterErrorKind::ShardLimit
            | ClusterErrorKind::IndexClosed
            | ClusterErrorKind::SnapshotInProgress => ErrorKind::Unavailable,
            ClusterErrorKind::OutcomeUnknown => ErrorKind::OutcomeUnknown,
            ClusterErrorKind::IndexNotFound | ClusterErrorKind::AliasNotFound => ErrorKind::NotFound,
            ClusterErrorKind::IndexExists | ClusterErrorKind::NotWriteBlocked => ErrorKind::Conflict,
            ClusterErrorKind::MappingRefused
            | ClusterErrorKind::FieldLimit
            | ClusterErrorKind::TooLarge
            | ClusterErrorKind::Unsupported
            | ClusterErrorKind::Misconfigured(_) => ErrorKind::Invalid,
            ClusterErrorKind::WriteBlocked | ClusterErrorKind::Blocked | ClusterErrorKind::Forbidden => {
                ErrorKind::Forbidden
            }
            ClusterErrorKind::PointInTimeMissing => ErrorKind::Conflict,
            ClusterErrorKind::Rejected | ClusterErrorKind::Unexpected => refused.unwrap_or(ErrorKind::Internal),
        };
        Error::new(kind, error.to_string()).with_hint(hint(&error)).with_source(error)
    }
}

/// Returns what a caller or an operator can do about an error.
fn hint(error: &ClusterError) -> Cow<'static, str> {
    let index = index_name(error);
    if let Some(refusal) = error.refusal() {
        return refusal.hint(index).into();
    }
    let settings = |setting: &str, value: &str| format!("PUT /{index}/_settings {{\"{setting}\":{value}}}");
    let fixed = match error.kind {
        ClusterErrorKind::Unavailable | ClusterErrorKind::Timeout | ClusterErrorKind::TooLarge => {
            hint_of_absence(error)
        }
        ClusterErrorKind::OutcomeUnknown => {
            "read the document or index to see whether the write happened; if it was a migration's, start that again"
        }
        ClusterErrorKind::IndexNotFound | ClusterErrorKind::AliasNotFound => {
            "check the prefix; if it is right, `saved-objects status` says what is missing, and `saved-objects \
             migrate` creates it"
        }
        ClusterErrorKind::IndexExists => "run `saved-objects status` to see what has the name",
        ClusterErrorKind::MappingRefused => "run `saved-objects migrate --plan` to see what the mapping lacks",
        ClusterErrorKind::FieldLimit => {
            return format!(
                "map fewer fields, or raise the limit that the reason names: {}",
                settings("index.mapping.total_fields.limit", "<more>")
            )
            .into();
        }
        ClusterErrorKind::WriteBlocked | ClusterErrorKind::Blocked => {
            return hint_of_block(error.reason.as_deref().unwrap_or_default(), index).into();
        }
        ClusterErrorKind::IndexClosed => {
            return hint_of_closed(index).into();
        }
        ClusterErrorKind::SnapshotInProgress => "wait until the snapshot has ended: GET _snapshot/_status shows it",
        ClusterErrorKind::NotWriteBlocked => "find out who lifted the write block, and start the migration again",
        ClusterErrorKind::ShardLimit => {
            "raise the limit: PUT /_cluster/settings {\"persistent\":{\"cluster.max_shards_per_node\":<more>}}; or \
             delete generations that are kept for a rollback: `saved-objects migrate --drop-old`"
        }
        ClusterErrorKind::PointInTimeMissing => "start the reading again",
        ClusterErrorKind::Forbidden => return hint_of_credentials(error),
        ClusterErrorKind::Misconfigured(wrong) => wrong.hint(),
        ClusterErrorKind::Unsupported => "test this on a real server: `saved-objects dev up` starts one",
        ClusterErrorKind::Rejected | ClusterErrorKind::Unexpected => {
            "check the server's version and the reason it gives; report it if both look right"
        }
    };
    fixed.into()
}

/// Returns the hint if there is no answer, or the server has no time or memory for the request.
fn hint_of_absence(error: &ClusterError) -> &'static str {
    match (error.kind, error.server_type.as_deref()) {
        _ if error.is_out_of_memory() => {
            "try again later; if that does not help, ask for less at once (smaller pages, fewer values), or give the \
             server more memory"
        }
        (ClusterErrorKind::TooLarge, _) => {
            "send less at once, or raise http.max_content_length in the elasticsearch.yml of all nodes"
        }
        (_, Some("cluster_block_exception")) => {
            "free disk space on the data nodes or add one, see GET /_cat/allocation?v; the server then takes writes \
             again"
        }
        (_, Some(_)) => "try again later, with less at once: the server has no time for it",
        (ClusterErrorKind::Timeout, None) => {
            "try again; if it times out again, see what the server is busy with: GET /_cat/tasks?v"
        }
        _ => {
            "check that Elasticsearch runs there and is not overloaded, and that the URL is right \
             (--elasticsearch-url, SAVED_OBJECTS_ELASTICSEARCH_URL, or the URL that the store is built with); then try \
             again"
        }
    }
}

/// Returns the index that an error is about: the one that the server names, or the one in the path of the request.
fn index_name(error: &ClusterError) -> &str {
    let in_reason = || index_in(error.reason.as_deref()?);
    let in_path = || error.path.split('/').next().filter(|name| !name.starts_with('_') && !name.contains(','));
    error.index.as_deref().or_else(in_reason).or_else(in_path).unwrap_or("<index>")
}

/// Returns the hint for credentials that are missing or refused, or lack a privilege.
fn hint_of_credentials(error: &ClusterError) -> Cow<'static, str> {
    if let Some(missing) = error.missing_privilege() {
        return missing.hint().into();
    }
    let is_without = error.reason.as_deref().is_some_and(|reason| reason.contains("missing authentication"));
    match error.status {
        Some(401) if is_without => {
            "give credentials: SAVED_OBJECTS_ELASTICSEARCH_API_KEY_FILE, or SAVED_OBJECTS_ELASTICSEARCH_USERNAME with \
             SAVED_OBJECTS_ELASTICSEARCH_PASSWORD_FILE, or ElasticSettings::credentials"
        }
        Some(401) => {
            "check the API key, the token, or user and password: the server does not know them, or they have expired"
        }
        Some(407) => "give the proxy its credentials, or leave it out by NO_PROXY",
        _ => {
            "give credentials that may read, write and manage the indices of the prefix: `saved-objects privileges` \
             prints what each job needs"
        }
    }
    .into()
}

/// Returns the hint for a closed index.
pub(super) fn hint_of_closed(index: &str) -> String {
    format!("find out who closed it; then open it: POST /{index}/_open")
}

/// Returns the hint for a block of an index or of the cluster. The reason names the block by the number that
/// Elasticsearch gives it.
pub(super) fn hint_of_block(reason: &str, index: &str) -> String {
    let number = ["5", "6", "7", "8", "9", "12", "13"].iter().find(|number| reason.contains(&format!("/{number}/")));
    let of_index = |block: &str| format!("PUT /{index}/_settings {{\"index.blocks.{block}\":null}}");
    let of_cluster =
        |block: &str| format!("PUT /_cluster/settings {{\"persistent\":{{\"cluster.blocks.{block}\":null}}}}");
    let lift = match number {
        Some(&"8") => {
            return format!(
                "wait if `saved-objects status` shows a migration at work; else find out who set the write block, and \
                 lift it if it was left behind: {}",
                of_index("write")
            );
        }
        Some(&"5") => of_index("read_only"),
        Some(&"6") => of_cluster("read_only"),
        Some(&"7") => of_index("read"),
        Some(&"9") => of_index("metadata"),
        Some(&"12") => of_index("read_only_allow_delete"),
        Some(&"13") => of_cluster("read_only_allow_delete"),
        _ => "see GET /_cluster/state/blocks".to_owned(),
    };
    format!("find out who set the block; if it was left behind, lift it: {lift}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::MissingPrivilege;

    #[test]
    fn the_missing_privilege_is_read_from_the_servers_reason() {
        let of_index = "action [indices:admin/create] is unauthorized for API key id [x] of user [elastic] on indices \
                        [a-notes-000001], this action is granted by the index privileges [create_index,manage,all]";
        let of_cluster = "action [cluster:monitor/health] is unauthorized for user [kim] with effective roles [r], \
                          this action is granted by the cluster privileges [monitor,manage,all]";
        let table = [
            (of_index, "index privilege `create_index` (or manage, all) on a-notes-000001;"),
            (of_cluster, "cluster privilege `monitor` (or manage, all);"),
        ];
        for (reason, expected) in table {
            let mut error = ClusterError::new(ClusterErrorKind::Forbidden, "PUT", "a-notes-000001", reason);
            error.status = Some(403);
            let error = Error::from(error);
            assert_eq!(error.kind(), ErrorKind::Forbidden);
            assert!(error.hint().is_some_and(|hint| hint.contains(expected)), "{error}");
        }
        assert_eq!(MissingPrivilege::in_reason("this action is granted by the index privileges"), None);
    }

    #[test]
    fn refused_credentials_and_missing_ones_have_other_hints() {
        let table = [
            (401, "missing authentication credentials for REST request [/]", "give credentials"),
            (401, "unable to authenticate user [kim] for REST request [/]", "check the API key"),
            (403, "no", "saved-objects privileges"),
            (407, "", "the proxy"),
        ];
        for (status, reason, expected) in table {
            let mut error = ClusterError::new(ClusterErrorKind::Forbidden, "GET", "x", reason);
            error.status = Some(status);
            let error = Error::from(error);
            assert!(error.hint().is_some_and(|hint| hint.contains(expected)), "{status}: {error}");
        }
    }
}
