use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cluster::elastic::ElasticSettings;
use crate::cluster::{Cluster, Elastic};
use crate::encryption::{EncryptionService, KeyRing};
use crate::environment::Environment;
use crate::layout::Prefix;
use crate::migrate::Migrator;
use crate::registry::{Registry, read_definitions};
use crate::repository::Repository;
use crate::rotation::KeyRotation;
use crate::{Error, Result, tokens};

const URL_VARIABLE: &str = "SAVED_OBJECTS_ELASTICSEARCH_URL";

/// Where the objects are and which types there are: what every command that reaches them takes.
#[derive(Clone, clap::Args)]
pub(crate) struct Connection {
    /// Where Elasticsearch is; several nodes are separated by commas [default: http://127.0.0.1:9200]. Credentials and
    /// certificates come from the environment, see docs/command-line.md
    #[arg(long, global = true, value_name = "URL", env = URL_VARIABLE, hide_env_values = true)]
    pub(crate) elasticsearch_url: Option<String>,
    /// What the names of all indices begin with
    #[arg(long, global = true, default_value_t)]
    pub(crate) prefix: Prefix,
    /// A folder with `mappings/` and `model_versions/`: its types are added to the built-in ones (may be repeated)
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) types: Vec<PathBuf>,
    /// Leave out the built-in types
    #[arg(long, global = true)]
    pub(crate) only_types: bool,
}

impl fmt::Debug for Connection {
    /// The URL may hold a password.
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
        let mut builder = Registry::builder();
        if !self.only_types {
            builder = builder.with(tokens::types()?);
        }
        for dir in &self.types {
            builder = builder.with(read_definitions(dir)?);
        }
        Ok(Arc::new(builder.build()?))
    }

    pub(crate) fn cluster(&self, environment: &Environment) -> Result<Arc<dyn Cluster>> {
        Ok(Arc::new(Elastic::builder(self.settings()?).environment(environment.clone()).build()?))
    }

    /// How to reach the cluster: as the environment says, at the URL that was given.
    pub(crate) fn settings(&self) -> Result<ElasticSettings> {
        let settings = ElasticSettings::from_env()?;
        // All users of a machine see the arguments of its processes.
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

    /// A repository that reaches hidden types too, with the keys of the process's environment, if there are any.
    pub(crate) fn repository(&self, environment: &Environment) -> Result<Repository> {
        let encryption = EncryptionService::new(KeyRing::from_env_opt()?, environment.clone());
        let (cluster, registry) = (self.cluster(environment)?, self.registry()?);
        let hidden: Vec<&str> = registry.types().map(|definition| definition.name()).collect();
        let prefix = self.prefix.clone();
        Repository::new(cluster, registry.clone(), prefix, encryption, environment.clone()).including(&hidden)
    }

    /// A repository to write with, without a start. As a start is, it is refused if the keys lack one that is in use.
    pub(crate) async fn writing_repository(&self, environment: &Environment) -> Result<Repository> {
        let repository = self.repository(environment)?;
        let ring = KeyRing::from_env_opt()?;
        match repository.keys().lacking(ring.as_ref(), self.registry()?.as_ref()).await? {
            Some(lacking) => Err(lacking.refusal("nothing is written")),
            None => Ok(repository),
        }
    }

    /// A rotation with the keys of the process's environment, if there are any: counting needs none.
    pub(crate) fn key_rotation(&self, environment: &Environment) -> Result<KeyRotation> {
        let encryption = EncryptionService::new(KeyRing::from_env_opt()?, environment.clone());
        let (cluster, registry) = (self.cluster(environment)?, self.registry()?);
        Ok(KeyRotation::new(cluster, registry, self.prefix.clone(), encryption, environment.clone()))
    }

    /// A migrator with the keys of the process's environment, if there are any: only documents that must be encrypted anew
    /// need them.
    pub(crate) fn migrator(&self, environment: &Environment) -> Result<Migrator> {
        self.migrator_of(self.cluster(environment)?, environment)
    }

    /// As [`migrator`](Self::migrator), one that reaches Kibana's indices: a full distribution of Elasticsearch guards them
    /// against everybody who does not say this.
    pub(crate) fn migrator_of_kibana(&self, environment: &Environment) -> Result<Migrator> {
        let settings = self.settings()?.header("X-Elastic-Product-Origin", "kibana");
        let cluster = Elastic::builder(settings).environment(environment.clone()).build()?;
        self.migrator_of(Arc::new(cluster), environment)
    }

    fn migrator_of(&self, cluster: Arc<dyn Cluster>, environment: &Environment) -> Result<Migrator> {
        let encryption = EncryptionService::new(KeyRing::from_env_opt()?, environment.clone());
        Ok(Migrator::new(cluster, self.registry()?, self.prefix.clone(), encryption, environment.clone()))
    }
}
