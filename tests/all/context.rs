use std::sync::Arc;

use saved_objects::cluster::{Cluster, Elastic};
use saved_objects::encryption::{EncryptionService, KeyRing};
use saved_objects::environment::Environment;
use saved_objects::layout::Prefix;
use saved_objects::migrate::Migrator;
use saved_objects::registry::{Registry, TypeDefinition};
use saved_objects::verify::Verifier;
use saved_objects::{SavedObjects, SavedObjectsBuilder, Start};
use secrecy::SecretString;

/// What a test works with: the server, and a prefix of its own.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) url: String,
    pub(crate) prefix: Prefix,
    pub(crate) environment: Environment,
}

impl Context {
    pub(crate) fn new(url: &str, test: &str) -> Self {
        let prefix = format!("test-{}", test.replace("::", "-")).parse().expect("test names are fine prefixes");
        Self { url: url.to_owned(), prefix, environment: Environment::system() }
    }

    pub(crate) fn cluster(&self) -> Arc<dyn Cluster> {
        Arc::new(Elastic::builder(&self.url).build().expect("the test server's URL is fine"))
    }

    pub(crate) fn encryption(&self) -> EncryptionService {
        EncryptionService::new(Some(key_ring()), self.environment.clone())
    }

    pub(crate) fn verifier(&self, types: Vec<TypeDefinition>) -> Verifier {
        let registry = Registry::builder().with(types).build().expect("the test's types are fine");
        Verifier::new(self.cluster(), Arc::new(registry), self.prefix.clone(), self.encryption()).expect("it has keys")
    }

    pub(crate) fn migrator(&self, types: Vec<TypeDefinition>) -> Migrator {
        let registry = Registry::builder().with(types).build().expect("the test's types are fine");
        let cluster = self.cluster();
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
        SavedObjects::builder(registry).elasticsearch(&self.url).prefix(self.prefix.clone()).key_ring(key_ring())
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

/// The secret of the key that all tests encrypt with.
pub(crate) const KEY: &str = "a key for tests only: 0123456789abcdef";

pub(crate) fn key_ring() -> KeyRing {
    KeyRing::new(SecretString::from(KEY), Vec::new()).expect("the key is fine")
}
