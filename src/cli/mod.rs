//! The command line: one file a command. Its names, JSON keys and exit codes are a contract (`docs/command-line.md`).

mod check;
mod exit;
mod output;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use exit::Exit;
use output::Output;

use crate::Result;

/// Typed, versioned, encrypted objects in Elasticsearch.
#[derive(Debug, Parser)]
#[command(name = "saved-objects", version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Global {
    /// One JSON document on standard output, and nothing else there
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Arguments),
}

/// Runs the command line with the process's arguments and gives its exit code.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are not mistakes; clap knows on which stream each belongs.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return exit.into();
        }
    };
    let output = Output::new(arguments.global.json);
    let Some(command) = arguments.command else {
        let _ = Arguments::command().print_help();
        return Exit::Done.into();
    };
    let exit = run_command(&command, output).unwrap_or_else(|error| {
        output.failure(&error);
        Exit::Failed
    });
    exit.into()
}

fn run_command(command: &Command, output: Output) -> Result<Exit> {
    match command {
        Command::Check(arguments) => check::run(arguments, output),
    }
}
