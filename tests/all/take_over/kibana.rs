//! An index as Kibana left it: 1,433 documents, and their contents in clear.

use std::collections::BTreeMap;

use saved_objects::cluster::{BulkAction, BulkOperation, BulkRequest, Cluster, CreateIndex, IndexPurpose, Refresh};
use saved_objects::migrate::TakeOver;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::context::Context;

const INDEX: &str = include_str!("../../fixtures/kibana_index/index.json");
const DOCUMENTS: &str = include_str!("../../fixtures/kibana_index/documents.ndjson");
const KEYS: &str = include_str!("../../fixtures/kibana_index/keys.json");
const TRUTH: &str = include_str!("../../fixtures/kibana_truth.ndjson");

/// Kibana's index under a test's own name.
#[derive(Debug, Clone)]
pub(crate) struct Kibana {
    pub(crate) alias: String,
    pub(crate) index: String,
}

/// A document in clear.
pub(crate) struct Truth {
    pub(crate) id: String,
    pub(crate) attributes: Value,
    /// Whether its stored secrets can be decrypted.
    pub(crate) opens: bool,
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

pub(crate) fn truth() -> Vec<Truth> {
    let line = |line: &str| {
        let mut line = parsed(line);
        Truth {
            id: line["_id"].as_str().expect("an id").to_owned(),
            opens: line["opens"].as_bool().expect("a boolean"),
            attributes: line["attributes"].take(),
        }
    };
    TRUTH.lines().map(line).collect()
}

/// Returns the ids of the documents whose secrets cannot be decrypted with any key.
pub(crate) fn broken() -> Vec<String> {
    let mut ids: Vec<_> = truth().into_iter().filter(|one| !one.opens).map(|one| one.id).collect();
    ids.sort_unstable();
    ids
}

/// The ids of the documents that are no saved objects.
pub(crate) const CORRUPT: [&str; 3] =
    ["connector_token:83605bc4-d016-495e-8555-ea187c340a51", "connector_token_without_colon", "no-type-at-all"];

/// Returns the sources of all documents, by `_id`.
pub(crate) fn documents() -> BTreeMap<String, Value> {
    let document = |line: &str| {
        let mut document = parsed(line);
        (document["_id"].as_str().expect("an id").to_owned(), document["_source"].take())
    };
    DOCUMENTS.lines().map(document).collect()
}

/// Creates a file of Kibana's keys.
pub(crate) fn keys(with_old_ones: bool) -> NamedTempFile {
    let mut keys = parsed(KEYS);
    if !with_old_ones {
        keys["decryptionOnlyKeys"] = json!([]);
    }
    let file = NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), keys.to_string()).expect("written");
    file
}

impl Kibana {
    /// Creates the index with the mapping, the settings and the aliases that Kibana gave it, and all documents, under
    /// these names.
    pub(crate) async fn load(context: &Context, alias: &str) -> Self {
        let kibana = Self { alias: alias.to_owned(), index: format!("{alias}_9.3.0_001") };
        let file = parsed(INDEX);
        let aliases = json!({ &kibana.alias: {}, format!("{alias}_9.3.0"): {} });
        let body = json!({"settings": file["settings"], "mappings": file["mappings"], "aliases": aliases});
        let created = context.raw("PUT", &format!("/{}", kibana.index), Some(body)).await;
        assert_eq!(created["acknowledged"], true, "{created}");
        let all: Vec<_> = documents().into_iter().collect();
        kibana.put(context.cluster().as_ref(), &all).await;
        kibana
    }

    /// Creates it in a cluster that may be in memory, with these documents.
    pub(crate) async fn with(cluster: &dyn Cluster, alias: &str, documents: &[(String, Value)]) -> Self {
        let kibana = Self { alias: alias.to_owned(), index: format!("{alias}_9.3.0_001") };
        let mut mapping = parsed(INDEX)["mappings"].take();
        for type_name in documents.iter().filter_map(|(_, source)| source["type"].as_str()) {
            let of_type = &mut mapping["properties"][type_name];
            if of_type.is_null() {
                *of_type = json!({"type": "object", "dynamic": "false"});
            }
        }
        let request = CreateIndex {
            name: kibana.index.clone(),
            mapping,
            aliases: vec![kibana.alias.clone()],
            purpose: IndexPurpose::Serving,
            settings: Default::default(),
        };
        cluster.create_index(&request).await.expect("created");
        kibana.put(cluster, documents).await;
        kibana
    }

    pub(crate) async fn put(&self, cluster: &dyn Cluster, documents: &[(String, Value)]) {
        let operation = |(id, source): &(String, Value)| BulkOperation {
            id: id.clone(),
            action: BulkAction::Put { source: source.to_string().into() },
        };
        let operations: Vec<_> = documents.iter().map(operation).collect();
        let request = BulkRequest { alias: &self.alias, operations: &operations, refresh: Refresh::WaitFor };
        let outcomes = cluster.bulk(&request).await.expect("answered");
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }

    pub(crate) fn take_over(&self) -> TakeOver {
        TakeOver { alias: self.alias.clone(), group: Some("connectors".to_owned()) }
    }

    /// Returns `ALIAS=GROUP`, as the command line takes it.
    pub(crate) fn argument(&self) -> String {
        format!("{}=connectors", self.alias)
    }

    /// Returns whether it has a write block, and how many writes it has taken.
    pub(crate) async fn state(&self, cluster: &dyn Cluster) -> (bool, u64) {
        let found = cluster.indices(&[&self.alias]).await.expect("answered");
        let (index, state) = found.first_key_value().expect("it is behind its alias");
        assert_eq!((found.len(), index), (1, &self.index));
        (state.write_blocked, cluster.write_count(&self.index).await.expect("counted"))
    }

    /// Deletes it, on a server that other tests use too.
    pub(crate) async fn remove(&self, cluster: &dyn Cluster) {
        cluster.delete_index(&self.index).await.expect("deleted");
    }
}
