//! The fixture of a case: a cluster, index names of its own, and helpers for requests.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::verdict::{Failure, Verdict, equal, some};
use crate::cluster::{
    BulkAction, BulkOperation, BulkRequest, Cluster, CreateIndex, IndexPurpose, IndexState, ItemErrorKind, ItemOutcome,
    Query, Refresh, Search, SearchIn, SequenceNumber,
};

/// A cluster, and index names that only one case uses.
#[derive(Debug, Clone)]
pub(super) struct Room {
    pub(super) cluster: Arc<dyn Cluster>,
    prefix: String,
}

impl Room {
    pub(super) fn new(cluster: Arc<dyn Cluster>, prefix: &str) -> Self {
        Self { cluster, prefix: prefix.to_owned() }
    }

    pub(super) async fn sweep(&self) -> Verdict {
        for index in self.cluster.indices(&[&format!("{}-*", self.prefix)]).await?.into_keys() {
            self.cluster.delete_index(&index).await?;
        }
        Ok(())
    }

    /// Returns a name that no other case uses.
    pub(super) fn name(&self, end: &str) -> String {
        format!("{}-{end}", self.prefix)
    }

    /// Returns the name of the index that [`create`](Self::create) creates.
    pub(super) fn index(&self) -> String {
        self.name("index")
    }

    /// Returns the name of the index's alias.
    pub(super) fn alias(&self) -> String {
        self.name("alias")
    }

    /// Returns a request to create the index, with the purpose `Filling`, so that writes become visible only by a
    /// refresh.
    pub(super) fn create_request(&self, mapping: Value) -> CreateIndex {
        CreateIndex {
            name: self.index(),
            mapping,
            aliases: vec![self.alias()],
            purpose: IndexPurpose::Filling,
            settings: Default::default(),
        }
    }

    /// Creates the index with only these fields, and its alias.
    pub(super) async fn create(&self, properties: Value) -> Verdict {
        let mapping = json!({ "dynamic": "strict", "properties": properties });
        Ok(self.cluster.create_index(&self.create_request(mapping)).await?)
    }

    /// Creates the index with the field `n`, a long.
    pub(super) async fn create_plain(&self) -> Verdict {
        self.create(json!({ "n": { "type": "long" } })).await
    }

    pub(super) async fn state_of(&self, index: &str) -> Result<IndexState, Failure> {
        some(index, self.cluster.indices(&[index]).await?.remove(index))
    }

    pub(super) async fn bulk(&self, alias: &str, operations: &[BulkOperation]) -> Result<Vec<ItemOutcome>, Failure> {
        let request = BulkRequest { alias, operations, refresh: Refresh::Later };
        Ok(self.cluster.bulk(&request).await?)
    }

    /// Does one write through the index's alias.
    pub(super) async fn write(&self, id: &str, action: BulkAction) -> Result<ItemOutcome, Failure> {
        let outcomes = self.bulk(&self.alias(), &[operation(id, action)]).await?;
        some("the outcome", outcomes.into_iter().next())
    }

    pub(super) async fn put(&self, id: &str, document: Value) -> Result<SequenceNumber, Failure> {
        Ok(self.write(id, BulkAction::Put { source: source(&document) }).await??)
    }

    /// Writes documents, and makes them visible to searches.
    pub(super) async fn fill(&self, documents: &[(&str, Value)]) -> Verdict {
        let operations: Vec<_> = documents.iter().map(|(id, document)| put(id, document)).collect();
        self.bulk(&self.alias(), &operations).await?.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(self.cluster.refresh(&self.index()).await?)
    }

    pub(super) fn search_for(&self, query: Query) -> Search {
        Search::new(SearchIn::Index(self.index()), query)
    }

    /// Returns the ids of the documents that a query finds, sorted.
    pub(super) async fn found(&self, query: Query) -> Result<String, Failure> {
        let page = self.cluster.search(&self.search_for(query)).await?;
        let mut ids: Vec<String> = page.hits.into_iter().map(|hit| hit.id).collect();
        ids.sort();
        Ok(ids.join(" "))
    }

    /// Fails unless each query finds the documents with these ids.
    pub(super) async fn expect_found(&self, table: &[(Query, &str)]) -> Verdict {
        for (query, ids) in table {
            let found = self.found(query.clone()).await;
            let found = found.map_err(|failure| Failure(format!("{query:?}: {failure}")))?;
            equal(&format!("{query:?}"), found.as_str(), *ids)?;
        }
        Ok(())
    }
}

pub(super) fn source(document: &Value) -> Bytes {
    Bytes::from(document.to_string())
}

pub(super) fn operation(id: &str, action: BulkAction) -> BulkOperation {
    BulkOperation { id: id.to_owned(), action }
}

pub(super) fn put(id: &str, document: &Value) -> BulkOperation {
    operation(id, BulkAction::Put { source: source(document) })
}

/// Fails unless the operation was refused with this kind of error.
pub(super) fn item_refused(what: &str, outcome: &ItemOutcome, kind: ItemErrorKind) -> Verdict {
    let actual = outcome.as_ref().map_err(|error| error.kind);
    equal(&format!("{what} ({outcome:?})"), actual.err(), Some(kind))
}
