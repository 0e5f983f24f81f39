//! The command `export`: writes objects as lines of JSON.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::connection::{Connection, all_types};
use crate::exit::Exit;
use crate::ids::ObjectName;
use crate::output::Output;
use crate::sight::{self, see_all_writes};
use saved_objects::document::Namespace;
use saved_objects::environment::Environment;
use saved_objects::repository::{Export, ExportSummary, Find, Kql, Repository, SecretForm};
use saved_objects::{Error, ErrorKind, Result, SavedObjects};

/// Write objects as lines of JSON
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The file to write; `-` is standard output, which then has nothing but the lines
    #[arg(default_value = "-")]
    file: PathBuf,
    /// A type to export (may be repeated) [default: all exportable types]
    #[arg(long = "type", value_name = "TYPE")]
    type_names: Vec<String>,
    /// An object to export, by TYPE/ID or `_id` (may be repeated)
    #[arg(long = "object", value_name = "TYPE/ID", conflicts_with_all = ["type_names", "filter"])]
    objects: Vec<ObjectName>,
    /// Export only objects that match this KQL filter
    #[arg(long, value_name = "KQL")]
    filter: Option<Kql>,
    /// Export only objects that this namespace sees (may be repeated) [default: default]
    #[arg(long = "namespace", value_name = "NAMESPACE", value_parser = namespace)]
    namespaces: Vec<Namespace>,
    /// Export the objects of all namespaces
    #[arg(long, conflicts_with_all = ["namespaces", "objects"])]
    all_namespaces: bool,
    /// Also export the objects that these refer to
    #[arg(long)]
    references: bool,
    /// How to export encrypted attributes
    #[arg(long, value_enum, default_value_t = Secrets::Strip)]
    secrets: Secrets,
    /// Required with `--secrets clear`: anyone who can read the file can read the secrets
    #[arg(long)]
    i_know_this_prints_secrets: bool,
    /// Leave out the last line, which summarizes the export
    #[arg(long)]
    no_summary: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Secrets {
    /// Leave them out
    Strip,
    /// Keep them as stored, for a store with the same keys
    Encrypted,
    /// Decrypt them
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
    let store = connection.store(environment)?;
    let repository = all_types(&store)?;
    let is_stdout = arguments.file.as_os_str() == "-";
    let words = if is_stdout { output.aside() } else { output };
    let types = if arguments.type_names.is_empty() { exportable(&store) } else { arguments.type_names.clone() };
    if arguments.objects.is_empty() && types.is_empty() {
        let error = Error::invalid(
            "no type that is registered here can be exported",
            "name the folder of the definitions with --types",
        );
        return match sight::say_what_is_not_registered(&store, words).await? {
            true => Err(error),
            false => {
                output.failure(&error);
                Ok(Exit::Blocked)
            }
        };
    }
    let request = if arguments.objects.is_empty() {
        see_all_writes(&repository, types.iter().map(String::as_str), words).await?;
        let find = match (arguments.all_namespaces, arguments.namespaces.is_empty()) {
            (true, _) => Find::new().everywhere(),
            (false, true) => Find::new(),
            (false, false) => Find::new().namespaces(arguments.namespaces.clone()),
        };
        Export::found(&types, arguments.filter.iter().cloned().fold(find, Find::kql))
    } else {
        let (registry, namespace) = (store.engine().registry(), arguments.namespaces.first());
        let keys = arguments.objects.iter().map(|name| name.key(registry, namespace));
        Export::objects(keys.collect::<Result<Vec<_>>>()?)
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
    let summary = if is_stdout {
        repository.export(request, tokio::io::stdout()).await?
    } else {
        let new = NewFile::beside(&arguments.file)?;
        let summary = repository.export(request, new.writer()?).await?;
        new.put_in_place()?;
        summary
    };
    // The file has the summary; standard output has nothing but lines.
    if !is_stdout {
        describe(&summary, output);
        output.document(&summary)?;
    }
    let mut is_whole = summary.excluded_objects_count == 0 && summary.missing_ref_count == 0;
    if arguments.objects.is_empty() && !arguments.all_namespaces {
        is_whole &= say_namespaces(&arguments.namespaces, &repository, &types, words).await;
    }
    if arguments.objects.is_empty() && arguments.type_names.is_empty() {
        is_whole &= sight::say_what_is_not_registered(&store, words).await?;
    }
    Ok(if is_whole { Exit::Done } else { Exit::Blocked })
}

fn exportable(store: &SavedObjects) -> Vec<String> {
    let types = store.engine().registry().types();
    types.filter(|it| it.exportable()).map(|it| it.name().to_owned()).collect()
}

/// Names the requested namespaces that have no objects; if no namespace was requested, names the others that have some.
/// Returns whether all requested namespaces have objects, as far as that is known.
async fn say_namespaces(named: &[Namespace], repository: &Repository, types: &[String], output: Output) -> bool {
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let Ok(in_use) = repository.namespaces(&types).await else { return true };
    let in_use: BTreeSet<String> = in_use.into_iter().map(|in_use| in_use.namespace).collect();
    let is_meant = |name: &str| match named {
        [] => name == Namespace::DEFAULT.as_str(),
        named => named.iter().any(|named| named.as_str() == name),
    };
    let is_shown = |name: &&String| !is_meant(name) && *name != "*";
    let others: Vec<&String> = in_use.iter().filter(is_shown).collect();
    let shown = others.iter().take(5).map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let (count, more) = (others.len(), if others.len() > 5 { ", …" } else { "" });
    if named.is_empty() {
        if count > 0 {
            output.say(format!(
                "objects of {count} other namespaces are not exported ({shown}{more}): use --all-namespaces or --namespace"
            ));
        }
        return true;
    }
    // Every namespace sees the objects of `*`.
    let is_empty = |name: &&Namespace| !in_use.contains(name.as_str()) && !in_use.contains("*");
    let empty: Vec<&str> = named.iter().filter(is_empty).map(Namespace::as_str).collect();
    if !empty.is_empty() {
        let there =
            if count == 0 { "there are none in any".to_owned() } else { format!("there are some in {shown}{more}") };
        output.say(format!("no objects of these types are in {}; {there}", empty.join(", ")));
    }
    empty.is_empty()
}

fn describe(summary: &ExportSummary, output: Output) {
    for excluded in summary.excluded_objects.iter().take(20) {
        output.say(format!("not exported: {}: {}", excluded.id, excluded.reason));
    }
    for missing in summary.missing_references.iter().take(20) {
        output.say(format!("not found: {}:{}", missing.type_name, missing.id));
    }
    output.say(format!(
        "{} objects exported, {} not, {} references lead nowhere",
        summary.exported_count, summary.excluded_objects_count, summary.missing_ref_count
    ));
}

/// A file that only its owner can read and that replaces another one when it is complete. Until then the old file
/// stays.
struct NewFile<'a> {
    path: &'a Path,
    file: NamedTempFile,
}

impl<'a> NewFile<'a> {
    fn beside(path: &'a Path) -> Result<Self> {
        // The new file replaces a link itself, not the link's target. If the link leads to a device or a pipe, the user
        // means that target.
        if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return Err(Error::invalid(
                format!("{} is no ordinary file", path.display()),
                "name a file, or `-` for standard output",
            ));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::Builder::new().prefix(".saved-objects-export-").tempfile_in(folder);
        Ok(Self { path, file: file.map_err(|error| unwritable(path, error))? })
    }

    fn writer(&self) -> Result<tokio::fs::File> {
        let file = self.file.as_file().try_clone().map_err(|error| unwritable(self.path, error))?;
        Ok(tokio::fs::File::from_std(file))
    }

    fn put_in_place(self) -> Result<()> {
        self.file.as_file().sync_all().map_err(|error| unwritable(self.path, error))?;
        self.file.persist(self.path).map_err(|error| unwritable(self.path, error.error))?;
        Ok(())
    }
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Invalid, format!("the file {} cannot be written: {error}", path.display()))
        .with_hint("name a file in a folder that exists and takes files")
        .with_source(error)
}

pub(super) fn namespace(text: &str) -> Result<Namespace, String> {
    Namespace::new(text).map_err(|error| error.to_string())
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn write(path: &Path, text: &str) -> Result<()> {
        let mut new = NewFile::beside(path)?;
        new.file.write_all(text.as_bytes()).map_err(|error| unwritable(path, error))?;
        new.put_in_place()
    }

    #[test]
    fn only_the_owner_reads_the_file_and_links_are_not_followed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("theirs"), "theirs").expect("written");
        fs::set_permissions(at("theirs"), fs::Permissions::from_mode(0o644)).expect("permissions set");
        symlink(at("theirs"), at("link")).expect("a link");
        fs::write(at("old"), "old").expect("written");
        for name in ["new", "old", "link"] {
            write(&at(name), "secrets").expect(name);
            let metadata = fs::symlink_metadata(at(name)).expect("it is there");
            assert!(metadata.is_file() && metadata.permissions().mode() & 0o777 == 0o600, "{name}: {metadata:?}");
            assert_eq!(fs::read_to_string(at(name)).expect("readable"), "secrets");
        }
        assert_eq!(fs::read_to_string(at("theirs")).expect("readable"), "theirs");
    }

    #[test]
    fn an_export_that_fails_leaves_what_was_there_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("old");
        fs::write(&path, "old").expect("written");
        let new = NewFile::beside(&path).expect("a new file");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "old");
        drop(new);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
        assert_eq!(fs::read_to_string(&path).expect("readable"), "old");
        for (path, why) in [(folder.path(), "no ordinary file"), (Path::new("/dev/null"), "no ordinary file")] {
            let error = write(path, "x").expect_err(why);
            assert!(error.message().contains(why), "{error}");
        }
        let error = write(&folder.path().join("none/file"), "x").expect_err("no folder");
        assert!(error.message().contains("cannot be written"), "{error}");
    }
}
