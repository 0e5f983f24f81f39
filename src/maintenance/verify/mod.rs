//! Verification: reads every stored document, decrypts every secret, and computes a digest for each type.
//!
//! ```text
//! refresh, point in time ─→ pages ─→ examine (pure, on the blocking pool) ─→ tally ─→ report
//! ```
//!
//! The digest covers a document as a reader of this software gets it: converted to the registered model version, with
//! its secrets decrypted. A migration, in place or by copy, therefore changes `by_version` and leaves the digests as
//! they were, unless something was lost. Digests can be compared between runs with the same primary key, or with the
//! same [`digest_key`](Verifier::digest_key) (record 36).

mod examine;
mod object;
mod progress;
mod report;
mod tally;
mod verifier;

pub use progress::VerificationProgress;
pub use report::{
    DigestForm, IndexReport, NotOpened, ObjectVerification, TypeReport, Unreadable, VerificationReport, VerifiedObject,
    VerifiedSecret,
};
pub use verifier::Verifier;
