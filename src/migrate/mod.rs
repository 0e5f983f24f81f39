//! Migrates every index to the registered model versions.
//!
//! ```text
//! metadata (one GET) ─→ plan (pure) ─→ state machine (pure) ─→ executor: actions on the cluster
//!                                                 └─ Convert: read ─→ transform ─→ write, overlapped
//! ```
//!
//! A migration can stop at any point, by a crash or otherwise, and any node can start it again: each [`State`]
//! documents what it guarantees and what repeating it does. Nothing is locked: a lease lets one node work while the
//! others watch, and no result depends on it. Writes are conditional, so a document that another client changed
//! meanwhile keeps that change, and the next pass reads it again.

mod attempts;
mod bad;
mod blockers;
mod carry;
mod convert;
mod copy;
mod decide;
mod defect;
mod describe;
mod doctor;
#[cfg(test)]
mod documented;
mod drop_old;
mod dry_run;
mod executor;
pub(crate) mod field_limits;
mod gate;
mod generations;
mod lease;
mod lease_note;
mod metadata;
mod migrator;
mod misfits;
mod missing_transforms;
mod moved;
mod pass;
mod pause;
mod plan;
mod preflight;
mod progress;
mod record;
mod removal;
mod report;
mod rollback;
mod sequence_numbers;
mod state;
mod status;
mod steps;
mod survey;
mod take_over;
mod undo;
mod unreadable;
mod work;

pub use bad::OnBad;
pub use doctor::{CheckName, CheckState, Diagnosis, Finding};
pub(crate) use generations::is_staging_index;
pub use lease_note::{LastFailure, LeaseHolder, LeaseProgress, LeaseStatus};
pub use migrator::Migrator;
pub use pause::Pause;
pub use plan::{Blocker, Way};
pub use progress::Progress;
pub(crate) use progress::ProgressSender;
pub use report::{
    BadDocument, DocumentCounts, Fate, IndexReport, Outcome, PlanEstimate, Report, ReportedError, TakeOverReport,
    TypeReport, Unregistered,
};
pub use status::{IndexStatus, KeptIndex, Status};
pub use take_over::TakeOver;
pub use unreadable::OnUnreadable;

// Inner forms, for this workspace alone.
#[doc(hidden)]
pub use carry::Carried;
#[doc(hidden)]
pub use decide::plan;
#[doc(hidden)]
pub use lease_note::LeaseNote;
#[doc(hidden)]
pub use metadata::{GroupMetadata, Source};
#[doc(hidden)]
pub use plan::{CurrentIndex, GroupPlan, Plan, TypePlan};
#[doc(hidden)]
pub use state::{Ended, State};
