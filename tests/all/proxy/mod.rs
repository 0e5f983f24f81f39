//! A proxy between the library and the server that does what bad networks and busy servers do, and remembers what it was
//! asked. A rule decides on each request; [`weather`] is one made from a seed.

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
    /// It goes through.
    None,
    /// The connection ends before the server sees the request.
    LoseRequest,
    /// The server does it, and the connection ends before its answer.
    LoseAnswer,
    /// The connection ends, and the server does it after so many requests more.
    Late(usize),
    /// The proxy answers with this status instead, as the server does.
    Status(u16),
    /// The server does it, and the proxy answers with this status, as the server does.
    DoneButStatus(u16),
    /// Something on the way answers with this status instead, and with a page of its own.
    Foreign(u16),
    /// The server does it, and something on the way answers with this status and a page of its own.
    DoneButForeign(u16),
    /// The server does it, and its answer arrives as half of it.
    DoneButGarbled,
    /// The proxy answers 429 instead, and says for how many seconds if it does.
    Busy(Option<u32>),
    /// The proxy answers that the server has too little memory for it.
    NoMemory,
    /// The server gets it that much later.
    Delay(Duration),
    /// The server does it, and the connection ends in the middle of its answer.
    CutBody,
    /// The answer arrives in small pieces.
    SlowBytes,
    /// One operation of a bulk is answered 429 instead of being done; another request goes through.
    FailItem,
}

/// A request as the proxy saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body_bytes: usize,
    /// How many documents a search asks for.
    pub(crate) search_size: Option<u64>,
}

impl Seen {
    /// Whether it changes documents, indices or aliases.
    pub(crate) fn is_write(&self) -> bool {
        let path = self.path.split('?').next().unwrap_or_default();
        let reads = ["_search", "_mget", "_pit", "_refresh", "_has_privileges"];
        self.method != "GET" && !reads.iter().any(|api| path.ends_with(api))
    }
}

/// Decides what happens to a request, given how many of its kind came before.
pub(crate) type Rule = Arc<dyn Fn(&Seen, usize) -> Fault + Send + Sync>;

/// Listens until it is dropped.
pub(crate) struct Proxy {
    url: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// Sees what the server answered: a request's path and body, and the answer's body.
pub(crate) type Listener = Arc<dyn Fn(&str, &[u8], &[u8]) + Send + Sync>;

struct Shared {
    server: String,
    rule: Rule,
    listener: Option<Listener>,
    seen: Mutex<Vec<Seen>>,
    /// How many requests came.
    count: watch::Sender<usize>,
    late: Mutex<Vec<JoinHandle<()>>>,
}

impl Proxy {
    /// A proxy in front of the server at `url`.
    pub(crate) async fn start(url: &str, rule: impl Fn(&Seen, usize) -> Fault + Send + Sync + 'static) -> Self {
        Self::start_with(url, Arc::new(rule), None).await
    }

    /// As [`start`](Self::start), and `listener` hears of everything that the server does, before anybody else.
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

    /// What it was asked so far, as `GET /path?query`.
    pub(crate) fn seen(&self) -> Vec<String> {
        let seen = self.shared.seen.lock().expect("no test panics with the lock");
        seen.iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect()
    }

    /// Lets all late requests land that have not yet, and waits for the server to have answered them.
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
    /// One request a connection: answers say `Connection: close`.
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
        // Whoever asked may be gone.
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

    /// Gives how many requests of this method and path came before.
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
        // The sender is in `self`, and so cannot go away.
        let _ = count.wait_for(|count| *count >= due).await;
        drop(self.forward(&request).await);
    }
}
