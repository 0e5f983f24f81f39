//! The command `status`: what is stored, and what a migration would do.

use jiff::Timestamp;

use crate::connection::Connection;
use crate::exit::Exit;
use crate::output::Output;
use crate::table::Table;
use crate::terminal::duration;
use crate::{report, sight};
use saved_objects::Result;
use saved_objects::environment::Environment;
use saved_objects::migrate::{LeaseHolder, LeaseStatus, Status};

pub(super) async fn run(connection: &Connection, environment: &Environment, output: Output) -> Result<Exit> {
    let status = connection.store(environment)?.migrator().status().await?;
    describe(&status, environment.clock().now(), output);
    let is_seen = status.blockers.is_empty() && status.not_visited.is_empty();
    if is_seen && status.indices.iter().all(|index| !index.exists) {
        sight::say_nothing(&connection.prefix, output);
    }
    output.document(&status)?;
    Ok(if status.blockers.is_empty() { Exit::Done } else { Exit::Blocked })
}

fn describe(status: &Status, now: Timestamp, output: Output) {
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
        describe_lease(lease, now, output);
    }
    if let Some(pause) = status.paused.as_ref().filter(|_| status.blockers.is_empty()) {
        output.say(format!("{}; `saved-objects migrate --resume` lets them continue", pause));
    }
    let closed = status.indices.iter().filter_map(|index| index.closed.as_ref());
    for closed in closed.filter(|closed| !status.blockers.contains(closed)) {
        output.say(format!("{}; {}", closed.what, closed.hint));
    }
    report::describe_blockers(&status.blockers, output);
    report::describe_skipped(&status.skipped, output);
}

/// Returns which process has the lease, since when, and when it last gave a sign. Its clock may differ from this one's.
fn described_holder(holder: &LeaseHolder, is_held: bool, now: Timestamp) -> String {
    let LeaseHolder { host, process_id, since, renewed_at } = holder;
    let process = process_id.map_or("a process".to_owned(), |id| format!("the process {id}"));
    let host = host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
    let age = |time: &str| {
        let age = now.duration_since(time.parse::<Timestamp>().ok()?);
        Some(duration(u64::try_from(age.as_secs()).ok()?))
    };
    let of_lease = age(since).filter(|_| is_held).map(|age| format!(" for {age},")).unwrap_or_default();
    let of_sign = age(renewed_at).map(|age| format!(" {age} ago,")).unwrap_or_default();
    let has = if is_held { "has" } else { "had" };
    format!(
        "{process}{host} {has} the lease{of_lease} since {since}; its last sign of life was{of_sign} at {renewed_at}, by its clock"
    )
}

fn describe_lease(lease: &LeaseStatus, now: Timestamp, output: Output) {
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
    if let Some(holder) = &note.holder {
        output.say(described_holder(holder, lease.held, now));
    }
    if let Some(failure) = &note.last_failure {
        output.say(format!("the last attempt failed at {}: {}; {}", failure.at, failure.message, failure.hint));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_the_lease_is_described_with_its_age() {
        let now = "2026-01-01T12:03:05.000Z".parse().expect("a moment");
        let holder = LeaseHolder {
            host: Some("web-3".to_owned()),
            process_id: Some(7),
            since: "2026-01-01T12:00:00.000Z".to_owned(),
            renewed_at: "2026-01-01T12:03:04.000Z".to_owned(),
        };
        let unknown = LeaseHolder { host: None, process_id: None, since: "odd".to_owned(), ..holder.clone() };
        // By its clock it is later than by ours.
        let ahead = LeaseHolder { renewed_at: "2026-01-01T12:05:00.000Z".to_owned(), ..holder.clone() };
        let table = [
            (
                &holder,
                true,
                "the process 7 on web-3 has the lease for 3 min 5 s, since 2026-01-01T12:00:00.000Z; its last sign of life was 1 s ago, \
                 at 2026-01-01T12:03:04.000Z, by its clock",
            ),
            (
                &unknown,
                false,
                "a process had the lease since odd; its last sign of life was 1 s ago, at 2026-01-01T12:03:04.000Z, by its clock",
            ),
            (
                &ahead,
                true,
                "the process 7 on web-3 has the lease for 3 min 5 s, since 2026-01-01T12:00:00.000Z; its last sign of life was \
                 at 2026-01-01T12:05:00.000Z, by its clock",
            ),
        ];
        for (holder, is_held, expected) in table {
            assert_eq!(described_holder(holder, is_held, now), expected);
        }
    }
}
