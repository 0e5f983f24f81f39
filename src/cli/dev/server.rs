use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::describe_access;
use super::health::{self, Asking};
use super::jdk::{Jdk, Places};
use super::launch::{Launcher, StartFailure};
use super::layout::Layout;
use super::lock::Lock;
use super::options::{UpOptions, minimum_java};
use super::secure::{self, Access};
use super::state::{NodeRecord, State};
use super::{files, install, ports, process};
use crate::cli::output::Output;
use crate::cluster::elastic::{self, HttpRequest};
use crate::environment::Clock;
use crate::{Error, ErrorKind, Result};

const FIRST_HTTP_PORT: u16 = 9200;
const FIRST_TRANSPORT_PORT: u16 = 9300;
/// How long a node that runs may be silent before it is taken for half-dead: longer than a start usually takes, so that
/// the server of an `up` that was killed is adopted.
const SILENCE_PATIENCE: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The index of API keys is made with the first one.
const API_KEY_TIMEOUT: Duration = Duration::from_secs(60);
/// How often other ports are tried when one is taken between looking and starting.
const PORT_ATTEMPTS: usize = 3;

/// The development server, below one folder.
#[derive(Debug)]
pub(crate) struct DevServer<'a> {
    layout: Layout,
    clock: &'a dyn Clock,
    output: Output,
}

/// What `dev up`, `dev down` and `dev status` report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Status {
    /// Whether every node runs and answers.
    pub(crate) running: bool,
    /// The address of the first node; absent if no server was started here.
    pub(crate) url: Option<String>,
    /// Its version of Elasticsearch.
    pub(crate) version: Option<Version>,
    /// Its nodes, those included that do not run any more.
    pub(crate) nodes: Vec<NodeStatus>,
    /// The folder that holds everything about it.
    pub(crate) dir: PathBuf,
    /// How to connect to it, if it has security.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secure: Option<Access>,
}

/// One node in a [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct NodeStatus {
    pub(crate) name: String,
    /// Its process; absent if it ended.
    pub(crate) pid: Option<u32>,
    pub(crate) http_port: u16,
    /// Whether it runs and answers.
    pub(crate) healthy: bool,
}

impl<'a> DevServer<'a> {
    /// The server whose files are below `dir`.
    pub(crate) fn new(dir: &Path, clock: &'a dyn Clock, output: Output) -> Result<Self> {
        let dir = std::path::absolute(dir).map_err(|error| files::failed("find", dir, error))?;
        Ok(Self { layout: Layout::new(dir), clock, output })
    }

    /// Makes a server run as asked for, and waits until it serves requests. One that runs so already is left alone.
    ///
    /// # Errors
    /// `Conflict` if one with other settings runs, or a port that was asked for is taken; `Invalid` if a JDK or Maven is
    /// missing; `Unavailable` if the server cannot be fetched or does not start.
    pub(crate) async fn up(&self, options: &UpOptions) -> Result<Status> {
        if let Some(owner) = options.owner_pid.filter(|owner| !process::exists(*owner)) {
            return Err(Error::invalid(
                format!("there is no process {owner}"),
                "give a process that runs as --owner-pid",
            ));
        }
        let _lock = self.lock().await?;
        let begun = self.clock.monotonic();
        let started = match self.usable_state() {
            Some(mut state) => {
                let differences = options.differences(&state);
                if !differences.is_empty() {
                    return Err(other_settings(&state, &differences));
                }
                self.revive(&mut state).await?
            }
            None => {
                self.start_anew(options).await?;
                true
            }
        };
        if let Some(state) = State::load(&self.layout.state_file())?.filter(|state| state.secure) {
            self.ensure_api_key(&state).await?;
        }
        let status = self.status().await?;
        let url = status.url.as_deref().unwrap_or_default();
        if started {
            let took = self.clock.monotonic().saturating_sub(begun);
            self.output.say(format!("ready at {url} after {:.1} s", took.as_secs_f64()));
        } else {
            self.output.say(format!("already running at {url}"));
        }
        describe_access(&status, self.output);
        Ok(status)
    }

    /// Makes an API key that may do everything, unless there is one.
    async fn ensure_api_key(&self, state: &State) -> Result<()> {
        #[derive(Deserialize)]
        struct Created {
            encoded: String,
        }
        let access = Access::of(state, &self.layout);
        if access.api_key_file.is_file() {
            return Ok(());
        }
        let transport = elastic::open_transport(&access.by_password(&state.url().unwrap_or_default()))?;
        let request = HttpRequest {
            method: "POST",
            path: "_security/api_key".to_owned(),
            query: Vec::new(),
            content_type: "application/json",
            body: Some(Bytes::from_static(br#"{"name":"saved-objects-development"}"#)),
            timeout: API_KEY_TIMEOUT,
        };
        let failed = |reason: String| {
            Error::new(ErrorKind::Unavailable, format!("the server made no API key: {reason}"))
                .with_cure("`saved-objects dev down --delete-data`, then `up` again")
        };
        let answer = transport.send(request).await.map_err(|error| failed(error.source.to_string()))?;
        match serde_json::from_slice::<Created>(&answer.body) {
            Ok(Created { encoded }) => secure::write_secret(&access.api_key_file, &encoded),
            Err(_) => Err(failed(format!("it answered {}", answer.status))),
        }
    }

    /// Stops every node and waits until none is left. With `delete_data` their data is removed too.
    pub(crate) async fn down(&self, delete_data: bool) -> Result<Status> {
        if self.layout.dir().is_dir() {
            let _lock = self.lock().await?;
            self.stop_all().await?;
            if delete_data {
                files::remove_folder(&self.layout.clusters())?;
            }
        }
        self.status().await
    }

    /// What runs.
    pub(crate) async fn status(&self) -> Result<Status> {
        let state = State::load(&self.layout.state_file())?;
        let asking = state.as_ref().map(|state| Asking::of(state, &self.layout)).transpose()?.unwrap_or_default();
        let mut nodes = Vec::new();
        for node in state.iter().flat_map(|state| &state.nodes) {
            nodes.push(NodeStatus {
                name: node.name.clone(),
                pid: node.process.as_ref().filter(|process| process.is_alive()).map(|process| process.pid),
                http_port: node.http_port,
                healthy: health::is_serving(node, &asking).await,
            });
        }
        Ok(Status {
            running: !nodes.is_empty() && nodes.iter().all(|node| node.healthy),
            url: state.as_ref().and_then(State::url),
            secure: state.as_ref().filter(|state| state.secure).map(|state| Access::of(state, &self.layout)),
            version: state.map(|state| state.version),
            nodes,
            dir: self.layout.dir().to_owned(),
        })
    }

    async fn lock(&self) -> Result<Lock> {
        files::create_folder(self.layout.dir())?;
        Lock::acquire(&self.layout.lock_file(), self.clock, self.output).await
    }

    fn launcher(&self) -> Launcher<'_> {
        Launcher { layout: &self.layout, clock: self.clock, output: self.output }
    }

    /// The state of a server that is worth keeping: at least one of its nodes runs and will go on running.
    fn usable_state(&self) -> Option<State> {
        let state = match State::load(&self.layout.state_file()) {
            Ok(state) => state?,
            Err(error) => {
                self.output.say(format!("{}; starting anew", error.message()));
                return None;
            }
        };
        let orphaned = state.owner_pid.is_some_and(|owner| !process::exists(owner));
        if orphaned || !state.any_alive() {
            self.output.say("the server that was started here is gone; starting anew");
            return None;
        }
        Some(state)
    }

    /// Replaces the nodes of a running server that ended or do not answer. Tells whether there were any.
    async fn revive(&self, state: &mut State) -> Result<bool> {
        let asking = Asking::of(state, &self.layout)?;
        for node in &state.nodes {
            let Some(process) = node.process.as_ref().filter(|process| process.is_alive()) else { continue };
            // It may also have ended meanwhile.
            if !self.answers_in_time(node, &asking).await && process.is_alive() {
                self.output.say(format!("{} runs but does not answer; replacing it", node.name));
                process.kill(self.clock).await?;
            }
        }
        let ended: Vec<&NodeRecord> = state.nodes.iter().filter(|node| !node.is_alive()).collect();
        for node in &ended {
            ports::require_free(node.http_port)?;
            ports::require_free(node.transport_port)?;
        }
        if ended.is_empty() {
            self.launcher().wait_until_ready(state, &mut []).await?;
            return Ok(false);
        }
        let (home, jdk) = self.prerequisites(&state.version, state.secure).await?;
        self.launcher().start_missing(state, &home, &jdk).await?;
        Ok(true)
    }

    async fn answers_in_time(&self, node: &NodeRecord, asking: &Asking) -> bool {
        let clock = self.clock;
        let deadline = clock.monotonic() + SILENCE_PATIENCE;
        while !health::is_serving(node, asking).await {
            if !node.is_alive() || clock.monotonic() > deadline {
                return false;
            }
            clock.sleep(LOOK_EVERY).await;
        }
        true
    }

    /// Stops whatever is left here, and starts a server as asked for.
    async fn start_anew(&self, options: &UpOptions) -> Result<()> {
        self.stop_all().await?;
        let version = options.server_version();
        // A port that cannot be had is no reason to fetch a server first.
        self.new_state(options)?;
        let (home, jdk) = self.prerequisites(&version, options.secure).await?;
        let mut attempts = PORT_ATTEMPTS;
        loop {
            attempts -= 1;
            let mut state = self.new_state(options)?;
            let failure = match self.launcher().start_missing(&mut state, &home, &jdk).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            self.stop_all().await?;
            match failure {
                StartFailure::PortTaken(_) if attempts > 0 => {}
                failure => return Err(failure.into()),
            }
        }
    }

    async fn prerequisites(&self, version: &Version, secure: bool) -> Result<(PathBuf, Jdk)> {
        let jdk = Places::of_this_machine().find(minimum_java(version))?;
        let home = install::ensure(&self.layout, version, secure, &jdk, self.output).await?;
        Ok((home, jdk))
    }

    fn new_state(&self, options: &UpOptions) -> Result<State> {
        let count = options.node_count();
        let http_ports = match options.port {
            Some(port) => ports::exactly_from(port, count)?,
            None => ports::free_from(FIRST_HTTP_PORT, count, &[])?,
        };
        let transport_ports = ports::free_from(FIRST_TRANSPORT_PORT, count, &http_ports)?;
        let ports = http_ports.into_iter().zip(transport_ports);
        let nodes = (1..).zip(ports).map(|(number, (http_port, transport_port))| NodeRecord {
            name: format!("node-{number}"),
            http_port,
            transport_port,
            process: None,
        });
        Ok(State {
            version: options.server_version(),
            heap: options.heap_size(),
            owner_pid: options.owner_pid,
            secure: options.secure,
            settings: options.settings.clone(),
            nodes: nodes.collect(),
        })
    }

    /// Stops every node that ever ran here, whether it was written down or not, and waits until none is left.
    async fn stop_all(&self) -> Result<()> {
        let state_file = self.layout.state_file();
        // A damaged state names no process. The nodes stop all the same when their settings are gone.
        let recorded = State::load(&state_file).ok().flatten().map_or_else(Vec::new, |state| state.nodes);
        futures::future::try_join_all(recorded.iter().map(|node| self.stop(node))).await?;
        let folders = self.layout.nodes();
        for folder in &folders {
            files::remove(&folder.settings_file())?;
        }
        self.launcher().wait_for_release_of(&folders).await?;
        files::remove(&state_file)
    }

    async fn stop(&self, node: &NodeRecord) -> Result<()> {
        match &node.process {
            Some(process) => process.stop(self.clock).await,
            None => Ok(()),
        }
    }
}

fn other_settings(state: &State, differences: &[String]) -> Error {
    let url = state.url().unwrap_or_default();
    let message = format!("a server with other settings runs at {url}: {}", differences.join(", "));
    Error::new(ErrorKind::Conflict, message)
        .with_cure("stop it with `saved-objects dev down`, or ask for the same settings")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::SystemClock;

    const QUIET: bool = true;

    #[tokio::test]
    async fn where_nothing_was_started_nothing_runs_and_nothing_is_left() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path().join("elasticsearch");
        let clock = SystemClock::start();
        let server = DevServer::new(&dir, &clock, Output::new(QUIET)).expect("a path");
        let nothing =
            Status { running: false, url: None, version: None, nodes: Vec::new(), dir: dir.clone(), secure: None };
        assert_eq!(server.status().await.expect("a status"), nothing);
        assert_eq!(server.down(true).await.expect("stopped"), nothing);
        assert!(!dir.exists());
    }

    #[tokio::test]
    async fn a_damaged_state_is_told_and_cleared_by_down() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = SystemClock::start();
        let server = DevServer::new(folder.path(), &clock, Output::new(QUIET)).expect("a path");
        std::fs::write(folder.path().join("state.json"), "garbage").expect("written");
        assert_eq!(server.status().await.expect_err("damaged").kind(), ErrorKind::Corrupt);
        assert_eq!(server.usable_state(), None);
        assert!(!server.down(false).await.expect("cleared").running);
        assert!(server.status().await.expect("a status").nodes.is_empty());
    }

    #[tokio::test]
    async fn an_owner_that_does_not_run_is_refused_before_anything_is_done() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path().join("elasticsearch");
        let clock = SystemClock::start();
        let server = DevServer::new(&dir, &clock, Output::new(QUIET)).expect("a path");
        let options = UpOptions { owner_pid: Some(u32::MAX), ..UpOptions::default() };
        assert_eq!(server.up(&options).await.expect_err("no such process").kind(), ErrorKind::Invalid);
        assert!(!dir.exists());
    }
}
