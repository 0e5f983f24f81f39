//! The question before something is deleted that cannot be brought back.

use std::io::{IsTerminal, Write};

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::exit::Exit;
use crate::output::Output;
use crate::terminal::BARS;
use saved_objects::environment::Stop;
use saved_objects::{Error, Result};

/// The options of a command that deletes: whether it deletes at all, and whether the question is answered already.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Deletion {
    /// Delete nothing, and say what would be deleted
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Delete without being asked. Without a terminal, nothing is deleted without this option
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What must be confirmed.
#[derive(Debug)]
pub(crate) struct Question {
    /// What is deleted, as in `all documents in quarantine are deleted for good`.
    pub(crate) what: String,
    /// What to do before the command is repeated with `--yes`.
    pub(crate) hint: String,
}

/// Returns whether a question can be asked: a person is at a terminal.
pub(crate) fn can_ask(output: Output) -> bool {
    !output.is_json() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks the question on the terminal, unless `yes` answers it. Returns the exit code of the command if it must not go
/// on: wrong usage if there is no terminal to ask on, or failed if the answer is no.
pub(crate) async fn ask(question: &Question, yes: bool, stop: &Stop, output: Output) -> Result<Option<Exit>> {
    if yes {
        return Ok(None);
    }
    let Question { what, hint } = question;
    if !can_ask(output) {
        output.failure(&Error::invalid(format!("nothing is deleted without being asked twice: {what}"), hint.as_str()));
        return Ok(Some(Exit::Usage));
    }
    BARS.suspend(|| {
        let mut stderr = std::io::stderr().lock();
        let _ = write!(stderr, "{what}; go on? [y/N] ");
        let _ = stderr.flush();
    });
    // Reading must not keep a signal from ending the command.
    let mut answer = String::new();
    let mut input = BufReader::new(tokio::io::stdin());
    let read = stop.or(input.read_line(&mut answer)).await?;
    if read.is_ok() && is_yes(&answer) {
        return Ok(None);
    }
    output.say("nothing was deleted");
    Ok(Some(Exit::Failed))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        assert!(["y\n", "Y", " yes \r\n", "YES"].into_iter().all(is_yes));
        assert!(!["", "\n", "n", "no", "yes please", "yy"].into_iter().any(is_yes));
    }
}
