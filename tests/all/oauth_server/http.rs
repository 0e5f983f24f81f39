//! The part of HTTP/1.1 that the server needs.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::Options;

pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    /// The fields of the query and of the form in the body.
    pub(super) fields: BTreeMap<String, String>,
    pub(super) authorization: Option<String>,
}

impl Request {
    pub(super) async fn read(client: &mut TcpStream) -> Option<Self> {
        let mut client = BufReader::new(client);
        let mut line = String::new();
        client.read_line(&mut line).await.ok()?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (mut length, mut authorization) = (0, None);
        loop {
            let mut line = String::new();
            if client.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().ok()?,
                "authorization" => authorization = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        client.read_exact(&mut body).await.ok()?;
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut fields = decode(query)?;
        fields.extend(decode(std::str::from_utf8(&body).ok()?)?);
        Some(Self { method, path: path.to_owned(), fields, authorization })
    }

    pub(super) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// Returns whether the client authenticates as the client of the options, in the header or in the body, but not in
    /// both.
    pub(super) fn is_from(&self, options: &Options) -> bool {
        let in_body = self.fields.get("client_secret");
        let given = match self.basic() {
            Some(_) if in_body.is_some() => return false,
            Some((id, secret)) => (id, Some(secret)),
            None => (self.field("client_id").to_owned(), in_body.cloned()),
        };
        given == (options.client_id.clone(), options.client_secret.clone())
    }

    fn basic(&self) -> Option<(String, String)> {
        let encoded = self.authorization.as_ref()?.strip_prefix("Basic ")?;
        let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        let (id, secret) = text.split_once(':')?;
        Some((decode_one(id)?, decode_one(secret)?))
    }
}

fn decode(form: &str) -> Option<BTreeMap<String, String>> {
    let pairs = form.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').and_then(|(name, value)| Some((decode_one(name)?, decode_one(value)?))))
        .collect()
}

fn decode_one(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    percent_encoding::percent_decode_str(&text).decode_utf8().ok().map(Into::into)
}

pub(super) struct Answer {
    status: u16,
    headers: String,
    body: String,
}

impl Answer {
    pub(super) fn new(status: u16, headers: &str, body: String) -> Self {
        Self { status, headers: headers.to_owned(), body }
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "Content-Type: application/json\r\nCache-Control: no-store\r\n", body.to_string())
    }

    pub(super) fn redirect(location: &str) -> Self {
        Self::new(302, &format!("Location: {location}\r\n"), String::new())
    }

    pub(super) async fn write(self, client: &mut TcpStream) -> std::io::Result<()> {
        let Self { status, headers, body } = self;
        let length = body.len();
        let head = format!("HTTP/1.1 {status} Said\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
        client.write_all(head.as_bytes()).await?;
        client.write_all(body.as_bytes()).await?;
        client.shutdown().await
    }
}

/// Waits until the other side closes the connection.
pub(super) async fn wait_for_end(client: &mut TcpStream) {
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await;
}

/// Writes until the other side closes the connection.
pub(super) async fn write_endlessly(client: &mut TcpStream) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"access_token\": \"";
    let mut piece = head.to_owned();
    while client.write_all(piece.as_bytes()).await.is_ok() {
        piece = "a".repeat(8_192);
    }
}
