//! The code that all operations share: a call resolves its objects to targets, carries them as items through reading,
//! conversion and writing, and repeats what loses against other writers.

pub(in crate::repository) mod attempts;
pub(in crate::repository) mod change;
pub(in crate::repository) mod content;
pub(in crate::repository) mod destination;
pub(crate) mod difference;
pub(in crate::repository) mod errors;
pub(in crate::repository) mod fetch_many;
pub(in crate::repository) mod generations;
pub(in crate::repository) mod item;
pub(in crate::repository) mod key;
pub(in crate::repository) mod limits;
pub(in crate::repository) mod many;
pub(in crate::repository) mod merge;
pub(in crate::repository) mod object;
pub(in crate::repository) mod overwrite;
pub(in crate::repository) mod read;
pub(in crate::repository) mod recorded_sets;
pub(in crate::repository) mod rewrite;
pub(in crate::repository) mod secret_change;
pub(in crate::repository) mod seen_namespaces;
pub(in crate::repository) mod sweep;
pub(in crate::repository) mod target;
pub(in crate::repository) mod write;
