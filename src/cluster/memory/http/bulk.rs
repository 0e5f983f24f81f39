//! Bulk requests as lines of JSON, and their answers.

use serde::{Deserialize, Serialize};

use super::{Asked, answers};
use crate::cluster::elastic::HttpAnswer;
use crate::cluster::memory::bulk::{self, Item, ItemResult, ItemWrite};
use crate::cluster::memory::documents::Written;
use crate::cluster::memory::refusals::{refusal, rejected};
use crate::cluster::memory::state::State;
use crate::cluster::{ClusterResult, SequenceNumber};

/// An action line.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ActionLine {
    Create(Target),
    Index(Target),
    Delete(Target),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    #[serde(rename = "_id")]
    id: String,
    if_seq_no: Option<u64>,
    if_primary_term: Option<u64>,
}

/// An operation, and the name under which it is answered.
struct Operation<'a> {
    name: &'static str,
    target: Target,
    write: ItemWrite<'a>,
}

#[derive(Debug, Serialize)]
struct BulkAnswer<'a> {
    errors: bool,
    took: u64,
    items: Vec<Named<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Named<'a> {
    Create(ItemAnswer<'a>),
    Index(ItemAnswer<'a>),
    Delete(ItemAnswer<'a>),
}

#[derive(Debug, Serialize)]
struct ItemAnswer<'a> {
    #[serde(rename = "_index")]
    index: &'a str,
    #[serde(rename = "_id")]
    id: &'a str,
    #[serde(rename = "_version", skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
    #[serde(rename = "_seq_no", skip_serializing_if = "Option::is_none")]
    seq_no: Option<u64>,
    #[serde(rename = "_primary_term", skip_serializing_if = "Option::is_none")]
    primary_term: Option<u64>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ItemError<'a>>,
}

#[derive(Debug, Serialize)]
struct ItemError<'a> {
    #[serde(rename = "type")]
    server_type: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
}

impl Asked<'_> {
    pub(super) fn bulk(&self, state: &mut State, target: &str) -> ClusterResult<HttpAnswer> {
        let operations = parse(self.bytes())?;
        let read = |operation: &'_ Operation<'_>| -> Option<SequenceNumber> {
            let Target { if_seq_no, if_primary_term, .. } = &operation.target;
            Some(SequenceNumber { seq_no: (*if_seq_no)?, primary_term: (*if_primary_term)? })
        };
        let items: Vec<Item<'_>> = operations
            .iter()
            .take(self.operations)
            .map(|operation| Item { id: &operation.target.id, write: operation.write, read: read(operation) })
            .collect();
        let is_waited_for = self.parameter("refresh").is_some_and(|refresh| refresh != "false");
        let results = bulk::apply_all(state, target, self.says("require_alias"), &items, is_waited_for, self.now)?;
        // The index behind the alias, if there is one.
        let behind = state.behind(target);
        let index = behind.first().map_or(target, String::as_str);
        let items: Vec<Named<'_>> = operations
            .iter()
            .zip(&results)
            .map(|(operation, result)| {
                let is_refused_before = result.as_ref().is_err_and(|refusal| is_before_index(&refusal.server_type));
                let answer = answer(if is_refused_before { target } else { index }, operation, result);
                match operation.name {
                    "create" => Named::Create(answer),
                    "index" => Named::Index(answer),
                    _ => Named::Delete(answer),
                }
            })
            .collect();
        Ok(answers::ok(&BulkAnswer { errors: results.iter().any(Result::is_err), took: 0, items }))
    }
}

/// Returns whether an operation was refused before it reached the index: its answer then has the requested name, even
/// an alias.
fn is_before_index(server_type: &str) -> bool {
    let before = [
        "index_not_found_exception",
        "index_closed_exception",
        "cluster_block_exception",
        "illegal_argument_exception",
    ];
    before.contains(&server_type)
}

fn answer<'a>(index: &'a str, operation: &'a Operation<'_>, result: &'a ItemResult) -> ItemAnswer<'a> {
    let id = operation.target.id.as_str();
    match result {
        Ok(Written { sequence, version, was_there }) => {
            let (result, status) = match (operation.write, was_there) {
                (ItemWrite::Delete, true) => ("deleted", 200),
                (ItemWrite::Delete, false) => ("not_found", 404),
                (_, true) => ("updated", 200),
                (_, false) => ("created", 201),
            };
            ItemAnswer {
                index,
                id,
                version: Some(*version),
                result: Some(result),
                seq_no: Some(sequence.seq_no),
                primary_term: Some(sequence.primary_term),
                status,
                error: None,
            }
        }
        Err(refusal) => ItemAnswer {
            index,
            id,
            version: None,
            result: None,
            seq_no: None,
            primary_term: None,
            status: refusal.status,
            error: Some(ItemError {
                server_type: &refusal.server_type,
                reason: &refusal.reason,
                index: refusal.index.as_deref(),
            }),
        },
    }
}

fn parse(body: &[u8]) -> ClusterResult<Vec<Operation<'_>>> {
    if body.is_empty() {
        return Err(refusal(400, "parse_exception", "request body is required"));
    }
    let Some(lines) = body.strip_suffix(b"\n") else {
        return Err(rejected("The bulk request must be terminated by a newline [\\n]"));
    };
    let mut lines = lines.split(|&byte| byte == b'\n');
    let mut operations = Vec::new();
    while let Some(line) = lines.next() {
        let action: ActionLine = serde_json::from_slice(line).map_err(|error| {
            rejected(format!("Malformed action/metadata line [{}]: {error}", operations.len() * 2 + 1))
        })?;
        let mut source = || lines.next().ok_or_else(|| rejected("a bulk operation has no source"));
        let (name, target, write) = match action {
            ActionLine::Create(target) => ("create", target, ItemWrite::Create(source()?)),
            ActionLine::Index(target) => ("index", target, ItemWrite::Index(source()?)),
            ActionLine::Delete(target) => ("delete", target, ItemWrite::Delete),
        };
        operations.push(Operation { name, target, write });
    }
    Ok(operations)
}
