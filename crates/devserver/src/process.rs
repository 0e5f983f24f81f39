//! The process of a node: whether it runs, and how it is stopped.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A node closes its shards within a few seconds.
const TERMINATION_PATIENCE: Duration = Duration::from_secs(15);
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// A node's process: its id and its start time. The system reuses ids, soon after a restart of the machine. A process
/// with this id and another start time is not ours and is never touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NodeProcess {
    pub(super) pid: u32,
    started: String,
}

impl NodeProcess {
    /// Returns the process that has this id now.
    pub(super) fn with_id(pid: u32) -> Result<Self> {
        let observed = observe(pid).ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, format!("the operating system tells nothing about process {pid}"))
                .with_hint("the server needs /proc on Linux and the command `ps` elsewhere")
        })?;
        Ok(Self { pid, started: observed.started })
    }

    /// Returns whether the process runs. A process that has ended but that its parent has not reaped does not run.
    pub(super) fn is_alive(&self) -> bool {
        observe(self.pid).is_some_and(|observed| !observed.ended && observed.started == self.started)
    }

    /// Asks the process to end, kills it if it does not, and waits until it is gone.
    pub(super) async fn stop(&self) -> Result<()> {
        if self.end_with(Signal::TERM, TERMINATION_PATIENCE).await? {
            return Ok(());
        }
        self.kill().await
    }

    /// Kills the process and waits until it is gone.
    pub(super) async fn kill(&self) -> Result<()> {
        if self.end_with(Signal::KILL, KILL_PATIENCE).await? {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Internal, format!("process {} did not end when it was killed", self.pid))
            .with_hint("it waits for the operating system, often for a disk that hangs"))
    }

    /// Returns whether the process is gone within `patience` after the signal.
    async fn end_with(&self, signal: Signal, patience: Duration) -> Result<bool> {
        if self.is_alive() {
            self.send(signal)?;
        }
        let deadline = Instant::now() + patience;
        while self.is_alive() {
            if Instant::now() > deadline {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(true)
    }

    fn send(&self, signal: Signal) -> Result<()> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
        match kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(Error::new(ErrorKind::Forbidden, format!("cannot stop process {}: {error}", self.pid))
                .with_hint("run the command as the user who started the server")
                .with_source(error)),
        }
    }
}

/// Returns whether any process with this id runs.
pub(super) fn exists(pid: u32) -> bool {
    observe(pid).is_some_and(|observed| !observed.ended)
}

/// What the operating system reports about a process.
#[derive(Debug, PartialEq, Eq)]
struct Observed {
    /// True if the process has ended and its parent has not reaped it.
    ended: bool,
    /// Differs between two processes that have the same id one after the other.
    started: String,
}

fn observe(pid: u32) -> Option<Observed> {
    if cfg!(target_os = "linux") {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        return in_proc_stat(&stat, boot.trim());
    }
    let arguments = ["-o", "stat=,lstart=", "-p", &pid.to_string()];
    let output = std::process::Command::new("ps").args(arguments).output().ok()?;
    in_ps_line(&String::from_utf8_lossy(&output.stdout))
}

/// Parses `/proc/<pid>/stat`, proc_pid_stat(5): the third field is the state, the 20th the number of threads, the 22nd
/// the ticks from the start of the machine to that of the process. The second field is a name in parentheses that may
/// itself contain blanks and parentheses.
fn in_proc_stat(stat: &str, boot: &str) -> Option<Observed> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let (state, threads, ticks) = (fields.first()?, fields.get(17)?, fields.get(19)?);
    // The state is that of the first thread. While other threads still end, the process keeps its ports and its data.
    let ended = matches!(*state, "Z" | "X") && matches!(*threads, "0" | "1");
    Some(Observed { ended, started: format!("{boot} {ticks}") })
}

fn in_ps_line(line: &str) -> Option<Observed> {
    let (state, started) = line.trim().split_once(char::is_whitespace)?;
    Some(Observed { ended: state.starts_with('Z'), started: started.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process that runs until it is stopped or its input is closed.
    fn running() -> Child {
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts")
    }

    #[test]
    fn proc_stat_is_read() {
        let stat = |state: &str, threads: u8| {
            format!("42 (a) b) {state} 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 777 9 10")
        };
        let observed = |ended| Some(Observed { ended, started: "boot 777".into() });
        assert_eq!(in_proc_stat(&stat("S", 1), "boot"), observed(false));
        assert_eq!(in_proc_stat(&stat("Z", 1), "boot"), observed(true));
        assert_eq!(in_proc_stat(&stat("Z", 7), "boot"), observed(false));
        for garbage in ["", "42", "42 (a", "42 (a) S 1 2"] {
            assert_eq!(in_proc_stat(garbage, "boot"), None, "{garbage}");
        }
    }

    #[test]
    fn ps_lines_are_read() {
        let observed = |ended| Some(Observed { ended, started: "Mon Nov 23 23:03:00 2026".into() });
        assert_eq!(in_ps_line("Ss   Mon Nov 23 23:03:00 2026    \n"), observed(false));
        assert_eq!(in_ps_line("Z    Mon Nov 23 23:03:00 2026\n"), observed(true));
        assert_eq!(in_ps_line(""), None);
    }

    #[test]
    fn an_ended_process_is_not_alive_even_before_its_parent_looks() {
        let mut child = running();
        let process = NodeProcess::with_id(child.id()).expect("it runs");
        assert!(process.is_alive() && exists(child.id()));
        child.kill().expect("killed");
        while process.is_alive() {
            std::thread::yield_now();
        }
        assert!(NodeProcess::with_id(child.id()).is_ok(), "the operating system still knows it");
        child.wait().expect("gone");
        assert!(NodeProcess::with_id(child.id()).is_err());
    }

    #[tokio::test]
    async fn only_the_process_that_was_meant_is_stopped() {
        let mut child = running();
        let ours = NodeProcess::with_id(child.id()).expect("it runs");
        let before_it = NodeProcess { started: "at another time".into(), ..ours.clone() };
        before_it.stop().await.expect("nothing to do");
        assert!(child.try_wait().expect("a state").is_none(), "the other process still runs");
        ours.stop().await.expect("stopped");
        assert!(!child.wait().expect("gone").success());
    }
}
