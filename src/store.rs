//! The entry point of the library: the builder, the start, and the store that returns all clients.

use std::fmt;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

#[cfg(any(test, feature = "in-memory"))]
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::Stream;
use futures::future::{Either, select};
#[cfg(any(test, feature = "in-memory"))]
use secrecy::SecretString;
use tracing::Instrument;

#[cfg(any(test, feature = "in-memory"))]
use crate::cluster::InMemory;
use crate::cluster::elastic::ElasticSettings;
use crate::cluster::{Cluster, Elastic};
use crate::encryption::{EncryptionService, KeyRing};
use crate::engine::Engine;
use crate::engine::quarantine::Quarantine;
use crate::environment::Environment;
use crate::layout::Prefix;
use crate::maintenance::rotation::KeyRotation;
use crate::maintenance::verify::Verifier;
use crate::migrate::{Blocker, Migrator, OnBad, OnUnreadable, Outcome, Progress, ProgressSender, Report};
use crate::objects::{Object, Objects};
use crate::registry::Registry;
use crate::repository::Repository;
use crate::{Error, ErrorKind, Result, telemetry};

/// The default limit on the duration of a start.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30 * 60);

/// The handling of migrations at a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// Migrates every index to the registered versions first.
    #[default]
    Migrate,
    /// Waits until other nodes have migrated, or have removed what an interrupted migration left. Writes nothing.
    WaitOnly,
    /// Leaves the indices unchanged and sends no request. Older documents are converted when they are read. The keys
    /// are checked by the first write that encrypts, which is refused if a key in use is missing.
    Skip,
}

/// The work that a start had done when it failed. It is the source of the start's error.
///
/// ```no_run
/// # use saved_objects::registry::Registry;
/// # use saved_objects::{FailedStart, SavedObjects, Start};
/// # async fn example(registry: Registry) {
/// if let Err(error) = SavedObjects::builder(registry).start(Start::Migrate).await {
///     for bad in error.find_source::<FailedStart>().iter().flat_map(|failed| &failed.report().bad) {
///         eprintln!("{} in {}: {}", bad.id, bad.alias, bad.reason);
///     }
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FailedStart {
    report: Report,
}

impl FailedStart {
    /// Returns the report: what was done, the bad documents, and the blockers.
    pub fn report(&self) -> &Report {
        &self.report
    }
}

impl fmt::Display for FailedStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { bad_total, blockers, .. } = &self.report;
        write!(f, "the start failed with {} blockers and {bad_total} bad documents", blockers.len())
    }
}

impl std::error::Error for FailedStart {}

/// The objects of one platform, in one Elasticsearch cluster under one prefix. Clones share everything.
#[derive(Debug, Clone)]
pub struct SavedObjects {
    engine: Engine,
    repository: Repository,
    report: Option<Arc<Report>>,
}

impl SavedObjects {
    /// Creates a builder for a store of the types of `registry`.
    pub fn builder(registry: impl Into<Arc<Registry>>) -> SavedObjectsBuilder {
        SavedObjectsBuilder {
            registry: registry.into(),
            cluster: Place::At("http://127.0.0.1:9200".into()),
            prefix: Prefix::default(),
            key_ring: None,
            environment: Environment::system(),
            deadline: DEFAULT_DEADLINE,
            on_bad: OnBad::default(),
            on_unreadable: OnUnreadable::default(),
            max_rate: None,
            progress: ProgressSender::new(),
        }
    }

    /// Creates a builder for a store in this process, with a key of its own. It is for tests of code that uses the
    /// library, which then need no server. Its content is lost when it is dropped.
    ///
    /// It needs the feature `in-memory`. It answers everything that the library asks, or says what
    /// [it does not support](crate::cluster::memory). Searches see every write immediately. On a server they see it
    /// within a second, or immediately if the write waits for the refresh
    /// ([`Refresh::WaitFor`](crate::cluster::Refresh::WaitFor)). To test code for that delay, give
    /// [`cluster`](SavedObjectsBuilder::cluster) an [`InMemory`] of your own.
    ///
    /// ```
    /// use saved_objects::encryption::Secret;
    /// use saved_objects::registry::Registry;
    /// use saved_objects::tokens::{self, ConnectorId, ConnectorTokenClient, NewToken, Scope, TokenClient};
    /// use saved_objects::{SavedObjects, Start};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let registry = Registry::builder().with(tokens::types()?).build()?;
    /// let store = SavedObjects::in_memory(registry)?.start(Start::Migrate).await?;
    /// let tokens = ConnectorTokenClient::new(&store)?;
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
    #[cfg(any(test, feature = "in-memory"))]
    pub fn in_memory(registry: impl Into<Arc<Registry>>) -> Result<SavedObjectsBuilder> {
        const KEY_BYTES: usize = 48;
        let builder = Self::builder(registry);
        let mut key = [0; KEY_BYTES];
        builder.environment.rng().fill(&mut key)?;
        let ring = KeyRing::new(SecretString::from(STANDARD.encode(key)), Vec::new())?;
        Ok(SavedObjectsBuilder { cluster: Place::InMemory, key_ring: Some(ring), ..builder })
    }

    /// Returns the typed client of `T`'s type.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the type is not registered or is hidden. For hidden types use
    /// [`Repository::including`] and [`Objects::new`].
    pub fn objects<T: Object>(&self) -> Result<Objects<T>> {
        Objects::new(self.repository.clone())
    }

    /// Returns the untyped client of all types that are not hidden.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Creates a migrator of the store's indices, for operators. A start migrates by itself.
    pub fn migrator(&self) -> Migrator {
        Migrator::new(&self.engine)
    }

    /// Creates a verifier, which reads everything that is stored. Without keys, no secret can be decrypted.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if the key of the digests cannot be derived.
    pub fn verifier(&self) -> Result<Verifier> {
        Verifier::new(&self.engine)
    }

    /// Creates a rotation, which encrypts everything that is stored again under the primary key.
    pub fn key_rotation(&self) -> KeyRotation {
        KeyRotation::new(&self.engine)
    }

    /// Creates the client of the documents that a migration could not convert.
    pub fn quarantine(&self) -> Quarantine {
        Quarantine::new(&self.engine)
    }

    /// Returns whether there are keys to encrypt and decrypt with.
    pub fn has_keys(&self) -> bool {
        self.engine.encryption.can_encrypt()
    }

    /// Checks that the keys include every key that objects are encrypted with. A start that migrates, or waits for a
    /// migration, makes the same check. After [`Start::Skip`] and after [`connect`](SavedObjectsBuilder::connect), the
    /// caller must do it before the first write; otherwise the first write of secrets under a new key is refused. Sends
    /// at most one request.
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) with the names of the missing keys.
    /// [`Unavailable`](ErrorKind::Unavailable) if the cluster cannot be reached.
    pub async fn check_keys(&self) -> Result<()> {
        let Engine { keys, encryption, registry, .. } = &self.engine;
        match keys.lacking(encryption.key_ring().as_deref(), registry).await? {
            Some(lacking) => Err(lacking.refusal("nothing is written")),
            None => Ok(()),
        }
    }

    /// Creates a store over an engine.
    #[doc(hidden)]
    pub fn over(engine: Engine) -> Self {
        Self { repository: Repository::new(engine.clone()), engine, report: None }
    }

    /// Returns the shared context of the store's clients.
    #[doc(hidden)]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Replaces the keys in all clients of this store, so that a new primary key needs no restart. The new key is
    /// recorded as in use before the first write under it.
    ///
    /// First add the new key to every node as decryption-only, then make it primary everywhere, then encrypt the rest
    /// again (`saved-objects keys rotate`, [`KeyRotation`](crate::maintenance::rotation::KeyRotation)).
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) with the names of the keys if the ring lacks a key that objects are
    /// encrypted with. [`Unavailable`](ErrorKind::Unavailable) if the cluster cannot be reached. The store then keeps
    /// its previous keys.
    pub async fn reload_keys(&self, ring: KeyRing) -> Result<()> {
        self.engine.keys.check(&ring).await?;
        self.engine.encryption.replace_key_ring(ring);
        Ok(())
    }

    /// Returns the report of the start, or `None` if it skipped the migration.
    pub fn start_report(&self) -> Option<&Report> {
        self.report.as_deref()
    }
}

/// The location of the cluster.
#[derive(Debug)]
enum Place {
    At(ElasticSettings),
    Given(Arc<dyn Cluster>),
    /// In this process, with the time of the store.
    #[cfg(any(test, feature = "in-memory"))]
    InMemory,
}

/// The settings of a store. [`start`](SavedObjectsBuilder::start) creates it.
#[derive(Debug)]
pub struct SavedObjectsBuilder {
    registry: Arc<Registry>,
    cluster: Place,
    prefix: Prefix,
    key_ring: Option<KeyRing>,
    environment: Environment,
    deadline: Duration,
    on_bad: OnBad,
    on_unreadable: OnUnreadable,
    max_rate: Option<NonZeroU32>,
    progress: ProgressSender,
}

impl SavedObjectsBuilder {
    /// Sets the address of Elasticsearch and how to reach it: a URL (several nodes are separated by commas), or
    /// [`ElasticSettings`] with credentials, certificates and headers. Default: `http://127.0.0.1:9200`.
    /// [`ElasticSettings::from_env`] reads the same variables as the command line.
    #[must_use]
    pub fn elasticsearch(mut self, settings: impl Into<ElasticSettings>) -> Self {
        self.cluster = Place::At(settings.into());
        self
    }

    /// Sets a cluster that the caller created. [`Elastic::builder`] takes time-outs and retries in addition to the
    /// settings.
    #[must_use]
    pub fn cluster(mut self, cluster: Arc<dyn Cluster>) -> Self {
        self.cluster = Place::Given(cluster);
        self
    }

    /// Sets the prefix of all index names. Default: `saved-objects`.
    #[must_use]
    pub fn prefix(mut self, prefix: Prefix) -> Self {
        self.prefix = prefix;
        self
    }

    /// Sets the keys. Without keys, every operation that must encrypt or decrypt fails.
    #[must_use]
    pub fn key_ring(mut self, key_ring: KeyRing) -> Self {
        self.key_ring = Some(key_ring);
        self
    }

    /// Sets the time and randomness to use. Default: those of the system.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Sets the limit on the duration of the start. Default: 30 minutes.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets what the migration does with documents that it cannot convert. Default: the start fails, and its error
    /// names them.
    #[must_use]
    pub fn on_bad(mut self, on_bad: OnBad) -> Self {
        self.on_bad = on_bad;
        self
    }

    /// Sets what the migration does with documents that have a secret which must be encrypted again and cannot be
    /// decrypted. Default: the start fails, and its error names them.
    #[must_use]
    pub fn on_unreadable(mut self, on_unreadable: OnUnreadable) -> Self {
        self.on_unreadable = on_unreadable;
        self
    }

    /// Lets a migration in place write at most `max_rate` documents in a second ([`Migrator::max_rate`]). Give the start a
    /// [`deadline`](Self::deadline) that suits the rate. Default: no limit.
    #[must_use]
    pub fn max_rate(mut self, max_rate: NonZeroU32) -> Self {
        self.max_rate = Some(max_rate);
        self
    }

    /// Returns the progress of the migration while [`start`](Self::start) runs. Each item is the latest state when it
    /// is requested. The stream ends with the start.
    pub fn progress(&self) -> impl Stream<Item = Progress> + Send + use<> {
        self.progress.stream()
    }

    /// Creates the store after the migration that `start` selects.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) if the cluster cannot be reached or the deadline passed,
    /// [`Incompatible`](ErrorKind::Incompatible) if the migration is blocked (the error names the blockers),
    /// [`Corrupt`](ErrorKind::Corrupt) if documents could not be converted. Once the migration has begun, the error's
    /// source is [`FailedStart`], which has the report.
    pub async fn start(self, start: Start) -> Result<SavedObjects> {
        telemetry::describe();
        let span = telemetry::start(&self.prefix, start);
        Box::pin(self.started(start)).instrument(span).await
    }

    async fn started(self, start: Start) -> Result<SavedObjects> {
        let (deadline, on_bad, on_unreadable, max_rate, progress) =
            (self.deadline, self.on_bad, self.on_unreadable, self.max_rate, self.progress.clone());
        let mut store = self.connect()?;
        let engine = &store.engine;
        if start != Start::Skip {
            let migrator = store.migrator().on_bad(on_bad).on_unreadable(on_unreadable).reporting_to(progress);
            let migrator = max_rate.into_iter().fold(migrator, Migrator::max_rate);
            let report = migrate(&migrator, start, &engine.environment, deadline).await?;
            for (group, generation) in generations(&report, &engine.registry, &engine.prefix) {
                store.repository.remember_migrated(&group, generation);
            }
            store.report = Some(Arc::new(report));
        }
        let encrypts = store.engine.registry.types().any(|definition| definition.encrypts());
        if encrypts && !store.engine.encryption.can_encrypt() {
            tracing::warn!("there is no encryption key: secrets can be neither stored nor read");
        }
        Ok(store)
    }

    /// Creates the store and sends nothing. This is for operators' tools, which open a store in any state. Clients of
    /// such a store behave as after [`Start::Skip`].
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the settings do not yield a cluster.
    pub fn connect(self) -> Result<SavedObjects> {
        let environment = self.environment;
        let cluster: Arc<dyn Cluster> = match self.cluster {
            Place::At(settings) => Arc::new(Elastic::builder(settings).environment(environment.clone()).build()?),
            Place::Given(cluster) => cluster,
            #[cfg(any(test, feature = "in-memory"))]
            Place::InMemory => {
                let cluster = InMemory::new(environment.clone());
                cluster.refresh_immediately();
                Arc::new(cluster)
            }
        };
        let encryption = EncryptionService::new(self.key_ring, environment.clone());
        let engine = Engine::new(cluster, self.registry, self.prefix, encryption, environment);
        Ok(SavedObjects::over(engine))
    }
}

/// Returns the generation of each index group after a migration, so that the first write need not request it.
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
            // With `Skip`, the caller does not get here.
            Start::Migrate | Start::Skip => migrator.migrate().await,
        }
    };
    let report = match select(pin!(working), environment.clock().sleep(deadline)).await {
        Either::Left((report, _)) => report,
        Either::Right(((), _)) => {
            migrator.undo_copies().await;
            let (error, blockers) = too_late(migrator, deadline).await;
            let report = migrator.given_up(&error, blockers, deadline);
            return Err(error.with_source(FailedStart { report }));
        }
    };
    let error: Error = match (&report.error, report.outcome) {
        (Some(error), _) => error.into(),
        (None, Outcome::Blocked) => blocked(&report),
        (None, _) => return Ok(report),
    };
    Err(error.with_source(FailedStart { report }))
}

/// Returns the error for a deadline that passed, and the blockers. The lease has the best available information about
/// the reason.
async fn too_late(migrator: &Migrator, deadline: Duration) -> (Error, Vec<Blocker>) {
    let mut message = format!("the migration was not done after {} s", deadline.as_secs());
    let mut first_of_all = None;
    if let Ok(Some(lease)) = migrator.lease_status().await {
        if let Some(progress) = &lease.note.progress {
            let (written, outdated, alias) = (progress.written, progress.outdated, &progress.alias);
            message.push_str(&format!(": {written} of {outdated} documents of {alias} were converted"));
        }
        if let Some(failure) = &lease.note.last_failure {
            message.push_str(&format!("; it failed before, at {}: {}", failure.at, failure.message));
            first_of_all = Some(&failure.hint).filter(|hint| !hint.is_empty()).map(|hint| format!("{hint}; then "));
        }
    }
    let mut hint = format!(
        "{}start again: it goes on where it stopped; or give the start a longer deadline",
        first_of_all.unwrap_or_default()
    );
    let mut blockers = migrator.plan().await.map(|plan| plan.blockers).unwrap_or_default();
    if let Ok(Some(pause)) = migrator.paused().await {
        blockers.push(pause.blocker());
    }
    if !blockers.is_empty() {
        message.push_str(&format!("; it is blocked: {}", listed(&blockers, |blocker| &blocker.what)));
        hint = listed(&blockers, |blocker| &blocker.hint);
    }
    (Error::new(ErrorKind::Unavailable, message).with_hint(hint), blockers)
}

fn blocked(report: &Report) -> Error {
    let what = listed(&report.blockers, |blocker| &blocker.what);
    Error::new(ErrorKind::Incompatible, format!("the migration is blocked: {what}"))
        .with_hint(listed(&report.blockers, |blocker| &blocker.hint))
}

fn listed(blockers: &[Blocker], words: fn(&Blocker) -> &str) -> String {
    blockers.iter().map(words).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::environment::SystemRng;
    use crate::environment::set_clock::SetClock;
    use crate::registry::testing::{note, read, version};
    use crate::repository::{Create, Filter, Find, RootField};

    #[tokio::test]
    async fn a_store_in_memory_finds_at_once_what_it_wrote_by_its_own_clock() {
        let definition = read(&note(json!({})), &[version(json!({}))]).expect("a definition");
        let registry = Registry::builder().with([definition]).build().expect("a registry");
        // By this clock it is 1970.
        let environment = Environment::new(Arc::new(SetClock::default()), Arc::new(SystemRng));
        let builder = SavedObjects::in_memory(registry).expect("a key").environment(environment);
        let store = builder.start(Start::Migrate).await.expect("started");
        let attributes = json!({ "title": "Alpha" }).as_object().cloned().unwrap_or_default();
        store.repository().create(Create::new("note", attributes)).await.expect("created");
        for (filter, expected) in [
            (Filter::range(RootField::CreatedAt, "now-1h"..), 1),
            (Filter::range(RootField::CreatedAt, .."now/d"), 0),
            (Filter::Pattern("title".into(), vec!["Al".to_owned(), String::new()]), 1),
        ] {
            let found = store.repository().find(&["note"], Find::new().filter(filter.clone())).await.expect("found");
            assert_eq!(found.objects.len(), expected, "{filter:?}");
        }
    }
}
