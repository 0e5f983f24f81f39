//! The entries of the quarantine, and the stage of each document's move.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::cluster::{Hit, SequenceNumber};
use crate::document::depth;
use crate::{Error, ErrorKind, Result};

/// A document in quarantine, without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quarantined {
    /// The alias of the index that the document comes from.
    pub alias: String,
    /// The document's `_id` in that index.
    pub id: String,
    /// The document's type, if it has one.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// The reason for the quarantine.
    pub reason: String,
    /// The attribute whose secret could not be decrypted, if that is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// The time of the quarantine, in RFC 3339.
    pub since: String,
    /// Whether a user may have deleted the document: a process was interrupted while it moved the document, and nothing
    /// shows whether the move was complete. Such a document is restored only if it is named.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub undecided: bool,
}

/// A document to put into quarantine.
#[derive(Debug, Clone)]
pub(crate) struct Put<'a> {
    pub(crate) alias: &'a str,
    pub(crate) id: &'a str,
    pub(crate) type_name: Option<&'a str>,
    pub(crate) reason: &'a str,
    /// The attribute whose secret cannot be decrypted, if that is the reason.
    pub(crate) attribute: Option<&'a str>,
    /// The document's content.
    pub(crate) source: &'a str,
    /// The stage of the document's move.
    pub(crate) stage: Stage,
    /// The version of the document that was read.
    pub(crate) read: ReadAt,
}

/// The stage of a document's move into quarantine or out of it (record 12).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// The document is about to be deleted from its index, or was just deleted.
    TakingOut,
    /// The document was deleted from its index.
    #[default]
    TakenOut,
    /// A copy leaves the document out of the next generation. It is in quarantine once that generation is current.
    LeftOut,
    /// The document is about to be created in its index again, or was just created.
    PuttingBack,
}

/// One version of a document. No other write of the document has this sequence number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReadAt {
    index: String,
    seq_no: u64,
    primary_term: u64,
}

/// The stored content of an entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) alias: String,
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) type_name: Option<String>,
    pub(super) reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attribute: Option<String>,
    pub(super) since: String,
    #[serde(default)]
    pub(super) stage: Stage,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) read: Option<ReadAt>,
    /// The original document. It is a string if it is nested too deep to be a part of another document.
    pub(super) source: Box<RawValue>,
}

/// The location of a document that has an entry in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Location {
    /// The document is in quarantine.
    Held,
    /// The quarantine does not hold the document: it is in its index, or a user deleted it from its index.
    NotHeld,
    /// The process that moved the document was interrupted: it is in quarantine, or a user deleted it.
    Undecided,
}

impl ReadAt {
    pub(crate) fn of(hit: &Hit) -> Self {
        let SequenceNumber { seq_no, primary_term } = hit.sequence;
        Self { index: hit.index.clone(), seq_no, primary_term }
    }

    pub(super) fn index(&self) -> &str {
        &self.index
    }

    pub(super) fn seq_no(&self) -> u64 {
        self.seq_no
    }
}

impl Put<'_> {
    /// Returns the entry's id, derived from the document and its content, so that putting the same content again finds
    /// the entry.
    pub(crate) fn entry_id(&self) -> String {
        let mut hash = Sha256::new();
        for part in [self.alias, self.id, self.source] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn entry(&self, since: &str) -> Result<Entry> {
        Ok(Entry {
            alias: self.alias.to_owned(),
            id: self.id.to_owned(),
            type_name: self.type_name.map(str::to_owned),
            reason: self.reason.to_owned(),
            attribute: self.attribute.map(str::to_owned),
            since: since.to_owned(),
            stage: self.stage,
            read: Some(self.read.clone()),
            source: content(self.id, self.source)?,
        })
    }
}

/// Returns the content of a document in the form in which an entry stores it.
fn content(id: &str, source: &str) -> Result<Box<RawValue>> {
    let line = String::from_utf8_lossy(&one_line(source)).into_owned();
    // The entry adds one level, and the document may already have as many as the server accepts.
    let content = match depth::is_unreadable(&line) {
        true => serde_json::value::to_raw_value(&line),
        false => RawValue::from_string(line),
    };
    content.map_err(|error| unwritable(id, error))
}

fn unwritable(id: &str, error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("{id} cannot be written to quarantine")).with_source(error)
}

impl Entry {
    pub(super) fn parse(source: &str) -> Result<Self> {
        serde_json::from_str(source).map_err(|error| {
            let what = format!("an entry of the quarantine has an unknown form, at column {}", error.column());
            Error::new(ErrorKind::Incompatible, what)
                .with_hint("use the version of this software that wrote it, or a newer one")
        })
    }

    pub(super) fn to_source(&self) -> Result<Bytes> {
        serde_json::to_string(self).map(Bytes::from).map_err(|error| unwritable(&self.id, error))
    }

    /// Returns the entry with other content of its document.
    pub(super) fn with_source(self, source: &str) -> Result<Self> {
        Ok(Self { source: content(&self.id, source)?, ..self })
    }

    /// Returns the original document.
    pub(super) fn document(&self) -> Cow<'_, str> {
        let text = self.source.get();
        match serde_json::from_str::<String>(text) {
            Ok(document) => Cow::Owned(document),
            Err(_) => Cow::Borrowed(text),
        }
    }

    /// Returns whether `source` is the document of this entry.
    pub(super) fn holds(&self, source: &str) -> bool {
        let value = |text: &str| serde_json::from_str::<Value>(text).ok();
        let own = self.document();
        own == source || matches!((value(&own), value(source)), (Some(own), Some(other)) if own == other)
    }

    /// Returns whether `stored` is the version of the document that was read.
    pub(super) fn is_as_read(&self, stored: &Hit) -> bool {
        self.read.as_ref().is_some_and(|read| *read == ReadAt::of(stored))
    }

    /// Returns the location of the document. `current` is the index behind the alias, and `stored` is what it has under
    /// the document's `_id`.
    pub(super) fn location(&self, current: Option<&str>, stored: Option<&Hit>) -> Location {
        let is_stored = stored.is_some_and(|stored| self.is_as_read(stored) || self.holds(stored.source.get()));
        match self.stage {
            _ if is_stored => Location::NotHeld,
            Stage::TakenOut => Location::Held,
            Stage::TakingOut | Stage::PuttingBack => Location::Undecided,
            // A copy deletes nothing from the index that it reads, so a missing document was deleted by a user.
            Stage::LeftOut if current.is_none() || current == self.read.as_ref().map(ReadAt::index) => {
                Location::NotHeld
            }
            Stage::LeftOut => Location::Held,
        }
    }

    pub(super) fn summary(&self, location: Location) -> Quarantined {
        let Self { alias, id, type_name, reason, attribute, since, .. } = self.clone();
        Quarantined { alias, id, type_name, reason, attribute, since, undecided: location == Location::Undecided }
    }
}

/// Returns a stored document without line breaks, which a bulk request cannot contain. In JSON they occur only between
/// values.
pub(crate) fn one_line(source: &str) -> Bytes {
    Bytes::from(source.replace(['\n', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(seq_no: u64, source: &str) -> Hit {
        let (index, id) = ("a-000001".to_owned(), "note:1".to_owned());
        let source = RawValue::from_string(source.to_owned()).expect("JSON");
        Hit { index, id, sequence: SequenceNumber { seq_no, primary_term: 1 }, source }
    }

    fn put<'a>(stage: Stage, hit: &'a Hit) -> Put<'a> {
        let (read, source) = (ReadAt::of(hit), hit.source.get());
        let (type_name, attribute) = (Some("note"), Some("body"));
        Put { alias: "a", id: "note:1", type_name, reason: "odd", attribute, source, stage, read }
    }

    #[test]
    fn what_goes_in_comes_out() {
        let deep = format!("{{\"type\":\"note\",\n\"note\":{}1{}}}", "[".repeat(999), "]".repeat(999));
        for source in ["{\"type\":\"note\",\n \"note\": {\"n\": 12345678901234567890, \"x\": 1.10}}", &deep] {
            let hit = hit(7, source);
            let put = put(Stage::TakingOut, &hit);
            let written = put.entry("2026-01-01T00:00:00Z").and_then(|entry| entry.to_source()).expect("writable");
            assert!(!written.contains(&b'\n'));
            let text = std::str::from_utf8(&written).expect("text");
            assert!(depth::depth(text) < 1_000, "the server takes it");
            let entry = Entry::parse(text).expect("readable");
            assert_eq!(entry.document(), source.replace('\n', " "));
            assert!(entry.holds(&source.replace('\n', " ")) && !entry.holds("{}") && entry.is_as_read(&hit));
            let summary = entry.summary(Location::Undecided);
            assert_eq!(
                (summary.id.as_str(), summary.attribute.as_deref(), summary.undecided),
                ("note:1", Some("body"), true)
            );
            let other = Put { source: "{}", ..put.clone() };
            assert_ne!(other.entry_id(), put.entry_id(), "another content is another entry");
        }
        let (one, other) = (hit(1, &deep), hit(1, &deep.replace('1', "2")));
        assert!(!put(Stage::TakenOut, &one).entry("").expect("writable").holds(other.source.get()));
    }

    #[test]
    fn an_entry_without_a_stage_is_of_what_was_taken_out() {
        let text = r#"{"alias":"a","id":"note:1","type":null,"reason":"odd","since":"","source":{}}"#;
        let entry = Entry::parse(text).expect("readable");
        assert_eq!((entry.stage, entry.location(Some("a-000001"), None)), (Stage::TakenOut, Location::Held));
    }

    #[test]
    fn where_a_document_is_follows_from_the_stage_and_the_index() {
        use Location::{Held, NotHeld, Undecided};
        let read = hit(7, r#"{"a":1}"#);
        let (same, changed) = (hit(9, r#"{"a": 1}"#), hit(8, r#"{"a":2}"#));
        let (same, changed, read_again) = (Some(&same), Some(&changed), Some(&read));
        let (old, new) = (Some("a-000001"), Some("a-000002"));
        let table = [
            (Stage::TakingOut, old, read_again, NotHeld),
            (Stage::TakingOut, old, same, NotHeld),
            (Stage::TakingOut, old, changed, Undecided),
            (Stage::TakingOut, old, None, Undecided),
            (Stage::TakingOut, new, None, Undecided),
            (Stage::TakenOut, old, None, Held),
            (Stage::TakenOut, old, changed, Held),
            (Stage::TakenOut, new, same, NotHeld),
            (Stage::LeftOut, old, read_again, NotHeld),
            (Stage::LeftOut, old, changed, NotHeld),
            (Stage::LeftOut, old, None, NotHeld),
            (Stage::LeftOut, None, None, NotHeld),
            (Stage::LeftOut, new, None, Held),
            (Stage::LeftOut, new, same, NotHeld),
            (Stage::PuttingBack, old, same, NotHeld),
            (Stage::PuttingBack, old, None, Undecided),
        ];
        for (stage, current, stored, expected) in table {
            let entry = put(stage, &read).entry("").expect("writable");
            assert_eq!(entry.location(current, stored), expected, "{stage:?} {current:?} {stored:?}");
        }
    }
}
