use std::path::PathBuf;

use crate::cli::connection::Connection;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::document::Namespace;
use crate::environment::Environment;
use crate::repository::{Export, ExportSummary, Find, Kql, ObjectKey, SecretForm};
use crate::{Error, ErrorKind, Result};

/// Write objects as lines of JSON
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The file to write; `-` is standard output, where nothing else goes then
    #[arg(default_value = "-")]
    file: PathBuf,
    /// A type to export (may be repeated) [default: all exportable types]
    #[arg(long = "type", value_name = "TYPE")]
    type_names: Vec<String>,
    /// An object to export (may be repeated)
    #[arg(long = "object", value_name = "TYPE/ID", conflicts_with_all = ["type_names", "filter"], value_parser = object)]
    objects: Vec<ObjectKey>,
    /// Only objects that this KQL filter fits
    #[arg(long, value_name = "KQL")]
    filter: Option<Kql>,
    /// Only objects seen from this namespace (may be repeated) [default: default]
    #[arg(long = "namespace", value_name = "NAMESPACE", value_parser = namespace)]
    namespaces: Vec<Namespace>,
    /// Export what the objects refer to as well
    #[arg(long)]
    references: bool,
    /// What becomes of encrypted attributes
    #[arg(long, value_enum, default_value_t = Secrets::Strip)]
    secrets: Secrets,
    /// Needed for `--secrets clear`: whoever can read the file can read them
    #[arg(long)]
    i_know_this_prints_secrets: bool,
    /// Leave out the last line, which sums the export up
    #[arg(long)]
    no_summary: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Secrets {
    /// They are left out
    Strip,
    /// As they are stored: for a store with the same keys
    Encrypted,
    /// Decrypted
    Clear,
}

pub(super) async fn run(
    arguments: &Arguments,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<Exit> {
    if arguments.secrets == Secrets::Clear && !arguments.i_know_this_prints_secrets {
        output.failure(&Error::invalid(
            "`--secrets clear` writes secrets in the clear",
            "add --i-know-this-prints-secrets if that is meant",
        ));
        return Ok(Exit::Usage);
    }
    let repository = connection.repository(environment)?;
    let exportable = || -> Result<Vec<String>> {
        let registry = connection.registry()?;
        Ok(registry.types().filter(|it| it.exportable()).map(|it| it.name().to_owned()).collect())
    };
    let request = if arguments.objects.is_empty() {
        let types = if arguments.type_names.is_empty() { exportable()? } else { arguments.type_names.clone() };
        let find = Find::new().namespaces(arguments.namespaces.clone());
        Export::found(types, arguments.filter.iter().cloned().fold(find, Find::kql))
    } else {
        let namespace = arguments.namespaces.first().cloned().unwrap_or_default();
        Export::objects(arguments.objects.iter().cloned().map(|key| key.in_namespace(namespace.clone())))
    };
    let mut request = request.secrets(match arguments.secrets {
        Secrets::Strip => SecretForm::Strip,
        Secrets::Encrypted => SecretForm::Encrypted,
        Secrets::Clear => SecretForm::Clear,
    });
    if arguments.references {
        request = request.references();
    }
    if arguments.no_summary {
        request = request.without_summary();
    }
    let is_stdout = arguments.file.as_os_str() == "-";
    let summary = if is_stdout {
        repository.export(request, tokio::io::stdout()).await?
    } else {
        let file = tokio::fs::File::create(&arguments.file).await.map_err(|error| unwritable(arguments, error))?;
        repository.export(request, file).await?
    };
    // The file has the summary; standard output has nothing but lines.
    if !is_stdout {
        describe(&summary, output);
        output.document(&summary)?;
    }
    let is_whole = summary.excluded_objects_count == 0 && summary.missing_ref_count == 0;
    Ok(if is_whole { Exit::Done } else { Exit::Blocked })
}

fn describe(summary: &ExportSummary, output: Output) {
    for excluded in summary.excluded_objects.iter().take(20) {
        output.say(format!("not exported: {}: {}", excluded.id, excluded.reason));
    }
    for missing in summary.missing_references.iter().take(20) {
        output.say(format!("not found: {}/{}", missing.type_name, missing.id));
    }
    output.say(format!(
        "{} objects exported, {} not, {} references lead nowhere",
        summary.exported_count, summary.excluded_objects_count, summary.missing_ref_count
    ));
}

fn unwritable(arguments: &Arguments, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Invalid, format!("the file {} cannot be written: {error}", arguments.file.display()))
        .with_cure("name a file in a folder that exists")
        .with_source(error)
}

/// `TYPE/ID`.
pub(super) fn object(text: &str) -> Result<ObjectKey, String> {
    let (type_name, id) = text.split_once('/').ok_or("give a type, a slash and an id")?;
    Ok(ObjectKey::new(type_name, id))
}

pub(super) fn namespace(text: &str) -> Result<Namespace, String> {
    Namespace::new(text).map_err(|error| error.to_string())
}
