//! Requests and answers of HTTP/1.1, as far as the proxy must read them.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::Seen;

/// A request, without the headers that the proxy writes itself.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) seen: Seen,
    head: String,
    body: Vec<u8>,
}

impl Request {
    pub(super) async fn read(client: &mut TcpStream) -> Option<Self> {
        let mut client = BufReader::new(client);
        let mut head = String::new();
        client.read_line(&mut head).await.ok()?;
        let mut words = head.split_whitespace();
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut length = 0;
        loop {
            let mut line = String::new();
            if client.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                break;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            } else if !lower.starts_with("connection:") {
                head += &line;
            }
        }
        let mut body = vec![0; length];
        client.read_exact(&mut body).await.ok()?;
        let size = serde_json::from_slice::<Value>(&body).ok().and_then(|body| body["size"].as_u64());
        let seen = Seen { method, path, body_bytes: length, search_size: size };
        Some(Self { seen, head, body })
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Forwards the request and returns the server's answer; `None` if it does not answer.
    pub(super) async fn forward(&self, server: &str) -> Option<Answer> {
        self.forward_with(server, &self.body).await
    }

    async fn forward_with(&self, server: &str, body: &[u8]) -> Option<Answer> {
        let mut stream = TcpStream::connect(server).await.ok()?;
        let length = match body.is_empty() && self.seen.method == "GET" {
            true => String::new(),
            false => format!("Content-Length: {}\r\n", body.len()),
        };
        stream.write_all(format!("{}{length}Connection: close\r\n\r\n", self.head).as_bytes()).await.ok()?;
        stream.write_all(body).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let body = answer.split_off(end);
        Some(Answer { head: String::from_utf8(answer).ok()?, body }.in_one_piece())
    }

    /// Like [`forward`](Self::forward), but withholds the first operation of a bulk, and answers it like a busy server.
    pub(super) async fn forward_all_but_one(&self, server: &str) -> Option<Answer> {
        let Some((name, rest)) = self.without_first_operation() else { return self.forward(server).await };
        let error = json!({"type": "es_rejected_execution_exception", "reason": "rejected execution of the operation"});
        let item = json!({name: {"status": 429, "error": error}});
        if rest.is_empty() {
            return Some(Answer::ok(json!({"items": [item]}).to_string()));
        }
        let answer = self.forward_with(server, &rest).await?;
        let Ok(mut parsed) = serde_json::from_slice::<Value>(&answer.body) else { return Some(answer) };
        match parsed["items"].as_array_mut() {
            Some(items) => items.insert(0, item),
            None => return Some(answer),
        }
        Some(Answer::ok(parsed.to_string()))
    }

    /// Returns the name of a bulk's first operation, and the bulk without it.
    fn without_first_operation(&self) -> Option<(String, Vec<u8>)> {
        if !self.seen.path.split('?').next()?.ends_with("/_bulk") {
            return None;
        }
        let body = std::str::from_utf8(&self.body).ok()?;
        let mut lines = body.split_inclusive('\n');
        let action: Value = serde_json::from_str(lines.next()?).ok()?;
        let name = action.as_object()?.keys().next()?.clone();
        if name != "delete" {
            lines.next()?;
        }
        Some((name, lines.collect::<String>().into_bytes()))
    }
}

/// Returns the content of a chunked body; `None` if it is incomplete.
fn joined(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = chunks.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&chunks[..end]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let chunk = end + 2;
        body.extend(chunks.get(chunk..chunk + size)?);
        chunks = chunks.get(chunk + size + 2..)?;
    }
}

/// An answer: its head with the empty line, and its body, complete or not.
#[derive(Debug)]
pub(super) struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: &str, body: String) -> Self {
        let head = format!(
            "HTTP/1.1 {status}\r\nX-Elastic-Product: Elasticsearch\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        Self { head, body: body.into_bytes() }
    }

    /// Converts a chunked answer to one of known length, which can be read and cut.
    fn in_one_piece(self) -> Self {
        let is_chunked = |line: &str| line.eq_ignore_ascii_case("transfer-encoding: chunked");
        if !self.head.lines().any(is_chunked) {
            return self;
        }
        let Some(body) = joined(&self.body) else { return self };
        let mut head: String =
            self.head.trim_end().lines().filter(|line| !is_chunked(line)).map(|line| format!("{line}\r\n")).collect();
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        Self { head, body }
    }

    fn ok(body: String) -> Self {
        Self::new("200 OK", body)
    }

    /// Returns the server's answer with this status: a recorded one, or else one of the same form.
    pub(super) fn of_server(status: u16) -> Self {
        match status {
            400 => Self::recorded(include_bytes!("../../fixtures/answers/400.http")),
            401 => Self::recorded(include_bytes!("../../fixtures/answers/401.http")),
            403 => Self::recorded(include_bytes!("../../fixtures/answers/403.http")),
            413 => Self::recorded(include_bytes!("../../fixtures/answers/413.http")),
            429 => Self::recorded(include_bytes!("../../fixtures/answers/429.http")),
            503 => Self::recorded(include_bytes!("../../fixtures/answers/503.http")),
            _ => {
                let error = json!({"type": "null_pointer_exception", "reason": "in the proxy"});
                Self::new(&format!("{status} Odd"), json!({"error": error, "status": status}).to_string())
            }
        }
    }

    /// Returns the answer of a server that has too little memory for the request or its answer.
    pub(super) fn no_memory() -> Self {
        Self::recorded(include_bytes!("../../fixtures/answers/429-memory.http"))
    }

    /// Returns the answer of another machine on the way: its own page, without the sign of Elasticsearch.
    pub(super) fn foreign(status: u16) -> Self {
        let body = "<html><body>Something on the way</body></html>";
        let head = format!(
            "HTTP/1.1 {status} Foreign\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        Self { head, body: body.into() }
    }

    fn recorded(answer: &[u8]) -> Self {
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 2;
        let head = std::str::from_utf8(&answer[..end]).expect("UTF-8");
        Self { head: format!("{head}Connection: close\r\n\r\n"), body: answer[end + 2..].to_owned() }
    }

    pub(super) fn with_retry_after(mut self, seconds: u32) -> Self {
        self.head.truncate(self.head.len() - 2);
        self.head += &format!("Retry-After: {seconds}\r\n\r\n");
        self
    }

    /// Returns the same head with half of the body, without a length that would show it.
    pub(super) fn garbled(mut self) -> Self {
        self.body.truncate(self.body.len() / 2);
        let is_other = |line: &&str| !line.to_ascii_lowercase().starts_with("content-length:");
        self.head = self.head.trim_end().lines().filter(is_other).map(|line| format!("{line}\r\n")).collect();
        self.head += &format!("Content-Length: {}\r\n\r\n", self.body.len());
        self
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(super) fn cut(mut self) -> Self {
        self.body.truncate(self.body.len() / 2);
        self
    }

    pub(super) async fn write(self, client: &mut TcpStream, slowly: bool) -> std::io::Result<()> {
        client.write_all(self.head.as_bytes()).await?;
        if !slowly {
            return client.write_all(&self.body).await;
        }
        // A piece each millisecond, a hundred pieces at most.
        client.set_nodelay(true)?;
        for piece in self.body.chunks(self.body.len().div_ceil(100).max(7)) {
            client.write_all(piece).await?;
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        Ok(())
    }
}
