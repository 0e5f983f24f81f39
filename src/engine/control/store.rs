//! Reads and conditional writes of documents in the control index.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cluster::{
    BulkAction, BulkOperation, BulkRequest, Cluster, ClusterErrorKind, CreateIndex, Gone, IndexPurpose, ItemErrorKind,
    Refresh, SequenceNumber,
};
use crate::layout::{IndexNames, Prefix};
use crate::{Error, ErrorKind, Result};

/// The number of attempts to create a document when the index is missing. The index is created after each failure.
const MAX_CREATIONS: u32 = 3;
/// The longest `_id` that Elasticsearch accepts, in bytes.
const MAX_ID_BYTES: usize = 512;

/// The kind of a control document. Documents of different kinds have different ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A lease for work that one node does for all.
    Lease,
    /// A claim on one object.
    Claim,
    /// The keys in use.
    Keys,
    /// The generation numbers that were used.
    Generations,
    /// An operator's order to pause.
    Pause,
}

impl Kind {
    /// Returns the name that ids of documents and metrics have.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Claim => "claim",
            Self::Keys => "keys",
            Self::Generations => "generations",
            Self::Pause => "pause",
        }
    }

    fn document_id(self, id: &str) -> Result<String> {
        let document_id = format!("{}:{id}", self.name());
        if id.is_empty() || document_id.len() > MAX_ID_BYTES {
            return Err(Error::invalid(
                format!("a control document cannot have an id of {} bytes", id.len()),
                format!("use an id of 1 to {} bytes", MAX_ID_BYTES - self.name().len() - 1),
            ));
        }
        Ok(document_id)
    }
}

/// A control document with the version in which it was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ControlDocument<T> {
    /// The sequence number that a conditional write must name.
    pub(crate) sequence: SequenceNumber,
    /// The content.
    pub(crate) body: T,
}

/// The stored form of a document.
#[derive(Serialize, Deserialize)]
struct Stored<T> {
    kind: String,
    body: T,
}

/// The documents of the control index of one prefix. Clones share the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    cluster: Arc<dyn Cluster>,
    names: IndexNames,
}

impl Control {
    /// Creates the control index under `prefix`. Sends and creates nothing.
    pub(crate) fn new(cluster: Arc<dyn Cluster>, prefix: &Prefix) -> Self {
        Self { cluster, names: prefix.control() }
    }

    /// Reads one document in real time. Returns `None` if the document or the index does not exist. Sends one request.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) if the document has another form than `T`, and every error of the cluster.
    pub(crate) async fn read<T: DeserializeOwned>(&self, kind: Kind, id: &str) -> Result<Option<ControlDocument<T>>> {
        let document_id = kind.document_id(id)?;
        let hit = match self.cluster.get(self.names.alias(), &document_id).await {
            Ok(Some(hit)) => hit,
            Ok(None) => return Ok(None),
            Err(error) if error.kind == ClusterErrorKind::IndexNotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // serde's message can quote a value, so the error has only the document's name.
        let stored: Stored<T> = serde_json::from_str(hit.source.get()).map_err(|_| {
            Error::new(
                ErrorKind::Corrupt,
                format!("the document {document_id} of {} has an unknown form", self.names.alias()),
            )
            .with_hint("run the version of this software that wrote it; if none did, delete the document")
        })?;
        Ok(Some(ControlDocument { sequence: hit.sequence, body: stored.body }))
    }

    /// Creates a document, and the index if it is missing. Returns `None` if the document exists already.
    ///
    /// # Errors
    /// [`OutcomeUnknown`](ErrorKind::OutcomeUnknown) if the answer was lost and reading back does not settle the write,
    /// and every error of the cluster.
    pub(crate) async fn create<T: Serialize>(&self, kind: Kind, id: &str, body: &T) -> Result<Option<SequenceNumber>> {
        let action = BulkAction::Create { source: source(kind, body)? };
        let operation = BulkOperation { id: kind.document_id(id)?, action };
        for _ in 0..MAX_CREATIONS {
            match self.write(&operation).await? {
                Written::IndexMissing => self.create_index().await?,
                Written::Done(sequence) => return Ok(Some(sequence)),
                Written::Lost => return Ok(None),
            }
        }
        let (index, alias) = (self.names.index(1), self.names.alias());
        Err(match self.cluster.indices(&[&index]).await?.contains_key(&index) {
            true => {
                Error::new(ErrorKind::Incompatible, format!("the index {index} is there, and its alias {alias} is not"))
                    .with_hint("see `saved-objects status`, which has the request that gives the alias back")
            }
            false => Error::new(ErrorKind::Conflict, format!("the index {index} disappears as it is created"))
                .with_hint("find out who deletes it, and try again"),
        })
    }

    /// Replaces a document that is unchanged since it was read. Returns `None` if it has changed.
    ///
    /// # Errors
    /// Those of [`create`](Self::create).
    pub(crate) async fn replace<T: Serialize>(
        &self,
        kind: Kind,
        id: &str,
        body: &T,
        read: SequenceNumber,
    ) -> Result<Option<SequenceNumber>> {
        let action = BulkAction::Replace { source: source(kind, body)?, read };
        Ok(self.write(&BulkOperation { id: kind.document_id(id)?, action }).await?.done())
    }

    /// Deletes a document that is unchanged since it was read. Returns false if it has changed.
    ///
    /// # Errors
    /// Those of [`create`](Self::create).
    pub(crate) async fn delete(&self, kind: Kind, id: &str, read: SequenceNumber) -> Result<bool> {
        let operation =
            BulkOperation { id: kind.document_id(id)?, action: BulkAction::Delete { read, gone: Gone::Done } };
        Ok(self.write(&operation).await?.done().is_some())
    }

    async fn write(&self, operation: &BulkOperation) -> Result<Written> {
        let operations = std::slice::from_ref(operation);
        let request = BulkRequest { alias: self.names.alias(), operations, refresh: Refresh::Later };
        let outcome = self.cluster.bulk(&request).await?.pop();
        let Some(outcome) = outcome else {
            return Err(Error::new(ErrorKind::Internal, "a bulk of one operation was answered with none"));
        };
        let error = match outcome {
            Ok(sequence) => return Ok(Written::Done(sequence)),
            Err(error) => error,
        };
        let kind = match error.kind {
            ItemErrorKind::Conflict | ItemErrorKind::NotFound => return Ok(Written::Lost),
            ItemErrorKind::AliasMissing => return Ok(Written::IndexMissing),
            ItemErrorKind::WriteBlocked | ItemErrorKind::Forbidden => ErrorKind::Forbidden,
            ItemErrorKind::Unavailable => ErrorKind::Unavailable,
            ItemErrorKind::OutcomeUnknown => ErrorKind::OutcomeUnknown,
            _ => ErrorKind::Internal,
        };
        let what = format!("the document {} of {} could not be written", operation.id, self.names.alias());
        let hint = "put right what the server names, and try again; the index is created anew if it is deleted";
        Err(error.into_error(kind, what, hint))
    }

    /// Creates the index if it does not exist.
    ///
    /// # Errors
    /// Every error of the cluster.
    pub(crate) async fn create_index(&self) -> Result<()> {
        let request = CreateIndex {
            name: self.names.index(1),
            mapping: mapping(),
            aliases: vec![self.names.alias().to_owned()],
            purpose: IndexPurpose::Serving,
            settings: Default::default(),
        };
        match self.cluster.create_index(&request).await {
            // Another version of this software may have created the index with another `_meta`, which is sufficient.
            Err(error) if error.kind != ClusterErrorKind::IndexExists => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// The result of one write.
enum Written {
    Done(SequenceNumber),
    /// Another process wrote first.
    Lost,
    IndexMissing,
}

impl Written {
    fn done(self) -> Option<SequenceNumber> {
        match self {
            Self::Done(sequence) => Some(sequence),
            Self::Lost | Self::IndexMissing => None,
        }
    }
}

/// Returns the index's mapping. It suits every future body, because bodies are not indexed.
fn mapping() -> Value {
    json!({
        "dynamic": false,
        "_meta": { "saved_objects": { "control": 1 } },
        "properties": {
            "kind": { "type": "keyword" },
            "body": { "type": "object", "enabled": false },
        },
    })
}

fn source<T: Serialize>(kind: Kind, body: &T) -> Result<Bytes> {
    let stored = Stored { kind: kind.name().to_owned(), body };
    serde_json::to_vec(&stored).map(Bytes::from).map_err(|_| {
        Error::new(ErrorKind::Internal, format!("a control document of kind {} has no JSON form", kind.name()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{AliasAction, InMemory};
    use crate::environment::Environment;

    fn control() -> (InMemory, Control) {
        let cluster = InMemory::new(Environment::system());
        (cluster.clone(), Control::new(Arc::new(cluster), &Prefix::default()))
    }

    #[tokio::test]
    async fn documents_are_written_only_under_their_conditions() {
        let (_, control) = control();
        let read = async |id| control.read::<u32>(Kind::Keys, id).await.expect("readable");
        assert_eq!(read("a").await, None, "nothing is there, the index neither");
        let first = control.create(Kind::Keys, "a", &1).await.expect("created").expect("it was not there");
        assert_eq!(control.create(Kind::Keys, "a", &2).await.expect("answered"), None);
        assert_eq!(read("a").await, Some(ControlDocument { sequence: first, body: 1 }));
        assert_eq!(control.read::<u32>(Kind::Claim, "a").await.expect("readable"), None, "kinds never meet");
        let second = control.replace(Kind::Keys, "a", &3, first).await.expect("replaced").expect("it was the one read");
        assert_eq!(control.replace(Kind::Keys, "a", &4, first).await.expect("answered"), None);
        assert!(!control.delete(Kind::Keys, "a", first).await.expect("answered"));
        assert_eq!(read("a").await.map(|found| found.body), Some(3));
        assert!(control.delete(Kind::Keys, "a", second).await.expect("deleted"));
        assert_eq!(read("a").await, None);
        assert!(!control.delete(Kind::Keys, "a", second).await.expect("answered"));
    }

    #[tokio::test]
    async fn reading_creates_nothing_and_the_index_comes_back_after_it_was_deleted() {
        let (cluster, control) = control();
        assert_eq!(control.read::<u32>(Kind::Lease, "x").await.expect("readable"), None);
        assert_eq!(cluster.requests().writes, 0);
        control.create(Kind::Lease, "x", &1).await.expect("created").expect("new");
        cluster.delete_index("saved-objects-control-000001").await.expect("deleted");
        assert_eq!(control.read::<u32>(Kind::Lease, "x").await.expect("readable"), None);
        control.create(Kind::Lease, "x", &1).await.expect("created").expect("new again");
    }

    #[tokio::test]
    async fn an_index_without_its_alias_is_named() {
        let (cluster, control) = control();
        control.create(Kind::Lease, "x", &1).await.expect("created").expect("new");
        let (index, alias) = ("saved-objects-control-000001".to_owned(), "saved-objects-control".to_owned());
        cluster.update_aliases(&[AliasAction::Remove { index, alias }]).await.expect("removed");
        let error = control.create(Kind::Lease, "y", &1).await.expect_err("no alias");
        assert_eq!(error.kind(), ErrorKind::Incompatible);
        assert!(error.message().contains("its alias saved-objects-control is not"), "{error}");
    }

    #[tokio::test]
    async fn an_unknown_form_and_an_odd_id_are_errors() {
        let (_, control) = control();
        control.create(Kind::Lease, "x", &"a secret text").await.expect("created").expect("new");
        let error = control.read::<u32>(Kind::Lease, "x").await.expect_err("no number");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(!error.to_string().contains("secret"), "{error}");
        for id in ["", &"x".repeat(510)] {
            let error = control.create(Kind::Lease, id, &1).await.expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Invalid);
        }
    }
}
