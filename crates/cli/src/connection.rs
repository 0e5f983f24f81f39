//! The options that every command with access to objects takes: the cluster, the prefix and the types.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use saved_objects::cluster::elastic::ElasticSettings;
use saved_objects::cluster::{Cluster, Elastic};
use saved_objects::encryption::KeyRing;
use saved_objects::environment::Environment;
use saved_objects::layout::Prefix;
use saved_objects::registry::{Registry, read_definitions};
use saved_objects::repository::Repository;
use saved_objects::{Error, Result, SavedObjects, SavedObjectsBuilder, tokens};

const URL_VARIABLE: &str = "SAVED_OBJECTS_ELASTICSEARCH_URL";
/// How often the first request is attempted, for each node, while no connection is made.
const ATTEMPTS_TO_REACH: u32 = 3;

/// The cluster that holds the objects, and the registered types: options of every command that reaches them.
#[derive(Clone, clap::Args)]
pub(crate) struct Connection {
    /// The URL of Elasticsearch; separate several nodes by commas [default: http://127.0.0.1:9200]. Credentials and
    /// certificates come from the environment, see docs/command-line.md
    #[arg(long, global = true, value_name = "URL", env = URL_VARIABLE, hide_env_values = true)]
    pub(crate) elasticsearch_url: Option<String>,
    /// The beginning of all index names
    #[arg(long, global = true, default_value_t)]
    pub(crate) prefix: Prefix,
    /// A folder with `mappings/` and `model_versions/`, whose types are added to the built-in ones (may be repeated)
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) types: Vec<PathBuf>,
    /// Leave out the built-in types
    #[arg(long, global = true)]
    pub(crate) only_types: bool,
    /// The types of the platform that calls [`run_with`](crate::run_with).
    #[arg(skip)]
    pub(crate) platform: Option<Arc<Registry>>,
}

impl fmt::Debug for Connection {
    /// Redacts the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.elasticsearch_url.as_deref().map(|url| ElasticSettings::new(url).shown_urls());
        f.debug_struct("Connection")
            .field("elasticsearch_url", &url)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(crate) fn registry(&self) -> Result<Arc<Registry>> {
        if let Some(platform) = &self.platform {
            if self.only_types || !self.types.is_empty() {
                return Err(Error::invalid(
                    "the types are those of the platform: `--types` and `--only-types` add and remove none",
                    "leave the options out; `check` takes them",
                ));
            }
            return Ok(Arc::clone(platform));
        }
        let mut builder = Registry::builder();
        if !self.only_types {
            builder = builder.with(tokens::types()?);
        }
        for dir in &self.types {
            let types = read_definitions(dir)?;
            if types.is_empty() {
                return Err(Error::invalid(
                    format!("there are no types in {}", dir.display()),
                    "name the folder that has `mappings/` and `model_versions/`",
                ));
            }
            builder = builder.with(types);
        }
        if self.only_types && self.types.is_empty() {
            return Err(Error::invalid(
                "there are no types: `--only-types` leaves out the built-in ones",
                "add `--types DIR`",
            ));
        }
        Ok(Arc::new(builder.build()?))
    }

    /// Returns the cluster, for benchmarks that bypass the engine.
    pub(crate) fn cluster(&self, environment: &Environment) -> Result<Arc<dyn Cluster>> {
        cluster(self.settings()?, environment)
    }

    /// Returns the settings for the cluster: those of the environment, with the URL of the option.
    pub(crate) fn settings(&self) -> Result<ElasticSettings> {
        let settings = ElasticSettings::from_env()?;
        // All users of a machine can see the arguments of its processes.
        let is_argument = |url: &String| std::env::var_os(URL_VARIABLE).is_none_or(|variable| variable != url.as_str());
        if self.elasticsearch_url.as_ref().is_some_and(|url| url.contains('@') && is_argument(url)) {
            return Err(Error::invalid(
                "the URL in the arguments names a user",
                format!("set the variable {URL_VARIABLE}, or SAVED_OBJECTS_ELASTICSEARCH_USERNAME and …_PASSWORD_FILE"),
            ));
        }
        Ok(match &self.elasticsearch_url {
            Some(url) if !url.is_empty() => settings.at(url),
            _ => settings,
        })
    }

    /// Returns the store without sending a request. The keys, if any, come from the process's environment.
    pub(crate) fn store(&self, environment: &Environment) -> Result<SavedObjects> {
        self.store_at(self.settings()?, environment)
    }

    /// Like [`store`](Self::store), but the store can reach Kibana's indices: a full distribution of Elasticsearch
    /// protects them against requests without this header.
    pub(crate) fn store_beside_kibana(&self, environment: &Environment) -> Result<SavedObjects> {
        self.store_at(self.settings()?.header("X-Elastic-Product-Origin", "kibana"), environment)
    }

    fn store_at(&self, settings: ElasticSettings, environment: &Environment) -> Result<SavedObjects> {
        let cluster = cluster(settings, environment)?;
        let builder = SavedObjects::builder(self.registry()?).cluster(cluster).prefix(self.prefix.clone());
        let builder = KeyRing::from_env_opt()?.into_iter().fold(builder, SavedObjectsBuilder::key_ring);
        builder.environment(environment.clone()).connect()
    }
}

/// Returns the cluster. A person who mistyped the URL learns it within a second.
fn cluster(settings: ElasticSettings, environment: &Environment) -> Result<Arc<dyn Cluster>> {
    let nodes = u32::try_from(settings.shown_urls().split(',').count()).unwrap_or(1);
    let builder = Elastic::builder(settings).attempts_to_reach(ATTEMPTS_TO_REACH.saturating_mul(nodes));
    Ok(Arc::new(builder.environment(environment.clone()).build()?))
}

/// Returns a repository that includes hidden types.
pub(crate) fn all_types(store: &SavedObjects) -> Result<Repository> {
    let types: Vec<&str> = store.engine().registry().types().map(|definition| definition.name()).collect();
    store.repository().including(&types)
}
