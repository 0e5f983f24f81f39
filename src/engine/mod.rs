//! The shared basis of every operation: the cluster, the registered types, the names, the encryption and the
//! environment, and the modules that depend only on these. Migration, maintenance and the repository share one
//! [`Engine`].

pub(crate) mod control;
pub(crate) mod conversion;
pub mod quarantine;
pub(crate) mod rewrite;
pub(crate) mod under_prefix;

use std::sync::Arc;

use crate::cluster::Cluster;
use crate::encryption::EncryptionService;
use crate::environment::Environment;
use crate::layout::Prefix;
use crate::registry::Registry;

use control::{Control, KeysInUse};
use conversion::Conversion;

/// The shared context of every operation. Clones share everything.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) prefix: Prefix,
    pub(crate) encryption: EncryptionService,
    pub(crate) environment: Environment,
    pub(crate) conversion: Conversion,
    /// The keys in use under the prefix, with those that this process has recorded.
    pub(crate) keys: KeysInUse,
}

impl Engine {
    /// Creates an engine for the objects under `prefix`. Sends nothing.
    pub fn new(
        cluster: Arc<dyn Cluster>,
        registry: Arc<Registry>,
        prefix: Prefix,
        encryption: EncryptionService,
        environment: Environment,
    ) -> Self {
        let conversion = Conversion::new(registry.clone(), encryption.clone());
        let keys = KeysInUse::new(cluster.clone(), &prefix);
        Self { cluster, registry, prefix, encryption, environment, conversion, keys }
    }

    /// Returns the registered types.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns the cluster.
    pub fn cluster(&self) -> &dyn Cluster {
        self.cluster.as_ref()
    }

    /// Returns the prefix of all index names.
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// Returns the environment: clock, randomness and tasks.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Returns the control index.
    pub(crate) fn control(&self) -> Control {
        Control::new(self.cluster.clone(), &self.prefix)
    }
}
