//! Writes the files of one node and starts its process.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::fs::{FlockOperation, fcntl_lock};

use super::files;
use super::jdk::Jdk;
use super::layout::NodeFolder;
use super::process::NodeProcess;
use super::secure;
use super::settings;
use super::state::{NodeRecord, State};
use crate::Result;

const LAUNCHER: &str = include_str!("../elasticsearch/DevNode.java");
const LAUNCHER_FILE: &str = "DevNode.java";
const LOGGING: &str = include_str!("../elasticsearch/log4j2.properties");
const LOGGING_FILE: &str = "log4j2.properties";

/// A process of a node that waits for the signal to start. Dropping it before [`Self::go`] ends the process, so that a
/// node that is not recorded never runs.
#[derive(Debug)]
pub(super) struct WaitingNode {
    child: Child,
    pub(super) process: NodeProcess,
}

/// A node that got the signal to start.
#[derive(Debug)]
pub(super) struct StartedNode {
    child: Child,
}

/// Writes the node's files. A process that already uses the folder sees its settings replaced and stops.
pub(super) fn prepare(state: &State, node: &NodeRecord, folder: &NodeFolder, secrets: &Path) -> Result<()> {
    files::create_folder(&folder.config())?;
    files::remove_folder(&folder.temporary())?;
    files::create_folder(&folder.temporary())?;
    files::write(&folder.config().join(LAUNCHER_FILE), LAUNCHER)?;
    files::write(&folder.config().join(LOGGING_FILE), LOGGING)?;
    if state.secure {
        secure::equip(folder, secrets)?;
    }
    files::replace(&folder.settings_file(), settings::render(state, node, folder).as_bytes())
}

/// Returns whether a node has the data in `folder` open. The server holds this lock while it runs.
pub(super) fn uses_data(folder: &NodeFolder) -> bool {
    let lock = File::options().write(true).open(folder.data().join("node.lock"));
    lock.is_ok_and(|file| fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).is_err())
}

/// Starts the process of a prepared node. The process gets its own process group, so that Ctrl-C in the terminal does
/// not reach it, and none of this process's streams.
pub(super) fn spawn(
    state: &State,
    node: &NodeRecord,
    folder: &NodeFolder,
    home: &Path,
    jdk: &Jdk,
) -> Result<WaitingNode> {
    let log = File::create(folder.log()).map_err(|error| files::failed("write", &folder.log(), error))?;
    let errors = log.try_clone().map_err(|error| files::failed("write", &folder.log(), error))?;
    let mut java = Command::new(jdk.java());
    java.args([format!("-Xms{}", state.heap), format!("-Xmx{}", state.heap)]);
    // A node that runs out of memory would stay half alive. It is better if it ends and the end is detected.
    java.args(["-XX:+ExitOnOutOfMemoryError", "-XX:-UsePerfData", "--enable-native-access=ALL-UNNAMED"]);
    if jdk.shares_classes() {
        // Half of a start is class loading. The first clean end of a node writes an archive that saves later starts
        // that time. An archive that does not fit is ignored and replaced.
        let archive = home.join(format!("classes-of-java-{}.jsa", jdk.major()));
        java.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
        if state.nodes.first().is_some_and(|first| first.name == node.name) {
            java.arg("-XX:+AutoCreateSharedArchive");
        }
    }
    java.arg(property("java.io.tmpdir", &folder.temporary().to_string_lossy()));
    java.arg(property("es.path.home", &home.to_string_lossy()));
    java.arg("--class-path").arg(home.join("lib").join("*"));
    java.arg(folder.config().join(LAUNCHER_FILE)).arg(home).arg(folder.config());
    java.args(state.owner_pid.map(|pid| pid.to_string()));
    java.current_dir(folder.path()).process_group(0);
    java.stdin(Stdio::piped()).stdout(log).stderr(errors);
    let child = java.spawn().map_err(|error| files::failed("run", &jdk.java(), error))?;
    let process = NodeProcess::with_id(child.id())?;
    Ok(WaitingNode { child, process })
}

fn property(name: &str, value: &str) -> String {
    format!("-D{name}={value}")
}

impl WaitingNode {
    pub(super) fn go(mut self) -> StartedNode {
        if let Some(mut word) = self.child.stdin.take() {
            // A process that is gone cannot be signalled; the code that waits for the node detects that it ended.
            let _ = word.write_all(b"go\n");
        }
        StartedNode { child: self.child }
    }
}

impl StartedNode {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns how the process ended, if it has ended.
    pub(super) fn exit(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}
