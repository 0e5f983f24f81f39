//! The control index `<prefix>-control`: a small hidden index through which nodes coordinate (leases, claims, the keys
//! in use, generation numbers, pauses; record 21). Its mapping is fixed and never migrated. The first write creates it. The
//! correctness of no object depends on it.
//!
//! Every document is written by bulk requests through an alias, as objects are, and only conditionally. It is created
//! if it does not exist, and replaced or deleted if it is unchanged since it was read.

mod claim;
mod generations;
mod keys;
mod store;

pub(crate) use claim::{Claims, Held, Taking, Watch};
pub(crate) use generations::GenerationNumbers;
pub(crate) use keys::KeysInUse;
pub use keys::LackingKeys;
pub(crate) use store::{Control, ControlDocument, Kind};
