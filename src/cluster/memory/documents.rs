use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::document::{Document, Fields};
use crate::cluster::{IndexPurpose, SequenceNumber};

/// How long a write to a serving index stays unseen by searches.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// The documents that searches see, in the order in which they were last written. It never changes.
pub(super) type Snapshot = Arc<[Arc<Document>]>;

/// The documents of an index.
#[derive(Debug, Clone)]
pub(super) struct Documents {
    live: BTreeMap<String, Arc<Document>>,
    visible: Snapshot,
    next_seq_no: u64,
    /// When the first write after the last refresh was done.
    unseen_since: Option<Duration>,
}

impl Default for Documents {
    fn default() -> Self {
        Self { live: BTreeMap::new(), visible: Vec::new().into(), next_seq_no: 0, unseen_since: None }
    }
}

impl Documents {
    pub(super) fn get(&self, id: &str) -> Option<&Document> {
        self.live.get(id).map(AsRef::as_ref)
    }

    pub(super) fn put(&mut self, id: &str, source: Box<RawValue>, fields: Fields, now: Duration) -> SequenceNumber {
        let sequence = self.next_sequence(now);
        let document = Document { id: id.to_owned(), sequence, source, fields };
        self.live.insert(id.to_owned(), Arc::new(document));
        sequence
    }

    pub(super) fn delete(&mut self, id: &str, now: Duration) -> SequenceNumber {
        self.live.remove(id);
        self.next_sequence(now)
    }

    fn next_sequence(&mut self, now: Duration) -> SequenceNumber {
        let seq_no = self.next_seq_no;
        self.next_seq_no += 1;
        self.unseen_since.get_or_insert(now);
        // No primary ever moves.
        SequenceNumber { seq_no, primary_term: 1 }
    }

    pub(super) fn write_count(&self) -> u64 {
        self.next_seq_no
    }

    pub(super) fn refresh(&mut self) {
        if self.unseen_since.take().is_some() {
            let mut documents: Vec<Arc<Document>> = self.live.values().cloned().collect();
            documents.sort_by_key(|document| document.sequence.seq_no);
            self.visible = documents.into();
        }
    }

    /// What searches see at `now`.
    pub(super) fn visible(&mut self, purpose: IndexPurpose, now: Duration) -> Snapshot {
        let is_due = |since: Duration| now.saturating_sub(since) >= REFRESH_INTERVAL;
        if purpose == IndexPurpose::Serving && self.unseen_since.is_some_and(is_due) {
            self.refresh();
        }
        self.visible.clone()
    }
}
