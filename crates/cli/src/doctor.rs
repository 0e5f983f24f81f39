//! The command `doctor`: everything that stands in the way, each with its hint.

use crate::connection::Connection;
use crate::exit::Exit;
use crate::output::Output;
use crate::privileges::Job;
use saved_objects::Result;
use saved_objects::environment::Environment;
use saved_objects::migrate::{CheckName, CheckState, Diagnosis, Finding};

/// The width of the text for a person.
const WIDTH: usize = 80;
/// The width of the column of states, which `not checked` fills.
const INDENT: usize = 13;

/// Say what stands in the way of a start and of users, each with its hint; exit 2 if something does
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The job of the credentials, whose privileges are checked
    #[arg(long, value_enum, default_value = "migrate")]
    job: Job,
}

pub(super) async fn run(
    arguments: &Arguments,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<Exit> {
    let needed = arguments.job.needed(&connection.prefix);
    let diagnosis = connection.store(environment)?.migrator().diagnose(arguments.job.name(), &needed).await?;
    for finding in &diagnosis.checks {
        lines(finding).iter().for_each(|line| output.say(line));
    }
    output.say(summary(&diagnosis));
    output.document(&diagnosis)?;
    Ok(if diagnosis.ok { Exit::Done } else { Exit::Blocked })
}

/// Returns the lines about a finding: its state, the check, and what was found; then the hint.
fn lines(finding: &Finding) -> Vec<String> {
    let state = match finding.state {
        CheckState::Ok => "ok",
        CheckState::Blocked => "blocked",
        CheckState::NotChecked => "not checked",
    };
    let mut lines = wrapped(&format!("{}: {}", name(finding.check), finding.what), "");
    if !finding.hint.is_empty() {
        lines.extend(wrapped(&finding.hint, "> "));
    }
    if let Some(first) = lines.first_mut() {
        *first = format!("{state:INDENT$}{}", first.trim_start());
    }
    lines
}

fn name(check: CheckName) -> &'static str {
    match check {
        CheckName::Reachable => "reachable",
        CheckName::Version => "version",
        CheckName::Security => "security",
        CheckName::Privileges => "privileges",
        CheckName::Health => "health",
        CheckName::Closed => "closed indices",
        CheckName::Blocks => "blocks",
        CheckName::Aliases => "aliases",
        CheckName::Templates => "templates",
        CheckName::Shards => "shards",
        CheckName::Disk => "disk",
        CheckName::Fields => "fields",
        CheckName::Definitions => "definitions",
        CheckName::Generations => "generations",
        CheckName::Keys => "keys",
        CheckName::Lease => "lease",
        CheckName::Quarantine => "quarantine",
        CheckName::LateWriters => "late writers",
        CheckName::Clock => "clock",
    }
}

/// Divides a text into indented lines that begin with `mark` or as many blanks. A longer word stays whole, and so do the
/// method and the path of a request, so that they can be copied.
fn wrapped(text: &str, mark: &str) -> Vec<String> {
    let begin = |mark: &str| format!("{:INDENT$}{mark}", "");
    let mut lines = Vec::new();
    let mut line = begin(mark);
    let mut is_empty = true;
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let rest = if ["GET", "POST", "PUT", "DELETE"].contains(&word) { words.next() } else { None };
        let word = rest.map_or_else(|| word.to_owned(), |rest| format!("{word} {rest}"));
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut line, begin(&" ".repeat(mark.len()))));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(&word);
        is_empty = false;
    }
    lines.push(line);
    lines
}

fn summary(diagnosis: &Diagnosis) -> String {
    let count = |state: CheckState| diagnosis.checks.iter().filter(|finding| finding.state == state).count();
    let (blocked, not_checked) = (count(CheckState::Blocked), count(CheckState::NotChecked));
    let unknown = if not_checked == 0 { String::new() } else { format!("; {not_checked} could not be checked") };
    match blocked {
        0 => format!("nothing stands in the way{unknown}"),
        1 => format!("1 thing stands in the way{unknown}"),
        _ => format!("{blocked} things stand in the way{unknown}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_a_terminal_and_words_stay_whole() {
        let request = format!("{{\"index.blocks.{}\":null}}", "x".repeat(100));
        let finding = Finding {
            check: CheckName::Blocks,
            state: CheckState::NotChecked,
            what: "word ".repeat(40),
            hint: format!("lift it: PUT /index/_settings {request}; then start again"),
        };
        let lines = lines(&finding);
        assert!(lines[0].starts_with("not checked  blocks: word"), "{lines:?}");
        assert!(lines.iter().all(|line| line.len() <= WIDTH || line.contains(&request)), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains(&request)), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("PUT /index/_settings")), "{lines:#?}");
        assert_eq!(lines.iter().filter(|line| line.contains("> ")).count(), 1, "{lines:#?}");
    }
}
