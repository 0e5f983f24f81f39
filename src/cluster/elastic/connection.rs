//! The connection: sends requests with retries, time-outs and counts, and converts answers without success into errors.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny};
use tokio::sync::OnceCell;
use tracing::Instrument;

use super::api::api;
use super::builder::{Batches, ElasticBuilder};
use super::official::Official;
use super::retry::{Attempts, RetryPolicy};
use super::server_error::{ErrorAnswer, ServerError};
use super::statuses::{Meaning, is_bare_refusal, meaning};
use super::transport::{HttpAnswer, HttpRequest, NoAnswer, NoAnswerKind, Transport};
use crate::cluster::adaptive::AdaptiveSize;
use crate::cluster::{ClusterError, ClusterErrorKind, ClusterResult, RequestCounts};
use crate::environment::Environment;
use crate::{Result, telemetry};

/// The largest body of a bulk that is tried, unless one operation alone is larger. The server accepts 100 MB by
/// default; throughput does not grow beyond a few MB.
const MAX_BULK_BYTES: usize = 16 << 20;

/// A request that is retried as far as its [`Repeat`] allows.
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

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// When a request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Whenever its answer is lost: the request is idempotent, or the caller settles it.
    Always,
    /// Only if the server certainly did nothing: no connection, 429, or 401 with credentials that were renewed since.
    IfNotDone,
}

/// Who retries a request that the server was too busy for (429).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WhenBusy {
    /// The connection.
    Repeat,
    /// The connection at first; then the caller, with a smaller request, if the answer needs more memory than the
    /// server has.
    AskForLess,
    /// The caller, with a smaller request.
    SendLess,
}

/// The number of attempts at a request whose answer needs more memory than the server has. The shortage may pass, or
/// the answer may always be too large.
const MAX_MEMORY_ATTEMPTS: u32 = 3;

impl<'a> Request<'a> {
    /// Creates a request that reads; it may be repeated.
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

    /// Creates a request that writes.
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

    /// Lets the caller ask for less when the answer needs more memory than the server has: the error is then
    /// [`TooLarge`](ClusterErrorKind::TooLarge).
    pub(super) fn ask_for_less(mut self) -> Self {
        self.when_busy = WhenBusy::AskForLess;
        self
    }

    /// Lets the caller send less, and wait, when the server is too busy: the connection does not repeat after a 429.
    pub(super) fn send_less(mut self) -> Self {
        self.when_busy = WhenBusy::SendLess;
        self
    }

    /// Treats these statuses as answers and not as errors.
    pub(super) fn accept(mut self, statuses: &'a [u16]) -> Self {
        self.accepted = statuses;
        self
    }

    /// Sets another time limit for one attempt than the usual one.
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
    is_write: bool,
}

impl Answer {
    pub(super) fn body(&self) -> Bytes {
        self.body.clone()
    }

    /// Returns the answer with the comments between its JSON values replaced by blanks, or `None` if it has no
    /// comments. The server accepts comments in documents, and returns them.
    pub(super) fn without_comments(&self) -> Option<Self> {
        let body = Bytes::from(without_comments(&self.body)?);
        Some(Self { body, method: self.method, path: self.path.clone(), ..*self })
    }

    /// Parses the body.
    ///
    /// # Errors
    /// [`OutcomeUnknown`](ClusterErrorKind::OutcomeUnknown) for a write and
    /// [`Unexpected`](ClusterErrorKind::Unexpected) for a read if the body is not what Elasticsearch answers.
    pub(super) fn parse<'a, T: Deserialize<'a>>(&'a self) -> ClusterResult<T> {
        self.parse_with(PhantomData)
    }

    pub(super) fn parse_with<'a, S: DeserializeSeed<'a>>(&'a self, seed: S) -> ClusterResult<S::Value> {
        let mut deserializer = serde_json::Deserializer::from_slice(&self.body);
        let parsed = seed.deserialize(&mut deserializer).and_then(|parsed| deserializer.end().map(|()| parsed));
        parsed.map_err(|error| {
            // serde's message can quote a document, so only the position is kept.
            let reason = format!("not the expected JSON at line {} column {}", error.line(), error.column());
            self.not_understood(reason)
        })
    }

    /// Returns the error for an answer that cannot belong to this request. The outcome of a write is then unknown.
    pub(super) fn not_understood(&self, reason: String) -> ClusterError {
        let kind = if self.is_write { ClusterErrorKind::OutcomeUnknown } else { ClusterErrorKind::Unexpected };
        let mut error = ClusterError::new(kind, self.method, &*self.path, reason);
        error.status = Some(self.status);
        error.attempts = self.attempts;
        error
    }

    /// Returns whether the body can be a complete answer. Of a read, which can be repeated and may be long, only the
    /// end is checked.
    fn is_whole(&self) -> bool {
        match self.is_write {
            true => serde_json::from_slice::<IgnoredAny>(&self.body).is_ok(),
            false => self.body.trim_ascii_end().ends_with(b"}"),
        }
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

/// Returns the length of the comment at the start of `rest`, or 1 if there is none.
fn comment_length(rest: &[u8]) -> usize {
    let end = match rest.get(1) {
        Some(b'*') => rest.windows(2).skip(2).position(|pair| pair == b"*/").map(|at| at + 4),
        Some(b'/') => rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')),
        _ => return 1,
    };
    end.unwrap_or(rest.len())
}

/// The reason why one attempt gave no usable answer.
struct Failure {
    error: ClusterError,
    /// What the metrics count.
    outcome: &'static str,
    /// Whether the server certainly did nothing.
    not_done: bool,
    /// Whether a later attempt may succeed.
    passing: bool,
    /// Whether no connection was made.
    not_connected: bool,
    retry_after: Option<Duration>,
}

/// The transport, and the settings and counters that all requests share.
#[derive(Debug)]
pub(super) struct Connection {
    transport: Arc<dyn Transport>,
    environment: Environment,
    retry: RetryPolicy,
    /// The number of attempts at a request while no connection was made before.
    attempts_to_reach: u32,
    /// Whether a connection was made.
    was_reached: AtomicBool,
    request_timeout: Duration,
    batches: Batches,
    bulk_bytes: AdaptiveSize,
    max_content_length: OnceCell<usize>,
    reads: AtomicU64,
    writes: AtomicU64,
}

impl Connection {
    pub(super) fn open(builder: ElasticBuilder) -> Result<Self> {
        let transport = match &builder.transport {
            Some(transport) => transport.clone(),
            None => Arc::new(Official::open(&builder.settings)?),
        };
        Ok(Self {
            transport,
            environment: builder.environment,
            retry: builder.retry,
            attempts_to_reach: builder.attempts_to_reach,
            was_reached: AtomicBool::new(false),
            request_timeout: builder.request_timeout,
            batches: builder.batches,
            bulk_bytes: AdaptiveSize::new(MAX_BULK_BYTES, MAX_BULK_BYTES),
            max_content_length: OnceCell::new(),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        })
    }

    /// Returns the largest numbers of documents in one page and one bulk.
    pub(super) fn batches(&self) -> Batches {
        self.batches
    }

    /// Starts the attempts of one call.
    pub(super) fn attempts(&self) -> Attempts<'_> {
        Attempts::start(self.retry, &self.environment)
    }

    /// Returns the adaptive limit for the bytes of a bulk.
    pub(super) fn bulk_bytes(&self) -> &AdaptiveSize {
        &self.bulk_bytes
    }

    /// Returns the largest request that the server accepts. It is requested once: the setting is fixed when a node
    /// starts.
    pub(super) async fn max_content_length(&self) -> ClusterResult<usize> {
        self.max_content_length.get_or_try_init(|| max_content_length(self)).await.copied()
    }

    pub(super) fn counts(&self) -> RequestCounts {
        RequestCounts { reads: self.reads.load(Ordering::Relaxed), writes: self.writes.load(Ordering::Relaxed) }
    }

    /// Runs `work`, which waits for the shards of an index, and reports the wait in the log.
    pub(super) async fn waiting_for<T>(&self, index: &str, work: impl Future<Output = T>) -> T {
        let what = || format!("the shards of the index {index}");
        self.environment.telling(what, "GET /_cluster/allocation/explain says why they are not there yet", work).await
    }

    /// Sends the request until it is answered or no attempt is left.
    pub(super) async fn send(&self, request: &Request<'_>) -> ClusterResult<Answer> {
        let span = telemetry::request(api(&request.path), request.method.name());
        self.send_in_span(request).instrument(span).await
    }

    async fn send_in_span(&self, request: &Request<'_>) -> ClusterResult<Answer> {
        let mut attempts = self.attempts();
        let mut maybe_done = false;
        loop {
            let took = self.environment.stopwatch();
            let attempt = self.attempt(request, attempts.made());
            let ended = attempts.during(attempt).await;
            let outcome = ended.as_ref().map_or_else(|failure| failure.outcome, |_| "answered");
            telemetry::attempt_ended(api(&request.path), outcome, took.elapsed());
            let failure = match ended {
                Ok(answer) => {
                    self.was_reached.store(true, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            let is_given_up = failure.not_connected
                && attempts.made() >= self.attempts_to_reach
                && !self.was_reached.load(Ordering::Relaxed);
            self.was_reached.fetch_or(!failure.not_connected, Ordering::Relaxed);
            let is_out_of_memory = failure.error.is_out_of_memory();
            let is_callers = match request.when_busy {
                WhenBusy::Repeat => false,
                WhenBusy::AskForLess => is_out_of_memory && attempts.made() >= MAX_MEMORY_ATTEMPTS,
                WhenBusy::SendLess => failure.error.status == Some(429),
            };
            maybe_done |= request.is_write && !failure.not_done;
            let may_repeat = !is_callers
                && !is_given_up
                && failure.passing
                && (failure.not_done || request.repeat == Repeat::Always);
            let mut error = failure.error;
            if error.server_type.is_none() {
                error.server = self.transport.address();
            }
            if may_repeat && attempts.wait_for_next(failure.outcome, failure.retry_after).await {
                attempts.tell(&error);
                continue;
            }
            error.attempts = attempts.made();
            error.elapsed = attempts.elapsed();
            error.retry_after = failure.retry_after;
            if is_callers && request.when_busy == WhenBusy::AskForLess {
                error.kind = ClusterErrorKind::TooLarge;
            }
            // A write that may have been done is left to the caller to settle. A final refusal of its repeat says more,
            // and is kept.
            if maybe_done && failure.passing {
                error.kind = ClusterErrorKind::OutcomeUnknown;
            }
            return Err(error);
        }
    }

    async fn attempt(&self, request: &Request<'_>, number: u32) -> Result<Answer, Failure> {
        let counter = if request.is_write { &self.writes } else { &self.reads };
        counter.fetch_add(1, Ordering::Relaxed);
        let method = request.method.name();
        let sent = HttpRequest {
            method,
            path: request.path.clone(),
            query: request.query.clone(),
            content_type: request.content,
            body: request.body.clone(),
            timeout: request.timeout.unwrap_or(self.request_timeout),
        };
        let credentials = self.transport.credentials_number();
        let HttpAnswer { status, is_elasticsearch, retry_after, body } =
            self.transport.send(sent).await.map_err(|error| no_answer(method, &request.path, error))?;
        let is_write = request.is_write;
        let answer = Answer { status, body, method, path: request.path.clone(), attempts: number, is_write };
        let retry_after = retry_after.as_deref().and_then(seconds);
        if is_elasticsearch && request.accepted.contains(&status) {
            return Ok(answer);
        }
        // A successful answer is not parsed as an error first: for a large page that costs as much as parsing the page.
        let details = match is_elasticsearch && (200..300).contains(&status) {
            true => ErrorAnswer::default(),
            false => serde_json::from_slice(&answer.body).unwrap_or_default(),
        };
        let is_servers_error = details.is_servers(status);
        let is_servers = is_elasticsearch || is_servers_error || is_bare_refusal(status, &answer.body);
        let is_renewed = status == 401 && self.transport.credentials_number() != credentials;
        match meaning(status, is_elasticsearch, is_servers_error) {
            Meaning::Refused if is_renewed => {
                let is_of_bulk = !is_servers && request.when_busy == WhenBusy::SendLess;
                let meaning = if is_of_bulk { Meaning::Unknown } else { Meaning::Busy };
                let reason = "the credentials were refused, and have been read again since".to_owned();
                let mut refused = refusal(&answer, meaning, ErrorAnswer::from_reason(reason), None);
                // The status is about credentials that are no longer used.
                refused.error.status = None;
                refused.outcome = "credentials";
                Err(refused)
            }
            // A proxy may have answered instead of the server: the caller reads a bulk back before the refusal is
            // believed.
            Meaning::Refused | Meaning::Busy if !is_servers && request.when_busy == WhenBusy::SendLess => {
                Err(refusal(&answer, Meaning::Unknown, details, retry_after))
            }
            Meaning::Done if !answer.is_whole() => {
                let reason = "the answer is not JSON, or not all of it".to_owned();
                Err(refusal(&answer, Meaning::Unknown, ErrorAnswer::from_reason(reason), retry_after))
            }
            Meaning::Done => Ok(answer),
            Meaning::Unknown if !is_elasticsearch => {
                let reason = "the answer does not come from Elasticsearch (no X-Elastic-Product header)".to_owned();
                Err(refusal(&answer, Meaning::Unknown, ErrorAnswer::from_reason(reason), retry_after))
            }
            refused => Err(refusal(&answer, refused, details, retry_after)),
        }
    }
}

/// Parses `Retry-After` in seconds. Its date form is rare and counts as absent.
fn seconds(retry_after: &str) -> Option<Duration> {
    retry_after.trim().parse().ok().map(Duration::from_secs)
}

fn no_answer(method: &'static str, path: &str, error: NoAnswer) -> Failure {
    let NoAnswer { kind: known, source } = error;
    let kind = match known {
        NoAnswerKind::TimedOut => ClusterErrorKind::Timeout,
        NoAnswerKind::NotConnected | NoAnswerKind::Lost => ClusterErrorKind::Unavailable,
        NoAnswerKind::Misconfigured(wrong) => ClusterErrorKind::Misconfigured(wrong),
    };
    let (not_done, passing, outcome) = match known {
        NoAnswerKind::NotConnected => (true, true, "not_connected"),
        NoAnswerKind::Misconfigured(_) => (true, false, "misconfigured"),
        NoAnswerKind::Lost => (false, true, "lost"),
        NoAnswerKind::TimedOut => (false, true, "timeout"),
    };
    let error = ClusterError {
        kind,
        method,
        path: path.to_owned(),
        status: None,
        server_type: None,
        cause_type: None,
        reason: None,
        index: None,
        server: None,
        attempts: 1,
        retry_after: None,
        elapsed: Duration::ZERO,
        source: Some(source),
    };
    let not_connected = matches!(known, NoAnswerKind::NotConnected);
    Failure { error, outcome, not_done, passing, not_connected, retry_after: None }
}

fn refusal(answer: &Answer, meaning: Meaning, details: ErrorAnswer, retry_after: Option<Duration>) -> Failure {
    let named = details.kind(answer.status);
    // Some refusals have the status of a failure; their error type identifies them.
    let is_refused =
        meaning == Meaning::Refused || (meaning == Meaning::Failed && named != ClusterErrorKind::Unexpected);
    let passing = match meaning {
        Meaning::Busy | Meaning::Unknown => true,
        // A read that fails on the server fails again; a write is settled or repeated.
        Meaning::Failed => answer.is_write && !is_refused,
        Meaning::Done | Meaning::Refused => false,
    };
    let kind = match meaning {
        Meaning::Busy | Meaning::Unknown => ClusterErrorKind::Unavailable,
        Meaning::Done | Meaning::Refused | Meaning::Failed => named,
    };
    let ServerError { kind: server_type, reason, index, cause: cause_type, .. } = details.error;
    let mut error = ClusterError {
        kind,
        method: answer.method,
        path: answer.path.clone(),
        status: Some(answer.status),
        server_type,
        cause_type,
        reason,
        index,
        server: None,
        attempts: answer.attempts,
        retry_after,
        elapsed: Duration::ZERO,
        source: None,
    };
    if answer.path.ends_with("_search") {
        error.leave_out_values();
    }
    let outcome = match meaning {
        Meaning::Busy => "busy",
        Meaning::Failed if !is_refused => "failed",
        Meaning::Refused | Meaning::Failed => "refused",
        Meaning::Done | Meaning::Unknown => "unavailable",
    };
    let not_done = is_refused || meaning == Meaning::Busy;
    Failure { error, outcome, not_done, passing, not_connected: false, retry_after }
}

/// Requests the largest request size that the queried node accepts. Source: nodes info API.
async fn max_content_length(connection: &Connection) -> ClusterResult<usize> {
    #[derive(Deserialize)]
    struct Nodes {
        nodes: BTreeMap<String, Node>,
    }
    #[derive(Deserialize)]
    struct Node {
        http: Http,
    }
    #[derive(Deserialize)]
    struct Http {
        max_content_length_in_bytes: usize,
    }
    let request =
        Request::read(Verb::Get, "_nodes/_local/http").query("filter_path", "nodes.*.http.max_content_length_in_bytes");
    let nodes: Nodes = connection.send(&request).await?.parse()?;
    nodes.nodes.into_values().next().map(|node| node.http.max_content_length_in_bytes).ok_or_else(|| {
        ClusterError::new(ClusterErrorKind::Unexpected, "GET", "_nodes/_local/http", "the answer names no node")
    })
}
