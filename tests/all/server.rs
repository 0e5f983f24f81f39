use std::process::{Command, Output};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The real Elasticsearch of this test run. It stops with this process, however that ends.
pub(crate) struct Server {
    url: String,
    is_ours: bool,
}

/// Where the tests' server lives, apart from the developer's own.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/elasticsearch-tests");

impl Server {
    pub(crate) fn start() -> Result<Self, String> {
        if let Ok(url) = std::env::var("SAVED_OBJECTS_TEST_URL") {
            return Ok(Self { url, is_ours: false });
        }
        dev(&["down", "--delete-data"])?;
        let owner = std::process::id().to_string();
        let mut arguments = vec!["up", "--owner-pid", &owner];
        let version = std::env::var("SAVED_OBJECTS_TEST_VERSION");
        if let Ok(version) = &version {
            arguments.extend(["--version", version]);
        }
        let status: Value = serde_json::from_slice(&dev(&arguments)?.stdout).map_err(|error| error.to_string())?;
        let url = status["url"].as_str().ok_or("dev up named no URL")?.to_owned();
        Ok(Self { url, is_ours: true })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How many points in time and scrolls are open on all nodes.
    pub(crate) fn open_search_contexts(&self) -> u64 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let path = "/_nodes/stats/indices/search?filter_path=nodes.*.indices.search.open_contexts";
        let stats = runtime.block_on(send(&self.url, Request { method: "GET", path, body: None }));
        let nodes = stats["nodes"].as_object().expect("every node answers");
        nodes.values().map(|node| node["indices"]["search"]["open_contexts"].as_u64().expect("a count")).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_ours
            && let Err(error) = dev(&["down", "--delete-data"])
        {
            eprintln!("the tests' server could not be stopped: {error}");
        }
    }
}

fn dev(arguments: &[&str]) -> Result<Output, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_saved-objects"))
        .args(["dev", "--json", "--dir", FOLDER])
        .args(arguments)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() { Ok(output) } else { Err(format!("dev {arguments:?} ended with {}", output.status)) }
}

/// A request past the library, so that tests do not judge it by its own means.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) body: Option<Value>,
}

/// The answer's JSON.
pub(crate) async fn send(url: &str, request: Request<'_>) -> Value {
    let host = url.strip_prefix("http://").expect("the test server speaks HTTP").trim_end_matches('/');
    let body = request.body.map(|body| body.to_string()).unwrap_or_default();
    // HTTP 1.0, so that the answer comes in one piece.
    let text = format!(
        "{} {} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        request.method,
        request.path,
        body.len(),
    );
    let mut stream = TcpStream::connect(host).await.expect("the server listens");
    stream.write_all(text.as_bytes()).await.expect("the server reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("the server answers");
    let answer = String::from_utf8(answer).expect("the answer is UTF-8");
    let (_, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{} {}: {error}: {body}", request.method, request.path))
}
