//! Key rotation: counts the keys of the stored secrets, and encrypts all secrets again with the primary key.
//!
//! ```text
//! refresh, point in time ─→ pages ─→ inspect (pure, on the blocking pool) ─→ conditional bulks
//!    └─────────────────── the next pass, until one finds nothing to do ←─────────────┘
//! ```
//!
//! A rotation can stop at any point and be started again, and several nodes can rotate at the same time: each secret
//! names its key, and a document is replaced only if it is as it was read. Only the envelopes of a document change;
//! `updated_at` does not. The id of an old key leaves the `keys` document when a pass over everything, after a refresh,
//! has found nothing under that key: in no index, in no kept generation, and not in quarantine.

mod inspect;
mod key_rotation;
mod progress;
mod report;
mod scan;
mod tally;

pub use key_rotation::KeyRotation;
pub use progress::RotationProgress;
pub use report::{KeptIndex, KeyCounts, KeyStatus, RotationCounts, RotationOutcome, RotationReport};
