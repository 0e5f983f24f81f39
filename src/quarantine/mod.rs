//! Documents that no migration could convert, put aside so that the rest can go on (design decision 12): the hidden index
//! `<prefix>-control-quarantine`, which is created by the first of them.
//!
//! A document is put in first and taken out of its index after that, by a conditional delete; it is restored by a create and
//! taken out of quarantine after that. Whatever stops in between leaves it in both places, never in none. The entry says how far
//! the move is and where the document was read (its stage), so that nothing comes back that a user deleted in the meantime
//! (decision 12): [`Quarantine::list`] shows what is here, and what may be here or deleted.

mod entry;
mod store;

pub use entry::Quarantined;
pub(crate) use entry::{Put, ReadAt, Stage, one_line};
pub(crate) use store::Placed;
pub use store::{Quarantine, Refused, Restored};
