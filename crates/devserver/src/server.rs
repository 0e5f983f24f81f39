//! The development server: `up`, `down` and `status`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use semver::Version;
use serde::Serialize;

use super::client::Client;
use super::health;
use super::jdk::{Jdk, Places};
use super::launch::{Launcher, StartFailure};
use super::layout::Layout;
use super::lock::Lock;
use super::options::{UpOptions, minimum_java};
use super::secure::{self, Access};
use super::state::{NodeRecord, State};
use super::{files, install, maven, ports, process};
use crate::output::Output;
use crate::{Error, ErrorKind, Result};

const FIRST_HTTP_PORT: u16 = 9200;
const FIRST_TRANSPORT_PORT: u16 = 9300;
/// How long a running node may be silent before it counts as half dead. It is longer than a usual start, so that the
/// server of an `up` that was killed is adopted.
const SILENCE_PATIENCE: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How many times other ports are tried if a port is taken between the check and the start.
const PORT_ATTEMPTS: usize = 3;

/// The development server in one folder.
#[derive(Debug)]
pub struct DevServer<'a> {
    layout: Layout,
    output: Output<'a>,
}

/// The report of `dev up`, `dev down` and `dev status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Whether every node runs and answers.
    pub running: bool,
    /// The address of the first node; absent if no server was started here.
    pub url: Option<String>,
    /// The version of Elasticsearch.
    pub version: Option<Version>,
    /// The nodes, including those that no longer run.
    pub nodes: Vec<NodeStatus>,
    /// The folder that contains all files of the server.
    pub dir: PathBuf,
    /// How to connect to the server, if it has security.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secure: Option<Access>,
}

/// One node in a [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// The node's name in the cluster.
    pub name: String,
    /// The node's process id; absent if the process has ended.
    pub pid: Option<u32>,
    /// The node's HTTP port.
    pub http_port: u16,
    /// Whether the node runs and answers.
    pub healthy: bool,
}

impl<'a> DevServer<'a> {
    /// Returns the server whose files are in `dir`.
    pub fn new(dir: &Path, output: Output<'a>) -> Result<Self> {
        let dir = std::path::absolute(dir).map_err(|error| files::failed("find", dir, error))?;
        Ok(Self { layout: Layout::new(dir), output })
    }

    /// Returns why this machine cannot start a server with these options: it has no JDK for the server, or the server was
    /// not fetched before and there is no Maven to fetch it. Returns `None` if both are there; whether the server then
    /// starts is another question.
    pub fn missing(&self, options: &UpOptions) -> Option<Error> {
        let version = options.server_version();
        let jdk = Places::of_this_machine().find(minimum_java(&version)).map(drop);
        let fetched = || match install::is_installed(&self.layout, &version, options.secure) {
            true => Ok(()),
            false => maven::command().map(drop),
        };
        jdk.and_then(|()| fetched()).err().filter(|error| error.kind() == ErrorKind::Missing)
    }

    /// Starts a server with these options and waits until it serves requests. A server that already runs with them is
    /// left alone.
    ///
    /// # Errors
    /// Returns `Conflict` if a server with other settings runs, or if a requested port is taken; `Missing` if a JDK or
    /// Maven is missing; `Unavailable` if the server cannot be fetched or does not start.
    pub async fn up(&self, options: &UpOptions) -> Result<Status> {
        if let Some(owner) = options.owner_pid.filter(|owner| !process::exists(*owner)) {
            return Err(Error::invalid(
                format!("there is no process {owner}"),
                "give a process that runs as --owner-pid",
            ));
        }
        let _lock = self.lock().await?;
        let begun = Instant::now();
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
            let took = begun.elapsed();
            self.output.say(format!("ready at {url} after {:.1} s", took.as_secs_f64()));
        } else {
            self.output.say(format!("already running at {url}"));
        }
        Ok(status)
    }

    /// Creates an API key with all privileges, unless there is one.
    async fn ensure_api_key(&self, state: &State) -> Result<()> {
        let file = Access::of(state, &self.layout).api_key_file;
        let Some(node) = state.nodes.first().filter(|_| !file.is_file()) else { return Ok(()) };
        let key = Client::new(state, &self.layout)?.create_api_key(node.http_port).await?;
        secure::write_secret(&file, &key)
    }

    /// Stops every node and waits until all are gone. With `delete_data`, also removes their data.
    pub async fn down(&self, delete_data: bool) -> Result<Status> {
        if self.layout.dir().is_dir() {
            let _lock = self.lock().await?;
            self.stop_all().await?;
            if delete_data {
                files::remove_folder(&self.layout.clusters())?;
            }
        }
        self.status().await
    }

    /// Returns what runs.
    pub async fn status(&self) -> Result<Status> {
        let state = State::load(&self.layout.state_file())?;
        let client = state.as_ref().map(|state| Client::new(state, &self.layout)).transpose()?.unwrap_or_default();
        let mut nodes = Vec::new();
        for node in state.iter().flat_map(|state| &state.nodes) {
            nodes.push(NodeStatus {
                name: node.name.clone(),
                pid: node.process.as_ref().filter(|process| process.is_alive()).map(|process| process.pid),
                http_port: node.http_port,
                healthy: health::is_serving(node, &client).await,
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
        Lock::acquire(&self.layout.lock_file(), self.output).await
    }

    fn launcher(&self) -> Launcher<'_> {
        Launcher { layout: &self.layout, output: self.output }
    }

    /// Returns the state of a server that is worth keeping: at least one of its nodes runs and will keep running.
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

    /// Replaces the nodes of a running server that have ended or do not answer. Returns whether there were any.
    async fn revive(&self, state: &mut State) -> Result<bool> {
        let client = Client::new(state, &self.layout)?;
        for node in &state.nodes {
            let Some(process) = node.process.as_ref().filter(|process| process.is_alive()) else { continue };
            // The process may also have ended meanwhile.
            if !self.answers_in_time(node, &client).await && process.is_alive() {
                self.output.say(format!("{} runs but does not answer; replacing it", node.name));
                process.kill().await?;
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

    async fn answers_in_time(&self, node: &NodeRecord, client: &Client) -> bool {
        let deadline = Instant::now() + SILENCE_PATIENCE;
        while !health::is_serving(node, client).await {
            if !node.is_alive() || Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        true
    }

    /// Stops all nodes that are left here, and starts a server with these options.
    async fn start_anew(&self, options: &UpOptions) -> Result<()> {
        self.stop_all().await?;
        let version = options.server_version();
        // Checks the ports first: an unavailable port must not cost a download.
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

    /// Stops every node that has ever run here, recorded or not, and waits until all are gone.
    async fn stop_all(&self) -> Result<()> {
        let state_file = self.layout.state_file();
        // A damaged state names no process. The nodes still stop when their settings are removed.
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
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }
}

fn other_settings(state: &State, differences: &[String]) -> Error {
    let url = state.url().unwrap_or_default();
    let message = format!("a server with other settings runs at {url}: {}", differences.join(", "));
    Error::new(ErrorKind::Conflict, message)
        .with_hint("stop it with `saved-objects dev down`, or ask for the same settings")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn where_nothing_was_started_nothing_runs_and_nothing_is_left() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path().join("elasticsearch");
        let server = DevServer::new(&dir, Output::new(&|_| {})).expect("a path");
        let nothing =
            Status { running: false, url: None, version: None, nodes: Vec::new(), dir: dir.clone(), secure: None };
        assert_eq!(server.status().await.expect("a status"), nothing);
        assert_eq!(server.down(true).await.expect("stopped"), nothing);
        assert!(!dir.exists());
    }

    #[tokio::test]
    async fn a_damaged_state_is_told_and_cleared_by_down() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = DevServer::new(folder.path(), Output::new(&|_| {})).expect("a path");
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
        let server = DevServer::new(&dir, Output::new(&|_| {})).expect("a path");
        let options = UpOptions { owner_pid: Some(u32::MAX), ..UpOptions::default() };
        assert_eq!(server.up(&options).await.expect_err("no such process").kind(), ErrorKind::Invalid);
        assert!(!dir.exists());
    }
}
