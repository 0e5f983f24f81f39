//! Documents by id: get and multi-get.

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::{Asked, answers};
use crate::cluster::elastic::HttpAnswer;
use crate::cluster::memory::document::Document;
use crate::cluster::memory::state::State;
use crate::cluster::{ClusterError, ClusterResult};

/// The answer about one document.
#[derive(Debug, Serialize)]
struct GetAnswer<'a> {
    #[serde(rename = "_index")]
    index: &'a str,
    #[serde(rename = "_id")]
    id: &'a str,
    #[serde(rename = "_version", skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(rename = "_seq_no", skip_serializing_if = "Option::is_none")]
    seq_no: Option<u64>,
    #[serde(rename = "_primary_term", skip_serializing_if = "Option::is_none")]
    primary_term: Option<u64>,
    found: bool,
    #[serde(rename = "_source", skip_serializing_if = "Option::is_none")]
    source: Option<&'a RawValue>,
}

impl<'a> GetAnswer<'a> {
    fn of(index: &'a str, id: &'a str, document: Option<&'a Document>) -> Self {
        Self {
            index,
            id,
            version: document.map(|document| document.version),
            seq_no: document.map(|document| document.sequence.seq_no),
            primary_term: document.map(|document| document.sequence.primary_term),
            found: document.is_some(),
            source: document.map(|document| document.source.as_ref()),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MultiGetBody {
    ids: Vec<String>,
}

#[derive(Debug, Serialize)]
struct MultiGetAnswer<'a> {
    docs: Vec<GetAnswer<'a>>,
}

impl Asked<'_> {
    pub(super) fn get(&self, state: &State, name: &str, id: &str) -> ClusterResult<HttpAnswer> {
        let (name, index) = state.readable(name)?;
        let answer = GetAnswer::of(name, id, index.documents.get(id));
        Ok(answers::with_status(if answer.found { 200 } else { 404 }, &answer))
    }

    pub(super) fn get_many(&self, state: &State, name: &str) -> ClusterResult<HttpAnswer> {
        let MultiGetBody { ids } = self.body()?;
        Ok(match state.readable(name) {
            Ok((index_name, index)) => {
                let docs = ids.iter().map(|id| GetAnswer::of(index_name, id, index.documents.get(id))).collect();
                answers::ok(&MultiGetAnswer { docs })
            }
            Err(error) => {
                // A block is reported under the index's name; all other refusals under the requested name.
                let behind = state.behind(name);
                let is_block = error.server_type.as_deref() == Some("cluster_block_exception");
                let name = behind.first().filter(|_| is_block).map_or(name, String::as_str);
                each_refused(name, &ids, &error)
            }
        })
    }
}

/// Returns the same refusal for each of the documents.
fn each_refused(name: &str, ids: &[String], error: &ClusterError) -> HttpAnswer {
    let cause = json!({ "type": error.server_type, "reason": error.reason });
    let error = json!({ "root_cause": [cause], "type": error.server_type, "reason": error.reason });
    let docs: Vec<_> = ids.iter().map(|id| json!({ "_index": name, "_id": id, "error": error })).collect();
    answers::ok(&json!({ "docs": docs }))
}
