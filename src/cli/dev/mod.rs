//! `dev up | down | status`: a real Elasticsearch for development and tests, from Maven Central.

mod files;
mod health;
mod install;
mod jdk;
mod launch;
mod layout;
mod lock;
mod maven;
mod modules;
mod node;
mod options;
mod ports;
mod process;
mod secure;
mod server;
mod settings;
mod state;

use std::path::PathBuf;

use clap::Subcommand;

use crate::Result;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::environment::Environment;

pub(super) use options::UpOptions;
pub(super) use server::{DevServer, Status};

/// Where the server lives unless told otherwise, from the current folder.
pub(super) const DEFAULT_DIR: &str = "target/elasticsearch";

/// A real Elasticsearch for development and tests, without Docker
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The folder for the server, its data and its logs
    #[arg(long, global = true, hide = true, value_name = "DIR", default_value = DEFAULT_DIR)]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start it, or say where it runs
    Up(UpOptions),
    /// Stop it; its data is kept
    Down {
        /// Remove the data too
        #[arg(long)]
        delete_data: bool,
    },
    /// Say whether it runs and where
    Status,
}

pub(super) async fn run(arguments: &Arguments, environment: &Environment, output: Output) -> Result<Exit> {
    let server = DevServer::new(&arguments.dir, environment.clock(), output)?;
    let (status, exit) = match &arguments.command {
        Command::Up(options) => (server.up(options).await?, Exit::Done),
        Command::Down { delete_data } => {
            let status = server.down(*delete_data).await?;
            output.say(if *delete_data { "stopped, and its data removed" } else { "stopped" });
            (status, Exit::Done)
        }
        Command::Status => {
            let status = server.status().await?;
            describe(&status, output);
            let exit = if status.running { Exit::Done } else { Exit::Failed };
            (status, exit)
        }
    };
    output.document(&status)?;
    Ok(exit)
}

/// How to connect to a server with security. Secrets are in files.
pub(super) fn describe_access(status: &Status, output: Output) {
    let (Some(access), Some(url)) = (&status.secure, &status.url) else { return };
    output.say(format!(
        "connect to it as the user {} with the password in {}, or with an API key that may do everything:",
        access.username,
        access.password_file.display()
    ));
    access.exports(url).iter().for_each(|line| output.say(format!("  {line}")));
}

fn describe(status: &Status, output: Output) {
    let (Some(url), Some(version)) = (&status.url, &status.version) else {
        output.say("not running (`saved-objects dev up` starts it)");
        return;
    };
    if status.running {
        output.say(format!("Elasticsearch {version} at {url}"));
        describe_access(status, output);
    } else {
        output.say(format!(
            "Elasticsearch {version} at {url} is not running as it should (`saved-objects dev up` repairs it)"
        ));
    }
    for node in &status.nodes {
        let condition = match (node.pid, node.healthy) {
            (None, _) => "ended".to_owned(),
            (Some(pid), true) => format!("process {pid}, healthy"),
            (Some(pid), false) => format!("process {pid}, not answering"),
        };
        output.say(format!("  {}: port {}, {condition}", node.name, node.http_port));
    }
}
