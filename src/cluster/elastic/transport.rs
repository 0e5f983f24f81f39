//! The interface below the client: one HTTP request and its answer. The official client's transport sends requests over
//! the network (`official.rs`); a simulation answers them in the process.

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
    /// The time limit of the request, from connecting to the last byte of the answer.
    pub timeout: Duration,
}

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// Whether the header `X-Elastic-Product` says that Elasticsearch answered, and not an intermediary.
    pub is_elasticsearch: bool,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// The reason why a request has no answer.
#[derive(Debug)]
pub struct NoAnswer {
    /// What is known about the request.
    pub kind: NoAnswerKind,
    /// The cause.
    pub source: Box<dyn StdError + Send + Sync>,
}

/// What is known about a request without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswerKind {
    /// No connection could be made: the server did nothing.
    NotConnected,
    /// The connection ended before the answer: the server may have done the request, or may still do it.
    Lost,
    /// The time limit passed before the answer: the server may have done the request, or may still do it.
    TimedOut,
    /// No connection is possible with these settings and certificates: the server did nothing.
    Misconfigured(Misconfiguration),
}

/// The carrier of HTTP requests to Elasticsearch.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Sends one request once.
    ///
    /// # Errors
    /// [`NoAnswer`] if no complete answer was received.
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, NoAnswer>;

    /// Returns the server's addresses for errors, without credentials, or `None` if they are not known.
    fn address(&self) -> Option<String> {
        None
    }

    /// Returns a number that grows whenever credentials are read again.
    ///
    /// A request that was refused with earlier credentials is worth repeating.
    fn credentials_number(&self) -> u64 {
        0
    }
}
