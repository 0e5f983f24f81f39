//! What a job needs to be allowed, as Elasticsearch takes it. The tests run each job with exactly this, and with each privilege less.

use serde_json::{Value, json};

use super::exit::Exit;
use super::output::Output;
use crate::layout::Prefix;
use crate::{Error, ErrorKind, Result};

/// Print the privileges that a job needs, as the body of `PUT /_security/role/<name>`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What is to be allowed
    #[arg(value_enum)]
    job: Job,
    /// Print the body of `POST /_security/api_key`
    #[arg(long)]
    api_key: bool,
    /// With `migrate`: also what `migrate --take-over ALIAS` needs to be allowed on Kibana's indices
    #[arg(long, value_name = "ALIAS")]
    take_over: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Job {
    /// Everything: `migrate` with all its options, a start that migrates, and the other jobs
    Migrate,
    /// A platform's start after the migration, and its reads and writes
    Run,
    /// Looking: `status`, `migrate --plan` when there is nothing to do, `export`, `tokens list` and `show`
    Read,
    /// An operator's work on what is stored: `verify`, `keys`, `quarantine`, `tokens`, `import`, and what `read` allows
    Operate,
}

/// The privileges of a job: on the cluster, and on the indices of a prefix.
struct Privileges {
    cluster: &'static [&'static str],
    index: &'static [&'static str],
}

impl Job {
    fn name(self) -> &'static str {
        match self {
            Self::Migrate => "migrate",
            Self::Run => "run",
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }

    fn privileges(self) -> Privileges {
        match self {
            // Aliases are changed by `manage` only. `monitor` is for the health of indices, and for settings and templates that
            // would be in the way.
            Self::Migrate => Privileges { cluster: &["monitor"], index: &["manage", "read", "write"] },
            // `maintenance` is for refreshes: a deletion of all tokens of somebody finds what was just written.
            Self::Run => Privileges { cluster: &[], index: &["maintenance", "read", "view_index_metadata", "write"] },
            Self::Read => Privileges { cluster: &[], index: &["read", "view_index_metadata"] },
            // `maintenance` is for refreshes: what was just written is to be counted.
            Self::Operate => {
                Privileges { cluster: &[], index: &["maintenance", "read", "view_index_metadata", "write"] }
            }
        }
    }

    /// The role that allows the job under a prefix.
    fn role(self, prefix: &Prefix) -> Value {
        let Privileges { cluster, index } = self.privileges();
        json!({ "cluster": cluster, "indices": [{ "names": [format!("{prefix}-*")], "privileges": index }] })
    }
}

/// What a take-over does to its source: it blocks its writes, clones it and reads it. Kibana's own indices are restricted.
fn of_source(alias: &str) -> Value {
    json!({
        "names": [alias, format!("{alias}_*")],
        "privileges": ["manage", "read"],
        "allow_restricted_indices": true,
    })
}

pub(super) fn run(arguments: &Arguments, prefix: &Prefix, output: Output) -> Result<Exit> {
    let mut role = arguments.job.role(prefix);
    if let Some(alias) = &arguments.take_over {
        if arguments.job != Job::Migrate {
            return Err(Error::new(ErrorKind::Invalid, "--take-over goes with the job migrate only")
                .with_cure("saved-objects privileges migrate --take-over ALIAS"));
        }
        if let Some(Value::Array(indices)) = role.get_mut("indices") {
            indices.push(of_source(alias));
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
