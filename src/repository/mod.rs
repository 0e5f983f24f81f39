//! Objects by id, type and search, with attributes as JSON.
//!
//! A read by id is one real-time request: it sees every write at once. [`Repository::find`] is a search: it sees a
//! write after the index's next refresh, usually within a second. Every write is conditional, so that no write of
//! another caller is overwritten unseen: a new object is created only where none is, and an existing one is changed or
//! deleted only at the version that was read.

mod access;
mod admission;
mod client;
mod operations;
mod pipeline;
mod search;
mod transfer;

pub use access::{Action, AllowAll, Audit, AuditEvent, AuditOutcome, Authorization, RecordingAudit};
pub use client::Repository;
pub use operations::change_namespaces::{ChangeNamespaces, NamespacesChanged};
pub use operations::check_conflicts::IdState;
pub use operations::collect_references::{CollectReferences, CollectedObject, CollectedState, InboundReference};
pub use operations::create::Create;
pub use operations::delete::Delete;
pub use operations::delete_namespace::DeleteNamespace;
pub use operations::increment::Increment;
pub use operations::namespaces::NamespaceInUse;
pub use operations::replace::Replace;
pub use operations::resolve::{Resolution, Resolved};
pub use operations::update::Update;
pub(crate) use pipeline::attempts::Attempts;
pub use pipeline::change::Draft;
pub(crate) use pipeline::difference;
pub use pipeline::key::ObjectKey;
pub use pipeline::object::SavedObject;
pub use pipeline::secret_change::SecretChange;
pub use pipeline::sweep::{SweepFailure, Swept};
pub use search::aggregation::{Aggregation, Bounds};
pub use search::filter::{Field, Filter, RootField};
pub use search::find::Find;
pub use search::found::{Found, Unreadable};
pub use search::kql::{Kql, KqlError, KqlProblem};
pub use search::point_in_time::{PageCursor, PointInTimePage, PointInTimeReader};
pub use search::stream::FoundStream;
#[cfg(any(test, feature = "testing"))]
pub(crate) use transfer::fuzzing;
// For this workspace alone.
#[doc(hidden)]
pub use operations::create::CREATED_AT_ONCE;
pub use transfer::{
    Decision, Export, ExportSummary, Import, ImportProgress, ImportSummary, NamedObject, OnConflict, Problem,
    Relocated, SecretForm, Skipped,
};
