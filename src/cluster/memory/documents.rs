use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::document::{Document, Fields};
use crate::cluster::SequenceNumber;

/// How long a write to a serving index stays unseen by searches.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// How long the server remembers the version of a deleted document (`index.gc_deletes`).
const DELETES_KEPT: Duration = Duration::from_secs(60);

/// The documents that searches see, in the order in which they were last written. It never changes.
pub(super) type Visible = Arc<[Arc<Document>]>;

/// The documents of an index.
#[derive(Debug, Clone)]
pub(super) struct Documents {
    live: BTreeMap<String, Arc<Document>>,
    visible: Visible,
    next_seq_no: u64,
    primary_term: u64,
    /// The versions of documents that were deleted, and when.
    deleted: BTreeMap<String, (u64, Duration)>,
    /// When the first write after the last refresh was done.
    unseen_since: Option<Duration>,
}

/// What a write made of a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) sequence: SequenceNumber,
    /// How often the document has been written.
    pub(super) version: u64,
    /// Whether there was a document before.
    pub(super) was_there: bool,
}

impl Default for Documents {
    fn default() -> Self {
        Self {
            live: BTreeMap::new(),
            visible: Vec::new().into(),
            next_seq_no: 0,
            primary_term: 1,
            deleted: BTreeMap::new(),
            unseen_since: None,
        }
    }
}

impl Documents {
    pub(super) fn get(&self, id: &str) -> Option<&Document> {
        self.live.get(id).map(AsRef::as_ref)
    }

    pub(super) fn put(&mut self, id: &str, source: Box<RawValue>, fields: Fields, now: Duration) -> Written {
        let written = self.next(id, now);
        let Written { sequence, version, .. } = written;
        let document = Document { id: id.to_owned(), sequence, version, source, fields };
        self.deleted.remove(id);
        self.live.insert(id.to_owned(), Arc::new(document));
        written
    }

    pub(super) fn delete(&mut self, id: &str, now: Duration) -> Written {
        let written = self.next(id, now);
        self.live.remove(id);
        self.deleted.insert(id.to_owned(), (written.version, now));
        written
    }

    fn next(&mut self, id: &str, now: Duration) -> Written {
        let seq_no = self.next_seq_no;
        self.next_seq_no += 1;
        self.unseen_since.get_or_insert(now);
        let sequence = SequenceNumber { seq_no, primary_term: self.primary_term };
        let live = self.live.get(id).map(|document| document.version);
        let is_kept = |&&(_, since): &&(u64, Duration)| now.saturating_sub(since) < DELETES_KEPT;
        let deleted = || self.deleted.get(id).filter(is_kept).map(|&(version, _)| version);
        let version = live.or_else(deleted).unwrap_or_default() + 1;
        Written { sequence, version, was_there: live.is_some() }
    }

    pub(super) fn write_count(&self) -> u64 {
        self.next_seq_no
    }

    pub(super) fn primary_term(&self) -> u64 {
        self.primary_term
    }

    /// Writes from now on carry this term, or a later one.
    pub(super) fn set_primary_term(&mut self, term: u64) {
        self.primary_term = term;
    }

    /// The shard is read from its files, as after a restore: all is seen, and nothing is known of what was deleted.
    pub(super) fn recover(&mut self) {
        self.refresh();
        self.deleted.clear();
    }

    pub(super) fn refresh(&mut self) {
        if self.unseen_since.take().is_some() {
            let mut documents: Vec<Arc<Document>> = self.live.values().cloned().collect();
            documents.sort_by_key(|document| document.sequence.seq_no);
            self.visible = documents.into();
        }
    }

    /// What searches see at `now`, if writes are seen after a second.
    pub(super) fn visible(&mut self, refreshes: bool, now: Duration) -> Visible {
        let is_due = |since: Duration| now.saturating_sub(since) >= REFRESH_INTERVAL;
        if refreshes && self.unseen_since.is_some_and(is_due) {
            self.refresh();
        }
        self.visible.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_go_on_after_a_delete_for_a_minute() {
        let mut documents = Documents::default();
        let put = |documents: &mut Documents, at| {
            let source = RawValue::from_string("{}".to_owned()).expect("JSON");
            documents.put("1", source, Fields::default(), Duration::from_secs(at)).version
        };
        assert_eq!([put(&mut documents, 0), put(&mut documents, 0)], [1, 2]);
        assert_eq!(documents.delete("1", Duration::from_secs(10)).version, 3);
        assert_eq!(put(&mut documents, 69), 4);
        documents.delete("1", Duration::from_secs(100));
        assert_eq!(put(&mut documents, 160), 1);
        documents.delete("1", Duration::from_secs(161));
        documents.recover();
        assert_eq!(put(&mut documents, 161), 1, "nothing is known any more of what was deleted");
    }
}
