//! The report of a migration, in words for a person.

use crate::output::Output;
use crate::sight;
use crate::terminal::duration;
use saved_objects::migrate::{
    Blocker, Fate, IndexReport, Outcome, PlanEstimate, Report, TakeOverReport, TypeReport, Unregistered, Way,
};

/// How many bad documents are named to a person; `--json` names more.
const BAD_SHOWN: usize = 20;

pub(super) fn describe(report: &Report, output: Output) {
    for index in &report.indices {
        output.say(format!("{} ({}): {}", index.alias, index.index, describe_index(index, report.outcome)));
        if let Some(source) = &index.take_over {
            describe_take_over(source, report.outcome, output);
        }
        for carried in &index.carried {
            output.say(format!("  the copy keeps what an operator gave the index: {carried}"));
        }
        for type_report in &index.types {
            let to = match type_report.to {
                Some(version) => format!("registered at version {version}"),
                None => "not registered, left as it is".to_owned(),
            };
            // A start that has nothing to do does not count documents.
            let counted = by_version(type_report).map(|counts| format!("{counts}; ")).unwrap_or_default();
            output.say(format!("  {}: {counted}{to}", type_report.type_name));
        }
    }
    for bad in report.bad.iter().take(BAD_SHOWN) {
        let fate = match (bad.fate, report.outcome) {
            (Fate::Kept, _) => "kept",
            (Fate::Quarantined, Outcome::Planned) => "would go to quarantine",
            (Fate::Quarantined, _) => "in quarantine",
            (Fate::Stripped, Outcome::Planned) => "would be stored without that secret",
            (Fate::Stripped, _) => "stored without that secret",
            (Fate::Discarded, Outcome::Planned) => "would be discarded",
            (Fate::Discarded, _) => "discarded",
        };
        output.say(format!("  bad: {} in {}: {} ({fate})", bad.id, bad.alias, bad.reason));
    }
    let hidden = report.bad_total.saturating_sub(BAD_SHOWN as u64);
    if hidden > 0 {
        output.say(format!("  and {hidden} more bad documents; --json names up to a thousand"));
    }
    if report.outcome == Outcome::Planned
        && let Some(estimate) = &report.estimate
    {
        output.say(describe_estimate(estimate));
    }
    describe_unregistered(&report.unregistered, output);
    sight::say_not_visited(&report.not_visited, output);
    describe_blockers(&report.blockers, output);
    describe_skipped(&report.skipped, output);
    output.say(match report.outcome {
        Outcome::Migrated => format!("migrated in {} ms with {} requests", report.elapsed_ms, report.requests),
        Outcome::NothingToDo => {
            format!("nothing to do (looked in {} ms with {} requests)", report.elapsed_ms, report.requests)
        }
        Outcome::RolledBack => {
            "rolled back; the newer generation is kept, write-blocked, until `migrate --drop-old`".to_owned()
        }
        Outcome::Dropped => format!("dropped {}", report.dropped.join(", ")),
        Outcome::Waited => format!("other nodes migrated; waited {} ms for them", report.elapsed_ms),
        Outcome::Planned => match (&report.error, report.dropped.is_empty()) {
            (Some(error), _) => {
                format!("this is the plan, and it would fail: {}; {}; nothing was written", error.message, error.hint)
            }
            (None, false) => format!("would delete {}; nothing was deleted", report.dropped.join(", ")),
            (None, true) => "this is the plan; nothing was written".to_owned(),
        },
        Outcome::Blocked => "blocked; nothing was written".to_owned(),
        Outcome::Failed => match &report.error {
            Some(error) => format!("failed: {}; {}", error.message, error.hint),
            None => "failed".to_owned(),
        },
    });
}

/// Returns what is known of the duration. The rate of writing is not known before something is written.
fn describe_estimate(estimate: &PlanEstimate) -> String {
    let PlanEstimate { to_convert, read, reading_ms } = estimate;
    let took = match reading_ms / 1_000 {
        0 => "less than a second".to_owned(),
        seconds => duration(seconds),
    };
    format!(
        "documents to convert: {to_convert}. To read and convert all {read} took {took} for this plan. A migration also writes, \
         at a rate that is measured while it runs: its progress, and `saved-objects status`, say how long is left"
    )
}

fn describe_take_over(source: &TakeOverReport, outcome: Outcome, output: Output) {
    let (alias, index) = (&source.alias, &source.index);
    match outcome {
        Outcome::Planned | Outcome::Blocked => output.say(format!(
            "  a take-over of {alias}: before it, stop Kibana on every node and take a snapshot of {index}, which gets a write \
             block and is otherwise left as it is. This plan opens no secret: what does not open is found by the take-over, \
             and nothing is taken over then unless --on-unreadable says so"
        )),
        Outcome::Migrated => {
            output.say(format!(
                "  taken over from {alias} ({index}), which is write-blocked and otherwise as it was. After it, see \
                 `saved-objects verify`, start the software that uses the copy, and take Kibana's keys away"
            ));
            output.say(format!("  {}", source.way_back()));
        }
        _ => {}
    }
    if source.cores > 0 {
        output.say(format!(
            "  deriving Kibana's keys took {} ms on {} cores: {:.0} % of their time in the {} ms of converting",
            source.key_derivation_ms,
            source.cores,
            source.key_derivation_share * 100.0,
            source.converting_ms
        ));
    }
}

fn describe_index(index: &IndexReport, outcome: Outcome) -> String {
    match (outcome, index.way) {
        (Outcome::Planned | Outcome::Blocked, way) => match index.documents.deleted {
            0 => would(way).to_owned(),
            deleted => format!("{}; delete {deleted} documents of removed types", would(way)),
        },
        (Outcome::RolledBack, _) => "current again".to_owned(),
        (_, Way::None) => "nothing to do".to_owned(),
        (Outcome::Failed, Way::Create) if !index.done => "not created".to_owned(),
        // Documents written to a copy that did not become current are not counted.
        (Outcome::Failed, Way::Copy) if index.documents.written == 0 => "not copied".to_owned(),
        (Outcome::Failed, Way::InPlace) if !index.done && index.documents.written == 0 => "not migrated".to_owned(),
        (_, Way::Create) => "created".to_owned(),
        (_, way @ (Way::InPlace | Way::Copy)) => {
            let documents = index.documents;
            let how = if way == Way::Copy { "copied into a new generation" } else { "converted in place" };
            let mut words = format!("{} documents {how}", documents.written);
            if index.docs_per_s > 0 {
                words += &format!(", {} a second", index.docs_per_s);
            }
            if documents.conflicts > 0 {
                words += &format!("; {} were changed by others meanwhile", documents.conflicts);
            }
            if documents.bad > 0 {
                words += &format!("; {} are bad", documents.bad);
            }
            if documents.deleted > 0 {
                words += &format!("; {} were deleted", documents.deleted);
            }
            words
        }
    }
}

pub(super) fn would(way: Way) -> &'static str {
    match way {
        Way::None => "do nothing",
        Way::Create => "create the index",
        Way::InPlace => "convert documents in place",
        Way::Copy => "copy all documents into a new generation; older software cannot go on beside it",
    }
}

/// Returns the document counts by version, if the documents were counted.
pub(super) fn by_version(type_report: &TypeReport) -> Option<String> {
    let counts = type_report.by_version.as_ref()?;
    if counts.is_empty() {
        return Some("no documents".to_owned());
    }
    let counts = counts.iter().map(|(version, documents)| format!("{documents} at version {version}"));
    Some(counts.collect::<Vec<_>>().join(", "))
}

pub(super) fn describe_skipped(skipped: &[Blocker], output: Output) {
    for skipped in skipped {
        output.say(format!("{}; {}", skipped.what, skipped.hint));
    }
}

pub(super) fn describe_unregistered(unregistered: &[Unregistered], output: Output) {
    for entry in unregistered {
        let name = entry.type_name.as_deref().unwrap_or("no type at all");
        output.say(format!("not registered: {} documents of {name}; they are left as they are", entry.documents));
    }
}

pub(super) fn describe_blockers(blockers: &[Blocker], output: Output) {
    for blocker in blockers {
        output.say(format!("blocker: {}; {}", blocker.what, blocker.hint));
    }
}
