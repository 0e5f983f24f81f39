//! The Elasticsearch of the tests, and requests to it past the library.
//!
//! On a machine without a JDK or Maven the tests of a server are skipped, unless `SAVED_OBJECTS_TEST_SERVER` is
//! `required`. A server that is there and does not start is a failure.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::Mutex;

use clap::{Args, FromArgMatches};
use saved_objects_devserver::{self as devserver, DevServer, UpOptions};
use serde_json::{Value, json};

/// Replaces the URL of a server that this machine cannot start: its tests are skipped.
pub(crate) const ABSENT: &str = "";

/// The folder of the server of a test run.
const FOLDER: &str = "elasticsearch-tests";

/// Why servers were not started.
static REASONS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A real Elasticsearch. It stops with this process, however this process ends.
pub(crate) struct Server {
    url: String,
    /// The output of `dev up`; null if the tests did not start the server.
    description: Value,
    /// Its folder, and how it was started; `None` if the tests did not start it.
    own: Option<Own>,
}

struct Own {
    folder: String,
    options: Vec<String>,
}

impl Server {
    /// Starts the server of this test run with these options of `saved-objects dev up`, separate from the developer's
    /// own server; or uses the server at `SAVED_OBJECTS_TEST_URL`. Returns `None` if this machine cannot start one.
    pub(crate) fn start(options: &[&str]) -> Result<Option<Self>, String> {
        let is_required = is_required()?;
        match std::env::var("SAVED_OBJECTS_TEST_URL") {
            Ok(url) => Ok(Some(Self { url, description: Value::Null, own: None })),
            Err(_) if !is_required && is_absent(FOLDER, options)? => Ok(None),
            Err(_) => Self::start_own(FOLDER, options).map(Some),
        }
    }

    /// Starts a server for one test below `target/<folder>`, which the test may kill.
    pub(crate) fn start_own(folder: &str, options: &[&str]) -> Result<Self, String> {
        let folder = path(folder);
        dev(&folder, &["down", "--delete-data"])?;
        let owner = std::process::id().to_string();
        let options: Vec<String> = ["--owner-pid", &owner].iter().chain(options).map(ToString::to_string).collect();
        let own = Some(Own { folder, options });
        let mut server = Self { url: String::new(), description: Value::Null, own };
        server.description = server.up()?;
        server.url = server.description["url"].as_str().ok_or("dev up named no URL")?.to_owned();
        Ok(server)
    }

    /// Starts those of its nodes that do not run, in their old folders.
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

    /// Stops a node, and starts it again with another version and its old data.
    ///
    /// `dev up` keeps the data of each version in a folder of its own. So the folder of the new version is made a link
    /// to that of the old one, and the record of what runs names the new version: `up` then starts the missing node
    /// with it.
    pub(crate) fn upgrade(&self, node: usize, version: &str) -> Result<(), String> {
        let Own { folder, options } = self.own.as_ref().ok_or("the server is not ours")?;
        let file = Path::new(folder).join("state.json");
        let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
        let mut state: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let pid = state["nodes"][node]["process"]["pid"].as_u64().ok_or("the node does not run")?;
        Command::new("kill").args(["-TERM", &pid.to_string()]).status().map_err(|error| error.to_string())?;
        while self.processes()?.iter().any(|running| u64::from(*running) == pid) {
            std::thread::yield_now();
        }

        let old = self.description["version"].as_str().ok_or("the version is not known")?;
        let of = |version: &str| format!("{version}-of-{}", state["nodes"].as_array().map_or(0, Vec::len));
        let link = Path::new(folder).join("clusters").join(of(version));
        if !link.exists() {
            std::os::unix::fs::symlink(of(old), link).map_err(|error| error.to_string())?;
        }
        state["version"] = json!(version);
        std::fs::write(&file, state.to_string()).map_err(|error| error.to_string())?;
        let options = options.iter().map(|option| if option == old { version } else { option });
        dev(folder, &["up"].into_iter().chain(options).collect::<Vec<_>>()).map(drop)
    }

    /// Returns the URLs of its nodes.
    pub(crate) fn urls(&self) -> Vec<String> {
        let nodes = self.description["nodes"].as_array().into_iter().flatten();
        nodes.map(|node| format!("http://127.0.0.1:{}", node["http_port"])).collect()
    }

    /// Returns the processes of its running nodes.
    pub(crate) fn processes(&self) -> Result<Vec<u32>, String> {
        let own = self.own.as_ref().ok_or("the server is not ours")?;
        // It ends with 1 if a node does not run.
        let output = run_dev(&own.folder, &["status"], Stdio::null())?;
        let status: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        let pids = status["nodes"].as_array().into_iter().flatten().filter_map(|node| node["pid"].as_u64());
        pids.map(|pid| u32::try_from(pid).map_err(|error| error.to_string())).collect()
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn description(&self) -> &Value {
        &self.description
    }

    /// Returns the number of points in time and scrolls that are open on all nodes.
    pub(crate) fn open_search_contexts(&self) -> u64 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let path = "/_nodes/stats/indices/search?filter_path=nodes.*.indices.search.open_contexts";
        let stats = runtime.block_on(send(&self.url, Request { method: "GET", path, body: None }));
        let nodes = stats["nodes"].as_object().expect("every node answers");
        nodes.values().map(|node| node["indices"]["search"]["open_contexts"].as_u64().expect("a count")).sum()
    }
}

/// Returns `url`, or [`ABSENT`] if this machine cannot start the server below `target/<folder>` that the tests also need.
pub(crate) fn with_own<'a>(url: &'a str, folder: &str, options: &[&str]) -> &'a str {
    let is_skipped = || matches!((is_required(), is_absent(folder, options)), (Ok(false), Ok(true)));
    if url == ABSENT || is_skipped() { ABSENT } else { url }
}

/// Returns whether this machine cannot start the server below `target/<folder>`, and records why.
fn is_absent(folder: &str, options: &[&str]) -> Result<bool, String> {
    let command = UpOptions::augment_args(clap::Command::new("up").no_binary_name(true));
    let matches = command.try_get_matches_from(options).map_err(|error| error.to_string())?;
    let options = UpOptions::from_arg_matches(&matches).map_err(|error| error.to_string())?;
    let server = DevServer::new(Path::new(&path(folder)), devserver::Output::new(&|_| {}));
    let missing = server.map_err(|error| error.to_string())?.missing(&options);
    if let Some(reason) = missing.as_ref().map(ToString::to_string) {
        REASONS.lock().expect("not poisoned").insert(reason);
    }
    Ok(missing.is_some())
}

fn is_required() -> Result<bool, String> {
    const VARIABLE: &str = "SAVED_OBJECTS_TEST_SERVER";
    match std::env::var(VARIABLE).as_deref() {
        Err(_) => Ok(false),
        Ok("required") => Ok(true),
        Ok(other) => Err(format!("{VARIABLE} is {other:?}; its only value is \"required\"")),
    }
}

fn path(folder: &str) -> String {
    format!("{}/../../target/{folder}", env!("CARGO_MANIFEST_DIR"))
}

/// The numbers of tests, for the closing line of a test binary.
pub(crate) struct Closing {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl fmt::Display for Closing {
    /// Writes the closing line, after the reasons of the tests that were skipped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        if *skipped > 0 {
            for reason in REASONS.lock().expect("not poisoned").iter() {
                writeln!(f, "skipped: tests that need a real Elasticsearch: {reason}")?;
            }
        }
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Reports a server that did not start as the one failure of the run.
pub(crate) fn not_started(name: &str, error: &str) -> ExitCode {
    eprintln!("{name} could not be started: {error}");
    println!("test result: FAILED. 0 passed; 1 failed; 0 ignored");
    println!("{}", Closing { passed: 0, failed: 1, skipped: 0 });
    ExitCode::FAILURE
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

fn run_dev(folder: &str, arguments: &[&str], messages: Stdio) -> Result<Output, String> {
    Command::new(env!("CARGO_BIN_EXE_saved-objects"))
        .args(["dev", "--json", "--dir", folder])
        .args(arguments)
        .stderr(messages)
        .output()
        .map_err(|error| error.to_string())
}

fn dev(folder: &str, arguments: &[&str]) -> Result<Output, String> {
    let output = run_dev(folder, arguments, Stdio::inherit())?;
    if output.status.success() { Ok(output) } else { Err(format!("dev {arguments:?} ended with {}", output.status)) }
}

/// A request past the library, so that tests do not check the library with its own code.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) body: Option<Value>,
}

/// Returns the answer's JSON, whatever its status.
pub(crate) async fn send(url: &str, request: Request<'_>) -> Value {
    let method = request.method.parse().expect("an HTTP method");
    let mut builder = reqwest::Client::new().request(method, format!("{url}{}", request.path));
    if let Some(body) = &request.body {
        builder = builder.json(body);
    }
    let answer = builder.send().await.expect("the server answers");
    answer.json().await.unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.path))
}

/// Stores a text unchanged, which does not have to be valid JSON.
pub(crate) async fn send_text(url: &str, method: &str, path: &str, body: &str) {
    let request = reqwest::Client::new().request(method.parse().expect("an HTTP method"), format!("{url}{path}"));
    let answer = request.header("content-type", "application/json").body(body.to_owned()).send().await;
    assert!(answer.expect("the server answers").status().is_success(), "{body}");
}
