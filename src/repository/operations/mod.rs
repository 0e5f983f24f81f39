//! The operations on objects, one file each: the request with its options, and the methods of the repository.

pub(in crate::repository) mod change_namespaces;
pub(in crate::repository) mod check_conflicts;
pub(in crate::repository) mod collect_references;
pub(in crate::repository) mod create;
pub(in crate::repository) mod delete;
pub(in crate::repository) mod delete_namespace;
pub(in crate::repository) mod get;
pub(in crate::repository) mod increment;
pub(in crate::repository) mod namespaces;
pub(in crate::repository) mod refresh;
pub(in crate::repository) mod remove_references;
pub(in crate::repository) mod replace;
pub(in crate::repository) mod resolve;
pub(in crate::repository) mod update;
pub(in crate::repository) mod upsert;
