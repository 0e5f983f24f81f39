//! A proxy between the library and the server that behaves like bad networks and busy servers, and records its
//! requests. A rule decides about each request; [`weather`] makes a rule from a seed.

mod message;
mod weather;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use message::{Answer, Request};
pub(crate) use weather::{lost_answers, weather};

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The request is delivered.
    None,
    /// The connection ends before the server gets the request.
    LoseRequest,
    /// The server does the request, and the connection ends before its answer.
    LoseAnswer,
    /// The connection ends, and the server does the request after this many more requests.
    Late(usize),
    /// The proxy answers with this status instead, in the server's form.
    Status(u16),
    /// The server does the request, and the proxy answers with this status, in the server's form.
    DoneButStatus(u16),
    /// Another machine on the way answers with this status and its own page instead.
    Foreign(u16),
    /// The server does the request, and another machine on the way answers with this status and its own page.
    DoneButForeign(u16),
    /// The server does the request, and half of its answer arrives.
    DoneButGarbled,
    /// The proxy answers 429 instead, with the seconds to wait if there are any.
    Busy(Option<u32>),
    /// The proxy answers that the server has too little memory for the request.
    NoMemory,
    /// The server gets the request after this delay.
    Delay(Duration),
    /// The server does the request, and the connection ends in the middle of its answer.
    CutBody,
    /// The answer arrives in small pieces.
    SlowBytes,
    /// One operation of a bulk is answered with 429 instead of being done; any other request is delivered.
    FailItem,
}

/// A request as the proxy saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body_bytes: usize,
    /// The number of documents that a search asks for.
    pub(crate) search_size: Option<u64>,
}

impl Seen {
    /// Returns whether it changes documents, indices or aliases.
    pub(crate) fn is_write(&self) -> bool {
        let path = self.path.split('?').next().unwrap_or_default();
        let reads = ["_search", "_mget", "_pit", "_refresh", "_has_privileges"];
        self.method != "GET" && !reads.iter().any(|api| path.ends_with(api))
    }
}

/// Decides what happens to a request, by the number of requests of its kind that came before.
pub(crate) type Rule = Arc<dyn Fn(&Seen, usize) -> Fault + Send + Sync>;

/// The proxy, which listens until it is dropped.
pub(crate) struct Proxy {
    url: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// Receives what the server answered: a request's path and body, and the answer's body.
pub(crate) type Listener = Arc<dyn Fn(&str, &[u8], &[u8]) + Send + Sync>;

struct Shared {
    server: String,
    rule: Rule,
    listener: Option<Listener>,
    seen: Mutex<Vec<Seen>>,
    /// The number of requests.
    count: watch::Sender<usize>,
    late: Mutex<Vec<JoinHandle<()>>>,
}

impl Proxy {
    /// Starts a proxy in front of the server at `url`.
    pub(crate) async fn start(url: &str, rule: impl Fn(&Seen, usize) -> Fault + Send + Sync + 'static) -> Self {
        Self::start_with(url, Arc::new(rule), None).await
    }

    /// Like [`start`](Self::start); `listener` receives everything that the server does, before the client does.
    pub(crate) async fn listening(
        url: &str,
        rule: impl Fn(&Seen, usize) -> Fault + Send + Sync + 'static,
        listener: Listener,
    ) -> Self {
        Self::start_with(url, Arc::new(rule), Some(listener)).await
    }

    async fn start_with(url: &str, rule: Rule, listener: Option<Listener>) -> Self {
        let server = url.strip_prefix("http://").expect("an http URL").to_owned();
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("an address");
        let (seen, count, late) = (Mutex::default(), watch::Sender::new(0), Mutex::default());
        let shared = Arc::new(Shared { server, rule, listener, seen, count, late });
        let for_connections = shared.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                tokio::spawn(for_connections.clone().serve(stream));
            }
        });
        Self { url: format!("http://{address}"), shared, accepting }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the requests so far, as `GET /path?query`.
    pub(crate) fn seen(&self) -> Vec<String> {
        let seen = self.shared.seen.lock().expect("no test panics with the lock");
        seen.iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect()
    }

    /// Lets all late requests land, and waits until the server has answered them.
    pub(crate) async fn land_all(&self) {
        self.shared.count.send_replace(usize::MAX);
        let late = std::mem::take(&mut *self.shared.late.lock().expect("no test panics with the lock"));
        futures::future::join_all(late).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    /// Serves one request per connection: answers say `Connection: close`.
    async fn serve(self: Arc<Self>, mut client: TcpStream) {
        let Some(request) = Request::read(&mut client).await else { return };
        let before = self.remember(&request.seen);
        let fault = (self.rule)(&request.seen, before);
        let answer = match fault {
            Fault::None | Fault::SlowBytes => self.forward(&request).await,
            Fault::LoseRequest => None,
            Fault::LoseAnswer => {
                drop(self.forward(&request).await);
                None
            }
            Fault::Late(requests) => {
                let late = tokio::spawn(self.clone().land(request, requests));
                self.late.lock().expect("no test panics with the lock").push(late);
                None
            }
            Fault::Status(status) => Some(Answer::of_server(status)),
            Fault::DoneButStatus(status) => self.forward(&request).await.map(|_| Answer::of_server(status)),
            Fault::Foreign(status) => Some(Answer::foreign(status)),
            Fault::DoneButForeign(status) => self.forward(&request).await.map(|_| Answer::foreign(status)),
            Fault::DoneButGarbled => self.forward(&request).await.map(Answer::garbled),
            Fault::Busy(None) => Some(Answer::of_server(429)),
            Fault::Busy(Some(seconds)) => Some(Answer::of_server(429).with_retry_after(seconds)),
            Fault::NoMemory => Some(Answer::no_memory()),
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                self.forward(&request).await
            }
            Fault::CutBody => self.forward(&request).await.map(Answer::cut),
            Fault::FailItem => request.forward_all_but_one(&self.server).await,
        };
        // The client may have closed the connection.
        if let Some(answer) = answer {
            let _ = answer.write(&mut client, fault == Fault::SlowBytes).await;
            let _ = client.shutdown().await;
        }
    }

    async fn forward(&self, request: &Request) -> Option<Answer> {
        let answer = request.forward(&self.server).await?;
        if let Some(listener) = &self.listener {
            listener(&request.seen.path, request.body(), answer.body());
        }
        Some(answer)
    }

    /// Records a request, and returns how many requests with this method and path came before.
    fn remember(&self, seen: &Seen) -> usize {
        let mut all_seen = self.seen.lock().expect("no test panics with the lock");
        let path = |seen: &Seen| seen.path.split('?').next().map(str::to_owned);
        let before = all_seen.iter().filter(|other| other.method == seen.method && path(other) == path(seen)).count();
        all_seen.push(seen.clone());
        self.count.send_modify(|count| *count = count.saturating_add(1));
        before
    }

    async fn land(self: Arc<Self>, request: Request, requests: usize) {
        let mut count = self.count.subscribe();
        let due = count.borrow().saturating_add(requests);
        // The sender is in `self`, so it cannot be dropped.
        let _ = count.wait_for(|count| *count >= due).await;
        drop(self.forward(&request).await);
    }
}
