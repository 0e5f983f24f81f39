use std::sync::Arc;

use saved_objects::cluster::{BulkAction, BulkOperation, BulkRequest, Cluster, Elastic, InMemory, Refresh};
use saved_objects::encryption::{EncryptionService, KeyRing};
use saved_objects::environment::Environment;
use saved_objects::layout::Prefix;
use saved_objects::migrate::Migrator;
use saved_objects::registry::{Registry, TypeDefinition};
use saved_objects::verify::Verifier;
use saved_objects::{SavedObjects, SavedObjectsBuilder, Start};
use secrecy::SecretString;
use serde_json::Value;

/// In the place of a server's URL: a cluster in memory, one for each test.
pub(crate) const MEMORY: &str = "memory";

/// What a test works with: a cluster, and a prefix of its own.
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

    pub(crate) fn encryption(&self) -> EncryptionService {
        EncryptionService::new(Some(key_ring()), self.environment.clone())
    }

    pub(crate) fn verifier(&self, types: Vec<TypeDefinition>) -> Verifier {
        let registry = Registry::builder().with(types).build().expect("the test's types are fine");
        Verifier::new(self.cluster(), Arc::new(registry), self.prefix.clone(), self.encryption()).expect("it has keys")
    }

    pub(crate) fn migrator(&self, types: Vec<TypeDefinition>) -> Migrator {
        self.migrator_on(self.cluster(), types)
    }

    /// A migrator that sees the cluster through another one.
    pub(crate) fn migrator_on(&self, cluster: Arc<dyn Cluster>, types: Vec<TypeDefinition>) -> Migrator {
        let registry = Registry::builder().with(types).build().expect("the test's types are fine");
        Migrator::new(cluster, Arc::new(registry), self.prefix.clone(), self.encryption(), self.environment.clone())
    }

    /// A store of these types under the test's prefix.
    pub(crate) async fn store(&self, types: Vec<TypeDefinition>) -> SavedObjects {
        self.try_store(types).await.expect("the store starts")
    }

    pub(crate) async fn try_store(&self, types: Vec<TypeDefinition>) -> saved_objects::Result<SavedObjects> {
        self.builder(types).start(Start::Migrate).await
    }

    pub(crate) fn builder(&self, types: Vec<TypeDefinition>) -> SavedObjectsBuilder {
        let registry = Registry::builder().with(types).build().expect("the test's types are fine");
        let builder = SavedObjects::builder(registry).prefix(self.prefix.clone()).key_ring(key_ring());
        match &self.memory {
            Some(memory) => builder.cluster(Arc::new(memory.clone())),
            None => builder.elasticsearch(&self.url),
        }
    }

    /// The `_source` that the cluster has; null if there is none.
    pub(crate) async fn stored(&self, group: &str, raw_id: &str) -> Value {
        let names = self.prefix.group(group);
        let hit = self.cluster().get(names.alias(), raw_id).await.expect("the cluster answers");
        hit.map_or(Value::Null, |hit| serde_json::from_str(hit.source.get()).expect("JSON"))
    }

    /// Writes a document past the library, into the first generation, and lets searches see it.
    pub(crate) async fn put(&self, group: &str, raw_id: &str, source: &Value) {
        self.put_text(group, raw_id, source.to_string()).await;
    }

    /// As [`put`](Self::put), for what no value can be made of.
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

    /// How many documents a group has, unrefreshed ones included.
    pub(crate) async fn documents(&self, group: &str) -> u64 {
        let (cluster, names) = (self.cluster(), self.prefix.group(group));
        cluster.refresh(names.alias()).await.expect("refreshed");
        let counts = cluster.count_by_type(names.alias()).await.expect("counted");
        counts.iter().map(|count| count.documents).sum()
    }

    /// The name of the first generation of a group.
    pub(crate) fn index(&self, group: &str) -> String {
        self.prefix.group(group).index(1)
    }

    /// A request straight to the server, past the library.
    pub(crate) async fn raw(&self, method: &str, path: &str, body: Option<serde_json::Value>) -> serde_json::Value {
        let request = crate::server::Request { method, path, body };
        crate::server::send(&self.url, request).await
    }
}

/// The JSON of that many levels: objects within lists.
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
