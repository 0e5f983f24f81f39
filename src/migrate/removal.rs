use std::time::Duration;

use crate::cluster::{
    BulkAction, BulkOperation, BulkRequest, Cluster, ItemErrorKind, PointInTime, Query, Refresh, Search, SearchIn,
};
use crate::{Error, ErrorKind, Result};

const PAGE_SIZE: u32 = 1_000;
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Deletes every document of the types `types`, each only as it was read, and gives their number.
pub(super) async fn delete_types(
    cluster: &dyn Cluster,
    index: &str,
    write_alias: &str,
    types: &[String],
) -> Result<u64> {
    cluster.refresh(index).await?;
    let mut newest = cluster.open_point_in_time(index, KEEP_ALIVE).await?;
    let deleted = delete_in(cluster, &mut newest, write_alias, types).await;
    if let Err(error) = cluster.close_point_in_time(&newest).await {
        tracing::debug!(%error, "a point in time could not be closed; it expires by itself");
    }
    deleted
}

async fn delete_in(
    cluster: &dyn Cluster,
    point_in_time: &mut PointInTime,
    write_alias: &str,
    types: &[String],
) -> Result<u64> {
    let values = types.iter().map(|name| name.as_str().into()).collect();
    let query = Query::AnyOf { field: "type".to_owned(), values };
    let within = SearchIn::PointInTime(point_in_time.clone());
    let mut search = Search { size: PAGE_SIZE, ..Search::new(within, query) };
    let mut deleted = 0;
    loop {
        let page = cluster.search(&search).await?;
        if let Some(current) = page.point_in_time {
            point_in_time.clone_from(&current);
            search.within = SearchIn::PointInTime(current);
        }
        search.after = page.last_sort;
        let operations: Vec<_> = page
            .hits
            .into_iter()
            .map(|hit| BulkOperation { id: hit.id, action: BulkAction::Delete { read: hit.sequence } })
            .collect();
        if operations.is_empty() {
            return Ok(deleted);
        }
        let request = BulkRequest { alias: write_alias, operations: &operations, refresh: Refresh::Later };
        for outcome in cluster.bulk(&request).await? {
            match outcome {
                Ok(_) => deleted += 1,
                Err(error) if matches!(error.kind, ItemErrorKind::Conflict | ItemErrorKind::NotFound) => {}
                Err(error) => {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        format!("a document of a removed type was not deleted: {}", error.reason),
                    )
                    .with_cure("start again: what is deleted stays deleted"));
                }
            }
        }
    }
}
