//! The command `migrate`: migration, plan, pause, rollback, take-over and the deletion of old generations.

use std::num::NonZeroU32;

use serde::Serialize;

use crate::confirm::{self, Question};
use crate::connection::Connection;
use crate::exit::Exit;
use crate::output::Output;
use crate::{progress, report, sight};
use saved_objects::Result;
use saved_objects::encryption::KibanaKeys;
use saved_objects::environment::Environment;
use saved_objects::migrate::{Migrator, OnBad, OnUnreadable, Outcome, Pause, Report, TakeOver};

/// The options that a pause and its end do not take.
const NOT_WITH_A_PAUSE: [&str; 9] =
    ["plan", "rescan", "delete_removed", "on_bad", "on_unreadable", "take_over", "rollback", "drop_old", "max_rate"];

/// The document that `migrate --pause` prints.
#[derive(Serialize)]
struct PausedDocument {
    paused: Pause,
}

/// The document that `migrate --resume` prints.
#[derive(Serialize)]
struct ResumedDocument {
    resumed: Option<Pause>,
}

/// Bring every index to the registered model versions
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only say what the migration would do; with --delete-removed or --drop-old, also what it would delete
    #[arg(long, visible_alias = "dry-run")]
    plan: bool,
    /// Also convert documents that older software wrote after the migration ended
    #[arg(long, conflicts_with = "plan")]
    rescan: bool,
    /// Delete the documents of types that are marked as removed
    #[arg(long)]
    delete_removed: bool,
    /// The policy for documents that cannot be converted: fail, quarantine or discard
    #[arg(long, value_name = "POLICY", default_value_t)]
    on_bad: OnBad,
    /// The policy for documents with a secret that must be encrypted again and cannot be decrypted: fail, quarantine or
    /// strip
    #[arg(long, value_name = "POLICY", default_value_t)]
    on_unreadable: OnUnreadable,
    /// Begin a group with a copy of an index that Kibana wrote; that index gets a write block and is otherwise left as
    /// it is (may be repeated). Kibana's keys are in the file that SAVED_OBJECTS_KIBANA_KEYS_FILE names
    #[arg(long, value_name = "ALIAS[=GROUP]", conflicts_with_all = ["rescan", "rollback", "drop_old"])]
    take_over: Vec<TakeOver>,
    /// Write at most so many documents a second, so that users are disturbed less. A copy has no limit: its source
    /// takes no writes until it ends
    #[arg(long, value_name = "N", conflicts_with_all = ["plan", "take_over", "rollback", "drop_old"])]
    max_rate: Option<NonZeroU32>,
    /// Pause the migrations on all nodes until `--resume`: one in place waits between two pages, a copy is undone and
    /// begins again later, and so does a start that has documents to convert
    #[arg(long, conflicts_with_all = NOT_WITH_A_PAUSE)]
    pause: bool,
    /// End a pause
    #[arg(long, conflicts_with_all = NOT_WITH_A_PAUSE, conflicts_with = "pause")]
    resume: bool,
    /// Go back to the generation that the last copy was made from, if nothing has been written since
    #[arg(long, conflicts_with_all = ["plan", "delete_removed"])]
    rollback: bool,
    /// Delete the generations that are kept for a rollback
    #[arg(long, conflicts_with_all = ["delete_removed", "rollback"])]
    drop_old: bool,
    /// With --drop-old: delete without being asked. Without a terminal, nothing is deleted without this option
    #[arg(long, requires = "drop_old")]
    yes: bool,
}

pub(super) async fn run(
    arguments: &Arguments,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<Exit> {
    let store = match arguments.take_over.is_empty() {
        true => connection.store(environment)?,
        false => connection.store_beside_kibana(environment)?,
    };
    let mut migrator = store.migrator();
    if arguments.pause {
        let paused = migrator.pause(&operator(environment)).await?;
        output.say(format!("{}; `saved-objects migrate --resume` lets them continue", paused));
        output.document(&PausedDocument { paused })?;
        return Ok(Exit::Done);
    }
    if arguments.resume {
        let resumed = migrator.resume().await?;
        output.say(match &resumed {
            Some(pause) => format!("{}: no longer; they continue", pause),
            None => "migrations were not paused".to_owned(),
        });
        output.document(&ResumedDocument { resumed })?;
        return Ok(Exit::Done);
    }
    if !arguments.take_over.is_empty() {
        migrator = KibanaKeys::from_env_opt()?.into_iter().fold(migrator, Migrator::kibana_keys);
        migrator = arguments.take_over.iter().cloned().fold(migrator, Migrator::take_over);
    }
    migrator = migrator.on_bad(arguments.on_bad).on_unreadable(arguments.on_unreadable);
    migrator = arguments.max_rate.into_iter().fold(migrator, Migrator::max_rate);
    if arguments.delete_removed {
        migrator = migrator.delete_removed();
    }
    if arguments.rescan {
        migrator = migrator.rescan();
    }
    let report = if arguments.drop_old {
        match drop_old(arguments, &migrator, environment, output).await? {
            Ok(report) => report,
            Err(exit) => return Ok(exit),
        }
    } else if arguments.plan {
        progress::watch(output, environment.clock(), migrator.progress(), migrator.describe()).await
    } else if arguments.rollback {
        migrator.rollback().await
    } else {
        progress::watch(output, environment.clock(), migrator.progress(), migrator.migrate()).await
    };
    report::describe(&report, output);
    if arguments.drop_old && report.outcome == Outcome::NothingToDo {
        // The prefix may be wrong: with another one there would be nothing to drop, either.
        let under = sight::look(&store).await?;
        sight::say_not_visited(&under.not_visited, output);
        if !under.has_indices {
            sight::say_nothing(&connection.prefix, output);
        }
    }
    output.document(&report)?;
    Ok(match report.outcome {
        // Some generations were dropped, and others were not.
        Outcome::Dropped if !report.blockers.is_empty() => Exit::Blocked,
        // The migration would fail.
        Outcome::Planned if report.error.is_some() => Exit::Blocked,
        Outcome::Migrated
        | Outcome::NothingToDo
        | Outcome::Waited
        | Outcome::Planned
        | Outcome::RolledBack
        | Outcome::Dropped => Exit::Done,
        Outcome::Blocked => Exit::Blocked,
        Outcome::Failed => Exit::Failed,
    })
}

/// Returns the user and the machine that this process runs as and on, for those who find a pause.
fn operator(environment: &Environment) -> String {
    let name = |variable: &&str| std::env::var(variable).ok().filter(|name| !name.is_empty());
    let user = ["USER", "LOGNAME"].iter().find_map(name).unwrap_or_else(|| "an operator".to_owned());
    match &environment.process().host {
        Some(host) => format!("{user} on {host}"),
        None => user,
    }
}

/// Deletes the generations that are kept, after the question whether to do so, or says which would be deleted. Returns
/// the exit code if the answer is no.
async fn drop_old(
    arguments: &Arguments,
    migrator: &Migrator,
    environment: &Environment,
    output: Output,
) -> Result<Result<Report, Exit>> {
    if arguments.plan {
        return Ok(Ok(migrator.plan_drop_old().await));
    }
    let what = if confirm::can_ask(output) && !arguments.yes {
        let report = migrator.plan_drop_old().await;
        if report.outcome != Outcome::Planned {
            return Ok(Ok(report));
        }
        format!("{} are deleted, and no rollback is possible after that", report.dropped.join(", "))
    } else {
        "the generations that are kept for a rollback are deleted".to_owned()
    };
    let hint =
        "see what is deleted by `saved-objects migrate --drop-old --dry-run`, then repeat the command with --yes";
    let question = Question { what, hint: hint.to_owned() };
    match confirm::ask(&question, arguments.yes, environment.stop(), output).await? {
        Some(exit) => Ok(Err(exit)),
        None => Ok(Ok(migrator.drop_old().await)),
    }
}
