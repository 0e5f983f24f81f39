//! Which keys the stored secrets are under, and bringing all of them under the primary key.
//!
//! ```text
//! refresh, point in time ─→ pages ─→ inspect (pure, on the blocking pool) ─→ conditional bulks ─→ look, until one finds nothing to do
//! ```
//!
//! A rotation can stop at any point and be started again, on several nodes at once: a document says itself under which
//! keys it is, and is only replaced as it was read. Only its envelopes change, `updated_at` does not. The id of an old key
//! leaves the `keys` document when a look at everything, after a refresh, found nothing under it: in no index, no kept
//! generation, and not in quarantine.

mod inspect;
mod key_rotation;
mod look;
mod progress;
mod report;
mod tally;

pub use key_rotation::KeyRotation;
pub use progress::Progress;
pub use report::{DocumentCounts, KeptIndex, KeyCounts, KeyStatus, Outcome, Report};
