//! Export and import: objects as lines of JSON, out of one store and into another.
//!
//! A line has everything of one object: `type`, `id`, the namespaces that see it, `attributes`, `references`, who
//! created and changed it and when, and the model version. Encrypted attributes are left out, or are `envelopes` (for
//! the same keys and ids only), or are `secrets` in clear. The last line of an export is its summary. An object that is
//! overwritten keeps what its line leaves out.

mod check;
mod export;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod fuzzing;
mod import;
mod line;
mod lines;
mod once;
mod opening;
mod origins;
mod problem;
mod read_line;
mod references;
mod request;
mod sameness;
mod summary;
mod targets;

pub use export::{Export, SecretForm};
pub use request::{Decision, Import, ImportProgress, OnConflict};
pub use summary::{ExportSummary, ImportSummary, NamedObject, Problem, Relocated, Skipped};
