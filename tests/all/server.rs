use std::process::{Command, Output};

use serde_json::Value;

/// A real Elasticsearch. It stops with this process, however that ends.
pub(crate) struct Server {
    url: String,
    /// What `dev up` said; null if the server is not ours.
    description: Value,
    /// Where it lives, and how it was started; none if it is not ours.
    own: Option<Own>,
}

struct Own {
    folder: String,
    options: Vec<String>,
}

impl Server {
    /// The server of this test run: one with these options of `saved-objects dev up`, apart from the developer's own, or the
    /// one that runs at `SAVED_OBJECTS_TEST_URL`.
    pub(crate) fn start(options: &[&str]) -> Result<Self, String> {
        match std::env::var("SAVED_OBJECTS_TEST_URL") {
            Ok(url) => Ok(Self { url, description: Value::Null, own: None }),
            Err(_) => Self::start_own("elasticsearch-tests", options),
        }
    }

    /// A server of a test's own below `target/<folder>`, which may be killed.
    pub(crate) fn start_own(folder: &str, options: &[&str]) -> Result<Self, String> {
        let folder = format!("{}/target/{folder}", env!("CARGO_MANIFEST_DIR"));
        dev(&folder, &["down", "--delete-data"])?;
        let owner = std::process::id().to_string();
        let options: Vec<String> = ["--owner-pid", &owner].iter().chain(options).map(ToString::to_string).collect();
        let own = Some(Own { folder, options });
        let mut server = Self { url: String::new(), description: Value::Null, own };
        server.description = server.up()?;
        server.url = server.description["url"].as_str().ok_or("dev up named no URL")?.to_owned();
        Ok(server)
    }

    /// Starts whichever of its nodes do not run, where they were.
    pub(crate) fn revive(&self) -> Result<(), String> {
        self.up().map(drop)
    }

    fn up(&self) -> Result<Value, String> {
        let Own { folder, options } = self.own.as_ref().ok_or("the server is not ours")?;
        let port = self.url.rsplit_once(':').map(|(_, port)| ["--port", port]);
        let mut arguments = vec!["up"];
        arguments.extend(options.iter().map(String::as_str));
        arguments.extend(port.iter().flatten());
        serde_json::from_slice(&dev(folder, &arguments)?.stdout).map_err(|error| error.to_string())
    }

    /// The processes of its nodes that run.
    pub(crate) fn processes(&self) -> Result<Vec<u32>, String> {
        let own = self.own.as_ref().ok_or("the server is not ours")?;
        let status: Value =
            serde_json::from_slice(&dev(&own.folder, &["status"])?.stdout).map_err(|error| error.to_string())?;
        let pids = status["nodes"].as_array().into_iter().flatten().filter_map(|node| node["pid"].as_u64());
        pids.map(|pid| u32::try_from(pid).map_err(|error| error.to_string())).collect()
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn description(&self) -> &Value {
        &self.description
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
        if let Some(own) = &self.own
            && let Err(error) = dev(&own.folder, &["down", "--delete-data"])
        {
            eprintln!("the tests' server could not be stopped: {error}");
        }
    }
}

fn dev(folder: &str, arguments: &[&str]) -> Result<Output, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_saved-objects"))
        .args(["dev", "--json", "--dir", folder])
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

/// Stores a text as it is, which need not be JSON as it is defined.
pub(crate) async fn send_text(url: &str, method: &str, path: &str, body: &str) {
    let request = reqwest::Client::new().request(method.parse().expect("an HTTP method"), format!("{url}{path}"));
    let answer = request.header("content-type", "application/json").body(body.to_owned()).send().await;
    assert!(answer.expect("the server answers").status().is_success(), "{body}");
}
