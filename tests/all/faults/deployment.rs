//! A cluster in memory with the objects of release 1, and the processes that migrate it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use saved_objects::cluster::{BulkAction, BulkOperation, BulkRequest, Cluster, InMemory, ItemOutcome, Refresh};
use saved_objects::encryption::{EncryptionService, Secret};
use saved_objects::environment::{Clock, Environment, SystemRng};
use saved_objects::internals::Engine;
use saved_objects::layout::Prefix;
use saved_objects::migrate::{Migrator, Report, TakeOver};
use saved_objects::registry::Registry;
use saved_objects::repository::{Create, Repository};
use saved_objects::verify::{IndexReport, Verifier};
use saved_objects::{SavedObjects, Start};
use serde_json::json;

use super::disturbed::{Disturbed, Disturber};
use super::types::registry;
use crate::context::key_ring;
use crate::migration::object;
use crate::take_over::in_memory::{kibana_key, vectors};
use crate::take_over::kibana::Kibana;

/// The alias of Kibana's index in a deployment.
const KIBANA: &str = ".kibana";

/// Runs a test in paused time, which advances when no task can run: no test waits, and every run is the same.
pub(crate) fn in_its_own_time<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(test)
}

/// Waits with the time of tokio, paused or not. The time of day is constant, so that the stored documents of several
/// runs can be compared.
#[derive(Debug)]
struct TokioClock {
    started: tokio::time::Instant,
}

#[async_trait]
impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

fn environment() -> Environment {
    Environment::new(Arc::new(TokioClock { started: tokio::time::Instant::now() }), Arc::new(SystemRng))
}

/// One cluster, and the environment of all processes that use it.
#[derive(Debug, Clone)]
pub(crate) struct Deployment {
    cluster: Arc<dyn Cluster>,
    /// The same cluster, if it is in memory.
    memory: Option<InMemory>,
    pub(crate) environment: Environment,
    pub(crate) prefix: Prefix,
}

/// What is stored in the end, reduced to what must not depend on the events before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Counts and digests.
    pub(crate) documents: Vec<IndexReport>,
    pub(crate) unreadable: usize,
    /// The indices of the groups: their aliases, and whether they have a write block.
    pub(crate) indices: BTreeMap<String, (Vec<String>, bool)>,
}

impl Deployment {
    /// Creates an empty cluster in memory.
    pub(crate) fn new() -> Self {
        let environment = environment();
        let memory = InMemory::new(environment.clone());
        let prefix = "deployment".parse().expect("a prefix");
        Self { cluster: Arc::new(memory.clone()), memory: Some(memory), environment, prefix }
    }

    /// Uses another cluster, under its own prefix.
    pub(crate) fn on(cluster: Arc<dyn Cluster>, prefix: Prefix) -> Self {
        Self { cluster, memory: None, environment: environment(), prefix }
    }

    /// Returns the same deployment for a process that is not asked to stop.
    pub(crate) fn another_process(&self) -> Self {
        Self { environment: environment(), ..self.clone() }
    }

    pub(crate) fn cluster(&self) -> Arc<dyn Cluster> {
        self.cluster.clone()
    }

    pub(crate) fn memory(&self) -> &InMemory {
        self.memory.as_ref().expect("the deployment is in memory")
    }

    /// Deletes the deployment's indices.
    pub(crate) async fn remove(&self) {
        let found = self.cluster.indices(&[&format!("{}-*", self.prefix)]).await.expect("answered");
        for name in found.keys() {
            self.cluster.delete_index(name).await.expect("deleted");
        }
    }

    pub(crate) fn encryption(&self) -> EncryptionService {
        EncryptionService::new(Some(key_ring()), self.environment.clone())
    }

    pub(crate) fn migrator(&self, cluster: Arc<dyn Cluster>, registry: Arc<Registry>) -> Migrator {
        Migrator::new(&self.engine(cluster, registry))
    }

    fn engine(&self, cluster: Arc<dyn Cluster>, registry: Arc<Registry>) -> Engine {
        Engine::new(cluster, registry, self.prefix.clone(), self.encryption(), self.environment.clone())
    }

    /// Returns the verifier of a node of the newest release.
    pub(super) fn verifier(&self) -> Verifier {
        Verifier::new(&self.engine(self.cluster(), registry(super::types::NEWEST))).expect("it has keys")
    }

    /// Returns the repository of a node of `release` that did not migrate itself.
    pub(crate) async fn repository(&self, cluster: Arc<dyn Cluster>, release: u32, start: Start) -> Repository {
        let builder = SavedObjects::builder((*registry(release)).clone()).cluster(cluster).prefix(self.prefix.clone());
        let store = builder.key_ring(key_ring()).environment(self.environment.clone()).start(start).await;
        store.expect("it starts").repository().including(&["connector_token"]).expect("registered")
    }

    /// Creates a cluster in memory with the documents of release 1.
    pub(crate) async fn with_release_1() -> Self {
        Self::new().seeded_with_release_1().await
    }

    /// Writes the objects of release 1: tokens, vaults (one of them without a secret) and relics.
    pub(crate) async fn seeded_with_release_1(self) -> Self {
        let repository = self.repository(self.cluster(), 1, Start::Migrate).await;
        for number in 0..5 {
            let attributes = object(json!({
                "connectorId": format!("c{number}"), "tokenType": "access_token", "expiresAt": "2030-01-01T00:00:00.000Z",
                "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z",
            }));
            let create = Create::new("connector_token", attributes).id(format!("00000000-0000-4000-8000-{number:012}"));
            repository.create(create.secret("token", Secret::text("Bearer"))).await.expect("created");
            let vault = object(json!({"title": format!("t{number}"), "owner": "kim"}));
            let vault = Create::new("vault", vault).id(format!("v{number}"));
            let vault = if number == 0 { vault } else { vault.secret("password", Secret::text("hidden")) };
            repository.create(vault).await.expect("created");
            let relic = Create::new("relic", object(json!({"age": number}))).id(format!("r{number}"));
            repository.create(relic).await.expect("created");
        }
        self
    }

    /// Creates a cluster in memory with an index that Kibana wrote: a token, and notes of an unregistered type. `opens`
    /// says whether the token's secret can be decrypted.
    pub(crate) async fn of_kibana(opens: bool) -> Self {
        let deployment = Self::new();
        let mut token = vectors().into_iter().find(|vector| vector.name == "connector_token_mv1").expect("there");
        if !opens {
            token.source["connector_token"]["connectorId"] = json!("changed from outside");
        }
        let note = |number: usize| {
            let source = json!({"type": "connector_usage_note", "connector_usage_note": {"text": number}});
            (format!("connector_usage_note:{number}"), source)
        };
        let documents = [(token.raw_id, token.source), note(1), note(2)];
        Kibana::with(deployment.cluster.as_ref(), KIBANA, &documents).await;
        deployment
    }

    /// Stores a vault that cannot be converted from any version.
    pub(crate) async fn add_bad_vault(&self) {
        let names = self.prefix.group("vaults");
        let source = json!({"type": "vault", "typeMigrationVersion": "10.1.0", "vault": {"title": 7}}).to_string();
        let action = BulkAction::Create { source: source.into() };
        let operations = [BulkOperation { id: "vault:bad".to_owned(), action }];
        let request = BulkRequest { alias: &names.write_alias(1), operations: &operations, refresh: Refresh::WaitFor };
        let outcomes: Vec<ItemOutcome> = self.cluster.bulk(&request).await.expect("answered");
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }

    /// Returns what is stored, with names that do not depend on the prefix.
    pub(crate) async fn stored_anywhere(&self) -> Stored {
        let stored = self.stored().await;
        let plain = |name: &String| name.replace(&self.prefix.to_string(), "");
        let documents = stored.documents.into_iter().map(|index| IndexReport { alias: plain(&index.alias), ..index });
        let indices = stored
            .indices
            .iter()
            .map(|(name, (aliases, blocked))| (plain(name), (aliases.iter().map(plain).collect(), *blocked)));
        Stored { documents: documents.collect(), indices: indices.collect(), ..stored }
    }

    /// Returns what is stored, as a node of the newest release reads it.
    pub(crate) async fn stored(&self) -> Stored {
        let report = self.verifier().verify().await.expect("everything can be reached");
        let groups = ["connectors", "vaults"].map(|group| self.prefix.group(group).alias().to_owned());
        // A real server is shared, and no deployment on it has an index of Kibana.
        let kibana = if self.memory.is_some() { format!("{KIBANA}*") } else { format!("{}-*", self.prefix) };
        let found = self.cluster.indices(&[&format!("{}-*", self.prefix), &kibana]).await.expect("answered");
        let is_meant = |name: &str| name.starts_with(KIBANA) || groups.iter().any(|alias| name.starts_with(alias));
        // The number of a copy depends on how many copies were started before it.
        let is_taken_over = found.keys().any(|name| name.starts_with(KIBANA));
        let plain = |name: String| match name.rsplit_once("-00000") {
            Some((start, end)) if is_taken_over || !end.starts_with('1') => {
                format!("{start}-00000n{}", end.get(1..).unwrap_or_default())
            }
            _ => name,
        };
        let indices = found
            .into_iter()
            .filter(|(name, _)| is_meant(name))
            .map(|(name, state)| (plain(name), (state.aliases.into_keys().map(plain).collect(), state.write_blocked)))
            .collect();
        Stored { documents: report.indices, unreadable: report.unreadable.len(), indices }
    }
}

/// The job of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job {
    /// The release that it migrates the indices to.
    pub(crate) release: u32,
    pub(crate) delete_removed: bool,
    /// Whether it takes over what Kibana wrote.
    pub(crate) take_over: bool,
    /// Whether it works without the lease, so that several processes work at the same time.
    pub(crate) without_lease: bool,
}

/// Runs a process that migrates. Returns `None` if it was killed.
pub(crate) async fn process(deployment: &Deployment, job: Job, disturber: Arc<dyn Disturber>) -> Option<Report> {
    let cluster = Arc::new(Disturbed::new(deployment.cluster(), disturber));
    let mut migrator = deployment.migrator(cluster.clone(), registry(job.release));
    if job.delete_removed {
        migrator = migrator.delete_removed();
    }
    if job.take_over {
        let take_over = TakeOver { alias: KIBANA.to_owned(), group: Some("connectors".to_owned()) };
        migrator = migrator.take_over(take_over).kibana_keys(kibana_key());
    }
    if job.without_lease {
        migrator = migrator.without_lease();
    }
    cluster.watch(migrator.progress());
    tokio::select! {
        biased;
        () = cluster.killed() => None,
        report = migrator.migrate() => Some(report),
    }
}
