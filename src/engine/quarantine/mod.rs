//! The quarantine: documents that a migration could not convert and put aside so that it could continue (record 24).
//! They are in the hidden index `<prefix>-control-quarantine`, which is created with the first of them.
//!
//! A document is first put into quarantine and then deleted from its index by a conditional delete. It is restored by a
//! create, and then deleted from quarantine. An interruption therefore leaves it in both places, never in none. The
//! entry records the stage of the move and the version of the document that was read, so that a document that a user
//! deleted in the meantime does not return (record 12). [`Quarantine::list`] returns the documents that are in
//! quarantine, and those that are there or deleted.

mod entry;
mod operators;
mod show;
mod store;

pub use entry::Quarantined;
pub(crate) use entry::{Put, ReadAt, Stage, one_line};
pub use operators::{Refused, Restored};
pub use show::QuarantinedDocument;
pub(crate) use store::EntryVersion;
pub use store::Quarantine;
