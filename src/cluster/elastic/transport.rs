//! The seam below the client: one HTTP request, and what came of it. The official client's transport carries requests over the
//! network (`official.rs`); a simulation answers them in the process.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::trust::Misconfiguration;

/// One HTTP request to Elasticsearch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// The HTTP method.
    pub method: &'static str,
    /// The path without a leading `/`. Document ids in it are percent-encoded.
    pub path: String,
    /// The parameters of the query string, unencoded.
    pub query: Vec<(&'static str, String)>,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body, if there is one.
    pub body: Option<Bytes>,
    /// How long the request may take, from connecting to the last byte of the answer.
    pub timeout: Duration,
}

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// Whether the header `X-Elastic-Product` says that Elasticsearch answered, and not something on the way.
    pub is_elasticsearch: bool,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// Why a request has no answer.
#[derive(Debug)]
pub struct NoAnswer {
    /// What is known of the request.
    pub kind: NoAnswerKind,
    /// The cause.
    pub source: Box<dyn StdError + Send + Sync>,
}

/// What is known of a request that has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswerKind {
    /// No connection could be made: the server did nothing.
    NotConnected,
    /// The connection ended before the answer: the server may have done it, or may still do it.
    Lost,
    /// There was no answer in time: the server may have done it, or may still do it.
    TimedOut,
    /// No connection can be made with these settings and certificates: the server did nothing.
    Misconfigured(Misconfiguration),
}

/// Carries HTTP requests to Elasticsearch.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Sends one request once.
    ///
    /// # Errors
    /// [`NoAnswer`] if no whole answer came.
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, NoAnswer>;

    /// Returns a number that grows whenever credentials are read again. A request that was refused with the ones before is worth
    /// repeating.
    fn credentials_number(&self) -> u64 {
        0
    }
}
