//! The behaviour that every [`Cluster`](super::Cluster) must have, as named cases. Run on the real server and in
//! memory, they prove that both behave alike. They can also be run on other implementations, such as wrappers.
//!
//! # Examples
//!
//! ```
//! # use std::sync::Arc;
//! # use saved_objects::cluster::{InMemory, conformance};
//! # use saved_objects::environment::Environment;
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let cluster = Arc::new(InMemory::new(Environment::system()));
//! for case in conformance::cases() {
//!     case.run(cluster.clone(), "conformance").await.map_err(|failure| format!("{}: {failure}", case.name()))?;
//! }
//! # Ok::<(), String>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod aggregations;
mod aliases;
mod bulk;
mod case;
mod conditions;
mod copying;
mod documents;
mod indices;
mod mappings;
mod paging;
mod points_in_time;
mod queries;
mod room;
mod sorting;
mod texts;
mod values;
mod verdict;

pub use case::Case;
pub use verdict::{Failure, Verdict};

/// Returns all cases.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    [
        indices::CASES,
        conditions::CASES,
        aliases::CASES,
        mappings::CASES,
        values::CASES,
        bulk::CASES,
        documents::CASES,
        queries::CASES,
        texts::CASES,
        aggregations::CASES,
        sorting::CASES,
        paging::CASES,
        points_in_time::CASES,
        copying::CASES,
    ]
    .into_iter()
    .flatten()
}
