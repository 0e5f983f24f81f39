//! The exit codes of the commands.

use std::fmt;
use std::process::ExitCode;

/// The result of a command. The numbers are part of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command is done, has nothing to do, or found everything well: 0.
    Done,
    /// The command failed: 1.
    Failed,
    /// The command is blocked, or something is unreadable: 2.
    Blocked,
    /// The usage is wrong: 64.
    Usage,
    /// A signal ended the command: 130 or 143.
    Stopped(Signal),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::Blocked => Self::from(2),
            Exit::Usage => Self::from(64),
            Exit::Stopped(signal) => Self::from(signal.exit_code()),
        }
    }
}

/// A signal that ends a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C, or SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Signal {
    /// Returns the exit code of a command that the signal ended, by the convention of shells.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "Ctrl-C",
            Self::Terminate => "SIGTERM",
        })
    }
}
