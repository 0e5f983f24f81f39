use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

#[cfg(any(test, feature = "testing"))]
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::Stream;
use futures::future::{Either, select};
#[cfg(any(test, feature = "testing"))]
use secrecy::SecretString;

#[cfg(any(test, feature = "testing"))]
use crate::cluster::InMemory;
use crate::cluster::elastic::ElasticSettings;
use crate::cluster::{Cluster, Elastic};
use crate::encryption::{EncryptionService, KeyRing};
use crate::environment::Environment;
use crate::layout::Prefix;
use crate::migrate::{Blocker, Migrator, Outcome, Progress, ProgressSender, Report};
use crate::objects::{Object, Objects};
use crate::registry::Registry;
use crate::repository::Repository;
use crate::{Error, ErrorKind, Result};

/// How long a start may take unless said otherwise.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30 * 60);

/// What a start does about migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// Brings every index to the registered versions first.
    #[default]
    Migrate,
    /// Waits until other nodes have done so, or healed what is in their way, and writes nothing.
    WaitOnly,
    /// Leaves the indices as they are, and asks nothing. Older documents are converted when they are read. Whether the keys are all
    /// that are needed is found out by the first write that encrypts, which is refused if they are not.
    Skip,
}

/// The objects of one platform, in one Elasticsearch cluster under one prefix. Cloning shares everything.
#[derive(Debug, Clone)]
pub struct SavedObjects {
    repository: Repository,
    report: Option<Arc<Report>>,
    encryption: EncryptionService,
}

impl SavedObjects {
    /// A builder for a store of the types of `registry`.
    pub fn builder(registry: Registry) -> SavedObjectsBuilder {
        SavedObjectsBuilder {
            registry,
            cluster: Place::At("http://127.0.0.1:9200".into()),
            prefix: Prefix::default(),
            key_ring: None,
            environment: Environment::system(),
            deadline: DEFAULT_DEADLINE,
            progress: ProgressSender::new(),
        }
    }

    /// A builder for a store in this process, with a key of its own: for tests of code that uses the library, which then need
    /// no server. All is gone when it is dropped. It behaves like the real one, but searches neither words nor aggregations.
    ///
    /// ```
    /// use saved_objects::encryption::Secret;
    /// use saved_objects::registry::Registry;
    /// use saved_objects::tokens::{self, ConnectorId, ConnectorTokens, NewToken, Scope, TokenClient};
    /// use saved_objects::{SavedObjects, Start};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let registry = Registry::builder().with(tokens::types()?).build()?;
    /// let store = SavedObjects::in_memory(registry)?.start(Start::Migrate).await?;
    /// let tokens = ConnectorTokens::new(&store)?;
    /// let connector = ConnectorId::new("github")?;
    /// tokens.create(Scope::Shared, &connector, NewToken::token(Secret::text("Bearer 1"))).await?;
    /// let token = tokens.get_oauth_credentials(Scope::Shared, &connector).await?;
    /// assert!(token.is_some());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if the system gives no randomness for the key.
    #[cfg(any(test, feature = "testing"))]
    pub fn in_memory(registry: Registry) -> Result<SavedObjectsBuilder> {
        const KEY_BYTES: usize = 48;
        let builder = Self::builder(registry);
        let mut key = [0; KEY_BYTES];
        builder.environment.rng().fill(&mut key)?;
        let ring = KeyRing::new(SecretString::from(STANDARD.encode(key)), Vec::new())?;
        let cluster = InMemory::new(builder.environment.clone());
        Ok(builder.cluster(Arc::new(cluster)).key_ring(ring))
    }

    /// The typed client of `T`'s type.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the type is not registered, or is hidden: hidden types are reached by
    /// [`Repository::including`] and [`Objects::new`].
    pub fn objects<T: Object>(&self) -> Result<Objects<T>> {
        Objects::new(self.repository.clone())
    }

    /// The untyped client of all types that are not hidden.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Works with these keys from now on, in all clients of this store: the way to a new primary key without a restart. The
    /// new one is recorded as in use before the first write under it.
    ///
    /// First make the new key known to every node as decryption-only, then make it primary everywhere, then encrypt the rest
    /// anew (`saved-objects keys rotate`, [`KeyRotation`](crate::rotation::KeyRotation)).
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) if the ring lacks a key that objects are encrypted with, naming the keys;
    /// [`Unavailable`](ErrorKind::Unavailable) if the cluster cannot be asked. The store then keeps the keys that it had.
    pub async fn reload_keys(&self, ring: KeyRing) -> Result<()> {
        self.repository.keys().check(&ring).await?;
        self.encryption.replace_key_ring(ring);
        Ok(())
    }

    /// What the start did; none if it skipped the migration.
    pub fn start_report(&self) -> Option<&Report> {
        self.report.as_deref()
    }
}

/// Where the cluster is.
#[derive(Debug)]
enum Place {
    At(ElasticSettings),
    Given(Arc<dyn Cluster>),
}

/// What a store needs; [`start`](SavedObjectsBuilder::start) makes it.
#[derive(Debug)]
pub struct SavedObjectsBuilder {
    registry: Registry,
    cluster: Place,
    prefix: Prefix,
    key_ring: Option<KeyRing>,
    environment: Environment,
    deadline: Duration,
    progress: ProgressSender,
}

impl SavedObjectsBuilder {
    /// Sets where Elasticsearch is and how to reach it: a URL (several nodes are separated by commas), or [`ElasticSettings`] with
    /// credentials, certificates and headers. Default: `http://127.0.0.1:9200`. [`ElasticSettings::from_env`] reads what the
    /// command line reads.
    #[must_use]
    pub fn elasticsearch(mut self, settings: impl Into<ElasticSettings>) -> Self {
        self.cluster = Place::At(settings.into());
        self
    }

    /// A cluster made by hand: [`Elastic::builder`] takes time-outs and retries beside the settings.
    #[must_use]
    pub fn cluster(mut self, cluster: Arc<dyn Cluster>) -> Self {
        self.cluster = Place::Given(cluster);
        self
    }

    /// What the names of all indices begin with. Default: `saved-objects`.
    #[must_use]
    pub fn prefix(mut self, prefix: Prefix) -> Self {
        self.prefix = prefix;
        self
    }

    /// The keys. Without them, whatever must encrypt or decrypt fails.
    #[must_use]
    pub fn key_ring(mut self, key_ring: KeyRing) -> Self {
        self.key_ring = Some(key_ring);
        self
    }

    /// The time and randomness to use. Default: the system's.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// How long the start may take. Default: 30 minutes.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How far the migration is, while [`start`](Self::start) runs: the latest whenever one is asked for. The stream ends with
    /// the start.
    pub fn progress(&self) -> impl Stream<Item = Progress> + Send + use<> {
        self.progress.stream()
    }

    /// Makes the store, after what `start` says was done.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) if the cluster cannot be reached or the deadline passed,
    /// [`Incompatible`](ErrorKind::Incompatible) if the migration is blocked, naming what must be put right,
    /// [`Corrupt`](ErrorKind::Corrupt) if documents could not be converted.
    pub async fn start(self, start: Start) -> Result<SavedObjects> {
        let cluster = match self.cluster {
            Place::At(settings) => Arc::new(Elastic::builder(settings).environment(self.environment.clone()).build()?),
            Place::Given(cluster) => cluster,
        };
        let registry = Arc::new(self.registry);
        let encryption = EncryptionService::new(self.key_ring, self.environment.clone());
        let prefix = self.prefix;
        let repository = Repository::new(
            cluster.clone(),
            registry.clone(),
            prefix.clone(),
            encryption.clone(),
            self.environment.clone(),
        );
        let report = match start {
            Start::Skip => None,
            Start::Migrate | Start::WaitOnly => {
                let migrator = Migrator::new(
                    cluster,
                    registry.clone(),
                    prefix.clone(),
                    encryption.clone(),
                    self.environment.clone(),
                )
                .knowing(repository.keys().clone())
                .telling(self.progress);
                Some(Arc::new(migrate(&migrator, start, &self.environment, self.deadline).await?))
            }
        };
        let generations = report.as_deref().map(|report| generations(report, &registry, &prefix));
        if !encryption.can_encrypt() && registry.types().any(|definition| definition.encrypts()) {
            tracing::warn!("there is no encryption key: secrets can be neither stored nor read");
        }
        for (group, generation) in generations.into_iter().flatten() {
            repository.remember_generation(&group, generation);
        }
        Ok(SavedObjects { repository, report, encryption })
    }
}

/// The generation of each index group after a migration, so that the first write need not ask.
fn generations(report: &Report, registry: &Registry, prefix: &Prefix) -> Vec<(String, u32)> {
    let generation = |group: &str| {
        let names = prefix.group(group);
        let index = report.indices.iter().find(|index| index.alias == names.alias())?;
        Some((group.to_owned(), names.generation(&index.index)?))
    };
    registry.groups().into_keys().filter_map(generation).collect()
}

async fn migrate(migrator: &Migrator, start: Start, environment: &Environment, deadline: Duration) -> Result<Report> {
    let working = async {
        match start {
            Start::WaitOnly => migrator.wait().await,
            Start::Migrate | Start::Skip => migrator.migrate().await,
        }
    };
    let report = match select(pin!(working), environment.clock().sleep(deadline)).await {
        Either::Left((report, _)) => report,
        Either::Right(((), _)) => {
            migrator.undo_copies().await;
            return Err(too_late(migrator, deadline).await);
        }
    };
    match (&report.error, report.outcome) {
        (Some(error), _) => Err(error.into()),
        (None, Outcome::Blocked) => Err(blocked(&report)),
        (None, _) => Ok(report),
    }
}

/// The deadline passed. What the lease says is the best that is known of the reason.
async fn too_late(migrator: &Migrator, deadline: Duration) -> Error {
    let mut message = format!("the migration was not done after {} s", deadline.as_secs());
    let mut first_of_all = None;
    if let Ok(Some(lease)) = migrator.lease_status().await {
        if let Some(progress) = &lease.note.progress {
            let (written, outdated, alias) = (progress.written, progress.outdated, &progress.alias);
            message.push_str(&format!(": {written} of {outdated} documents of {alias} were converted"));
        }
        if let Some(failure) = &lease.note.last_failure {
            message.push_str(&format!("; it failed before, at {}: {}", failure.at, failure.message));
            first_of_all = Some(&failure.cure).filter(|cure| !cure.is_empty()).map(|cure| format!("{cure}; then "));
        }
    }
    let mut cure = format!(
        "{}start again: it goes on where it stopped; or give the start a longer deadline",
        first_of_all.unwrap_or_default()
    );
    let blockers = migrator.plan().await.map(|plan| plan.blockers).unwrap_or_default();
    if !blockers.is_empty() {
        message.push_str(&format!("; it is blocked: {}", listed(&blockers, |blocker| &blocker.what)));
        cure = listed(&blockers, |blocker| &blocker.cure);
    }
    Error::new(ErrorKind::Unavailable, message).with_cure(cure)
}

fn blocked(report: &Report) -> Error {
    let what = listed(&report.blockers, |blocker| &blocker.what);
    Error::new(ErrorKind::Incompatible, format!("the migration is blocked: {what}"))
        .with_cure(listed(&report.blockers, |blocker| &blocker.cure))
}

fn listed(blockers: &[Blocker], words: fn(&Blocker) -> &str) -> String {
    blockers.iter().map(words).collect::<Vec<_>>().join("; ")
}
