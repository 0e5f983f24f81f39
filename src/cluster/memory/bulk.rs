//! Bulk writes: the operations, and the reasons why a server refuses one.

use std::time::Duration;

use bytes::Bytes;

use super::document;
use super::documents::Written;
use super::refusals::{closed, refusal, rejected};
use super::settings::Level;
use super::state::{Index, State};
use crate::cluster::elastic::item_error;
use crate::cluster::{BulkAction, BulkOperation, ClusterResult, ItemError, ItemOutcome, SequenceNumber};

/// The longest `_id`.
const MAX_ID_BYTES: usize = 512;

/// One operation of a bulk.
#[derive(Debug, Clone)]
pub(super) struct Item<'a> {
    pub(super) id: &'a str,
    pub(super) write: ItemWrite<'a>,
    /// The sequence number that the stored document must have.
    pub(super) read: Option<SequenceNumber>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum ItemWrite<'a> {
    Create(&'a [u8]),
    Index(&'a [u8]),
    Delete,
}

/// The reason why an operation was not done, in a server's words.
#[derive(Debug, Clone)]
pub(super) struct ItemRefusal {
    pub(super) status: u16,
    pub(super) server_type: String,
    pub(super) reason: String,
    /// The index, if the server names it in addition to the reason.
    pub(super) index: Option<String>,
}

pub(super) type ItemResult = Result<Written, ItemRefusal>;

impl<'a> From<&'a BulkOperation> for Item<'a> {
    fn from(operation: &'a BulkOperation) -> Self {
        let (write, read) = match &operation.action {
            BulkAction::Create { source } => (ItemWrite::Create(source), None),
            BulkAction::Replace { source, read } => (ItemWrite::Index(source), Some(*read)),
            BulkAction::Put { source } => (ItemWrite::Index(source), None),
            BulkAction::Delete { read, .. } => (ItemWrite::Delete, Some(*read)),
        };
        Self { id: &operation.id, write, read }
    }
}

/// Does the operations, and returns their outcomes as a client reports them. A document larger than the request limit
/// is refused.
pub(super) fn bulk(
    state: &mut State,
    alias: &str,
    operations: &[BulkOperation],
    is_waited_for: bool,
    now: Duration,
) -> ClusterResult<Vec<ItemOutcome>> {
    if operations.iter().any(|operation| operation.action.has_line_break()) {
        return Err(rejected(BulkAction::LINE_BREAK_REFUSED));
    }
    let limit = state.request_limit.unwrap_or(usize::MAX);
    let fits = |operation: &BulkOperation| operation.action.source().is_none_or(|source| source.len() <= limit);
    let items: Vec<Item<'_>> = operations.iter().filter(|operation| fits(operation)).map(Item::from).collect();
    let mut results = apply_all(state, alias, true, &items, is_waited_for, now)?.into_iter();
    let outcome = |operation: &BulkOperation| match fits(operation) {
        true => results.next().map_or_else(
            || too_large(operation),
            |result| match result {
                Ok(written) => Ok(written.sequence),
                Err(refusal) => {
                    Err(item_error(refusal.status, &refusal.server_type, &refusal.reason, refusal.index.as_deref()))
                }
            },
        ),
        false => too_large(operation),
    };
    Ok(operations.iter().map(outcome).collect())
}

fn too_large(operation: &BulkOperation) -> ItemOutcome {
    Err(ItemError::too_large(operation.action.source().map_or(0, Bytes::len)))
}

/// Does the operations in order. Fails if the whole request is refused.
pub(super) fn apply_all(
    state: &mut State,
    target: &str,
    requires_alias: bool,
    items: &[Item<'_>],
    is_waited_for: bool,
    now: Duration,
) -> ClusterResult<Vec<ItemResult>> {
    if let Some((place, item)) = items.iter().enumerate().find(|(_, item)| item.id.len() > MAX_ID_BYTES) {
        return Err(refusal(
            400,
            "action_request_validation_exception",
            format!(
                "Validation Failed: {}: id [{}] is too long, must be no longer than {MAX_ID_BYTES} bytes but was: {};",
                place + 1,
                item.id,
                item.id.len()
            ),
        ));
    }
    let index = match written_index(state, target, requires_alias) {
        Ok(index) => index,
        Err(refusal) => return Ok(vec![Err(refusal); items.len()]),
    };
    let results = items.iter().map(|item| apply(index, item, now)).collect();
    if is_waited_for {
        index.documents.refresh();
    }
    Ok(results)
}

/// Returns the one index that writes through `target` go to.
fn written_index<'a>(state: &'a mut State, target: &str, requires_alias: bool) -> Result<&'a mut Index, ItemRefusal> {
    let is_index = state.indices.contains_key(target);
    let names = if is_index && requires_alias { Vec::new() } else { state.behind(target) };
    let missing = || {
        item_refusal(
            404,
            "index_not_found_exception",
            match requires_alias {
                true => format!(
                    "no such index [{target}] and [require_alias] request flag is [true] and [{target}] is not an alias"
                ),
                false => format!("no such index [{target}]"),
            },
        )
    };
    let [name] = names.as_slice() else {
        return Err(match names.is_empty() {
            true => missing(),
            false => item_refusal(
                400,
                "illegal_argument_exception",
                format!(
                    "no write index is defined for alias [{target}]. The write index may be explicitly disabled using \
                     is_write_index=false or the alias points to multiple indices without one being designated as a \
                     write index"
                ),
            ),
        });
    };
    let index = state.indices.get_mut(name).ok_or_else(missing)?;
    let refused = match index.settings.block(Level::Write) {
        _ if index.is_closed => closed(name),
        Some(block) => block.refusal(name),
        None => return Ok(index),
    };
    Err(ItemRefusal {
        status: refused.status.unwrap_or(400),
        server_type: refused.server_type.unwrap_or_default(),
        reason: refused.reason.unwrap_or_default(),
        index: refused.index,
    })
}

fn apply(index: &mut Index, item: &Item<'_>, now: Duration) -> ItemResult {
    if item.id.is_empty() {
        let reason = "if _id is specified it must not be empty";
        return Err(item_refusal(400, "illegal_argument_exception", reason));
    }
    let parsed = match item.write {
        ItemWrite::Create(source) | ItemWrite::Index(source) => {
            Some(document::parse(source, &index.mapping).map_err(parsing_refused)?)
        }
        ItemWrite::Delete => None,
    };
    check(index, item)?;
    Ok(match parsed {
        Some((source, fields)) => index.documents.put(item.id, source, fields, now),
        None => index.documents.delete(item.id, now),
    })
}

fn parsing_refused(reason: String) -> ItemRefusal {
    match reason.starts_with("mapping set to strict") {
        true => item_refusal(400, "strict_dynamic_mapping_exception", format!("[1:1] {reason} is not allowed")),
        false => item_refusal(400, "document_parsing_exception", format!("[1:1] {reason}")),
    }
}

fn check(index: &Index, item: &Item<'_>) -> Result<(), ItemRefusal> {
    let stored = index.documents.get(item.id);
    let conflict = |what: String| {
        item_refusal(409, "version_conflict_engine_exception", format!("[{}]: version conflict, {what}", item.id))
    };
    if let (ItemWrite::Create(_), Some(stored)) = (item.write, stored) {
        return Err(conflict(format!("document already exists (current version [{}])", stored.version)));
    }
    match (item.read, stored.map(|document| document.sequence)) {
        (Some(read), None) => Err(conflict(format!(
            "required seqNo [{}], primary term [{}]. but no document was found",
            read.seq_no, read.primary_term
        ))),
        (Some(read), Some(stored)) if stored != read => Err(conflict(format!(
            "required seqNo [{}], primary term [{}]. current document has seqNo [{}] and primary term [{}]",
            read.seq_no, read.primary_term, stored.seq_no, stored.primary_term
        ))),
        _ => Ok(()),
    }
}

fn item_refusal(status: u16, server_type: &str, reason: impl Into<String>) -> ItemRefusal {
    ItemRefusal { status, server_type: server_type.to_owned(), reason: reason.into(), index: None }
}
