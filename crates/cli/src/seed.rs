//! Writes objects of an earlier model version, as the software of that time would have, but in bulk.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use saved_objects::cluster::{BulkAction, BulkOperation, BulkRequest, Cluster, Refresh};
use saved_objects::document::{Attributes, Namespace, RawId, RootFields, StoredDocument};
use saved_objects::encryption::{Descriptor, EncryptionService, Secrets};
use saved_objects::environment::Environment;
use saved_objects::layout::IndexNames;
use saved_objects::model::VirtualVersion;
use saved_objects::registry::TypeDefinition;
use saved_objects::{Error, ErrorKind, Result};

/// The number of documents in one bulk.
const BATCH: usize = 1_000;
/// The size in bytes of a bulk of large documents.
const BATCH_BYTES: usize = 4 << 20;
/// The number of concurrent bulks.
const IN_FLIGHT: usize = 4;

/// An object to write.
pub(crate) struct Seed {
    pub(crate) id: String,
    pub(crate) attributes: Attributes,
    pub(crate) secrets: Secrets,
}

/// Writes objects of one type at its newest model version.
pub(crate) struct Seeder<'a> {
    pub(crate) cluster: &'a dyn Cluster,
    pub(crate) encryption: &'a EncryptionService,
    pub(crate) environment: &'a Environment,
    pub(crate) definition: &'a Arc<TypeDefinition>,
    pub(crate) names: &'a IndexNames,
}

impl Seeder<'_> {
    /// Writes `count` objects of about `bytes` bytes each; the `i`-th is `seed(i)`.
    pub(crate) async fn write<S>(&self, (count, bytes): (usize, usize), seed: S) -> Result<()>
    where
        S: Fn(usize, &Environment) -> Result<Seed> + Copy + Send + 'static,
    {
        let batch = BATCH_BYTES.checked_div(bytes).unwrap_or(BATCH).clamp(1, BATCH);
        let batches = (0..count).step_by(batch).map(|first| first..count.min(first + batch));
        futures::stream::iter(batches.map(|batch| self.write_batch(batch, seed)))
            .buffer_unordered(IN_FLIGHT)
            .try_collect::<()>()
            .await
    }

    async fn write_batch<S>(&self, batch: std::ops::Range<usize>, seed: S) -> Result<()>
    where
        S: Fn(usize, &Environment) -> Result<Seed> + Send + 'static,
    {
        let (encryption, environment) = (self.encryption.clone(), self.environment.clone());
        let definition = self.definition.clone();
        let sealing = move || -> Result<Vec<BulkOperation>> {
            batch.map(|i| operation(&definition, &encryption, &environment, seed(i, &environment)?)).collect()
        };
        let sealed = self.environment.blocking(sealing).await;
        let operations = sealed.map_err(|error| error.context("sealing"))??;
        let alias = self.names.write_alias(1);
        let request = BulkRequest { alias: &alias, operations: &operations, refresh: Refresh::Later };
        for outcome in self.cluster.bulk(&request).await? {
            outcome.map_err(|error| {
                Error::new(ErrorKind::Internal, format!("a seeded object could not be written: {}", error.reason))
            })?;
        }
        Ok(())
    }
}

fn operation(
    definition: &TypeDefinition,
    encryption: &EncryptionService,
    environment: &Environment,
    seed: Seed,
) -> Result<BulkOperation> {
    let Seed { id, mut attributes, secrets } = seed;
    let descriptor = Descriptor { type_name: definition.name(), namespace: None, id: &id };
    encryption.seal(&descriptor, definition.encryption(), &mut attributes, &secrets)?;
    let now = environment.now_iso();
    let mut root = RootFields::default();
    root.managed = Some(false);
    root.type_migration_version = Some(VirtualVersion::of(definition.latest().number).to_string());
    root.created_at = Some(now.clone());
    root.updated_at = Some(now);
    let raw_id = RawId::new(definition.name(), definition.namespace_kind(), &Namespace::DEFAULT, &id)?;
    let document = StoredDocument { type_name: definition.name().to_owned(), attributes, root };
    let action = BulkAction::Create { source: Bytes::from(document.to_source()) };
    Ok(BulkOperation { id: raw_id.to_string(), action })
}
