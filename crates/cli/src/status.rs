//! The command `status`: what is stored, and what a migration would do.

use crate::connection::Connection;
use crate::exit::Exit;
use crate::output::Output;
use crate::table::Table;
use crate::terminal::duration;
use crate::{migrate, report, sight};
use saved_objects::Result;
use saved_objects::environment::Environment;
use saved_objects::migrate::{LeaseHolder, LeaseStatus, Status};

pub(super) async fn run(connection: &Connection, environment: &Environment, output: Output) -> Result<Exit> {
    let status = connection.store(environment)?.migrator().status().await?;
    describe(&status, output);
    let is_seen = status.blockers.is_empty() && status.not_visited.is_empty();
    if is_seen && status.indices.iter().all(|index| !index.exists) {
        sight::say_nothing(&connection.prefix, output);
    }
    output.document(&status)?;
    Ok(if status.blockers.is_empty() { Exit::Done } else { Exit::Blocked })
}

fn describe(status: &Status, output: Output) {
    let mut table = Table::new(&["index", "type", "documents by version", "registered", "a migration would"], 2);
    for index in &status.indices {
        for type_report in &index.types {
            table.row([
                index.index.clone(),
                type_report.type_name.clone(),
                report::by_version(type_report).unwrap_or_else(|| "not counted".to_owned()),
                type_report.to.map_or_else(|| "no".to_owned(), |version| format!("version {version}")),
                report::would(index.way).to_owned(),
            ]);
        }
    }
    output.table(&table);
    for kept in status.indices.iter().flat_map(|index| &index.kept) {
        let documents =
            kept.documents.map_or_else(|| "closed or blocked".to_owned(), |count| format!("with {count} documents"));
        output.say(format!("kept: {} {documents}, for `migrate --rollback`, until `migrate --drop-old`", kept.index));
    }
    for index in &status.indices {
        match index.quarantined {
            Some(0) | None => {}
            Some(quarantined) => output.say(format!(
                "in quarantine: {quarantined} documents of {}; see `saved-objects quarantine list`",
                index.alias
            )),
        }
    }
    report::describe_unregistered(&status.unregistered, output);
    sight::say_not_visited(&status.not_visited, output);
    if let Some(lease) = &status.lease {
        describe_lease(lease, output);
    }
    if let Some(pause) = status.paused.as_ref().filter(|_| status.blockers.is_empty()) {
        output.say(format!("{}; `saved-objects migrate --resume` lets them continue", migrate::since(pause)));
    }
    let closed = status.indices.iter().filter_map(|index| index.closed.as_ref());
    for closed in closed.filter(|closed| !status.blockers.contains(closed)) {
        output.say(format!("{}; {}", closed.what, closed.hint));
    }
    report::describe_blockers(&status.blockers, output);
    report::describe_skipped(&status.skipped, output);
}

fn describe_lease(lease: &LeaseStatus, output: Output) {
    let note = &lease.note;
    match (&note.progress, lease.held) {
        (Some(progress), true) => {
            let rate = progress.docs_per_s.map(|rate| format!(", {rate} a second")).unwrap_or_default();
            let left = progress.remaining_seconds().map(|left| format!(", about {} left", duration(left)));
            output.say(format!(
                "a node {} {}: {} of {} documents are written{rate}{}",
                if note.paused { "is paused in the migration of" } else { "migrates" },
                progress.alias,
                progress.written,
                progress.outdated,
                left.unwrap_or_default()
            ));
        }
        (None, true) if note.paused => output.say("a node waits for the end of the pause to migrate"),
        (None, true) => output.say("a node is about to migrate"),
        (_, false) => {}
    }
    if let Some(LeaseHolder { host, process_id, since, renewed_at }) = &note.holder {
        let process = process_id.map_or("a process".to_owned(), |id| format!("the process {id}"));
        let host = host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
        let has = if lease.held { "has the lease" } else { "had the lease" };
        output.say(format!(
            "{process}{host} {has} since {since}; its last sign of life was at {renewed_at}, by its clock"
        ));
    }
    if let Some(failure) = &note.last_failure {
        output.say(format!("the last attempt failed at {}: {}; {}", failure.at, failure.message, failure.hint));
    }
}
