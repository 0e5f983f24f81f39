//! Answers, and those that a server, or what is in front of it, gives instead.

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use crate::cluster::ClusterError;
use crate::cluster::elastic::HttpAnswer;

pub(super) fn text(body: &'static str) -> HttpAnswer {
    HttpAnswer { status: 200, is_elasticsearch: true, retry_after: None, body: Bytes::from_static(body.as_bytes()) }
}

pub(super) fn ok(body: &impl Serialize) -> HttpAnswer {
    with_status(200, body)
}

pub(super) fn with_status(status: u16, body: &impl Serialize) -> HttpAnswer {
    // What is written here can always be written.
    let body = serde_json::to_vec(body).unwrap_or_default().into();
    HttpAnswer { status, is_elasticsearch: true, retry_after: None, body }
}

pub(super) fn acknowledged() -> HttpAnswer {
    text(r#"{"acknowledged":true}"#)
}

/// The refusal as the server words it. Its product header is missing where it answers 401 or 403.
pub(super) fn error(error: &ClusterError) -> HttpAnswer {
    let status = error.status.unwrap_or(500);
    let server_type = error.server_type.as_deref().unwrap_or_default();
    HttpAnswer::server_error(status, server_type, error.reason.as_deref().unwrap_or_default())
}

/// Answers for a network in a simulation.
impl HttpAnswer {
    /// Creates the error answer of a server.
    pub fn server_error(status: u16, server_type: &str, reason: &str) -> Self {
        let cause = json!({ "type": server_type, "reason": reason });
        let body = json!({
            "error": { "root_cause": [cause], "type": server_type, "reason": reason },
            "status": status,
        });
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

    /// Creates the answer to a request that is larger than `http.max_content_length`: it has neither product header nor body.
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

    /// Creates the answer of something on the way to the server, such as 502, 503 or 504 of a proxy: a page without product
    /// header.
    pub fn of_proxy(status: u16) -> Self {
        let body = Bytes::from(format!("<html><body><h1>{status}</h1></body></html>"));
        Self { status, is_elasticsearch: false, retry_after: None, body }
    }

    /// Asks to wait before the next attempt.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds.to_string());
        self
    }

    /// Says whether the product header is there.
    #[must_use]
    pub fn product_header(mut self, is_there: bool) -> Self {
        self.is_elasticsearch = is_there;
        self
    }
}
