//! The command `privileges`: the privileges that each job needs, in Elasticsearch's form. The tests run each job with
//! exactly these, and with each one removed.

use serde_json::{Value, json};

use super::exit::Exit;
use super::output::Output;
use saved_objects::cluster;
use saved_objects::layout::Prefix;
use saved_objects::migrate::TakeOver;
use saved_objects::{Error, ErrorKind, Result};

/// Print the privileges that a job needs, as the body of `PUT /_security/role/<name>`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The job
    #[arg(value_enum)]
    job: Job,
    /// Print the body of `POST /_security/api_key`
    #[arg(long)]
    api_key: bool,
    /// With `migrate`: also print the privileges that `migrate --take-over` needs on Kibana's indices
    #[arg(long, value_name = "ALIAS[=GROUP]")]
    take_over: Option<TakeOver>,
}

/// What credentials are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Job {
    /// Everything: `migrate` with all its options, a start that migrates, and the other jobs
    Migrate,
    /// A platform's start after the migration, and its reads and writes
    Run,
    /// Reading: `status`, `doctor`, `migrate --plan` when there is nothing to do, `export`, `tokens list` and `show`
    Read,
    /// An operator's work on stored objects: `verify`, `keys`, `quarantine`, `tokens`, `import`, `migrate --pause` and
    /// `--resume`, and what `read` allows
    Operate,
}

/// The privileges of a job: on the cluster, and on the indices of a prefix.
struct Privileges {
    cluster: &'static [&'static str],
    index: &'static [&'static str],
}

impl Job {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Migrate => "migrate",
            Self::Run => "run",
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }

    fn privileges(self) -> Privileges {
        match self {
            // Only `manage` can change aliases. `monitor` is for the health of indices, and for the checks of settings
            // and templates that could block a migration.
            Self::Migrate => Privileges { cluster: &["monitor"], index: &["manage", "read", "write"] },
            // `maintenance` is for refreshes: a deletion of all tokens of a user must find recent writes.
            Self::Run => Privileges { cluster: &[], index: &["maintenance", "read", "view_index_metadata", "write"] },
            Self::Read => Privileges { cluster: &[], index: &["read", "view_index_metadata"] },
            // `maintenance` is for refreshes: recent writes must be counted.
            Self::Operate => {
                Privileges { cluster: &[], index: &["maintenance", "read", "view_index_metadata", "write"] }
            }
        }
    }

    /// Returns the privileges that the job needs under a prefix.
    pub(super) fn needed(self, prefix: &Prefix) -> cluster::Privileges {
        let Privileges { cluster, index } = self.privileges();
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let indices = [(format!("{prefix}-*"), owned(index))].into();
        cluster::Privileges { cluster: owned(cluster), indices }
    }

    /// Returns the role that allows the job under a prefix.
    fn role(self, prefix: &Prefix) -> Value {
        let Privileges { cluster, index } = self.privileges();
        json!({ "cluster": cluster, "indices": [{ "names": [format!("{prefix}-*")], "privileges": index }] })
    }
}

/// Returns the privileges of a take-over on its source: it blocks writes, clones the index and reads it. Kibana's own
/// indices are restricted.
fn of_source(alias: &str) -> Value {
    json!({
        "names": [alias, format!("{alias}_*")],
        "privileges": ["manage", "read"],
        "allow_restricted_indices": true,
    })
}

pub(super) fn run(arguments: &Arguments, prefix: &Prefix, output: Output) -> Result<Exit> {
    let mut role = arguments.job.role(prefix);
    if let Some(source) = &arguments.take_over {
        if arguments.job != Job::Migrate {
            return Err(Error::new(ErrorKind::Invalid, "--take-over goes with the job migrate only")
                .with_hint("saved-objects privileges migrate --take-over ALIAS"));
        }
        if let Some(Value::Array(indices)) = role.get_mut("indices") {
            indices.push(of_source(&source.alias));
        }
    }
    let name = format!("{prefix}-{}", arguments.job.name());
    let body = match arguments.api_key {
        true => json!({ "name": name, "role_descriptors": { name.as_str(): role } }),
        false => role,
    };
    match output.is_json() {
        true => output.document(&body)?,
        false => output.say(serde_json::to_string_pretty(&body).map_err(|error| {
            Error::new(ErrorKind::Internal, "the privileges could not be written as JSON").with_source(error)
        })?),
    }
    Ok(Exit::Done)
}
