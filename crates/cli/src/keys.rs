//! The command `keys`: which keys secrets are encrypted with, and key rotation.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::Serialize;

use super::connection::Connection;
use super::exit::Exit;
use super::output::Output;
use super::table::Table;
use super::{progress, sight};
use saved_objects::Result;
use saved_objects::encryption::KeyId;
use saved_objects::environment::{Environment, Stopped};
use saved_objects::rotation::{
    KeptIndex, KeyCounts, KeyRotation, KeyStatus, RotationOutcome, RotationProgress, RotationReport,
};
use saved_objects::verify::Unreadable;

/// How many documents that a rotation left are named to a person; `--json` names more.
const NOT_ROTATED_SHOWN: usize = 20;

/// Show which keys the secrets are encrypted with, and encrypt them with a new one
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Count the documents under each key; exit 2 if a required key is not configured
    Status,
    /// Encrypt with the primary key everything that is under another key; exit 2 if another key is still needed
    /// afterwards
    Rotate {
        /// Write at most so many documents a second, so that users are disturbed less
        #[arg(long, value_name = "N")]
        max_rate: Option<NonZeroU32>,
    },
    /// Give up a lost key, so that nodes start without it
    Forget {
        /// The key's id, as `status` shows it
        #[arg(value_name = "ID")]
        key: KeyId,
        /// Change nothing, and count the documents whose secrets would be given up
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Serialize)]
struct Forgotten {
    dry_run: bool,
    forgotten: KeyId,
    #[serde(flatten)]
    given_up: Option<GivenUp>,
}

/// The documents with secrets under a key that would be given up.
#[derive(Serialize)]
struct GivenUp {
    documents: u64,
    quarantined: u64,
    kept: u64,
}

pub(super) async fn run(
    arguments: &Arguments,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<Exit> {
    let rotation = connection.store(environment)?.key_rotation();
    match &arguments.command {
        Command::Status => {
            let working = rotation.status();
            let status = progress::watch(output, environment.clock(), rotation.progress(), working).await?;
            describe_status(&status, output);
            say_if_nothing(status.indices, connection, output);
            output.document(&status)?;
            Ok(if status.ok { Exit::Done } else { Exit::Blocked })
        }
        Command::Rotate { max_rate } => {
            let rotation = max_rate.iter().copied().fold(rotation, KeyRotation::max_rate);
            let working = rotation.rotate();
            let watching = progress::watch(output, environment.clock(), rotation.progress(), working);
            let report = watching.await.inspect_err(|error| {
                if Stopped::is_cause_of(error) {
                    let RotationProgress { index, read, documents, rotated } = rotation.progress().borrow().clone();
                    output.say(format!(
                        "{read} of {documents} documents of {index} were looked at, and {rotated} encrypted anew"
                    ));
                }
            })?;
            describe_rotation(&report, output);
            say_if_nothing(report.indices, connection, output);
            output.document(&report)?;
            let is_all = report.not_rotated.is_empty() && report.still_needed.is_empty() && report.unseen.is_empty();
            let is_all = is_all && report.indices > 0;
            Ok(if is_all { Exit::Done } else { Exit::Blocked })
        }
        Command::Forget { key, dry_run: true } => {
            let working = rotation.would_forget(*key);
            let counts = progress::watch(output, environment.clock(), rotation.progress(), working).await?;
            let KeyCounts { documents, quarantined, kept, .. } = counts;
            output.say(format!(
                "would give up the key {key}: the secrets of {documents} documents, of {quarantined} in quarantine and of {kept} in \
                 kept generations could not be opened any more"
            ));
            let given_up = Some(GivenUp { documents, quarantined, kept });
            output.document(&Forgotten { dry_run: true, forgotten: *key, given_up })?;
            Ok(Exit::Done)
        }
        Command::Forget { key, dry_run: false } => {
            rotation.forget(*key).await?;
            output.say(format!("the key {key} is given up; secrets under it do not open: see `saved-objects verify`"));
            output.document(&Forgotten { dry_run: false, forgotten: *key, given_up: None })?;
            Ok(Exit::Done)
        }
    }
}

fn describe_status(status: &KeyStatus, output: Output) {
    let header = ["key", "configured", "in use", "documents", "in quarantine", "in kept generations"];
    let mut table = Table::new(&header, 1);
    for key in &status.keys {
        let configured = match (Some(key.id) == status.primary, key.configured) {
            (true, _) => "primary",
            (false, true) => "decryption only",
            (false, false) => "no",
        };
        let in_use = if key.in_use { "yes" } else { "no" };
        let counts = [key.documents, key.quarantined, key.kept].map(|count| count.to_string());
        table.row([key.id.to_string(), configured.to_owned(), in_use.to_owned()].into_iter().chain(counts));
    }
    output.table(&table);
    describe_kept(&status.kept, output);
    sight::say_unseen(&status.unseen, output);
    if status.malformed > 0 {
        let malformed = status.malformed;
        output.say(format!("{malformed} documents have a value that is not encrypted; see `saved-objects verify`"));
    }
    let is_missing =
        |key: &&KeyCounts| !key.configured && (key.in_use || key.documents + key.quarantined + key.kept > 0);
    let missing: Vec<String> = status.keys.iter().filter(is_missing).map(|key| key.id.to_string()).collect();
    if !missing.is_empty() {
        output.say(format!("not configured, but needed: {}", missing.join(", ")));
    }
}

fn describe_kept(kept: &[KeptIndex], output: Output) {
    for KeptIndex { index, documents } in kept {
        output.say(format!(
            "kept: {index} with {}; it takes no writes, and needs these keys until `migrate --drop-old`",
            by_key(documents)
        ));
    }
}

fn say_if_nothing(indices: usize, connection: &Connection, output: Output) {
    if indices == 0 {
        sight::say_nothing(&connection.prefix, output);
    }
}

fn by_key(documents: &BTreeMap<KeyId, u64>) -> String {
    documents.iter().map(|(key, documents)| format!("{documents} under {key}")).collect::<Vec<_>>().join(", ")
}

fn describe_rotation(report: &RotationReport, output: Output) {
    for Unreadable { alias, id, attribute, reason, .. } in report.not_rotated.iter().take(NOT_ROTATED_SHOWN) {
        let of_attribute = attribute.as_ref().map(|name| format!(", attribute {name}")).unwrap_or_default();
        output.say(format!("not encrypted anew: {id} in {alias}{of_attribute}: {reason}"));
    }
    let hidden = report.not_rotated.len().saturating_sub(NOT_ROTATED_SHOWN) as u64 + report.not_named;
    if hidden > 0 {
        output.say(format!("  and {hidden} more; --json names up to a hundred thousand"));
    }
    describe_kept(&report.kept, output);
    sight::say_unseen(&report.unseen, output);
    let primary = report.primary;
    output.say(match report.outcome {
        RotationOutcome::NothingToDo if report.indices == 0 => "nothing was looked at; no key is dropped".to_owned(),
        RotationOutcome::NothingToDo if !report.unseen.is_empty() => {
            format!("of what is seen, whatever opens is under the key {primary}; no key is dropped")
        }
        RotationOutcome::NothingToDo => format!("nothing to do: whatever opens is under the key {primary}"),
        RotationOutcome::Rotated => format!(
            "{} documents, and {} in quarantine, are under the key {primary} now ({} per second)",
            report.documents.rotated, report.quarantine.rotated, report.docs_per_s
        ),
    });
    for key in &report.dropped {
        output.say(format!("nothing is under the key {key} any more: it can be removed from the configuration"));
    }
    for KeyCounts { id, documents, quarantined, kept, .. } in &report.still_needed {
        let then = if *kept > 0 { "; `migrate --drop-old` deletes those, and then rotate again" } else { "" };
        output.say(format!(
            "the key {id} is still needed: by {documents} documents, {quarantined} in quarantine, {kept} in kept generations{then}"
        ));
    }
}
