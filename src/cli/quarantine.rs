use serde::Serialize;

use super::connection::Connection;
use super::exit::Exit;
use super::output::Output;
use crate::Result;
use crate::environment::Environment;
use crate::quarantine::{Quarantine, Quarantined};

/// See, restore or delete the documents that a migration put aside
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Name the documents in quarantine, and why they are there
    List,
    /// Put documents back into their indices, as they were
    Restore(Selection),
    /// Delete documents from quarantine for good
    Drop(Selection),
}

#[derive(Debug, clap::Args)]
struct Selection {
    /// The `_id`s of the documents, as `list` shows them
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// All documents in quarantine
    #[arg(long)]
    all: bool,
}

#[derive(Serialize)]
struct Listed {
    quarantined: Vec<Quarantined>,
}

#[derive(Serialize)]
struct Dropped {
    dropped: Vec<Quarantined>,
}

pub(super) async fn run(
    arguments: &Arguments,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<Exit> {
    let quarantine = Quarantine::new(connection.cluster(environment)?, connection.prefix.clone());
    match &arguments.command {
        Command::List => {
            let quarantined = quarantine.list().await?;
            for Quarantined { alias, id, reason, since, undecided, .. } in &quarantined {
                let undecided = if *undecided { " (undecided: a user may have deleted it)" } else { "" };
                output.say(format!("{id} of {alias}, since {since}: {reason}{undecided}"));
            }
            output.say(format!("{} documents are in quarantine", quarantined.len()));
            output.document(&Listed { quarantined })?;
            Ok(Exit::Done)
        }
        Command::Restore(selection) => {
            let report = quarantine.restore(&selection.ids).await?;
            report.restored.iter().for_each(|document| output.say(format!("restored {}", document.id)));
            for refused in &report.refused {
                output.say(format!("not restored: {}: {}", refused.document.id, refused.because));
            }
            output.document(&report)?;
            let known = report.restored.iter().chain(report.refused.iter().map(|refused| &refused.document));
            let are_all_known = say_unknown(selection, known, output);
            Ok(if report.refused.is_empty() && are_all_known { Exit::Done } else { Exit::Failed })
        }
        Command::Drop(selection) => {
            let dropped = quarantine.drop(&selection.ids).await?;
            dropped.iter().for_each(|document| output.say(format!("dropped {}", document.id)));
            let are_all_known = say_unknown(selection, dropped.iter(), output);
            output.document(&Dropped { dropped })?;
            Ok(if are_all_known { Exit::Done } else { Exit::Failed })
        }
    }
}

/// Names what was asked for and is not in quarantine. False if there is such a thing.
fn say_unknown<'a>(selection: &Selection, known: impl Iterator<Item = &'a Quarantined>, output: Output) -> bool {
    let known: Vec<&str> = known.map(|document| document.id.as_str()).collect();
    let unknown: Vec<_> = selection.ids.iter().filter(|id| !known.contains(&id.as_str())).collect();
    unknown.iter().for_each(|id| output.say(format!("not in quarantine: {id}")));
    unknown.is_empty()
}
