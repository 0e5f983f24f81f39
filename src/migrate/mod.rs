//! Brings every index to the registered model versions.
//!
//! ```text
//! metadata (one GET an index) ─→ plan (pure) ─→ state machine (pure) ─→ actions on the cluster
//!                                                 └─ Convert: read ─→ transform ─→ write, overlapped
//! ```
//!
//! A migration can stop at any point, by a crash or otherwise, and be started again by any node: each state says what it
//! guarantees and what repeating it does ([`State`]). Nothing is locked: a lease lets one node work while the others watch, and
//! nothing depends on it. Writes are conditional, so a document that
//! somebody changed meanwhile is left to them and looked at again in the next pass.

mod attempts;
mod bad;
mod convert;
mod copy;
mod decide;
mod describe;
mod drop_old;
mod gate;
mod generations;
mod lease;
mod migrator;
mod plan;
mod preflight;
mod progress;
mod record;
mod removal;
mod report;
mod rollback;
mod state;
mod status;
mod steps;
mod survey;
mod take_over;
mod unreadable;
mod walk;
mod work;

pub use bad::OnBad;
pub use decide::{GroupMetadata, plan};
pub(crate) use generations::is_staging_index;
pub use lease::{LastFailure, LeaseNote, LeaseProgress, LeaseStatus};
pub use migrator::Migrator;
pub use plan::{Blocker, CurrentIndex, GroupPlan, Plan, TypePlan, Way};
pub use progress::Progress;
pub(crate) use progress::ProgressSender;
pub use report::{
    BadDocument, DocumentCounts, Fate, IndexReport, Outcome, Report, ReportedError, TakeOverReport, TypeReport,
    Unregistered,
};
pub use state::{Brought, Ended, FillState, State};
pub use status::{IndexStatus, KeptIndex, Status};
pub use take_over::{Source, TakeOver};
pub use unreadable::OnUnreadable;
