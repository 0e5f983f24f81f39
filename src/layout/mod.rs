//! How objects are laid out in Elasticsearch: the names of aliases and indices, and what an index's `_meta` says. Nothing
//! here does I/O.

mod gate;
mod index_meta;
mod names;

pub use gate::Gate;
pub use index_meta::{Complete, CopyRecord, IndexMeta, TakenOver, TypeMeta};
pub use names::{IndexNames, Mark, Prefix};
