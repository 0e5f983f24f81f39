//! Where benchmarks work: indices under a prefix of their own, and a key that nobody else has.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::cli::connection::Connection;
use crate::cluster::Cluster;
use crate::encryption::{EncryptionService, KeyRing, SecretString};
use crate::environment::Environment;
use crate::layout::Prefix;
use crate::migrate::{Migrator, Report};
use crate::registry::{Registry, TypeDefinition};
use crate::repository::Repository;
use crate::{Error, Result};

/// All that a benchmark writes is under this prefix.
const PREFIX: &str = "saved-objects-bench";
/// Random bytes of the key.
const KEY_BYTES: usize = 48;

pub(super) struct Place<'a> {
    pub(super) environment: &'a Environment,
    pub(super) cluster: Arc<dyn Cluster>,
    pub(super) prefix: Prefix,
    pub(super) encryption: EncryptionService,
    secret: SecretString,
}

impl<'a> Place<'a> {
    /// A place with nothing in it, whatever an earlier benchmark left.
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

    /// Deletes everything that is there.
    pub(super) async fn delete_all(&self) -> Result<()> {
        self.delete(&format!("{PREFIX}-*")).await
    }

    pub(super) async fn delete(&self, pattern: &str) -> Result<()> {
        for index in self.cluster.indices(&[pattern]).await?.keys() {
            self.cluster.delete_index(index).await?;
        }
        Ok(())
    }

    pub(super) fn migrator(&self, definition: TypeDefinition) -> Result<Migrator> {
        let registry = Arc::new(Registry::builder().with([definition]).build()?);
        let (cluster, prefix, encryption) = (self.cluster.clone(), self.prefix.clone(), self.encryption.clone());
        Ok(Migrator::new(cluster, registry, prefix, encryption, self.environment.clone()))
    }

    /// Brings the index of the type to its newest version, and gives a repository over it.
    pub(super) async fn repository(&self, definition: TypeDefinition) -> Result<Repository> {
        succeeded(&self.migrator(definition.clone())?.migrate().await)?;
        let registry = Arc::new(Registry::builder().with([definition]).build()?);
        let (cluster, prefix, encryption) = (self.cluster.clone(), self.prefix.clone(), self.encryption.clone());
        Ok(Repository::new(cluster, registry, prefix, encryption, self.environment.clone()))
    }
}

pub(super) fn succeeded(report: &Report) -> Result<()> {
    report.error.as_ref().map_or(Ok(()), |error| Err(Error::from(error)))
}
