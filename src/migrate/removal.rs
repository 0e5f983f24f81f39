use crate::cluster::{BulkAction, BulkOperation, BulkRequest, Cluster, Gone, Hit, ItemErrorKind, Query, Refresh, Scan};
use crate::{ErrorKind, Result};

/// Deletes every document of the types `types`, each only as it was read, and gives their number.
pub(super) async fn delete_types(
    cluster: &dyn Cluster,
    index: &str,
    write_alias: &str,
    types: &[String],
) -> Result<u64> {
    cluster.refresh(index).await?;
    let values = types.iter().map(|name| name.as_str().into()).collect();
    let query = Query::AnyOf { field: "type".to_owned(), values };
    let mut deleted = 0;
    Scan { cluster, index, query }
        .run(|page| delete(cluster, write_alias, page), |count: u64| deleted += count)
        .await?;
    Ok(deleted)
}

async fn delete(cluster: &dyn Cluster, alias: &str, page: Vec<Hit>) -> Result<u64> {
    let operations: Vec<_> = page
        .into_iter()
        .map(|hit| BulkOperation { id: hit.id, action: BulkAction::Delete { read: hit.sequence, gone: Gone::Done } })
        .collect();
    let request = BulkRequest { alias, operations: &operations, refresh: Refresh::Later };
    let mut deleted = 0;
    for outcome in cluster.bulk(&request).await? {
        match outcome {
            Ok(_) => deleted += 1,
            // Somebody changed or deleted it meanwhile.
            Err(error) if matches!(error.kind, ItemErrorKind::Conflict | ItemErrorKind::NotFound) => {}
            Err(error) => {
                return Err(error.into_error(
                    ErrorKind::Unavailable,
                    "a document of a removed type was not deleted",
                    "start again: what is deleted stays deleted",
                ));
            }
        }
    }
    Ok(deleted)
}
