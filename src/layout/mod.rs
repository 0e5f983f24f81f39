//! The layout of objects in Elasticsearch: the names of aliases and indices, and the content of an index's `_meta`.
//! Nothing here does I/O.

mod gate;
mod index_meta;
mod names;

pub use gate::Gate;
pub use index_meta::{Complete, CopyRecord, IndexMeta, Mapped, TakenOver, TypeMeta};
pub use names::{IndexNames, Mark, Prefix};
