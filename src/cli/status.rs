use comfy_table::{ContentArrangement, Table, presets};

use crate::Result;
use crate::cli::connection::Connection;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::cli::report;
use crate::environment::Environment;
use crate::migrate::{LeaseStatus, Status};

pub(super) async fn run(connection: &Connection, environment: &Environment, output: Output) -> Result<Exit> {
    let status = connection.migrator(environment)?.status().await?;
    describe(&status, output);
    output.document(&status)?;
    let is_at_work = status.lease.as_ref().is_some_and(|lease| lease.held);
    let is_left_closed = !is_at_work && status.indices.iter().any(|index| index.closed.is_some());
    Ok(if status.blockers.is_empty() && !is_left_closed { Exit::Done } else { Exit::Blocked })
}

fn describe(status: &Status, output: Output) {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["index", "type", "documents by version", "registered", "a migration would"]);
    for index in &status.indices {
        for type_report in &index.types {
            table.add_row([
                index.index.clone(),
                type_report.type_name.clone(),
                report::by_version(type_report),
                type_report.to.map_or_else(|| "no".to_owned(), |version| format!("version {version}")),
                report::would(index.way).to_owned(),
            ]);
        }
    }
    output.say(table.to_string());
    for kept in status.indices.iter().flat_map(|index| &index.kept) {
        let documents = kept.documents.map_or_else(|| "closed".to_owned(), |count| format!("with {count} documents"));
        output.say(format!("kept: {} {documents}, for `migrate --rollback`, until `migrate --drop-old`", kept.index));
    }
    for index in status.indices.iter().filter(|index| index.quarantined > 0) {
        output.say(format!(
            "in quarantine: {} documents of {}; see `saved-objects quarantine list`",
            index.quarantined, index.alias
        ));
    }
    report::describe_unregistered(&status.unregistered, output);
    if let Some(lease) = &status.lease {
        describe_lease(lease, output);
    }
    for closed in status.indices.iter().filter_map(|index| index.closed.as_ref()) {
        output.say(format!("{}; {}", closed.what, closed.cure));
    }
    report::describe_blockers(&status.blockers, output);
}

fn describe_lease(lease: &LeaseStatus, output: Output) {
    let note = &lease.note;
    match (&note.progress, lease.held) {
        (Some(progress), true) => output.say(format!(
            "a node migrates {}: {} of {} documents are written",
            progress.alias, progress.written, progress.outdated
        )),
        (None, true) => output.say("a node is about to migrate"),
        (_, false) => {}
    }
    if let Some(failure) = &note.last_failure {
        output.say(format!("the last attempt failed at {}: {}; {}", failure.at, failure.message, failure.cure));
    }
}
