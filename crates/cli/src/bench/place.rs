//! The store of a benchmark: indices under a prefix of their own, and a random key.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::connection::Connection;
use saved_objects::cluster::Cluster;
use saved_objects::encryption::{EncryptionService, KeyRing, SecretString};
use saved_objects::environment::Environment;
use saved_objects::internals::Engine;
use saved_objects::layout::Prefix;
use saved_objects::migrate::Report;
use saved_objects::registry::{Registry, TypeDefinition};
use saved_objects::repository::Repository;
use saved_objects::{Error, Result, SavedObjects};

/// The prefix of all indices that a benchmark writes.
const PREFIX: &str = "saved-objects-bench";
/// The number of random bytes in the key.
const KEY_BYTES: usize = 48;

pub(super) struct Place<'a> {
    pub(super) environment: &'a Environment,
    pub(super) cluster: Arc<dyn Cluster>,
    pub(super) prefix: Prefix,
    pub(super) encryption: EncryptionService,
    secret: SecretString,
}

impl<'a> Place<'a> {
    /// Returns an empty store; deletes what an earlier benchmark left.
    pub(super) async fn empty(connection: &Connection, environment: &'a Environment) -> Result<Self> {
        let mut key = [0; KEY_BYTES];
        environment.rng().fill(&mut key)?;
        let secret = SecretString::from(STANDARD.encode(key));
        let ring = KeyRing::new(secret.clone(), Vec::new())?;
        let place = Self {
            environment,
            cluster: connection.cluster(environment)?,
            prefix: PREFIX.parse()?,
            encryption: EncryptionService::new(Some(ring), environment.clone()),
            secret,
        };
        place.delete_all().await?;
        Ok(place)
    }

    pub(super) fn key_ring(&self) -> Result<KeyRing> {
        KeyRing::new(self.secret.clone(), Vec::new())
    }

    /// Deletes all indices under the prefix.
    pub(super) async fn delete_all(&self) -> Result<()> {
        self.delete(&format!("{PREFIX}-*")).await
    }

    pub(super) async fn delete(&self, pattern: &str) -> Result<()> {
        for index in self.cluster.indices(&[pattern]).await?.keys() {
            self.cluster.delete_index(index).await?;
        }
        Ok(())
    }

    /// Returns a store with only this type, without sending a request.
    pub(super) fn store(&self, definition: TypeDefinition) -> Result<SavedObjects> {
        let registry = Arc::new(Registry::builder().with([definition]).build()?);
        let (cluster, prefix, encryption) = (self.cluster.clone(), self.prefix.clone(), self.encryption.clone());
        Ok(SavedObjects::over(Engine::new(cluster, registry, prefix, encryption, self.environment.clone())))
    }

    /// Migrates the index of the type to its newest version and returns a repository for it.
    pub(super) async fn repository(&self, definition: TypeDefinition) -> Result<Repository> {
        let store = self.store(definition)?;
        succeeded(&store.migrator().migrate().await)?;
        Ok(store.repository().clone())
    }
}

pub(super) fn succeeded(report: &Report) -> Result<()> {
    report.error.as_ref().map_or(Ok(()), |error| Err(Error::from(error)))
}
