//! The seam below the client: one HTTP request, and what came of it. The official client's transport carries requests over the
//! network; a simulation answers them in the process.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use elasticsearch::http::headers::{HeaderMap, HeaderName, HeaderValue};
use elasticsearch::http::transport::{
    ConnectionPool, MultiNodeConnectionPool, SingleNodeConnectionPool, TransportBuilder,
};
use elasticsearch::http::{Method, Url};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{ElasticBuilder, invalid_url};
use crate::{Error, Result};

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
}

/// Carries HTTP requests to Elasticsearch.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Sends one request once.
    ///
    /// # Errors
    /// [`NoAnswer`] if no whole answer came.
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, NoAnswer>;
}

/// The official client's transport.
#[derive(Debug)]
pub(super) struct Official {
    client: elasticsearch::http::transport::Transport,
    nodes: Vec<Url>,
}

impl Official {
    pub(super) fn open(builder: &ElasticBuilder) -> Result<Self> {
        let urls = builder
            .urls
            .iter()
            .map(|url| {
                let parsed = Url::parse(url).map_err(|error| invalid_url(url, error))?;
                match parsed.scheme() {
                    "http" | "https" if parsed.has_host() => Ok(parsed),
                    _ => Err(invalid_url(url, "it is neither http:// nor https:// with a host")),
                }
            })
            .collect::<Result<Vec<_>>>()?;
        let nodes = urls.clone();
        let client = match <[_; 1]>::try_from(urls) {
            Ok([url]) => Self::over(builder, SingleNodeConnectionPool::new(url)),
            Err(urls) => Self::over(builder, MultiNodeConnectionPool::round_robin(urls, None)),
        };
        Ok(Self { client: client?, nodes })
    }

    fn over<P>(builder: &ElasticBuilder, pool: P) -> Result<elasticsearch::http::transport::Transport>
    where
        P: ConnectionPool + fmt::Debug + Clone + Send + 'static,
    {
        let mut transport = TransportBuilder::new(pool).headers(headers(&builder.headers)?);
        if let Some(credentials) = builder.official_credentials() {
            transport = transport.auth(credentials);
        }
        transport.build().map_err(|error| {
            Error::invalid("the Elasticsearch client could not be set up", "check URL, credentials and headers")
                .with_source(error)
        })
    }

    /// Returns whether the client followed a redirect: the answer comes from another address than that of `path`, and may be one to
    /// a `GET`.
    fn is_redirected(&self, path: &str, url: &Url) -> bool {
        let is_asked = |node: &Url| {
            node.origin() == url.origin() && url.path() == format!("{}/{path}", node.path().trim_end_matches('/'))
        };
        !self.nodes.iter().any(is_asked)
    }
}

#[async_trait]
impl Transport for Official {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, NoAnswer> {
        let method = match request.method {
            "GET" => Method::Get,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            _ => Method::Post,
        };
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(request.content_type));
        headers.insert("accept", HeaderValue::from_static("application/json"));
        // Envelopes cannot be compressed, and the server's attempt costs more than the network saves.
        headers.insert("accept-encoding", HeaderValue::from_static("identity"));
        let (path, query) = (url_path(&request.path), Some(&request.query));
        let response = self
            .client
            .send(method, &path, headers, query, request.body, Some(request.timeout))
            .await
            .map_err(no_answer)?;
        let text = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let is_redirected = self.is_redirected(&path, response.url());
        let status = if is_redirected { REDIRECTED } else { response.status_code().as_u16() };
        let is_elasticsearch =
            !is_redirected && text("x-elastic-product").is_some_and(|product| product == "Elasticsearch");
        let retry_after = text("retry-after");
        let body = response.bytes().await.map_err(no_answer)?;
        Ok(HttpAnswer { status, is_elasticsearch, retry_after, body })
    }
}

/// The status of a redirect, whatever the answer of its target is.
const REDIRECTED: u16 = 302;

fn headers(pairs: &[(String, String)]) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let refused = || {
            Error::invalid(
                format!("the header {name:?} is malformed"),
                "use a header's name and visible ASCII characters",
            )
        };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
        headers.insert(key, HeaderValue::from_str(value).map_err(|_| refused())?);
    }
    Ok(headers)
}

/// Returns the path with the characters encoded that would end it in a URL; document ids in it are encoded already.
fn url_path(path: &str) -> String {
    const ENDING_A_PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?');
    utf8_percent_encode(path, ENDING_A_PATH).to_string()
}

fn no_answer(error: elasticsearch::Error) -> NoAnswer {
    let kind = if was_not_connected(&error) {
        NoAnswerKind::NotConnected
    } else if error.is_timeout() {
        NoAnswerKind::TimedOut
    } else {
        NoAnswerKind::Lost
    };
    NoAnswer { kind, source: Box::new(error) }
}

fn was_not_connected(error: &elasticsearch::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io_error) = cause.downcast_ref::<io::Error>() {
            return matches!(
                io_error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable
            );
        }
        source = cause.source();
    }
    false
}
