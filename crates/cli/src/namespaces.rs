//! The command `namespaces`: lists the namespaces in use, and deletes the objects of one.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::confirm::{self, Deletion, Question};
use crate::connection::{Connection, all_types};
use crate::exit::Exit;
use crate::export::namespace;
use crate::output::Output;
use crate::sight::{self, see_all_writes};
use saved_objects::document::{Namespace, NamespaceKind};
use saved_objects::environment::Environment;
use saved_objects::repository::{DeleteNamespace, NamespaceInUse, Repository, SweepFailure};
use saved_objects::{Result, SavedObjects};

/// List the namespaces in use with the number of objects of each type, or delete the objects of one
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Count only objects of this type (may be repeated) [default: all types whose objects have namespaces]
    #[arg(long = "type", value_name = "TYPE")]
    type_names: Vec<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Delete all objects of a namespace; objects that other namespaces also see are only removed from this one
    Delete {
        /// The namespace
        #[arg(value_parser = namespace)]
        namespace: Namespace,
        #[command(flatten)]
        deletion: Deletion,
    },
}

#[derive(Serialize)]
struct Deleted<'a> {
    namespace: &'a str,
    deleted: u64,
    no_longer_seen: u64,
    failures: Vec<Failure<'a>>,
    not_listed: u64,
    complete: bool,
}

#[derive(Serialize)]
struct Failure<'a> {
    id: &'a str,
    reason: String,
}

#[derive(Serialize)]
struct Report {
    namespaces: Vec<InUse>,
}

#[derive(Serialize)]
struct InUse {
    namespace: String,
    types: Vec<OfType>,
}

#[derive(Serialize)]
struct OfType {
    r#type: String,
    objects: u64,
}

pub(super) async fn run(
    arguments: &Arguments,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<Exit> {
    let store = connection.store(environment)?;
    match &arguments.command {
        None => {}
        Some(Command::Delete { namespace, deletion }) => {
            if !deletion.yes || deletion.dry_run {
                let mut report = in_use(&[], &store, output).await?;
                report.namespaces.retain(|it| it.namespace == namespace.as_str());
                let objects = counts(report.namespaces.first().map(|it| it.types.as_slice()).unwrap_or_default());
                if deletion.dry_run {
                    output.say(format!("would delete from the namespace {namespace}: {objects}"));
                    output.document(&report)?;
                    return Ok(Exit::Done);
                }
                let question = Question {
                    what: format!("the namespace {namespace} has {objects}, which are deleted"),
                    hint: format!(
                        "check the name, and take an export of what can be exported: `saved-objects export FILE --namespace \
                         {namespace} --secrets encrypted` (objects of other types are not in it); then repeat the command with \
                         --yes"
                    ),
                };
                if let Some(exit) = confirm::ask(&question, deletion.yes, environment.stop(), output).await? {
                    return Ok(exit);
                }
            }
            store.check_keys().await?;
            return delete(namespace, &all_types(&store)?, output).await;
        }
    }
    let report = in_use(&arguments.type_names, &store, output).await?;
    for InUse { namespace, types } in &report.namespaces {
        let name = if namespace == "*" { "* (every namespace)" } else { namespace };
        output.say(format!("{name}: {}", counts(types)));
    }
    if report.namespaces.is_empty() {
        output.say("no namespace has objects of these types");
        let under = sight::look(&store).await?;
        sight::say_not_visited(&under.not_visited, output);
        if !under.has_indices {
            sight::say_nothing(&connection.prefix, output);
        }
    }
    output.document(&report)?;
    Ok(Exit::Done)
}

async fn in_use(type_names: &[String], store: &SavedObjects, output: Output) -> Result<Report> {
    let mut types = type_names.to_vec();
    if types.is_empty() {
        let with_namespaces =
            store.engine().registry().types().filter(|it| it.namespace_kind() != NamespaceKind::Agnostic);
        types.extend(with_namespaces.map(|definition| definition.name().to_owned()));
    }
    if types.is_empty() {
        return Ok(Report { namespaces: Vec::new() });
    }
    let names: Vec<&str> = types.iter().map(String::as_str).collect();
    let repository = all_types(store)?;
    see_all_writes(&repository, names.iter().copied(), output).await?;
    Ok(Report::of(repository.namespaces(&names).await?))
}

fn counts(types: &[OfType]) -> String {
    let counts: Vec<String> = types.iter().map(|OfType { r#type, objects }| format!("{objects} {}", r#type)).collect();
    if counts.is_empty() { "no objects".to_owned() } else { counts.join(", ") }
}

async fn delete(namespace: &Namespace, repository: &Repository, output: Output) -> Result<Exit> {
    let swept = repository.delete_namespace(DeleteNamespace::new(namespace.clone()).even_default()).await?;
    for SweepFailure { raw_id, error } in &swept.failures {
        output.say(format!("not deleted: {raw_id}: {error}"));
    }
    let unsettled = if swept.unsettled { "; others still write to it: repeat the command" } else { "" };
    output.say(format!(
        "{} objects deleted, {} no longer seen from {namespace}{unsettled}",
        swept.deleted, swept.updated
    ));
    output.document(&Deleted {
        namespace: namespace.as_str(),
        deleted: swept.deleted,
        no_longer_seen: swept.updated,
        failures: swept
            .failures
            .iter()
            .map(|SweepFailure { raw_id, error }| Failure { id: raw_id, reason: error.to_string() })
            .collect(),
        not_listed: swept.not_listed,
        complete: swept.is_complete(),
    })?;
    Ok(if swept.is_complete() { Exit::Done } else { Exit::Failed })
}

impl Report {
    fn of(in_use: Vec<NamespaceInUse>) -> Self {
        let mut by_name: BTreeMap<String, Vec<OfType>> = BTreeMap::new();
        for NamespaceInUse { namespace, type_name, objects } in in_use {
            by_name.entry(namespace).or_default().push(OfType { r#type: type_name, objects });
        }
        Self { namespaces: by_name.into_iter().map(|(namespace, types)| InUse { namespace, types }).collect() }
    }
}
