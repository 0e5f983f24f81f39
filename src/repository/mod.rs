//! Objects in the index: one file an operation.
//!
//! A read by id is one real-time request: it sees every write at once. [`Repository::find`] is a search: it sees a write
//! after the index's next refresh, within a second usually. Every write is conditional, so nobody's work is overwritten
//! unseen: a new object is only created where none is, and one that exists is only changed or deleted as it was read.

mod access;
mod aggregation;
mod attempts;
mod change_namespaces;
mod check_conflicts;
mod collect_references;
mod compared_names;
mod content;
mod create;
mod create_many;
mod delete;
mod delete_namespace;
pub(crate) mod difference;
mod errors;
mod fetch_many;
mod filter;
mod find;
mod found;
mod generations;
mod get;
mod get_many;
mod increment;
mod key;
mod kql;
mod limits;
mod many;
mod mapped_values;
mod merge;
mod namespaces;
mod object;
mod overwrite;
mod point_in_time;
mod read;
mod recorded_sets;
mod refresh;
mod remove_references;
mod replace;
mod resolve;
mod rewrite;
mod rounds;
mod searchable;
mod seen_namespaces;
mod stream;
mod sweep;
mod transfer;
mod update;
mod update_many;
mod upsert;
mod write;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::Result;
use crate::cluster::Cluster;
use crate::control::{Control, KeysInUse};
use crate::conversion::Conversion;
use crate::document::RawId;
use crate::encryption::EncryptionService;
use crate::environment::Environment;
use crate::layout::{IndexNames, Prefix};
use crate::model::CreateSchema;
use crate::registry::{Registry, TypeDefinition};

use generations::Generations;
use recorded_sets::RecordedSets;

pub use access::{Action, AllowAll, Audit, AuditEvent, AuditOutcome, Authorization, RecordingAudit};
pub use aggregation::{Aggregation, Bounds};
pub(crate) use attempts::Attempts;
pub use change_namespaces::{ChangeNamespaces, NamespacesChanged};
pub use check_conflicts::IdState;
pub use collect_references::{CollectReferences, CollectedObject, CollectedState, InboundReference};
pub use create::Create;
#[cfg(feature = "cli")]
pub(crate) use create_many::CREATED_AT_ONCE;
pub use delete::Delete;
pub use filter::{Field, Filter, RootField};
pub use find::Find;
pub use found::{Found, Unreadable};
pub use increment::Increment;
pub use key::ObjectKey;
pub use kql::{Kql, KqlError, KqlProblem};
pub use namespaces::NamespaceInUse;
pub use object::SavedObject;
pub use point_in_time::{PageCursor, PointInTimePage, PointInTimeReader};
pub use replace::Replace;
pub use resolve::{Resolution, Resolved};
pub use stream::FoundStream;
pub use sweep::{SweepFailure, Swept};
#[cfg(any(test, feature = "testing"))]
pub(crate) use transfer::fuzzing;
pub use transfer::{
    Decision, Export, ExportSummary, Import, ImportProgress, ImportSummary, NamedObject, OnConflict, Problem,
    Relocated, SecretForm, Skipped,
};
pub use update::{Draft, SecretChange, Update};

/// Reads and writes objects of the registered types, with attributes as JSON. Cloning is cheap and shares everything.
///
/// Types whose definition says `hidden` are reachable only through a repository that [includes](Repository::including)
/// them.
#[derive(Debug, Clone)]
pub struct Repository {
    shared: Arc<Shared>,
    included: Arc<BTreeSet<String>>,
    access: access::Access,
}

#[derive(Debug)]
struct Shared {
    cluster: Arc<dyn Cluster>,
    registry: Arc<Registry>,
    prefix: Prefix,
    encryption: EncryptionService,
    environment: Environment,
    conversion: Conversion,
    generations: Generations,
    recorded_sets: RecordedSets,
    keys: KeysInUse,
}

impl Repository {
    /// A repository of the indices called `prefix`.
    pub(crate) fn new(
        cluster: Arc<dyn Cluster>,
        registry: Arc<Registry>,
        prefix: Prefix,
        encryption: EncryptionService,
        environment: Environment,
    ) -> Self {
        let conversion = Conversion::new(Arc::clone(&registry), encryption.clone());
        let generations = Generations::default();
        let recorded_sets = RecordedSets::default();
        let keys = KeysInUse::new(Arc::clone(&cluster), &prefix);
        let shared =
            Shared { cluster, registry, prefix, encryption, environment, conversion, generations, recorded_sets, keys };
        Self { shared: Arc::new(shared), included: Arc::default(), access: access::Access::default() }
    }

    /// A repository that reaches these hidden types too. Naming one that is not hidden changes nothing.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if nobody registered one of them.
    pub fn including(&self, hidden_types: &[&str]) -> Result<Self> {
        if let Some(unknown) = hidden_types.iter().find(|name| self.shared.registry.get(name).is_none()) {
            return Err(errors::unavailable_type(unknown));
        }
        let mut included = BTreeSet::clone(&self.included);
        included.extend(hidden_types.iter().map(|name| (*name).to_owned()));
        Ok(Self { included: Arc::new(included), ..self.clone() })
    }

    /// The definition of a type that this repository may use.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if nobody registered it, or if it is hidden and not included.
    fn definition(&self, type_name: &str) -> Result<&TypeDefinition> {
        let reachable = |definition: &&Arc<TypeDefinition>| !definition.hidden() || self.included.contains(type_name);
        let definition = self.shared.registry.get(type_name).filter(reachable);
        definition.map(Arc::as_ref).ok_or_else(|| errors::unavailable_type(type_name))
    }

    /// Refuses a type that this repository does not reach.
    pub(crate) fn check_type(&self, type_name: &str) -> Result<()> {
        self.definition(type_name).map(drop)
    }

    /// The schema that new objects of a type satisfy.
    pub(crate) fn create_schema(&self, type_name: &str) -> Result<&CreateSchema> {
        Ok(&self.definition(type_name)?.latest().create)
    }

    /// The `_id` of the document at `key`.
    pub(crate) fn raw_id(&self, key: &ObjectKey) -> Result<RawId> {
        let definition = self.definition(&key.type_name)?;
        key.raw_id(definition)
    }

    /// The time and randomness that this repository works with.
    pub(crate) fn environment(&self) -> &Environment {
        &self.shared.environment
    }

    /// What nodes tell each other beside the objects.
    pub(crate) fn control(&self) -> Control {
        Control::new(Arc::clone(&self.shared.cluster), &self.shared.prefix)
    }

    /// The keys that are in use under its prefix.
    pub(crate) fn keys(&self) -> &KeysInUse {
        &self.shared.keys
    }

    fn names(&self, definition: &TypeDefinition) -> IndexNames {
        self.shared.prefix.group(definition.group())
    }

    /// Tells which generation of `group` is the current one, so that the first write need not look it up.
    pub(crate) fn remember_generation(&self, group: &str, generation: u32) {
        self.shared.generations.remember(group, generation);
    }
}
