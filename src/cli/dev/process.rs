use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::environment::Clock;
use crate::{Error, ErrorKind, Result};

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A node closes its shards within a few seconds.
const TERMINATION_PATIENCE: Duration = Duration::from_secs(15);
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// A node's process: its id, and the mark on its command line that no other process ever has. Ids are reused, after a
/// restart of the machine even soon; a process without the mark is not ours and is never touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NodeProcess {
    pub(super) pid: u32,
    pub(super) mark: String,
}

impl NodeProcess {
    /// Whether it runs. One that ended and was not yet waited for by its parent does not.
    pub(super) fn is_alive(&self) -> bool {
        command_line(self.pid).is_some_and(|line| line.contains(&self.mark))
    }

    /// Asks the process to end, makes it end if it does not, and waits until it is gone.
    pub(super) async fn stop(&self, clock: &dyn Clock) -> Result<()> {
        for (signal, patience) in [(Signal::TERM, TERMINATION_PATIENCE), (Signal::KILL, KILL_PATIENCE)] {
            if !self.is_alive() {
                return Ok(());
            }
            self.send(signal)?;
            if self.is_gone_within(patience, clock).await {
                return Ok(());
            }
        }
        Err(Error::new(ErrorKind::Internal, format!("process {} did not end when it was killed", self.pid))
            .with_cure("look at what it waits for (`ps -o stat,wchan -p PID`), often a disk that hangs"))
    }

    fn send(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let sent = pid.map_or(Ok(()), |pid| kill_process(pid, signal));
        match sent {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(Error::new(ErrorKind::Forbidden, format!("cannot stop process {}: {error}", self.pid))
                .with_cure("run the command as the user who started the server")
                .with_source(error)),
        }
    }

    async fn is_gone_within(&self, patience: Duration, clock: &dyn Clock) -> bool {
        let deadline = clock.monotonic() + patience;
        while self.is_alive() {
            if clock.monotonic() > deadline {
                return false;
            }
            clock.sleep(LOOK_EVERY).await;
        }
        true
    }
}

/// Whether any process has this id.
pub(super) fn exists(pid: u32) -> bool {
    command_line(pid).is_some()
}

/// The arguments of a process that runs; `None` if there is none.
fn command_line(pid: u32) -> Option<String> {
    let bytes = if cfg!(target_os = "linux") {
        std::fs::read(PathBuf::from(format!("/proc/{pid}/cmdline"))).ok()?
    } else {
        let arguments = ["-ww", "-o", "command=", "-p", &pid.to_string()];
        std::process::Command::new("ps").args(arguments).output().ok()?.stdout
    };
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::SystemClock;

    fn sleeper() -> std::process::Child {
        std::process::Command::new("sleep").arg("61.25").spawn().expect("sleep starts")
    }

    #[test]
    fn a_process_is_known_by_its_mark_not_by_its_id_alone() {
        let mut child = sleeper();
        let process = |mark: &str| NodeProcess { pid: child.id(), mark: mark.into() };
        let (ours, foreign) = (process("61.25"), process("another"));
        assert!(ours.is_alive());
        assert!(!foreign.is_alive());
        child.kill().expect("killed");
        child.wait().expect("gone");
        assert!(!ours.is_alive());
    }

    #[tokio::test]
    async fn stopping_leaves_a_foreign_process_alone_and_ends_ours() {
        let mut child = sleeper();
        let clock = SystemClock::start();
        NodeProcess { pid: child.id(), mark: "another".into() }.stop(&clock).await.expect("nothing to do");
        assert!(child.try_wait().expect("a state").is_none(), "the foreign process still runs");
        NodeProcess { pid: child.id(), mark: "61.25".into() }.stop(&clock).await.expect("stopped");
        assert!(!child.wait().expect("gone").success());
    }
}
