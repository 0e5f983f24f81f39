//! Documents that no migration could convert, put aside so that the rest can go on (design decision 12): the hidden index
//! `<prefix>-control-quarantine`, which is created by the first of them.
//!
//! A document is put in first and taken out of its index after that, by a conditional delete; it is restored by a create and
//! taken out of quarantine after that. Whatever stops in between leaves it in both places, never in none. One that is in
//! both is in its index: [`Quarantine::list`] does not show it, and putting it in again goes on where it stopped.

mod entry;
mod store;

pub use entry::Quarantined;
pub(crate) use entry::{Put, one_line};
pub use store::{Quarantine, Refused, Restored};
