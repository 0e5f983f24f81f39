use std::collections::BTreeMap;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::connection::Connection;
use super::exit::Exit;
use super::output::Output;
use super::progress;
use crate::Result;
use crate::cluster::Unseen;
use crate::encryption::KeyId;
use crate::environment::Environment;
use crate::rotation::{KeptIndex, KeyCounts, KeyStatus, Outcome, Report};
use crate::verify::Unreadable;

/// How many documents that could not be encrypted anew are named to a person; `--json` names more.
const NOT_ROTATED_SHOWN: usize = 20;

/// See which keys the secrets are encrypted with, and encrypt them with a new one
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Count the documents under each key; exit 2 if a key that is needed is not configured
    Status,
    /// Encrypt everything with the primary key that is not; exit 2 if something cannot be opened
    Rotate,
    /// Give up a key that is lost, so that nodes start without it
    Forget {
        /// The key's id, as `status` shows it
        #[arg(value_name = "ID")]
        key: KeyId,
    },
}

#[derive(Serialize)]
struct Forgotten {
    forgotten: KeyId,
}

pub(super) async fn run(
    arguments: &Arguments,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<Exit> {
    let rotation = connection.key_rotation(environment)?;
    match &arguments.command {
        Command::Status => {
            let working = rotation.status();
            let status = progress::watch(output, environment.clock(), rotation.progress(), working).await?;
            describe_status(&status, output);
            output.document(&status)?;
            Ok(if status.ok { Exit::Done } else { Exit::Blocked })
        }
        Command::Rotate => {
            let working = rotation.rotate();
            let report = progress::watch(output, environment.clock(), rotation.progress(), working).await?;
            describe_rotation(&report, output);
            output.document(&report)?;
            let is_all = report.not_rotated.is_empty() && report.unseen.is_empty();
            Ok(if is_all { Exit::Done } else { Exit::Blocked })
        }
        Command::Forget { key } => {
            rotation.forget(*key).await?;
            output.say(format!("the key {key} is given up; secrets under it do not open: see `saved-objects verify`"));
            output.document(&Forgotten { forgotten: *key })?;
            Ok(Exit::Done)
        }
    }
}

fn describe_status(status: &KeyStatus, output: Output) {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["key", "configured", "in use", "documents", "in quarantine", "in kept generations"]);
    for key in &status.keys {
        let configured = match (Some(key.id) == status.primary, key.configured) {
            (true, _) => "primary",
            (false, true) => "decryption only",
            (false, false) => "no",
        };
        let in_use = if key.in_use { "yes" } else { "no" };
        let counts = [key.documents, key.quarantined, key.kept].map(|count| count.to_string());
        table.add_row([key.id.to_string(), configured.to_owned(), in_use.to_owned()].into_iter().chain(counts));
    }
    output.say(table.to_string());
    describe_kept(&status.kept, output);
    describe_unseen(&status.unseen, output);
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

fn describe_unseen(unseen: &[String], output: Output) {
    if !unseen.is_empty() {
        let unseen = Unseen(unseen.to_vec());
        output.say(format!("{}; {}", unseen.what(), unseen.cure()));
    }
}

fn by_key(documents: &BTreeMap<KeyId, u64>) -> String {
    documents.iter().map(|(key, documents)| format!("{documents} under {key}")).collect::<Vec<_>>().join(", ")
}

fn describe_rotation(report: &Report, output: Output) {
    for Unreadable { alias, id, attribute, reason, .. } in report.not_rotated.iter().take(NOT_ROTATED_SHOWN) {
        let of_attribute = attribute.as_ref().map(|name| format!(", attribute {name}")).unwrap_or_default();
        output.say(format!("not encrypted anew: {id} in {alias}{of_attribute}: {reason}"));
    }
    let hidden = report.not_rotated.len().saturating_sub(NOT_ROTATED_SHOWN) as u64 + report.not_named;
    if hidden > 0 {
        output.say(format!("  and {hidden} more; --json names up to a hundred thousand"));
    }
    describe_kept(&report.kept, output);
    describe_unseen(&report.unseen, output);
    let primary = report.primary;
    output.say(match report.outcome {
        Outcome::NothingToDo if !report.unseen.is_empty() => {
            format!("of what is seen, whatever opens is under the key {primary}; no key is dropped")
        }
        Outcome::NothingToDo => format!("nothing to do: whatever opens is under the key {primary}"),
        Outcome::Rotated => format!(
            "{} documents, and {} in quarantine, are under the key {primary} now ({} per second)",
            report.documents.rotated, report.quarantine.rotated, report.docs_per_s
        ),
    });
    for key in &report.dropped {
        output.say(format!("nothing is under the key {key} any more: it can be removed from the configuration"));
    }
    for KeyCounts { id, documents, quarantined, kept, .. } in &report.still_needed {
        output.say(format!(
            "the key {id} is still needed: by {documents} documents, {quarantined} in quarantine, {kept} in kept generations"
        ));
    }
}
