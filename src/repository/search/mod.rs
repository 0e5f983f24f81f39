//! Searches: requests, filters, aggregations, and what is found, as a page, as a stream or from a point in time.

pub(in crate::repository) mod aggregation;
pub(in crate::repository) mod compared_names;
pub(in crate::repository) mod fields;
pub(in crate::repository) mod filter;
pub(in crate::repository) mod find;
pub(in crate::repository) mod found;
pub(in crate::repository) mod kql;
pub(in crate::repository) mod nearest;
mod page;
pub(in crate::repository) mod point_in_time;
pub(in crate::repository) mod refusals;
pub(in crate::repository) mod searchable;
pub(in crate::repository) mod stream;
mod with_secrets;
