//! The command `verify`: reads every document and opens every secret, or one object.

use std::path::PathBuf;

use serde::Serialize;

use crate::comparison::{Comparison, Earlier};
use crate::connection::Connection;
use crate::exit::Exit;
use crate::ids::ObjectName;
use crate::output::Output;
use crate::table::Table;
use crate::{progress, sight};
use saved_objects::encryption::{KEY_FILE_VARIABLE, KEY_VARIABLE, KeyRing};
use saved_objects::environment::Environment;
use saved_objects::verify::{
    IndexReport, NotOpened, ObjectVerification, Unreadable, VerificationReport, VerifiedObject, VerifiedSecret,
    Verifier,
};
use saved_objects::{Error, ErrorKind, Result};

/// How many unreadable items are named to a person; `--json` names more.
const UNREADABLE_SHOWN: usize = 20;
/// The columns that the other cells of a row leave to a digest in a narrow terminal.
const DIGEST_INDENT: usize = 12;

/// Read every document and open every secret; exit 2 if something is unreadable
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Read only this object, by TYPE/ID or `_id`
    #[arg(long, value_name = "TYPE/ID", conflicts_with = "compare_with")]
    object: Option<ObjectName>,
    /// Compute the digests with the primary key of this key file, so that they stay the same when the encryption key
    /// changes [default: the primary key that encrypts]
    #[arg(long, value_name = "FILE")]
    digest_key: Option<PathBuf>,
    /// Leave the namespaces of objects out of the digests, to compare an import into another namespace
    #[arg(long)]
    without_namespaces: bool,
    /// Compare with an earlier report of `verify --json`; exit 2 if the documents of a type differ
    #[arg(long, value_name = "FILE")]
    compare_with: Option<PathBuf>,
}

/// The document of `verify --json`.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a VerificationReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<Comparison>,
}

pub(super) async fn run(
    arguments: &Arguments,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<Exit> {
    let store = connection.store(environment)?;
    let mut verifier = store.verifier()?;
    if let Some(file) = &arguments.digest_key {
        verifier = verifier.digest_key(&KeyRing::from_file(file)?)?;
    }
    if arguments.without_namespaces {
        verifier = verifier.without_namespaces();
    }
    if let Some(name) = &arguments.object {
        return verify_object(name, &verifier, store.has_keys(), output).await;
    }
    // What cannot be compared is refused before everything is read.
    let earlier = arguments.compare_with.as_deref().map(|file| Earlier::read(file, verifier.digests())).transpose()?;
    let report = progress::watch(output, environment.clock(), verifier.progress(), verifier.verify()).await?;
    describe(&report, store.has_keys(), output);
    if report.missing.len() == report.indices.len() && report.not_visited.is_empty() && report.unseen.is_empty() {
        sight::say_nothing(&connection.prefix, output);
    }
    let comparison = earlier.map(|earlier| earlier.compare(&report));
    comparison.iter().for_each(|comparison| comparison.describe(output));
    let is_same = comparison.as_ref().is_none_or(|comparison| comparison.same);
    output.document(&Document { report: &report, comparison })?;
    Ok(if report.ok && is_same { Exit::Done } else { Exit::Blocked })
}

async fn verify_object(name: &ObjectName, verifier: &Verifier, can_open: bool, output: Output) -> Result<Exit> {
    let found = verifier.verify_object(&name.raw_ids()).await?;
    let ObjectVerification { ok, objects, quarantined, .. } = &found;
    if objects.is_empty() && quarantined.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, format!("there is no object {name}"))
            .with_hint("check the type and the id, --prefix and --types; an object outside the default namespace is named by its `_id`"));
    }
    objects.iter().for_each(|object| describe_object(object, output));
    describe_list("in quarantine", quarantined, 0, output);
    if objects.iter().any(|object| !object.readable) && !can_open {
        say_no_key(output);
    }
    output.document(&found)?;
    Ok(if *ok { Exit::Done } else { Exit::Blocked })
}

fn describe_object(object: &VerifiedObject, output: Output) {
    let VerifiedObject { index, id, type_name, registered, version, readable, digest, secrets, unreadable, .. } =
        object;
    output.say(format!("{id} in {index}: {}", if *readable { "can be read" } else { "cannot be read" }));
    let mut lines = Table::new(&[], 1);
    let mut line = |name: &str, value: String| lines.row([format!("  {name}"), value]);
    line("type", type_name.clone().unwrap_or_else(|| "none".to_owned()));
    line("version", version.clone());
    for VerifiedSecret { attribute, opens, key, reason } in secrets {
        let key = key.map(|key| format!(", under the key {key}")).unwrap_or_default();
        let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let opens = if *opens { "opens" } else { "does not open" };
        line(&format!("secret {attribute}"), format!("{opens}{key}{reason}"));
    }
    if !registered {
        line("secrets", "not opened, since the type is not registered here; see --types".to_owned());
    }
    digest.iter().for_each(|digest| line("digest", shortened(&digest.to_string(), output)));
    let is_of_secret = |attribute: &str| secrets.iter().any(|secret| secret.attribute == attribute && !secret.opens);
    for Unreadable { attribute, reason, .. } in unreadable {
        match attribute {
            Some(attribute) if is_of_secret(attribute) => {}
            Some(attribute) => line(&format!("attribute {attribute}"), reason.clone()),
            None => line("reason", reason.clone()),
        }
    }
    output.table(&lines);
}

fn describe(report: &VerificationReport, can_open: bool, output: Output) {
    for index in &report.indices {
        output.say(&index.alias);
        output.table(&table(index, output));
    }
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
        say_no_key(output);
    }
}

fn say_no_key(output: Output) {
    output.say(format!("no encryption key is configured: set {KEY_FILE_VARIABLE} or {KEY_VARIABLE}"));
}

fn table(index: &IndexReport, output: Output) -> Table {
    let mut table = Table::new(&["type", "documents", "by version", "digest"], 1);
    for of_type in &index.types {
        let versions = of_type.by_version.iter().map(|(version, documents)| format!("{documents} at {version}"));
        table.row([
            of_type.type_name.clone(),
            of_type.documents.to_string(),
            versions.collect::<Vec<_>>().join(", "),
            shortened(&of_type.digest.to_string(), output),
        ]);
    }
    table
}

/// Returns a digest, or its beginning if it does not fit a line of the terminal.
fn shortened(digest: &str, output: Output) -> String {
    match output.width() {
        Some(width) if width < digest.len() + DIGEST_INDENT => format!("{}…", digest.get(..16).unwrap_or(digest)),
        _ => digest.to_owned(),
    }
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
