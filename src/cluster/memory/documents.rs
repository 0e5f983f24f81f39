//! The documents of an index: those that are stored, and those that searches see since the last refresh.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::document::{Document, Fields};
use super::mapping::Mapping;
use crate::cluster::SequenceNumber;

/// The time for which the server keeps the version of a deleted document (`index.gc_deletes`).
const DELETES_KEPT: Duration = Duration::from_secs(60);

/// The documents that searches see, in the order of their last writes. Immutable.
pub(super) type Visible = Arc<[Arc<Document>]>;

/// The documents of an index.
#[derive(Debug, Clone)]
pub(super) struct Documents {
    live: BTreeMap<String, Arc<Document>>,
    visible: Visible,
    next_seq_no: u64,
    primary_term: u64,
    /// The versions of deleted documents, and when each was deleted.
    deleted: BTreeMap<String, (u64, Duration)>,
    /// The time of the first write after the last refresh.
    unseen_since: Option<Duration>,
}

/// The result of a write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) sequence: SequenceNumber,
    /// The number of the document's writes.
    pub(super) version: u64,
    /// Whether the document existed before.
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

    /// Sets the primary term of later writes.
    pub(super) fn set_primary_term(&mut self, term: u64) {
        self.primary_term = term;
    }

    /// Reopens the shard from its files, as a restore does: searches see everything, and the versions of deleted
    /// documents are lost.
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

    /// Returns what searches see at `now`: writes that are at least `refresh_interval` old. Without an interval they
    /// see writes after an explicit refresh only.
    pub(super) fn visible(&mut self, refresh_interval: Option<Duration>, now: Duration) -> Visible {
        let is_due = |since| refresh_interval.is_some_and(|interval| now.saturating_sub(since) >= interval);
        if self.unseen_since.is_some_and(is_due) {
            self.refresh();
        }
        self.visible.clone()
    }
}

/// The documents of one index that a search reads, as they were at one moment.
#[derive(Debug, Clone)]
pub(super) struct Searched {
    pub(super) index: String,
    pub(super) uuid: String,
    pub(super) mapping: Arc<Mapping>,
    pub(super) documents: Visible,
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
