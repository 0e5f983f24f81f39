//! Tells whether everything that is stored can be read: every document, every secret.
//!
//! ```text
//! refresh, point in time ─→ pages ─→ examine (pure, on the blocking pool) ─→ tally ─→ report
//! ```
//!
//! A document counts as what a reader of this software gets: brought to the registered model version, its secrets opened.
//! So a migration, in place or by copy, changes `by_version` and leaves the digests as they were, unless something was
//! lost. Digests compare between runs with the same primary key.

mod examine;
mod report;
mod tally;
mod verifier;

pub use report::{IndexReport, Report, TypeReport, Unreadable};
pub use verifier::Verifier;
