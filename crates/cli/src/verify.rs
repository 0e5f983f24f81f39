//! The command `verify`: reads every document and opens every secret.

use comfy_table::{ContentArrangement, Table, presets};

use super::connection::Connection;
use super::exit::Exit;
use super::output::Output;
use super::sight;
use saved_objects::Result;
use saved_objects::encryption::{KEY_FILE_VARIABLE, KEY_VARIABLE};
use saved_objects::environment::Environment;
use saved_objects::verify::{IndexReport, NotOpened, Unreadable, VerificationReport};

/// How many unreadable items are named to a person; `--json` names more.
const UNREADABLE_SHOWN: usize = 20;

pub(super) async fn run(connection: &Connection, environment: &Environment, output: Output) -> Result<Exit> {
    let store = connection.store(environment)?;
    let report = store.verifier()?.verify().await?;
    describe(&report, store.has_keys(), output);
    if report.missing.len() == report.indices.len() && report.not_visited.is_empty() && report.unseen.is_empty() {
        sight::say_nothing(&connection.prefix, output);
    }
    output.document(&report)?;
    Ok(if report.ok { Exit::Done } else { Exit::Blocked })
}

fn describe(report: &VerificationReport, can_open: bool, output: Output) {
    report.indices.iter().for_each(|index| output.say(table(index)));
    describe_list("unreadable", &report.unreadable, report.not_listed, output);
    describe_list("in quarantine", &report.quarantined, 0, output);
    sight::say_unseen(&report.unseen, output);
    if !report.missing.is_empty() {
        output.say(format!("not there: {}", report.missing.join(", ")));
    }
    sight::say_not_visited(&report.not_visited, output);
    for NotOpened { alias, type_name, documents } in &report.not_opened {
        output.say(format!(
            "not opened: the secrets of {documents} documents of the type {type_name} in {alias}, which is not registered here; \
             name the folder of its definition with --types"
        ));
    }
    output.say(conclusion(report));
    if !report.unreadable.is_empty() && !can_open {
        output.say(format!("no encryption key is configured: set {KEY_FILE_VARIABLE} or {KEY_VARIABLE}"));
    }
}

fn table(index: &IndexReport) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["type", "documents", "by version", "digest"]);
    for of_type in &index.types {
        let versions = of_type.by_version.iter().map(|(version, documents)| format!("{documents} at {version}"));
        table.add_row([
            of_type.type_name.clone(),
            of_type.documents.to_string(),
            versions.collect::<Vec<_>>().join(", "),
            of_type.digest.to_string(),
        ]);
    }
    format!("{}\n{table}", index.alias)
}

fn describe_list(what: &str, list: &[Unreadable], not_listed: u64, output: Output) {
    for Unreadable { alias, id, attribute, reason, .. } in list.iter().take(UNREADABLE_SHOWN) {
        let of_attribute = attribute.as_ref().map(|name| format!(", attribute {name}")).unwrap_or_default();
        output.say(format!("{what}: {id} in {alias}{of_attribute}: {reason}"));
    }
    let hidden = list.len().saturating_sub(UNREADABLE_SHOWN) as u64 + not_listed;
    if hidden > 0 {
        output.say(format!("  and {hidden} more; --json lists up to a hundred thousand"));
    }
}

fn conclusion(report: &VerificationReport) -> String {
    let documents: u64 = report.indices.iter().flat_map(|index| &index.types).map(|of_type| of_type.documents).sum();
    if report.ok {
        return format!("all well: each of {documents} documents can be read, and every secret in them opens");
    }
    match report.unreadable.len() as u64 + report.not_listed {
        0 => format!(
            "not all well: each of the {documents} documents that were visited can be read, but not all was visited"
        ),
        unreadable => {
            format!("not all well: of {documents} documents, {unreadable} documents or secrets cannot be read")
        }
    }
}
