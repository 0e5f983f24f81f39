//! The command `tokens clean-up`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::exit::Exit;
use crate::output::Output;
use saved_objects::tokens::{CleanUp, CleanUpPolicy, CleanUpReport, ConnectorId, ProfileUid};
use saved_objects::{Error, ErrorKind, Result, SavedObjects};

/// How many records are named to a person; `--json` names more.
const SHOWN: usize = 20;

/// Delete tokens that are no longer needed, as far as the options say, and begun authorizations that have expired; exit
/// 2 if a record is unreadable, which stays
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Delete nothing, and say what would be deleted
    #[arg(long)]
    dry_run: bool,
    /// Delete tokens that expired this long ago and cannot be refreshed; needs the keys
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expired_for: Option<Duration>,
    /// Delete tokens that expired this long ago and have not been refreshed since
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    unused_for: Option<Duration>,
    /// Delete tokens that were authorized this long ago
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    older_than: Option<Duration>,
    /// Delete tokens of connectors that are not in this file, which has one id per line
    #[arg(long, value_name = "FILE")]
    known_connectors: Option<PathBuf>,
    /// Delete tokens of users that are not in this file, which has one profile uid per line
    #[arg(long, value_name = "FILE")]
    known_users: Option<PathBuf>,
    /// Keep tokens of unknown connectors and users that were written more recently than this
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1h")]
    orphaned_for: Duration,
}

pub(super) async fn run(arguments: &Arguments, store: &SavedObjects, output: Output) -> Result<Exit> {
    let clean_up = CleanUp::new(store, policy(arguments)?)?;
    super::see_all_writes(store, output).await?;
    let report = if arguments.dry_run { clean_up.dry_run() } else { clean_up }.run().await?;
    describe(&report, output);
    output.document(&report)?;
    Ok(match (report.stopped, report.unreadable_total) {
        (true, _) => Exit::Failed,
        (false, 0) => Exit::Done,
        (false, _) => Exit::Blocked,
    })
}

fn policy(arguments: &Arguments) -> Result<CleanUpPolicy> {
    let mut policy = CleanUpPolicy::new().orphaned_for(arguments.orphaned_for);
    if let Some(duration) = arguments.expired_for {
        policy = policy.expired_for(duration);
    }
    if let Some(duration) = arguments.unused_for {
        policy = policy.unused_for(duration);
    }
    if let Some(duration) = arguments.older_than {
        policy = policy.older_than(duration);
    }
    if let Some(file) = &arguments.known_connectors {
        policy = policy.known_connectors(names(file, ConnectorId::new)?);
    }
    if let Some(file) = &arguments.known_users {
        policy = policy.known_users(names(file, ProfileUid::new)?);
    }
    Ok(policy)
}

fn describe(report: &CleanUpReport, output: Output) {
    let (done, all) = if report.dry_run { ("would delete", "would be") } else { ("deleted", "were") };
    for removed in report.removed_records.iter().take(SHOWN) {
        let whose = removed.profile_uid.as_ref().map(|uid| format!(" of {uid}")).unwrap_or_default();
        let reason = removed.reason;
        output.say(format!("{done} {} for {}{whose}: {reason}", removed.id, removed.connector_id));
    }
    let hidden = report.removed_total().saturating_sub(SHOWN as u64);
    if hidden > 0 {
        output.say(format!("  and {hidden} more"));
    }
    for unreadable in report.unreadable.iter().take(SHOWN) {
        output.say(format!("unreadable, and stays: {}: {}", unreadable.id, unreadable.reason));
    }
    if report.stopped {
        output.say("it was stopped before all records were looked at");
    } else if report.examined == 0 {
        output.say("there are no tokens");
    }
    output.say(format!(
        "{} of {} records {all} deleted; {} were changed meanwhile, {} are unreadable",
        report.removed_total(),
        report.examined,
        report.changed_meanwhile,
        report.unreadable_total
    ));
}

/// Reads the names in a file, one per line. Skips empty lines and a byte order mark.
fn names<T>(file: &Path, parse: impl Fn(String) -> Result<T>) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Error::new(ErrorKind::Invalid, format!("the file {} cannot be read: {error}", file.display()))
            .with_hint("name a file of text that exists")
            .with_source(error)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).trim();
    // A list in another form would be read as names that no token has, and all tokens would be deleted.
    if text.starts_with(['[', '{', '"']) {
        return Err(Error::invalid(
            format!("the file {} seems to be JSON", file.display()),
            "write one name a line, without quotation marks",
        ));
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| parse(line.to_owned()).map_err(|error| error.context(file.display()))).collect()
}

/// Parses a number and its unit: `90d`, `12h`, `30m`, `10s`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give a number and a unit: 90d, 12h, 30m or 10s".to_owned();
    let number = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let seconds: u64 = match text.get(number.len()..) {
        Some("d") => 86_400,
        Some("h") => 3_600,
        Some("m") => 60,
        Some("s") => 1,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        let table = [("90d", 7_776_000), ("12h", 43_200), ("30m", 1_800), ("10s", 10), ("0d", 0)];
        for (text, seconds) in table {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "d", "90", "90 d", "-1d", "1.5h", "1w", "90dd", "99999999999999999999d", "999999999999999999d", "ü"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
