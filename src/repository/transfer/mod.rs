//! Objects as lines of JSON, out of one store and into another one.
//!
//! A line has everything of one object: `type`, `id`, where it is seen, `attributes`, `references`, who made it and when, and
//! the model version. Encrypted attributes are left out, or are `envelopes` (only for the same keys and the same ids), or are
//! `secrets` in the clear. The last line of an export sums it up. What a line leaves out, an object that it overwrites keeps.

mod check;
mod export;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod fuzzing;
mod import;
mod line;
mod lines;
mod opening;
mod origins;
mod references;
mod sameness;
mod summary;
mod targets;

pub use export::{Export, SecretForm};
pub use import::{Decision, Import, ImportProgress, OnConflict};
pub use summary::{ExportSummary, ImportSummary, NamedObject, Problem, Relocated, Skipped};
