//! The command line `saved-objects`: one file a command. Its names, JSON keys and exit codes are a contract
//! (`docs/command-line.md`).
//!
//! A platform whose model versions need transforms builds a binary of its own that calls [`run_with`]; see
//! `examples/platform.rs`.

mod bench;
mod check;
mod comparison;
mod confirm;
mod connection;
mod demo;
mod dev;
mod doctor;
mod exit;
mod export;
mod ids;
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
mod sight;
mod signals;
mod status;
mod table;
mod terminal;
mod tokens;
mod verify;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser, Subcommand};

use exit::{Exit, Signal};
use output::Output;

use saved_objects::cluster::{ClusterError, ItemError, Unseen};
use saved_objects::environment::Environment;
use saved_objects::internals::LackingKeys;
use saved_objects::registry::Registry;
use saved_objects::{Error, ErrorKind, Result};

/// Typed, versioned, encrypted objects in Elasticsearch.
#[derive(Debug, Parser)]
#[command(name = "saved-objects", version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// The options that every command takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Global {
    /// Print one JSON document on standard output, and nothing else there
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    connection: connection::Connection,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Arguments),
    Check(check::Arguments),
    Demo(demo::Arguments),
    Dev(dev::Arguments),
    Doctor(doctor::Arguments),
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
    Verify(verify::Arguments),
}

/// Runs the command in the arguments of the process, with the types that its options name, and returns the exit code.
pub fn run() -> ExitCode {
    run_for(None)
}

/// Runs the command in the arguments of the process, like [`run`], with the types and transforms of a platform. The options
/// `--types` and `--only-types` are refused, except by `check`, which reads the files of definitions.
pub fn run_with(registry: Registry) -> ExitCode {
    run_for(Some(Arc::new(registry)))
}

fn run_for(platform: Option<Arc<Registry>>) -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(mut arguments) => {
            arguments.global.connection.platform = platform;
            arguments
        }
        Err(error) => {
            // Help and version are not mistakes; clap knows which stream each belongs to.
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
    let (ended, signal) = run_command(&command, &arguments.global.connection, output);
    let exit = ended.unwrap_or_else(|error| {
        output.failure(&error);
        if lacks_something(&error) { Exit::Blocked } else { Exit::Failed }
    });
    match signal {
        // The signal arrived after the command was done.
        Some(_) if exit == Exit::Done => exit.into(),
        Some(signal) => Exit::Stopped(signal).into(),
        None => exit.into(),
    }
}

/// Returns whether the command is blocked rather than failed: the credentials lack a privilege to do something or to
/// see whether something exists, or a key in use is not configured.
fn lacks_something(error: &Error) -> bool {
    let request = error.find_source::<ClusterError>().and_then(ClusterError::missing_privilege);
    let item = error.find_source::<ItemError>().and_then(ItemError::missing_privilege);
    let lacks_privilege = request.or(item).is_some() || error.find_source::<Unseen>().is_some();
    lacks_privilege || error.find_source::<LackingKeys>().is_some()
}

fn run_command(
    command: &Command,
    connection: &connection::Connection,
    output: Output,
) -> (Result<Exit>, Option<Signal>) {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let what = format!("the threads to work on cannot be started: {error}");
            return (Err(Error::new(ErrorKind::Internal, what).with_source(error)), None);
        }
    };
    let environment = Environment::system();
    let running = async {
        match command {
            Command::Bench(arguments) => bench::run(arguments, connection, &environment, output).await,
            Command::Check(arguments) => check::run(arguments, connection, output),
            Command::Demo(arguments) => demo::run(arguments, connection, &environment, output).await,
            Command::Dev(arguments) => dev::run(arguments, output).await,
            Command::Doctor(arguments) => doctor::run(arguments, connection, &environment, output).await,
            Command::Export(arguments) => export::run(arguments, connection, &environment, output).await,
            Command::Import(arguments) => import::run(arguments, connection, &environment, output).await,
            Command::Keys(arguments) => keys::run(arguments, connection, &environment, output).await,
            Command::Migrate(arguments) => migrate::run(arguments, connection, &environment, output).await,
            Command::Namespaces(arguments) => namespaces::run(arguments, connection, &environment, output).await,
            Command::Privileges(arguments) => privileges::run(arguments, &connection.prefix, output),
            Command::Quarantine(arguments) => quarantine::run(arguments, connection, &environment, output).await,
            Command::Status => status::run(connection, &environment, output).await,
            Command::Tokens(arguments) => tokens::run(arguments, connection, &environment, output).await,
            Command::Verify(arguments) => verify::run(arguments, connection, &environment, output).await,
        }
    };
    let ended = match command {
        // These commands leave nothing behind that a signal must undo.
        Command::Bench(_) | Command::Check(_) | Command::Demo(_) | Command::Dev(_) | Command::Privileges(_) => {
            (runtime.block_on(running), None)
        }
        _ => runtime.block_on(signals::run(running, environment.stop(), output)),
    };
    // A read of standard input may never end.
    runtime.shutdown_background();
    ended
}

#[cfg(test)]
mod tests {
    use super::*;
    use saved_objects::cluster::{ClusterErrorKind, ItemErrorKind};

    #[test]
    fn what_blocks_a_command_is_known_by_the_source_of_an_error() {
        let named = "action [x] is unauthorized, this action is granted by the index privileges [write,all]";
        let request = |reason| Error::from(ClusterError::new(ClusterErrorKind::Forbidden, "POST", "_bulk", reason));
        let item = |kind, reason: &str| {
            let item = ItemError { kind, reason: reason.to_owned() };
            Error::new(ErrorKind::Internal, "it was not written").with_source(item).context("one")
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
            assert_eq!(lacks_something(&error), expected, "{error:?}");
        }
    }
}
