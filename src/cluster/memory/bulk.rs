use std::time::Duration;

use super::document;
use super::state::{Index, State, rejected};
use crate::cluster::{
    BulkAction, BulkOperation, ClusterResult, ItemError, ItemErrorKind, ItemOutcome, Refresh, SequenceNumber,
};

/// The longest `_id`.
const MAX_ID_BYTES: usize = 512;

pub(super) fn bulk(
    state: &mut State,
    alias: &str,
    operations: &[BulkOperation],
    refresh: Refresh,
    now: Duration,
) -> ClusterResult<Vec<ItemOutcome>> {
    if operations.iter().any(|operation| operation.id.len() > MAX_ID_BYTES) {
        return Err(rejected("POST", format!("{alias}/_bulk"), format!("an id is longer than {MAX_ID_BYTES} bytes")));
    }
    if operations.iter().any(|operation| operation.action.has_line_break()) {
        return Err(rejected("POST", format!("{alias}/_bulk"), BulkAction::LINE_BREAK_REFUSED));
    }
    let limit = state.request_limit;
    let names = if state.indices.contains_key(alias) { Vec::new() } else { state.behind(alias) };
    let refused = |kind, reason: &str| operations.iter().map(|_| Err(error(kind, reason))).collect();
    let index = match names.as_slice() {
        [] => return Ok(refused(ItemErrorKind::AliasMissing, "no such alias")),
        [name] => state.index_mut(name, "POST")?,
        _ => return Ok(refused(ItemErrorKind::Other, "no write index is defined for the alias, which has several")),
    };
    if index.write_blocked {
        return Ok(refused(ItemErrorKind::WriteBlocked, "the index has a write block"));
    }
    let takes = |operation: &BulkOperation| {
        operation.action.source().is_none_or(|source| limit.is_none_or(|limit| source.len() <= limit))
    };
    let too_large = || Err(error(ItemErrorKind::TooLarge, "it has more bytes than the server takes at once"));
    let one = |operation| if takes(operation) { apply(index, operation, now) } else { too_large() };
    let outcomes = operations.iter().map(one).collect();
    if refresh == Refresh::WaitFor {
        index.documents.refresh();
    }
    Ok(outcomes)
}

fn apply(index: &mut Index, BulkOperation { id, action }: &BulkOperation, now: Duration) -> ItemOutcome {
    if id.is_empty() {
        return Err(error(ItemErrorKind::Other, "the _id must not be empty"));
    }
    let parsed = action.source().map(|source| document::parse(source, &index.mapping)).transpose();
    let parsed = parsed.map_err(|reason| error(ItemErrorKind::MappingRefused, &reason))?;
    let stored = index.documents.get(id).map(|document| document.sequence);
    check(action, stored)?;
    Ok(match parsed {
        Some((source, fields)) => index.documents.put(id, source, fields, now),
        None => index.documents.delete(id, now),
    })
}

fn check(action: &BulkAction, stored: Option<SequenceNumber>) -> Result<(), ItemError> {
    match action {
        BulkAction::Create { .. } if stored.is_some() => {
            Err(error(ItemErrorKind::Conflict, "the document exists already"))
        }
        BulkAction::Replace { read, .. } | BulkAction::Delete { read, .. } if stored != Some(*read) => {
            Err(error(ItemErrorKind::Conflict, "the document is not the one that was read"))
        }
        _ => Ok(()),
    }
}

fn error(kind: ItemErrorKind, reason: &str) -> ItemError {
    ItemError { kind, reason: reason.to_owned() }
}
