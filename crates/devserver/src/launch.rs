//! Starts nodes and waits until the cluster serves requests.

use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::client::Client;
use super::files;
use super::health;
use super::jdk::Jdk;
use super::layout::{Layout, NodeFolder};
use super::node::{self, StartedNode, WaitingNode};
use super::secure::Access;
use super::state::{NodeRecord, State};
use crate::output::Output;
use crate::{Error, ErrorKind, Result};

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A start usually takes seven seconds; a busy machine may take many times as long.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// How long kept data may take to recover after all nodes have joined.
const RECOVERY_PATIENCE: Duration = Duration::from_secs(30);
/// A node checks every second whether it must stop, and closes within seconds.
const RELEASE_PATIENCE: Duration = Duration::from_secs(30);
const LOG_LINES: usize = 15;
/// The exit status of the launcher if another process uses a port of its node.
const PORT_TAKEN: i32 = 98;

/// Starts nodes and waits for them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Launcher<'a> {
    pub(super) layout: &'a Layout,
    pub(super) output: Output<'a>,
}

/// The reason why nodes did not start.
#[derive(Debug)]
pub(super) enum StartFailure {
    /// Another process took a port after it was chosen. A retry with other ports can succeed.
    PortTaken(Error),
    Other(Error),
}

impl From<Error> for StartFailure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<StartFailure> for Error {
    fn from(failure: StartFailure) -> Self {
        match failure {
            StartFailure::PortTaken(error) | StartFailure::Other(error) => error,
        }
    }
}

impl Launcher<'_> {
    fn folder(&self, cluster: &State, node: &NodeRecord) -> NodeFolder {
        self.layout.node(cluster, &node.name)
    }

    /// Starts the nodes of `state` that do not run, records them, and waits until the cluster serves requests.
    pub(super) async fn start_missing(&self, state: &mut State, home: &Path, jdk: &Jdk) -> Result<(), StartFailure> {
        let cluster = state.clone();
        let missing: Vec<&mut NodeRecord> = state.nodes.iter_mut().filter(|node| !node.is_alive()).collect();
        let folders: Vec<NodeFolder> = missing.iter().map(|node| self.folder(&cluster, node)).collect();
        let secrets = self.layout.secrets(&cluster);
        if cluster.secure {
            Access::of(&cluster, self.layout).prepare(&secrets)?;
        }
        for (node, folder) in missing.iter().zip(&folders) {
            node::prepare(&cluster, node, folder, &secrets)?;
        }
        self.wait_for_release_of(&folders).await?;
        let mut waiting = Vec::new();
        for (node, folder) in missing.into_iter().zip(&folders) {
            self.output.say(format!("starting {} on port {} ...", node.name, node.http_port));
            let started = node::spawn(&cluster, node, folder, home, jdk)?;
            node.process = Some(started.process.clone());
            waiting.push(started);
        }
        state.save(&self.layout.state_file())?;
        let mut started: Vec<StartedNode> = waiting.into_iter().map(WaitingNode::go).collect();
        self.wait_until_ready(state, &mut started).await
    }

    /// Waits until no process has the data in any of `folders` open.
    pub(super) async fn wait_for_release_of(&self, folders: &[NodeFolder]) -> Result<()> {
        let deadline = Instant::now() + RELEASE_PATIENCE;
        while let Some(folder) = folders.iter().find(|folder| node::uses_data(folder)) {
            if Instant::now() > deadline {
                let message = format!("another process uses the data in {}", folder.data().display());
                return Err(Error::new(ErrorKind::Conflict, message)
                    .with_hint("find it with `fuser` or `lsof` on the file `node.lock` there, and stop it"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Waits until all nodes answer and the data has recovered, or until a node in `started` has ended.
    pub(super) async fn wait_until_ready(
        &self,
        state: &State,
        started: &mut [StartedNode],
    ) -> Result<(), StartFailure> {
        let client = Client::new(state, self.layout)?;
        let begun = Instant::now();
        let mut joined_at = None;
        loop {
            self.check_running(state, started)?;
            let now = Instant::now();
            match health::of(state, &client).await {
                Some(health) if health.status != "red" => return Ok(()),
                Some(_) if now.duration_since(*joined_at.get_or_insert(now)) > RECOVERY_PATIENCE => {
                    self.output
                        .say("the cluster is red: some of the kept data did not recover (`dev down --delete-data`)");
                    return Ok(());
                }
                _ if now.duration_since(begun) > START_PATIENCE => return Err(self.too_slow(state).into()),
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Fails if a node that was started has ended.
    fn check_running(&self, state: &State, started: &mut [StartedNode]) -> Result<(), StartFailure> {
        for process in started {
            let Some(exit) = process.exit() else { continue };
            let node = state.nodes.iter().find(|node| node.process.as_ref().is_some_and(|p| p.pid == process.pid()));
            if let Some(node) = node {
                return Err(ended(node, &self.folder(state, node), exit));
            }
        }
        Ok(())
    }

    fn too_slow(&self, state: &State) -> Error {
        let logs = state.nodes.iter().map(|node| self.folder(state, node).log());
        let logs = logs.map(|log| log.display().to_string()).collect::<Vec<_>>().join(", ");
        let message = format!("the server did not become ready within {} s", START_PATIENCE.as_secs());
        Error::new(ErrorKind::Unavailable, message)
            .with_hint(format!("look into its log ({logs}); `saved-objects dev down` stops it"))
    }
}

fn ended(node: &NodeRecord, folder: &NodeFolder, exit: ExitStatus) -> StartFailure {
    let log = files::read_lossy(&folder.log());
    let message = format!("{} ended while it started ({exit}): {}", node.name, reason_in(&log));
    let error =
        Error::new(ErrorKind::Unavailable, message).with_hint(format!("the whole log is {}", folder.log().display()));
    if exit.code() == Some(PORT_TAKEN) { StartFailure::PortTaken(error) } else { StartFailure::Other(error) }
}

/// Returns the launcher's last message about why it ended. If there is none, as after a kill, returns the end of the
/// log.
fn reason_in(log: &str) -> String {
    match log.lines().rev().find_map(|line| line.strip_prefix("DevNode: ")) {
        Some(reason) => reason.to_owned(),
        None => format!("the last lines of its log are\n{}", files::last_lines(log, LOG_LINES)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_launchers_last_word_or_the_end_of_the_log() {
        let log = "[INFO] starting\nDevNode: java.net.BindException: Address already in use\n[INFO] closed\n";
        assert_eq!(reason_in(log), "java.net.BindException: Address already in use");
        assert_eq!(reason_in("a\nb\n"), "the last lines of its log are\na\nb");
        assert_eq!(reason_in(""), "the last lines of its log are\n");
    }
}
