use std::error::Error as StdError;
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use elasticsearch::http::Method;
use elasticsearch::http::headers::{HeaderMap, HeaderName, HeaderValue};
use elasticsearch::http::transport::{
    ConnectionPool, MultiNodeConnectionPool, SingleNodeConnectionPool, Transport, TransportBuilder,
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeSeed;
use tokio::sync::OnceCell;

use super::answers::ErrorAnswer;
use super::retry::{Attempts, RetryPolicy};
use super::{ElasticBuilder, indices, invalid_url};
use crate::cluster::adaptive::AdaptiveSize;
use crate::cluster::{ClusterError, ClusterErrorKind, ClusterResult, RequestCounts};
use crate::environment::Environment;
use crate::{Error, Result};

/// The largest body of a bulk that is tried, unless one operation alone is larger. The server takes 100 MB by default;
/// throughput does not grow beyond a few.
const MAX_BULK_BYTES: usize = 16 << 20;

/// A request that is sent as often as its [`Repeat`] allows.
#[derive(Debug)]
pub(super) struct Request<'a> {
    method: Verb,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Bytes>,
    content: &'static str,
    accepted: &'a [u16],
    timeout: Option<Duration>,
    repeat: Repeat,
    when_busy: WhenBusy,
    is_write: bool,
}

/// The HTTP methods in use.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

/// When a request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Whenever its answer is lost: doing it twice is the same as once, or the caller settles it.
    Always,
    /// Only when the server surely did nothing: no connection, or 429.
    IfNotDone,
}

/// Who repeats a request that the server was too busy for (429).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WhenBusy {
    /// The connection.
    Repeat,
    /// The connection at first; the caller if it was too much for the server's memory, with less.
    AskForLess,
    /// The caller, with less.
    SendLess,
}

/// How often a request is sent whose answer the server has no memory for. It may pass, or be too much at any time.
const MAX_MEMORY_ATTEMPTS: u32 = 3;

impl<'a> Request<'a> {
    /// A request that reads; it may be repeated.
    pub(super) fn read(method: Verb, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            body: None,
            content: "application/json",
            accepted: &[],
            timeout: None,
            repeat: Repeat::Always,
            when_busy: WhenBusy::Repeat,
            is_write: false,
        }
    }

    /// A request that writes.
    pub(super) fn write(method: Verb, path: impl Into<String>, repeat: Repeat) -> Self {
        Self { repeat, is_write: true, ..Self::read(method, path) }
    }

    pub(super) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(super) fn json(mut self, body: &serde_json::Value) -> Self {
        self.body = Some(Bytes::from(body.to_string()));
        self
    }

    pub(super) fn lines(mut self, body: Bytes) -> Self {
        self.body = Some(body);
        self.content = "application/x-ndjson";
        self
    }

    /// The caller asks for less when the answer is too much for the server's memory: the error is
    /// [`TooLarge`](ClusterErrorKind::TooLarge).
    pub(super) fn ask_for_less(mut self) -> Self {
        self.when_busy = WhenBusy::AskForLess;
        self
    }

    /// The caller sends less when the server is too busy, and waits as it asks: a 429 is not repeated here.
    pub(super) fn send_less(mut self) -> Self {
        self.when_busy = WhenBusy::SendLess;
        self
    }

    /// Takes these statuses for answers and not for errors.
    pub(super) fn accept(mut self, statuses: &'a [u16]) -> Self {
        self.accepted = statuses;
        self
    }

    /// A longer time for one attempt than the ordinary one.
    pub(super) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

/// An answer of the server.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    body: Bytes,
    method: &'static str,
    path: String,
    attempts: u32,
}

impl Answer {
    pub(super) fn body(&self) -> Bytes {
        self.body.clone()
    }

    /// The answer with blanks in the place of comments between its JSON values; none if it has no comments. The server takes
    /// comments in documents, and gives them back.
    pub(super) fn without_comments(&self) -> Option<Self> {
        let body = Bytes::from(without_comments(&self.body)?);
        Some(Self { body, method: self.method, path: self.path.clone(), ..*self })
    }

    pub(super) fn parse<'a, T: Deserialize<'a>>(&'a self) -> ClusterResult<T> {
        self.parse_with(PhantomData)
    }

    pub(super) fn parse_with<'a, S: DeserializeSeed<'a>>(&'a self, seed: S) -> ClusterResult<S::Value> {
        let mut deserializer = serde_json::Deserializer::from_slice(&self.body);
        let parsed = seed.deserialize(&mut deserializer).and_then(|parsed| deserializer.end().map(|()| parsed));
        parsed.map_err(|error| {
            // serde's message can quote a document: only the place is kept.
            let reason = format!("not the expected JSON at line {} column {}", error.line(), error.column());
            let mut unexpected = ClusterError::new(ClusterErrorKind::Unexpected, self.method, &*self.path, reason);
            unexpected.status = Some(self.status);
            unexpected.attempts = self.attempts;
            unexpected
        })
    }
}

fn without_comments(json: &[u8]) -> Option<Vec<u8>> {
    let mut plain = json.to_vec();
    let (mut at, mut is_text, mut has_comments) = (0, false, false);
    while let Some(&byte) = json.get(at) {
        let rest = json.get(at..).unwrap_or_default();
        let length = match byte {
            b'\\' if is_text => 2,
            b'"' => {
                is_text = !is_text;
                1
            }
            b'/' if !is_text => comment_length(rest),
            _ => 1,
        };
        if byte == b'/' && length > 1 {
            has_comments = true;
            plain.iter_mut().skip(at).take(length).for_each(|byte| *byte = b' ');
        }
        at += length;
    }
    has_comments.then_some(plain)
}

/// How long the comment is that `rest` begins with; one if it begins with none.
fn comment_length(rest: &[u8]) -> usize {
    let end = match rest.get(1) {
        Some(b'*') => rest.windows(2).skip(2).position(|pair| pair == b"*/").map(|at| at + 4),
        Some(b'/') => rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')),
        _ => return 1,
    };
    end.unwrap_or(rest.len())
}

/// Why one attempt gave no answer to go on with.
struct Failure {
    error: ClusterError,
    /// The server surely did nothing.
    not_done: bool,
    /// It may be better later.
    passing: bool,
    retry_after: Option<Duration>,
}

/// The transport, with what every request needs.
#[derive(Debug)]
pub(super) struct Connection {
    transport: Transport,
    environment: Environment,
    retry: RetryPolicy,
    request_timeout: Duration,
    bulk_bytes: AdaptiveSize,
    max_content_length: OnceCell<usize>,
    reads: AtomicU64,
    writes: AtomicU64,
}

impl Connection {
    pub(super) fn open(builder: ElasticBuilder) -> Result<Self> {
        let urls = builder
            .urls
            .iter()
            .map(|url| {
                let parsed = elasticsearch::http::Url::parse(url).map_err(|error| invalid_url(url, error))?;
                match parsed.scheme() {
                    "http" | "https" if parsed.has_host() => Ok(parsed),
                    _ => Err(invalid_url(url, "it is neither http:// nor https:// with a host")),
                }
            })
            .collect::<Result<Vec<_>>>()?;
        let transport = match <[_; 1]>::try_from(urls) {
            Ok([url]) => Self::transport(&builder, SingleNodeConnectionPool::new(url))?,
            Err(urls) => Self::transport(&builder, MultiNodeConnectionPool::round_robin(urls, None))?,
        };
        Ok(Self {
            transport,
            environment: builder.environment,
            retry: builder.retry,
            request_timeout: builder.request_timeout,
            bulk_bytes: AdaptiveSize::new(MAX_BULK_BYTES, MAX_BULK_BYTES),
            max_content_length: OnceCell::new(),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        })
    }

    fn transport<P>(builder: &ElasticBuilder, pool: P) -> Result<Transport>
    where
        P: ConnectionPool + std::fmt::Debug + Clone + Send + 'static,
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

    /// The attempts that one call may make.
    pub(super) fn attempts(&self) -> Attempts<'_> {
        Attempts::start(self.retry, &self.environment)
    }

    /// How many bytes a bulk may have.
    pub(super) fn bulk_bytes(&self) -> &AdaptiveSize {
        &self.bulk_bytes
    }

    /// The largest request that the server takes. It is asked once: the setting is fixed when a node starts.
    pub(super) async fn max_content_length(&self) -> ClusterResult<usize> {
        self.max_content_length.get_or_try_init(|| indices::max_content_length(self)).await.copied()
    }

    pub(super) fn counts(&self) -> RequestCounts {
        RequestCounts { reads: self.reads.load(Ordering::Relaxed), writes: self.writes.load(Ordering::Relaxed) }
    }

    /// Sends the request until there is an answer or no attempt is left.
    pub(super) async fn send(&self, request: &Request<'_>) -> ClusterResult<Answer> {
        let mut attempts = self.attempts();
        loop {
            let failure = match self.attempt(request, attempts.made()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let is_out_of_memory = failure.error.server_type.as_deref() == Some("circuit_breaking_exception");
            let is_callers = match request.when_busy {
                WhenBusy::Repeat => false,
                WhenBusy::AskForLess => is_out_of_memory && attempts.made() >= MAX_MEMORY_ATTEMPTS,
                WhenBusy::SendLess => failure.error.status == Some(429),
            };
            let may_repeat = !is_callers && failure.passing && (failure.not_done || request.repeat == Repeat::Always);
            if may_repeat && attempts.wait_for_next(failure.retry_after).await {
                tracing::debug!(attempt = attempts.made(), error = %failure.error, "repeating a request");
                continue;
            }
            let mut error = failure.error;
            error.attempts = attempts.made();
            error.elapsed = attempts.elapsed();
            error.retry_after = failure.retry_after;
            if is_callers && request.when_busy == WhenBusy::AskForLess {
                error.kind = ClusterErrorKind::TooLarge;
            }
            // A write that may have been done is the caller's to settle.
            if !failure.not_done && failure.passing && request.repeat == Repeat::IfNotDone {
                error.kind = ClusterErrorKind::OutcomeUnknown;
            }
            return Err(error);
        }
    }

    async fn attempt(&self, request: &Request<'_>, number: u32) -> Result<Answer, Failure> {
        let counter = if request.is_write { &self.writes } else { &self.reads };
        counter.fetch_add(1, Ordering::Relaxed);
        let (method, name) = match request.method {
            Verb::Get => (Method::Get, "GET"),
            Verb::Post => (Method::Post, "POST"),
            Verb::Put => (Method::Put, "PUT"),
            Verb::Delete => (Method::Delete, "DELETE"),
        };
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(request.content));
        headers.insert("accept", HeaderValue::from_static("application/json"));
        // Envelopes cannot be compressed, and the server's attempt costs more than the network saves.
        headers.insert("accept-encoding", HeaderValue::from_static("identity"));
        let timeout = request.timeout.unwrap_or(self.request_timeout);
        let no_answer = |error: elasticsearch::Error| no_answer(name, &request.path, error);
        let response = self
            .transport
            .send(method, &url_path(&request.path), headers, Some(&request.query), request.body.clone(), Some(timeout))
            .await
            .map_err(no_answer)?;
        let status = response.status_code().as_u16();
        let is_elasticsearch =
            response.headers().get("x-elastic-product").is_some_and(|product| product == "Elasticsearch");
        let retry_after = retry_after(response.headers());
        let body = response.bytes().await.map_err(no_answer)?;
        let answer = Answer { status, body, method: name, path: request.path.clone(), attempts: number };
        let accepted = (200..300).contains(&status) || request.accepted.contains(&status);
        if accepted && is_elasticsearch {
            return Ok(answer);
        }
        Err(refusal(&answer, is_elasticsearch, retry_after))
    }
}

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

/// `Retry-After` in seconds; its date form is rare and counts as absent.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get("retry-after")?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The path with the characters encoded that would end it in a URL; document ids in it are encoded already.
fn url_path(path: &str) -> String {
    const ENDING_A_PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?');
    utf8_percent_encode(path, ENDING_A_PATH).to_string()
}

fn no_answer(method: &'static str, path: &str, error: elasticsearch::Error) -> Failure {
    let kind = if error.is_timeout() { ClusterErrorKind::Timeout } else { ClusterErrorKind::Unavailable };
    let not_done = was_not_connected(&error);
    let error = ClusterError {
        kind,
        method,
        path: path.to_owned(),
        status: None,
        server_type: None,
        reason: None,
        attempts: 1,
        retry_after: None,
        elapsed: Duration::ZERO,
        source: Some(Box::new(error)),
    };
    Failure { error, not_done, passing: true, retry_after: None }
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

fn refusal(answer: &Answer, is_elasticsearch: bool, retry_after: Option<Duration>) -> Failure {
    let details = serde_json::from_slice::<ErrorAnswer>(&answer.body).unwrap_or_default();
    let passing = matches!(answer.status, 429 | 502 | 503 | 504);
    let kind = match answer.status {
        _ if passing => ClusterErrorKind::Unavailable,
        // Whatever answered, a missing document or index cannot be concluded from it.
        _ if !is_elasticsearch => ClusterErrorKind::Unexpected,
        status => details.kind(status),
    };
    let reason = match details.error.reason {
        None if !is_elasticsearch => {
            Some("the answer does not come from Elasticsearch (no X-Elastic-Product header)".to_owned())
        }
        reason => reason,
    };
    let error = ClusterError {
        kind,
        method: answer.method,
        path: answer.path.clone(),
        status: Some(answer.status),
        server_type: details.error.kind,
        reason,
        attempts: answer.attempts,
        retry_after,
        elapsed: Duration::ZERO,
        source: None,
    };
    Failure { error, not_done: !passing || answer.status == 429, passing, retry_after }
}
