//! The command `quarantine`: lists, shows, restores and deletes documents that a migration put aside.

use serde::Serialize;

use super::confirm::{self, Deletion, Question};
use super::connection::Connection;
use super::exit::Exit;
use super::output::Output;
use super::table::Table;
use super::{ids, sight};
use saved_objects::environment::Environment;
use saved_objects::quarantine::{Quarantine, Quarantined, QuarantinedDocument};
use saved_objects::{Result, SavedObjects};

/// List, show, restore or delete the documents that a migration put aside
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the documents in quarantine, and why they are there
    List,
    /// Show one document in quarantine: why and since when it is there, its origin, and its content without secrets
    Show {
        /// The `_id` of the document, as `list` shows it, or TYPE/ID
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Move documents back into their indices, as they were
    Restore(Selection),
    /// Delete documents from quarantine for good
    Drop {
        #[command(flatten)]
        selection: Selection,
        #[command(flatten)]
        deletion: Deletion,
    },
}

#[derive(Debug, clap::Args)]
struct Selection {
    /// The `_id`s of the documents, as `list` shows them, or TYPE/ID
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
struct Shown {
    shown: Vec<QuarantinedDocument>,
}

#[derive(Serialize)]
struct Dropped {
    dry_run: bool,
    dropped: Vec<Quarantined>,
}

impl Selection {
    /// Returns the `_id`s of the selected documents; none stands for all documents.
    fn raw_ids(&self) -> Vec<String> {
        self.ids.iter().flat_map(|id| ids::raw_ids(id)).collect()
    }
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
        Command::Show { id } => {
            let shown = quarantine.show(&ids::raw_ids(id)).await?;
            shown.iter().for_each(|shown| describe(shown, output));
            let is_known = !shown.is_empty();
            if !is_known {
                output.say(format!("not in quarantine: {id}"));
                say_if_no_index(&store, output).await?;
            }
            output.document(&Shown { shown })?;
            Ok(if is_known { Exit::Done } else { Exit::Failed })
        }
        Command::Restore(selection) => {
            let report = quarantine.restore(&selection.raw_ids()).await?;
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
        Command::Drop { selection, deletion } => {
            let ids = selection.raw_ids();
            if ids.is_empty() && !deletion.dry_run && !deletion.yes {
                let what = match confirm::can_ask(output) {
                    true => {
                        format!("the {} documents in quarantine are deleted for good", quarantine.list().await?.len())
                    }
                    false => "all documents in quarantine are deleted for good".to_owned(),
                };
                let hint =
                    "see them by `saved-objects quarantine drop --all --dry-run`, then repeat the command with --yes";
                let question = Question { what, hint: hint.to_owned() };
                if let Some(exit) = confirm::ask(&question, deletion.yes, environment.stop(), output).await? {
                    return Ok(exit);
                }
            }
            let (dropped, done) = match deletion.dry_run {
                true => (listed(&quarantine, &ids).await?, "would drop"),
                false => (quarantine.drop(&ids).await?, "dropped"),
            };
            dropped.iter().for_each(|document| output.say(format!("{done} {}", document.id)));
            let are_all_known = say_unknown(selection, dropped.iter(), output);
            say_if_nothing(!dropped.is_empty(), &store, output).await?;
            output.document(&Dropped { dry_run: deletion.dry_run, dropped })?;
            Ok(if are_all_known { Exit::Done } else { Exit::Failed })
        }
    }
}

/// Returns the documents in quarantine with these `_id`s, or all.
async fn listed(quarantine: &Quarantine, ids: &[String]) -> Result<Vec<Quarantined>> {
    let mut listed = quarantine.list().await?;
    listed.retain(|document| ids.is_empty() || ids.contains(&document.id));
    Ok(listed)
}

fn describe(shown: &QuarantinedDocument, output: Output) {
    let QuarantinedDocument { document, index, seq_no, version, bytes, fields, attributes, left_out } = shown;
    let Quarantined { alias, id, type_name, reason, attribute, since, undecided } = document;
    output.say(format!("{id} of {alias}"));
    let mut lines = Table::new(&[], 1);
    let mut line = |name: &str, value: String| lines.row([format!("  {name}"), value]);
    line("reason", reason.clone());
    attribute.iter().for_each(|attribute| line("attribute", attribute.clone()));
    line("since", since.clone());
    if *undecided {
        line("undecided", "a user may have deleted it while a process that was killed moved it".to_owned());
    }
    let read_at = seq_no.map(|seq_no| format!(", read at sequence number {seq_no}")).unwrap_or_default();
    line("origin", format!("{}{read_at}", index.as_deref().unwrap_or(alias)));
    line("type", type_name.clone().unwrap_or_else(|| "none".to_owned()));
    line("version", version.clone());
    line("size", format!("{bytes} bytes"));
    fields.iter().for_each(|(name, value)| line(name, value.to_string()));
    attributes.iter().for_each(|(name, value)| line(&format!("attribute {name}"), value.to_string()));
    let left_out = left_out.iter().map(|pointer| if pointer.is_empty() { "the whole document" } else { pointer });
    let left_out: Vec<&str> = left_out.collect();
    if !left_out.is_empty() {
        line("left out", format!("{} (secrets, or values that may be some)", left_out.join(", ")));
    }
    output.table(&lines);
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
    let is_known = |id: &&String| ids::raw_ids(id).iter().any(|id| known.contains(&id.as_str()));
    let unknown: Vec<_> = selection.ids.iter().filter(|id| !is_known(id)).collect();
    unknown.iter().for_each(|id| output.say(format!("not in quarantine: {id}")));
    unknown.is_empty()
}
