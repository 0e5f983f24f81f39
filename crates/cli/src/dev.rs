//! `dev up | down | status`: a real Elasticsearch for development and tests, from Maven Central.

use std::path::PathBuf;

use clap::Subcommand;
use saved_objects::cluster::elastic::{Credentials, ElasticSettings};
use saved_objects::{Error, ErrorKind, Result};
use saved_objects_devserver::{self as devserver, DevServer, Status, UpOptions};

use crate::exit::Exit;
use crate::output::Output;

/// The default folder of the server, relative to the current folder.
pub(super) const DEFAULT_DIR: &str = "target/elasticsearch";

/// A real Elasticsearch for development and tests, without Docker
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The folder of the server, its data and its logs
    #[arg(long, global = true, hide = true, value_name = "DIR", default_value = DEFAULT_DIR)]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server, or say where it runs
    Up(UpOptions),
    /// Stop the server; its data is kept
    Down {
        /// Delete the data too
        #[arg(long)]
        delete_data: bool,
    },
    /// Say whether the server runs, and where
    Status,
}

pub(super) async fn run(arguments: &Arguments, output: Output) -> Result<Exit> {
    let say = |line: &str| output.say(line);
    let server = DevServer::new(&arguments.dir, devserver::Output::new(&say)).map_err(failed)?;
    let (status, exit) = match &arguments.command {
        Command::Up(options) => {
            let status = server.up(options).await.map_err(failed)?;
            describe_access(&status, output);
            (status, Exit::Done)
        }
        Command::Down { delete_data } => {
            let status = server.down(*delete_data).await.map_err(failed)?;
            output.say(if *delete_data { "stopped, and its data removed" } else { "stopped" });
            (status, Exit::Done)
        }
        Command::Status => {
            let status = server.status().await.map_err(failed)?;
            describe(&status, output);
            let exit = if status.running { Exit::Done } else { Exit::Failed };
            (status, exit)
        }
    };
    output.document(&status)?;
    Ok(exit)
}

/// Prints how to connect to a server with security. Secrets are in files.
fn describe_access(status: &Status, output: Output) {
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

/// Returns the settings for connecting to the server.
pub(super) fn settings(status: &Status) -> ElasticSettings {
    let settings = ElasticSettings::new(status.url.as_deref().unwrap_or_default());
    match &status.secure {
        Some(access) => {
            settings.ca_certificates(&access.ca_cert).credentials(Credentials::api_key(access.api_key_file.clone()))
        }
        None => settings,
    }
}

/// Converts an error of the development server to the error that the command line reports.
pub(super) fn failed(error: devserver::Error) -> Error {
    let kind = match error.kind() {
        devserver::ErrorKind::Conflict => ErrorKind::Conflict,
        devserver::ErrorKind::Invalid | devserver::ErrorKind::Missing => ErrorKind::Invalid,
        devserver::ErrorKind::Forbidden => ErrorKind::Forbidden,
        devserver::ErrorKind::Unavailable => ErrorKind::Unavailable,
        devserver::ErrorKind::Incompatible => ErrorKind::Incompatible,
        devserver::ErrorKind::Corrupt => ErrorKind::Corrupt,
        _ => ErrorKind::Internal,
    };
    let reported = Error::new(kind, error.message());
    let reported = match error.hint() {
        Some(hint) => reported.with_hint(hint),
        None => reported,
    };
    reported.with_source(error)
}
