//! Deletes the documents of removed types.

use std::sync::Arc;

use crate::cluster::{Cluster, Hit, ItemError, Pace, Query, Scan};
use crate::engine::rewrite::{self, Bulk, Conflicts, Refusals, Written};
use crate::environment::Environment;
use crate::{ErrorKind, Result};

/// Deletes all documents of `types` and returns their number. A document that another process changes or deletes first
/// stays as it is.
pub(super) async fn delete_types(
    cluster: &Arc<dyn Cluster>,
    environment: &Environment,
    index: &str,
    write_alias: &str,
    types: &[String],
    pace: &Pace,
) -> Result<u64> {
    cluster.refresh(index).await?;
    let values = types.iter().map(|name| name.as_str().into()).collect();
    let query = Query::AnyOf { field: "type".to_owned(), values };
    let failure = |_: &str, error: ItemError| {
        let what = "a document of a removed type was not deleted";
        error.into_error(ErrorKind::Unavailable, what, "start again: what is deleted stays deleted")
    };
    let (conflicts, refusals) = (Conflicts::Leave, Refusals::Abort);
    let bulk = &Bulk { cluster: cluster.as_ref(), alias: write_alias, conflicts, refusals, failure: &failure };
    let delete = |page: Vec<Hit>| async move {
        let operations: Vec<_> = page.into_iter().map(|hit| rewrite::deletion(hit.id, hit.sequence)).collect();
        pace.admit(operations.len(), environment).await;
        bulk.write(&operations).await
    };
    let mut deleted = 0;
    let count = |results: Vec<Written>| {
        deleted += results.iter().filter(|written| matches!(written, Written::Done)).count() as u64;
    };
    Scan { cluster, environment, index, query, pace: Some(pace) }.run(delete, count).await?;
    Ok(deleted)
}
