//! How objects are laid out in Elasticsearch: the names of aliases and indices, and what an index's `_meta` says. Nothing
//! here does I/O.

mod index_meta;
mod names;

pub use index_meta::{CopyRecord, IndexMeta, TakenOver, TypeMeta};
pub use names::{IndexNames, Prefix};
