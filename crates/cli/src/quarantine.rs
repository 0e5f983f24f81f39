//! The command `quarantine`: lists, restores and deletes documents that a migration put aside.

use serde::Serialize;

use super::connection::Connection;
use super::exit::Exit;
use super::output::Output;
use super::sight;
use saved_objects::environment::Environment;
use saved_objects::quarantine::Quarantined;
use saved_objects::{Result, SavedObjects};

/// List, restore or delete the documents that a migration put aside
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the documents in quarantine, and why they are there
    List,
    /// Move documents back into their indices, as they were
    Restore(Selection),
    /// Delete documents from quarantine for good
    Drop(Selection),
}

#[derive(Debug, clap::Args)]
struct Selection {
    /// The `_id`s of the documents, as `list` shows them
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// Select all documents in quarantine
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
    let store = connection.store(environment)?;
    let quarantine = store.quarantine();
    match &arguments.command {
        Command::List => {
            let quarantined = quarantine.list().await?;
            for Quarantined { alias, id, reason, since, undecided, .. } in &quarantined {
                let undecided = if *undecided { " (undecided: a user may have deleted it)" } else { "" };
                output.say(format!("{id} of {alias}, since {since}: {reason}{undecided}"));
            }
            output.say(format!("{} documents are in quarantine", quarantined.len()));
            if quarantined.is_empty() {
                say_if_no_index(&store, output).await?;
            }
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
            if environment.stop().is_requested() {
                output.say("it was stopped; what is not named here is where it was");
                return Ok(Exit::Failed);
            }
            let is_any_known = !report.restored.is_empty() || !report.refused.is_empty();
            let are_all_known = say_unknown(selection, known, output);
            say_if_nothing(is_any_known, &store, output).await?;
            Ok(match (are_all_known, report.refused.is_empty()) {
                (false, _) => Exit::Failed,
                (true, false) => Exit::Blocked,
                (true, true) => Exit::Done,
            })
        }
        Command::Drop(selection) => {
            let dropped = quarantine.drop(&selection.ids).await?;
            dropped.iter().for_each(|document| output.say(format!("dropped {}", document.id)));
            let are_all_known = say_unknown(selection, dropped.iter(), output);
            say_if_nothing(!dropped.is_empty(), &store, output).await?;
            output.document(&Dropped { dropped })?;
            Ok(if are_all_known { Exit::Done } else { Exit::Failed })
        }
    }
}

/// If the command found no document, says so.
async fn say_if_nothing(is_found: bool, store: &SavedObjects, output: Output) -> Result<()> {
    if is_found {
        return Ok(());
    }
    output.say("nothing was found in quarantine");
    say_if_no_index(store, output).await
}

async fn say_if_no_index(store: &SavedObjects, output: Output) -> Result<()> {
    if !sight::look(store).await?.has_indices {
        sight::say_nothing(store.engine().prefix(), output);
    }
    Ok(())
}

/// Names the requested documents that are not in quarantine. Returns whether all of them are.
fn say_unknown<'a>(selection: &Selection, known: impl Iterator<Item = &'a Quarantined>, output: Output) -> bool {
    let known: Vec<&str> = known.map(|document| document.id.as_str()).collect();
    let unknown: Vec<_> = selection.ids.iter().filter(|id| !known.contains(&id.as_str())).collect();
    unknown.iter().for_each(|id| output.say(format!("not in quarantine: {id}")));
    unknown.is_empty()
}
