use crate::Result;
use crate::cli::connection::Connection;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::cli::{progress, report};
use crate::encryption::KibanaKeys;
use crate::environment::Environment;
use crate::migrate::{Migrator, OnBad, OnUnreadable, Outcome, TakeOver};

/// Bring every index to the registered model versions
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only say what would be done
    #[arg(long)]
    plan: bool,
    /// Convert what older software wrote after the migration had ended
    #[arg(long, conflicts_with = "plan")]
    rescan: bool,
    /// Delete the documents of types that are marked as removed
    #[arg(long, conflicts_with = "plan")]
    delete_removed: bool,
    /// What is done with documents that cannot be converted: fail, quarantine or discard
    #[arg(long, value_name = "POLICY", default_value_t)]
    on_bad: OnBad,
    /// What is done with documents of which a secret that must be encrypted again does not open: fail, quarantine or strip
    #[arg(long, value_name = "POLICY", default_value_t)]
    on_unreadable: OnUnreadable,
    /// Begin a group with a copy of an index that Kibana wrote, which is write-blocked and otherwise left as it is (may be
    /// repeated). Kibana's keys are in the file that SAVED_OBJECTS_KIBANA_KEYS_FILE names
    #[arg(long, value_name = "ALIAS[=GROUP]", conflicts_with_all = ["rescan", "rollback", "drop_old"])]
    take_over: Vec<TakeOver>,
    /// Go back to the generation that the last copy was made from, if nothing was written since
    #[arg(long, conflicts_with_all = ["plan", "delete_removed"])]
    rollback: bool,
    /// Delete the generations that are kept for a rollback
    #[arg(long, conflicts_with_all = ["plan", "delete_removed", "rollback"])]
    drop_old: bool,
}

pub(super) async fn run(
    arguments: &Arguments,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<Exit> {
    let mut migrator = if arguments.take_over.is_empty() {
        connection.migrator(environment)?
    } else {
        let keys = KibanaKeys::from_env_opt()?;
        let migrator = keys.into_iter().fold(connection.migrator_of_kibana(environment)?, Migrator::kibana_keys);
        arguments.take_over.iter().cloned().fold(migrator, Migrator::take_over)
    };
    migrator = migrator.on_bad(arguments.on_bad).on_unreadable(arguments.on_unreadable);
    if arguments.delete_removed {
        migrator = migrator.delete_removed();
    }
    if arguments.rescan {
        migrator = migrator.rescan();
    }
    let report = if arguments.plan {
        migrator.describe().await
    } else if arguments.rollback {
        migrator.rollback().await
    } else if arguments.drop_old {
        migrator.drop_old().await
    } else {
        progress::watch(output, environment.clock(), migrator.progress(), migrator.migrate()).await
    };
    report::describe(&report, output);
    output.document(&report)?;
    Ok(match report.outcome {
        // Some generations were dropped, and others were not.
        Outcome::Dropped if !report.blockers.is_empty() => Exit::Blocked,
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
