use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::layout::Layout;
use super::secure::Access;
use super::state::{NodeRecord, State};
use crate::Result;
use crate::cluster::elastic::{self, HttpRequest, Transport};

/// A healthy node answers these requests in milliseconds.
const TIMEOUT: Duration = Duration::from_secs(2);
const LONGEST_ANSWER: u64 = 1 << 20;

/// What a cluster says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct ClusterHealth {
    pub(super) status: String,
    pub(super) number_of_nodes: usize,
}

/// How nodes are asked: by bare HTTP, or, if they have security, by TLS as the user that may do everything.
#[derive(Default)]
pub(super) struct Asking {
    /// The way to each port.
    secured: Vec<(u16, Arc<dyn Transport>)>,
}

impl Asking {
    pub(super) fn of(state: &State, layout: &Layout) -> Result<Self> {
        let access = Access::of(state, layout);
        let way = |node: &NodeRecord| {
            let settings = access.by_password(&node.url(state.secure));
            Ok((node.http_port, elastic::open_transport(&settings)?))
        };
        // Before the first start of a server with security there is nothing to ask it with.
        let is_secured = state.secure && access.password_file.is_file() && access.ca_cert.is_file();
        let secured = if is_secured { state.nodes.iter().map(way).collect::<Result<_>>()? } else { Vec::new() };
        Ok(Self { secured })
    }

    /// The body of the answer to a `GET`; `None` if it has another status than 200.
    async fn get(&self, port: u16, path: &'static str, query: (&'static str, &'static str)) -> Option<String> {
        let Some((_, transport)) = self.secured.iter().find(|(of, _)| *of == port) else {
            return get(port, format!("/{path}?{}={}", query.0, query.1)).await;
        };
        let request = HttpRequest {
            method: "GET",
            path: path.to_owned(),
            query: vec![(query.0, query.1.to_owned())],
            content_type: "application/json",
            body: None,
            timeout: TIMEOUT,
        };
        let answer = transport.send(request).await.ok().filter(|answer| answer.status == 200)?;
        Some(String::from_utf8_lossy(&answer.body).into_owned())
    }
}

/// The health of the cluster in `state`; `None` unless every node of it answers and has joined.
pub(super) async fn of(state: &State, asking: &Asking) -> Option<ClusterHealth> {
    for node in &state.nodes {
        if !is_serving(node, asking).await {
            return None;
        }
    }
    let health = cluster(state.nodes.first()?.http_port, asking).await?;
    (health.number_of_nodes >= state.nodes.len()).then_some(health)
}

/// Whether the node runs and answers on its port. That something answers is no proof: it may be a foreign server.
pub(super) async fn is_serving(node: &NodeRecord, asking: &Asking) -> bool {
    match &node.process {
        Some(process) if process.is_alive() => process_on(node.http_port, asking).await == Some(process.pid),
        _ => false,
    }
}

/// The id of the process that answers on the port as an Elasticsearch node; `None` if none does.
async fn process_on(port: u16, asking: &Asking) -> Option<u32> {
    process_id_in(&asking.get(port, "_nodes/_local/process", ("filter_path", "nodes.*.process.id")).await?)
}

/// The health of the cluster that the node on the port belongs to; `None` while it has no elected master.
async fn cluster(port: u16, asking: &Asking) -> Option<ClusterHealth> {
    serde_json::from_str(&asking.get(port, "_cluster/health", ("master_timeout", "1s")).await?).ok()
}

#[expect(clippy::disallowed_methods, reason = "the launcher of the server has no environment")]
async fn get(port: u16, path: String) -> Option<String> {
    let answer = tokio::task::spawn_blocking(move || request(port, &path)).await;
    answer.ok()?.ok().as_deref().and_then(body).map(str::to_owned)
}

/// One request in HTTP/1.0, whose answer is never chunked and ends with the connection.
fn request(port: u16, path: &str) -> io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(LONGEST_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}

/// The body of an answer with status 200.
fn body(answer: &str) -> Option<&str> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    (head.split_whitespace().nth(1)? == "200").then_some(body)
}

fn process_id_in(text: &str) -> Option<u32> {
    let answer: serde_json::Value = serde_json::from_str(text).ok()?;
    let node = answer.get("nodes")?.as_object()?.values().next()?;
    node.pointer("/process/id")?.as_u64()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_of_a_success_is_taken() {
        assert_eq!(body("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}"), Some("{}"));
        for answer in ["HTTP/1.0 503 Service Unavailable\r\n\r\n{}", "HTTP/1.0 200 OK\r\n", "SSH-2.0-x\r\n\r\n", ""] {
            assert_eq!(body(answer), None, "{answer}");
        }
    }

    #[test]
    fn the_process_id_is_found() {
        assert_eq!(process_id_in(r#"{"nodes":{"nd2x":{"process":{"id":9749}}}}"#), Some(9749));
        for text in ["", "{}", r#"{"nodes":{}}"#, r#"{"nodes":{"a":{"process":{"id":-1}}}}"#, r#"{"nodes":[1]}"#] {
            assert_eq!(process_id_in(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_has_no_process() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        assert_eq!(process_on(port, &Asking { secured: Vec::new() }).await, None);
    }
}
