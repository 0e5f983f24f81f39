//! A proxy between the library and the server that loses answers on purpose, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It goes through.
    None,
    /// The connection ends before the server sees the request.
    LoseRequest,
    /// The server does it, and the connection ends before its answer.
    LoseAnswer,
    /// The proxy answers with this status instead.
    Status(u16),
}

/// A request as the proxy saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
}

/// Decides what happens to a request, given how many of its kind came before.
pub(crate) type Rule = Arc<dyn Fn(&Seen, usize) -> Fault + Send + Sync>;

/// Listens until it is dropped.
pub(crate) struct Proxy {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy in front of the server at `url`.
    pub(crate) async fn start(url: &str, rule: impl Fn(&Seen, usize) -> Fault + Send + Sync + 'static) -> Self {
        let server = url.strip_prefix("http://").expect("an http URL").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let rule: Rule = Arc::new(rule);
        let for_connections = seen.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, server.clone(), for_connections.clone(), rule.clone()));
            }
        });
        Self { url: format!("http://{address}"), seen, accepting }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What it was asked so far, as `GET /path?query`.
    pub(crate) fn seen(&self) -> Vec<String> {
        let seen = self.seen.lock().expect("no test panics with the lock");
        seen.iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One request a connection: answers say `Connection: close`.
async fn serve(client: TcpStream, server: String, all_seen: Arc<Mutex<Vec<Seen>>>, rule: Rule) {
    let mut client = BufReader::new(client);
    let Some((head, body, seen)) = read_request(&mut client).await else { return };
    let before = {
        let mut all_seen = all_seen.lock().expect("no test panics with the lock");
        let path = |seen: &Seen| seen.path.split('?').next().map(str::to_owned);
        let before = all_seen.iter().filter(|other| other.method == seen.method && path(other) == path(&seen)).count();
        all_seen.push(seen.clone());
        before
    };
    let answer = match rule(&seen, before) {
        Fault::LoseRequest => return,
        Fault::Status(status) => format!(
            "HTTP/1.1 {status} Odd\r\nX-Elastic-Product: Elasticsearch\r\nContent-Type: application/json\r\n\
                 Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        )
        .into_bytes(),
        Fault::LoseAnswer => {
            forward(&server, &head, &body).await;
            return;
        }
        Fault::None => forward(&server, &head, &body).await,
    };
    let _ = client.get_mut().write_all(&answer).await;
    let _ = client.get_mut().shutdown().await;
}

async fn read_request(client: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>, Seen)> {
    let mut first = String::new();
    client.read_line(&mut first).await.ok()?;
    let mut words = first.split_whitespace();
    let seen = Seen { method: words.next()?.to_owned(), path: words.next()?.to_owned() };
    let mut head = first.clone();
    let mut length = 0;
    loop {
        let mut line = String::new();
        client.read_line(&mut line).await.ok()?;
        if line == "\r\n" {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if !lower.starts_with("connection:") {
            head += &line;
        }
    }
    head += "Connection: close\r\n\r\n";
    let mut body = vec![0; length];
    client.read_exact(&mut body).await.ok()?;
    Some((head, body, seen))
}

async fn forward(server: &str, head: &str, body: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server).await.expect("the server listens");
    stream.write_all(head.as_bytes()).await.expect("the server reads");
    stream.write_all(body).await.expect("the server reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("the server answers");
    answer
}
