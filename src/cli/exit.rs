use std::process::ExitCode;

/// How a command ended. The numbers are part of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do, or all well: 0.
    Done,
    /// It failed: 1.
    Failed,
    /// Blocked, or something is unreadable: 2.
    Blocked,
    /// Wrong usage: 64.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::Blocked => Self::from(2),
            Exit::Usage => Self::from(64),
        }
    }
}
