//! The command `import`: reads objects from lines of JSON.

use std::path::PathBuf;

use tokio::io::AsyncSeekExt;

use crate::connection::{Connection, all_types};
use crate::exit::Exit;
use crate::export::namespace;
use crate::ids::object_of_file;
use crate::output::Output;
use crate::progress;
use saved_objects::document::Namespace;
use saved_objects::environment::Environment;
use saved_objects::repository::{Decision, Import, ImportSummary, NamedObject, ObjectKey, OnConflict, Problem};
use saved_objects::{Error, ErrorKind, Result};

/// Read objects from lines of JSON as `export` writes them; imports all of them, or none if one cannot be imported
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The file to read; `-` is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Overwrite objects that exist already
    #[arg(long, conflicts_with = "new_ids")]
    overwrite: bool,
    /// Give every object a new id
    #[arg(long)]
    new_ids: bool,
    /// Resume an interrupted import: skip objects that are stored as the file has them
    #[arg(long, conflicts_with_all = ["overwrite", "new_ids"])]
    resume: bool,
    /// Import into this namespace [default: the namespaces in the file]
    #[arg(long, value_name = "NAMESPACE", value_parser = namespace)]
    namespace: Option<Namespace>,
    /// Skip this object (may be repeated)
    #[arg(long, value_name = "TYPE/ID", value_parser = object_of_file)]
    skip: Vec<ObjectKey>,
    /// Let this object overwrite the object with its id, or with another id (may be repeated)
    #[arg(long, value_name = "TYPE/ID[=ID]", value_parser = decided)]
    replace: Vec<(ObjectKey, Option<String>)>,
    /// Give this object a new id (may be repeated)
    #[arg(long, value_name = "TYPE/ID[=ID]", value_parser = decided)]
    rename: Vec<(ObjectKey, Option<String>)>,
    /// Import nothing if an object refers to an object of this type that does not exist (may be repeated)
    #[arg(long, value_name = "TYPE")]
    require_references: Vec<String>,
    /// Allow this object to refer to objects that do not exist (may be repeated)
    #[arg(long, value_name = "TYPE/ID", value_parser = object_of_file)]
    may_miss_references: Vec<ObjectKey>,
    /// Let this object refer to another object than the file says (may be repeated)
    #[arg(long, value_name = "TYPE/ID,TYPE/ID=ID", value_parser = redirected)]
    replace_reference: Vec<(NamedObject, NamedObject, String)>,
    /// Import only the objects that --replace and --rename name
    #[arg(long)]
    only_named: bool,
    /// The maximum length of a line in bytes [default: 10 MiB]
    #[arg(long, value_name = "BYTES")]
    max_line_bytes: Option<usize>,
}

pub(super) async fn run(
    arguments: &Arguments,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<Exit> {
    let store = connection.store(environment)?;
    store.check_keys().await?;
    let repository = all_types(&store)?;
    let mut request = Import::new().on_conflict(match (arguments.overwrite, arguments.new_ids, arguments.resume) {
        (true, ..) => OnConflict::Overwrite,
        (_, true, _) => OnConflict::NewIds,
        (.., true) => OnConflict::Resume,
        _ => OnConflict::Fail,
    });
    if let Some(bytes) = arguments.max_line_bytes {
        request = request.max_line_bytes(bytes);
    }
    if let Some(namespace) = &arguments.namespace {
        request = request.namespace(namespace.clone());
    }
    for key in &arguments.skip {
        request = request.decide(&key.type_name, &key.id, Decision::Skip);
    }
    for (key, id) in &arguments.replace {
        request = request.decide(&key.type_name, &key.id, Decision::Overwrite(id.clone()));
    }
    for (key, id) in &arguments.rename {
        request = request.decide(&key.type_name, &key.id, Decision::NewId(id.clone()));
    }
    request = arguments.require_references.iter().fold(request, Import::require_references);
    for key in &arguments.may_miss_references {
        request = request.may_miss_references(named(key));
    }
    for (object, from, to) in &arguments.replace_reference {
        request = request.replace_reference(object.clone(), from.clone(), to);
    }
    // With a mistyped name, an object that the user wants to leave out would be imported.
    request = request.require_named();
    if arguments.only_named {
        request = request.only_decided();
    }
    let file = environment.stop().or(open(arguments)).await??;
    let progress = request.progress();
    let working = repository.import(request, file);
    let summary = progress::watch(output, environment.clock(), progress, working).await?;
    describe(&summary, arguments, output);
    output.document(&summary)?;
    let may_be_written = |problem: &Problem| problem.kind == "outcome_unknown";
    Ok(match summary.success {
        true => Exit::Done,
        false if summary.success_count == 0 && !summary.errors.iter().any(may_be_written) => Exit::Blocked,
        false => Exit::Failed,
    })
}

/// Opens the file. It is read twice, so standard input is kept in an unnamed temporary file.
async fn open(arguments: &Arguments) -> Result<tokio::fs::File> {
    let unreadable = |error: std::io::Error| {
        Error::new(ErrorKind::Invalid, format!("{} cannot be read: {error}", arguments.file.display()))
            .with_hint("name a file that can be read")
            .with_source(error)
    };
    if arguments.file.as_os_str() != "-" {
        return tokio::fs::File::open(&arguments.file).await.map_err(unreadable);
    }
    let mut file = tokio::fs::File::from_std(tempfile::tempfile().map_err(unreadable)?);
    tokio::io::copy(&mut tokio::io::stdin(), &mut file).await.map_err(unreadable)?;
    file.rewind().await.map_err(unreadable)?;
    Ok(file)
}

fn describe(summary: &ImportSummary, arguments: &Arguments, output: Output) {
    for problem in summary.errors.iter().take(20) {
        let line = if problem.line == 0 { String::new() } else { format!("line {}: ", problem.line) };
        output.say(format!("{line}{}: {}", problem.kind, problem.message));
        if !problem.destinations.is_empty() {
            let ids = problem.destinations.join(" or ");
            output.say(match problem.kind {
                "conflict" | "ambiguous_conflict" => format!("  it could overwrite {ids}"),
                _ => format!("  it was to become {ids}"),
            });
        }
    }
    let more = summary.errors.len().saturating_sub(20) as u64 + summary.not_listed;
    if more > 0 {
        output.say(format!("and {more} more problems"));
    }
    let is_in_the_way = |problem: &Problem| problem.kind == "conflict";
    if !arguments.resume && !arguments.new_ids && summary.errors.iter().any(is_in_the_way) {
        output.say("if an earlier import of this file was cut off, --resume passes over what it wrote");
    }
    if let Some(line) = summary.stopped_at_line {
        let hint = if arguments.overwrite || arguments.new_ids { "" } else { "; --resume goes on with it" };
        output.say(format!("stopped at line {line}: what follows was not written{hint}"));
    }
    if summary.is_complete.is_none() {
        output.say("the file has no last line that sums it up: if it should have one, it was cut");
    }
    if summary.kept_secrets_count > 0 {
        let kept = summary.kept_secrets_count;
        output.say(format!("{kept} objects keep the secrets that they had: the file has none of them"));
    }
    if arguments.resume {
        output.say(format!("{} objects were there already", summary.already_there_count));
    }
    let (written, skipped) = (summary.success_count, summary.skipped_count);
    output.say(format!("{written} objects imported, {skipped} left out"));
}

fn named(key: &ObjectKey) -> NamedObject {
    NamedObject { type_name: key.type_name.clone(), id: key.id.clone() }
}

fn redirected(text: &str) -> Result<(NamedObject, NamedObject, String), String> {
    let (referring, rest) = text.split_once(',').ok_or("give an object, a comma, and TYPE/ID=ID")?;
    let (from, to) = rest.rsplit_once('=').ok_or("say after `=` which id it is to refer to")?;
    Ok((named(&object_of_file(referring)?), named(&object_of_file(from)?), to.to_owned()))
}

fn decided(text: &str) -> Result<(ObjectKey, Option<String>), String> {
    let (key, id) = match text.split_once('=') {
        Some((key, id)) => (key, Some(id.to_owned())),
        None => (text, None),
    };
    Ok((object_of_file(key)?, id))
}
