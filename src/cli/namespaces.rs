use std::collections::BTreeMap;

use serde::Serialize;

use crate::Result;
use crate::cli::connection::Connection;
use crate::cli::exit::Exit;
use crate::cli::export::see_all_writes;
use crate::cli::output::Output;
use crate::document::NamespaceKind;
use crate::environment::Environment;
use crate::repository::NamespaceInUse;

/// List the namespaces in use, with how many objects of each type they have
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only objects of this type (may be repeated) [default: all types whose objects have namespaces]
    #[arg(long = "type", value_name = "TYPE")]
    type_names: Vec<String>,
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
    let repository = connection.repository(environment)?;
    let mut types = arguments.type_names.clone();
    if types.is_empty() {
        let registry = connection.registry()?;
        let with_namespaces = registry.types().filter(|it| it.namespace_kind() != NamespaceKind::Agnostic);
        types.extend(with_namespaces.map(|definition| definition.name().to_owned()));
    }
    let report = if types.is_empty() {
        Report { namespaces: Vec::new() }
    } else {
        see_all_writes(&repository, &types, output).await?;
        let names: Vec<&str> = types.iter().map(String::as_str).collect();
        Report::of(repository.namespaces(&names).await?)
    };
    for InUse { namespace, types } in &report.namespaces {
        let name = if namespace == "*" { "* (every namespace)" } else { namespace };
        let counts: Vec<String> =
            types.iter().map(|OfType { r#type, objects }| format!("{objects} {}", r#type)).collect();
        output.say(format!("{name}: {}", counts.join(", ")));
    }
    if report.namespaces.is_empty() {
        output.say("no namespace has objects of these types");
    }
    output.document(&report)?;
    Ok(Exit::Done)
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
