//! The control index, `<prefix>-control`: one small hidden index for what nodes tell each other beside the objects (leases,
//! claims, the keys in use; design decision 5). Its mapping is fixed and never migrated; it is created by the first write.
//! No object's correctness depends on it.
//!
//! Every document is written by bulk through an alias, as objects are, and only conditionally: it is created if it is not
//! there, replaced or deleted if it still is the one read.

mod claim;
mod generations;
mod keys;
mod store;

pub(crate) use claim::{Claims, Held, Taking, Watch};
pub(crate) use generations::GenerationNumbers;
pub(crate) use keys::KeysInUse;
pub(crate) use store::{Control, ControlDocument, Kind};
