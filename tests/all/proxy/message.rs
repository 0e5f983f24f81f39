//! Requests and answers of HTTP/1.1, as far as the proxy must look into them.

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

    /// The server's answer; none if it does not answer.
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

    /// As [`forward`](Self::forward), but the first operation of a bulk is kept back, and answered as by a busy server.
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

    /// The name of a bulk's first operation, and the bulk without it.
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

/// What the chunks of a body hold; none if they are not whole.
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

/// An answer: its head with the empty line, and its body, whole or not.
#[derive(Debug)]
pub(super) struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: &str, header: &str, body: String) -> Self {
        let head = format!(
            "HTTP/1.1 {status}\r\nX-Elastic-Product: Elasticsearch\r\nContent-Type: application/json\r\n{header}\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        Self { head, body: body.into_bytes() }
    }

    /// An answer that came in chunks, as one of a known length: it can then be read, and cut.
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
        Self::new("200 OK", "", body)
    }

    /// An answer of the proxy's own.
    pub(super) fn odd(status: u16, retry_after: Option<u32>) -> Self {
        let header = retry_after.map_or_else(String::new, |seconds| format!("Retry-After: {seconds}\r\n"));
        Self::new(&format!("{status} Odd"), &header, "{}".to_owned())
    }

    /// What a server says that has too little memory for the request or its answer.
    pub(super) fn no_memory() -> Self {
        let error = json!({"type": "circuit_breaking_exception", "reason": "[parent] Data too large"});
        Self::new("429 Too Many Requests", "", json!({"error": error, "status": 429}).to_string())
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
        // A piece a millisecond, in a hundred pieces at most.
        client.set_nodelay(true)?;
        for piece in self.body.chunks(self.body.len().div_ceil(100).max(7)) {
            client.write_all(piece).await?;
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        Ok(())
    }
}
