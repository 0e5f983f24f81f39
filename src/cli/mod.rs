//! The command line: one file a command. Its names, JSON keys and exit codes are a contract (`docs/command-line.md`).

mod bench;
mod check;
mod connection;
mod demo;
mod dev;
mod exit;
mod export;
mod import;
mod keys;
mod logging;
mod migrate;
mod namespaces;
mod output;
mod privileges;
mod progress;
mod quarantine;
mod report;
mod seed;
mod status;
mod tokens;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use exit::Exit;
use output::Output;

use crate::cluster::{ClusterError, ItemError, Unseen};
use crate::environment::Environment;
use crate::{Error, ErrorKind, Result};

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
    #[command(flatten)]
    connection: connection::Connection,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Arguments),
    Check(check::Arguments),
    /// The main job, start to end, on a real Elasticsearch
    Demo,
    Dev(dev::Arguments),
    Export(export::Arguments),
    Import(import::Arguments),
    Keys(keys::Arguments),
    Migrate(migrate::Arguments),
    Namespaces(namespaces::Arguments),
    Privileges(privileges::Arguments),
    Quarantine(quarantine::Arguments),
    /// Say what is stored, and what a migration would do
    Status,
    Tokens(tokens::Arguments),
    /// Read every document and open every secret; exit 2 if something is unreadable
    Verify,
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
    logging::start(output);
    let exit = run_command(&command, &arguments.global.connection, output).unwrap_or_else(|error| {
        output.failure(&error);
        // What cannot be seen or done for want of a privilege is in the way, and did not fail.
        if lacks_privilege(&error) { Exit::Blocked } else { Exit::Failed }
    });
    exit.into()
}

/// Whether the credentials lack a privilege: to do something, or to see whether something is there.
fn lacks_privilege(error: &Error) -> bool {
    let request = error.find_source::<ClusterError>().and_then(ClusterError::missing_privilege);
    let item = error.find_source::<ItemError>().and_then(ItemError::missing_privilege);
    request.or(item).is_some() || error.find_source::<Unseen>().is_some()
}

fn run_command(command: &Command, connection: &connection::Connection, output: Output) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        Error::new(ErrorKind::Internal, format!("the threads to work on cannot be started: {error}")).with_source(error)
    })?;
    let environment = Environment::system();
    runtime.block_on(async {
        match command {
            Command::Bench(arguments) => bench::run(arguments, connection, &environment, output).await,
            Command::Check(arguments) => check::run(arguments, connection, output),
            Command::Demo => demo::run(connection, &environment, output).await,
            Command::Dev(arguments) => dev::run(arguments, &environment, output).await,
            Command::Export(arguments) => export::run(arguments, connection, &environment, output).await,
            Command::Import(arguments) => import::run(arguments, connection, &environment, output).await,
            Command::Keys(arguments) => keys::run(arguments, connection, &environment, output).await,
            Command::Migrate(arguments) => migrate::run(arguments, connection, &environment, output).await,
            Command::Namespaces(arguments) => namespaces::run(arguments, connection, &environment, output).await,
            Command::Privileges(arguments) => privileges::run(arguments, &connection.prefix, output),
            Command::Quarantine(arguments) => quarantine::run(arguments, connection, &environment, output).await,
            Command::Status => status::run(connection, &environment, output).await,
            Command::Tokens(arguments) => tokens::run(arguments, connection, &environment, output).await,
            Command::Verify => verify::run(connection, &environment, output).await,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{ClusterErrorKind, ItemErrorKind};

    #[test]
    fn a_missing_privilege_is_known_by_the_source_of_an_error() {
        let named = "action [x] is unauthorized, this action is granted by the index privileges [write,all]";
        let request = |reason| Error::from(ClusterError::new(ClusterErrorKind::Forbidden, "POST", "_bulk", reason));
        let item = |kind, reason: &str| {
            let item = ItemError { kind, reason: reason.to_owned() };
            item.into_error(ErrorKind::Internal, "it was not written", "try again").context("one")
        };
        let table = [
            (request(named), true),
            (request("no"), false),
            (item(ItemErrorKind::Forbidden, named), true),
            (item(ItemErrorKind::Forbidden, "no"), false),
            (item(ItemErrorKind::WriteBlocked, named), false),
            (Unseen(vec!["a-*".to_owned()]).error(), true),
            (Error::new(ErrorKind::Forbidden, named), false),
        ];
        for (error, expected) in table {
            assert_eq!(lacks_privilege(&error), expected, "{error:?}");
        }
    }
}
