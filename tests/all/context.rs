//! The context of a test: its cluster, its prefix, and shortcuts to stores, migrators and requests past the library.

use std::sync::Arc;
use std::time::Duration;

use saved_objects::cluster::elastic::HttpRequest;
use saved_objects::cluster::{BulkAction, BulkOperation, BulkRequest, Cluster, Elastic, InMemory, Refresh};
use saved_objects::encryption::{EncryptionService, KeyRing};
use saved_objects::environment::Environment;
use saved_objects::internals::Engine;
use saved_objects::layout::Prefix;
use saved_objects::migrate::Migrator;
use saved_objects::quarantine::Quarantine;
use saved_objects::registry::{Registry, TypeDefinition};
use saved_objects::verify::Verifier;
use saved_objects::{SavedObjects, SavedObjectsBuilder, Start};
use secrecy::SecretString;
use serde_json::Value;

/// Replaces a server's URL: a cluster in memory, one for each test.
pub(crate) const MEMORY: &str = "memory";

/// The URL of tests that need no cluster. No server listens there.
pub(crate) const NOWHERE: &str = "http://127.0.0.1:1";

/// The cluster of a test, and the test's own prefix.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) url: String,
    pub(crate) prefix: Prefix,
    pub(crate) environment: Environment,
    pub(crate) memory: Option<InMemory>,
}

impl Context {
    pub(crate) fn new(url: &str, test: &str) -> Self {
        let name = if url == MEMORY { "memory".to_owned() } else { test.replace("::", "-") };
        let prefix = format!("test-{name}").parse().expect("test names are fine prefixes");
        let environment = Environment::system();
        let memory = (url == MEMORY).then(|| InMemory::new(environment.clone()));
        Self { url: url.to_owned(), prefix, environment, memory }
    }

    pub(crate) fn cluster(&self) -> Arc<dyn Cluster> {
        match &self.memory {
            Some(memory) => Arc::new(memory.clone()),
            None => Arc::new(Elastic::builder(&self.url).build().expect("the test server's URL is fine")),
        }
    }

    pub(crate) fn verifier(&self, types: Vec<TypeDefinition>) -> Verifier {
        Verifier::new(&self.engine(registry(types), key_ring())).expect("it has keys")
    }

    pub(crate) fn migrator(&self, types: Vec<TypeDefinition>) -> Migrator {
        self.migrator_on(self.cluster(), types)
    }

    /// Returns a migrator that reaches the cluster through `cluster`.
    pub(crate) fn migrator_on(&self, cluster: Arc<dyn Cluster>, types: Vec<TypeDefinition>) -> Migrator {
        Migrator::new(&self.engine_on(cluster, registry(types), key_ring()))
    }

    /// Returns the quarantine of the test's prefix.
    pub(crate) fn quarantine(&self) -> Quarantine {
        self.quarantine_on(self.cluster())
    }

    pub(crate) fn quarantine_on(&self, cluster: Arc<dyn Cluster>) -> Quarantine {
        Quarantine::new(&self.engine_on(cluster, registry(Vec::new()), key_ring()))
    }

    /// Returns an engine on the test's cluster, for operations that need their own registry or keys.
    pub(crate) fn engine(&self, registry: impl Into<Arc<Registry>>, keys: KeyRing) -> Engine {
        self.engine_on(self.cluster(), registry, keys)
    }

    /// Returns an engine that reaches the cluster through `cluster`.
    pub(crate) fn engine_on(
        &self,
        cluster: Arc<dyn Cluster>,
        registry: impl Into<Arc<Registry>>,
        keys: KeyRing,
    ) -> Engine {
        let encryption = EncryptionService::new(Some(keys), self.environment.clone());
        Engine::new(cluster, registry.into(), self.prefix.clone(), encryption, self.environment.clone())
    }

    /// Starts a store of these types under the test's prefix.
    pub(crate) async fn store(&self, types: Vec<TypeDefinition>) -> SavedObjects {
        self.try_store(types).await.expect("the store starts")
    }

    pub(crate) async fn try_store(&self, types: Vec<TypeDefinition>) -> saved_objects::Result<SavedObjects> {
        self.builder(types).start(Start::Migrate).await
    }

    pub(crate) fn builder(&self, types: Vec<TypeDefinition>) -> SavedObjectsBuilder {
        let builder = SavedObjects::builder(registry(types)).prefix(self.prefix.clone()).key_ring(key_ring());
        match &self.memory {
            Some(memory) => builder.cluster(Arc::new(memory.clone())),
            None => builder.elasticsearch(&self.url),
        }
    }

    /// Returns the `_source` that the cluster has; null if the document does not exist.
    pub(crate) async fn stored(&self, group: &str, raw_id: &str) -> Value {
        let names = self.prefix.group(group);
        let hit = self.cluster().get(names.alias(), raw_id).await.expect("the cluster answers");
        hit.map_or(Value::Null, |hit| serde_json::from_str(hit.source.get()).expect("JSON"))
    }

    /// Writes a document past the library into the first generation, and refreshes the index.
    pub(crate) async fn put(&self, group: &str, raw_id: &str, source: &Value) {
        self.put_text(group, raw_id, source.to_string()).await;
    }

    /// Like [`put`](Self::put), for JSON that a `Value` cannot represent.
    pub(crate) async fn put_text(&self, group: &str, raw_id: &str, source: String) {
        let names = self.prefix.group(group);
        let action = BulkAction::Put { source: source.into() };
        let operations = [BulkOperation { id: raw_id.to_owned(), action }];
        let alias = names.write_alias(1);
        let request = BulkRequest { alias: &alias, operations: &operations, refresh: Refresh::Later };
        let cluster = self.cluster();
        let outcomes = cluster.bulk(&request).await.expect("the cluster answers");
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        cluster.refresh(names.alias()).await.expect("refreshed");
    }

    /// Returns the number of documents of a group, including documents that are not refreshed yet.
    pub(crate) async fn documents(&self, group: &str) -> u64 {
        let (cluster, names) = (self.cluster(), self.prefix.group(group));
        cluster.refresh(names.alias()).await.expect("refreshed");
        let counts = cluster.count_by_type(names.alias()).await.expect("counted");
        counts.iter().map(|count| count.documents).sum()
    }

    /// Returns the name of the first generation of a group.
    pub(crate) fn index(&self, group: &str) -> String {
        self.prefix.group(group).index(1)
    }

    /// Deletes the test's indices, so that the server does not slow down with each test. Leaves them if a search context
    /// is open on them: the deletion would close it, and the check at the end of the run would not see it.
    pub(crate) async fn remove(&self) {
        if self.memory.is_some() || self.url == NOWHERE {
            return;
        }
        let indices = format!("{}-*", self.prefix);
        let open = "filter_path=_all.total.search.open_contexts";
        let stats = self.raw("GET", &format!("/{indices}/_stats/search?expand_wildcards=all&{open}"), None).await;
        if stats["_all"]["total"]["search"]["open_contexts"].as_u64() == Some(0) {
            self.raw("DELETE", &format!("/{indices}?expand_wildcards=all"), None).await;
        }
    }

    /// Sends a request past the library to the server or to the cluster in memory.
    pub(crate) async fn raw(&self, method: &str, path: &str, body: Option<serde_json::Value>) -> serde_json::Value {
        if let Some(memory) = &self.memory {
            let method = ["GET", "POST", "PUT", "DELETE"].into_iter().find(|known| *known == method);
            let answer = memory.answer(&HttpRequest {
                method: method.expect("a method of Elasticsearch"),
                path: path.trim_start_matches('/').to_owned(),
                query: Vec::new(),
                content_type: "application/json",
                body: body.map(|body| body.to_string().into()),
                timeout: Duration::from_secs(30),
            });
            return serde_json::from_slice(&answer.body).unwrap_or_default();
        }
        let request = crate::server::Request { method, path, body };
        crate::server::send(&self.url, request).await
    }
}

/// Returns the registry of a test's types.
pub(crate) fn registry(types: Vec<TypeDefinition>) -> Registry {
    Registry::builder().with(types).build().expect("the test's types are fine")
}

/// Returns JSON with that many levels: objects within lists.
pub(crate) fn nested(levels: usize) -> String {
    let objects = levels / 2;
    let lists = levels - objects;
    format!("{}{}1{}{}", "[".repeat(lists), "{\"a\":".repeat(objects), "}".repeat(objects), "]".repeat(lists))
}

/// The secret of the key that all tests encrypt with.
pub(crate) const KEY: &str = "a key for tests only: 0123456789abcdef";

pub(crate) fn key_ring() -> KeyRing {
    KeyRing::new(SecretString::from(KEY), Vec::new()).expect("the key is fine")
}
