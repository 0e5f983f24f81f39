use std::process::{Command, Output};

use serde_json::Value;

/// The real Elasticsearch of this test run. It stops with this process, however that ends.
pub(crate) struct Server {
    url: String,
    is_ours: bool,
}

/// Where the tests' server lives, apart from the developer's own.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/elasticsearch-tests");

impl Server {
    /// A server with these options of `saved-objects dev up`, or the one that runs at `SAVED_OBJECTS_TEST_URL`.
    pub(crate) fn start(options: &[&str]) -> Result<Self, String> {
        if let Ok(url) = std::env::var("SAVED_OBJECTS_TEST_URL") {
            return Ok(Self { url, is_ours: false });
        }
        dev(&["down", "--delete-data"])?;
        let owner = std::process::id().to_string();
        let arguments = [&["up", "--owner-pid", &owner], options].concat();
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

/// The answer's JSON, whatever its status.
pub(crate) async fn send(url: &str, request: Request<'_>) -> Value {
    let method = request.method.parse().expect("an HTTP method");
    let mut builder = reqwest::Client::new().request(method, format!("{url}{}", request.path));
    if let Some(body) = &request.body {
        builder = builder.json(body);
    }
    let answer = builder.send().await.expect("the server answers");
    answer.json().await.unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.path))
}
