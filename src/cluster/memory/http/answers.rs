//! Answers of the server, and the error answers that a server or an intermediary gives instead.

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use crate::cluster::ClusterError;
use crate::cluster::elastic::HttpAnswer;
use crate::cluster::memory::refusals::Refused;

pub(super) fn text(body: &'static str) -> HttpAnswer {
    HttpAnswer { status: 200, is_elasticsearch: true, retry_after: None, body: Bytes::from_static(body.as_bytes()) }
}

pub(super) fn ok(body: &impl Serialize) -> HttpAnswer {
    with_status(200, body)
}

pub(super) fn with_status(status: u16, body: &impl Serialize) -> HttpAnswer {
    // These types can always be serialized.
    let body = serde_json::to_vec(body).unwrap_or_default().into();
    HttpAnswer { status, is_elasticsearch: true, retry_after: None, body }
}

pub(super) fn acknowledged() -> HttpAnswer {
    text(r#"{"acknowledged":true}"#)
}

/// Returns the answer in which the shards of an index refuse a search.
pub(super) fn search_refused(refused: &Refused, index: &str) -> HttpAnswer {
    let Refused { server_type, reason, cause } = refused;
    let mut of_shard = json!({ "type": server_type, "reason": reason, "index": index });
    let root_cause = json!([of_shard.clone()]);
    if let Some(cause) = cause {
        let reason = reason.strip_prefix("failed to create query: ").unwrap_or(reason);
        of_shard["caused_by"] = json!({ "type": cause, "reason": reason });
    }
    let error = json!({
        "root_cause": root_cause, "type": "search_phase_execution_exception", "reason": "all shards failed", "phase": "query",
        "grouped": true, "failed_shards": [{ "shard": 0, "index": index, "reason": of_shard }],
    });
    with_status(400, &json!({ "error": error, "status": 400 }))
}

/// Returns the refusal in the server's words. Its 401 and 403 have no product header.
pub(super) fn error(error: &ClusterError) -> HttpAnswer {
    let status = error.status.unwrap_or(500);
    let server_type = error.server_type.as_deref().unwrap_or_default();
    let reason = error.reason.as_deref().unwrap_or_default();
    HttpAnswer::of_error(status, server_type, reason, error.index.as_deref())
}

/// Answers for a simulated network.
impl HttpAnswer {
    /// Creates a server's error answer.
    pub fn server_error(status: u16, server_type: &str, reason: &str) -> Self {
        Self::of_error(status, server_type, reason, None)
    }

    fn of_error(status: u16, server_type: &str, reason: &str, index: Option<&str>) -> Self {
        let mut error = json!({ "type": server_type, "reason": reason });
        if let Some(index) = index {
            error["index"] = index.into();
        }
        error["root_cause"] = json!([error.clone()]);
        let body = json!({ "error": error, "status": status });
        Self { is_elasticsearch: !matches!(status, 401 | 403), ..with_status(status, &body) }
    }

    /// Creates the answer to missing or wrong credentials.
    pub fn unauthorized() -> Self {
        let reason = "missing authentication credentials for REST request [/]";
        Self::server_error(401, "security_exception", reason)
    }

    /// Creates the answer to a request that the credentials do not allow.
    pub fn forbidden() -> Self {
        let reason = "action [indices:data/write/bulk] is unauthorized for user [user], this action is granted by the \
                      index privileges [create_doc,create,delete,index,write,all]";
        Self::server_error(403, "security_exception", reason)
    }

    /// Creates the answer to a request that is larger than `http.max_content_length`: it has neither product header nor
    /// body.
    pub fn too_large() -> Self {
        Self { status: 413, is_elasticsearch: false, retry_after: None, body: Bytes::new() }
    }

    /// Creates the answer of a server whose memory or queues are full.
    pub fn too_many_requests() -> Self {
        let reason = "rejected execution of coordinating operation";
        Self::server_error(429, "es_rejected_execution_exception", reason)
    }

    /// Creates the answer of a server that fails.
    pub fn internal_error() -> Self {
        Self::server_error(500, "illegal_state_exception", "an internal error")
    }

    /// Creates the answer of a server that has no master or no primary shard.
    pub fn unavailable() -> Self {
        Self::server_error(503, "master_not_discovered_exception", "")
    }

    /// Creates the answer of an intermediary, such as a proxy's 502, 503 or 504: a page without the product header.
    pub fn of_proxy(status: u16) -> Self {
        let body = Bytes::from(format!("<html><body><h1>{status}</h1></body></html>"));
        Self { status, is_elasticsearch: false, retry_after: None, body }
    }

    /// Sets the header that asks to wait before the next attempt.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds.to_string());
        self
    }

    /// Sets whether the answer has the product header.
    #[must_use]
    pub fn product_header(mut self, is_there: bool) -> Self {
        self.is_elasticsearch = is_there;
        self
    }
}
