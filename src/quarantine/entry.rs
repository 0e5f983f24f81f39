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
    /// The alias of the index it comes from.
    pub alias: String,
    /// Its `_id` there.
    pub id: String,
    /// Its type, if it has one.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// Why it is here.
    pub reason: String,
    /// The attribute whose secret did not open, if it is here for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// Since when, in RFC 3339.
    pub since: String,
    /// Whether a user may have deleted it: a process was stopped while it moved the document, and nothing says whether it was
    /// moved by then. It is restored only if it is named.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub undecided: bool,
}

/// A document to be put into quarantine.
#[derive(Debug, Clone)]
pub(crate) struct Put<'a> {
    pub(crate) alias: &'a str,
    pub(crate) id: &'a str,
    pub(crate) type_name: Option<&'a str>,
    pub(crate) reason: &'a str,
    /// The attribute whose secret does not open, if it is that.
    pub(crate) attribute: Option<&'a str>,
    /// Its content.
    pub(crate) source: &'a str,
    /// What is done with it in its index.
    pub(crate) stage: Stage,
    /// Where it was read.
    pub(crate) read: ReadAt,
}

/// How far the way of a document into quarantine, or out of it, is (decision 12).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// It is about to be deleted from its index, or was just deleted.
    TakingOut,
    /// It was deleted from its index.
    #[default]
    TakenOut,
    /// A copy leaves it out of the next generation: it is in quarantine once that is the current one.
    LeftOut,
    /// It is about to be created in its index again, or was just created.
    PuttingBack,
}

/// A document at one moment: no other write of it has this sequence number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReadAt {
    index: String,
    seq_no: u64,
    primary_term: u64,
}

/// What the index holds of a document.
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
    /// The document, as it was: a text if it is nested too deep to be a part of another document.
    pub(super) source: Box<RawValue>,
}

/// Where a document is that the quarantine has an entry of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// In quarantine.
    Held,
    /// In its index, or deleted there by a user.
    NotHere,
    /// The process that moved it was stopped: either it is in quarantine, or a user deleted it.
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
}

impl Put<'_> {
    /// The name of this content of this document in quarantine: putting the same in again finds it there.
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

/// The content of a document as an entry has it.
fn content(id: &str, source: &str) -> Result<Box<RawValue>> {
    let line = String::from_utf8_lossy(&one_line(source)).into_owned();
    // The entry is one level more, and the server takes as many as the document may have already.
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
            let place = format!("at column {}", error.column());
            Error::new(ErrorKind::Incompatible, format!("an entry of the quarantine has an unknown form, {place}"))
                .with_cure("use the version of this software that wrote it, or a newer one")
        })
    }

    pub(super) fn to_source(&self) -> Result<Bytes> {
        serde_json::to_string(self).map(Bytes::from).map_err(|error| unwritable(&self.id, error))
    }

    /// The entry with another content of its document.
    pub(super) fn with_source(self, source: &str) -> Result<Self> {
        Ok(Self { source: content(&self.id, source)?, ..self })
    }

    /// The document, as it was.
    pub(super) fn document(&self) -> Cow<'_, str> {
        let text = self.source.get();
        match serde_json::from_str::<String>(text) {
            Ok(document) => Cow::Owned(document),
            Err(_) => Cow::Borrowed(text),
        }
    }

    /// Whether `source` is the document that is here.
    pub(super) fn holds(&self, source: &str) -> bool {
        let value = |text: &str| serde_json::from_str::<Value>(text).ok();
        let own = self.document();
        own == source || matches!((value(&own), value(source)), (Some(own), Some(other)) if own == other)
    }

    /// Whether `stored` is the document as it was read.
    pub(super) fn is_as_read(&self, stored: &Hit) -> bool {
        self.read.as_ref().is_some_and(|read| *read == ReadAt::of(stored))
    }

    /// Where the document is, if `current` is the index behind the alias, which has `stored` under the document's `_id`.
    pub(super) fn standing(&self, current: Option<&str>, stored: Option<&Hit>) -> Standing {
        let is_stored = stored.is_some_and(|stored| self.is_as_read(stored) || self.holds(stored.source.get()));
        match self.stage {
            _ if is_stored => Standing::NotHere,
            Stage::TakenOut => Standing::Held,
            Stage::TakingOut | Stage::PuttingBack => Standing::Undecided,
            // No copy takes anything out of the index that it reads: if it is not there, it was deleted by a user.
            Stage::LeftOut if current.is_none() || current == self.read.as_ref().map(ReadAt::index) => {
                Standing::NotHere
            }
            Stage::LeftOut => Standing::Held,
        }
    }

    pub(super) fn summary(&self, standing: Standing) -> Quarantined {
        let Self { alias, id, type_name, reason, attribute, since, .. } = self.clone();
        Quarantined { alias, id, type_name, reason, attribute, since, undecided: standing == Standing::Undecided }
    }
}

/// A document as it was stored, without the line breaks that a bulk cannot carry. In JSON they only stand between values.
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
            let summary = entry.summary(Standing::Undecided);
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
        assert_eq!((entry.stage, entry.standing(Some("a-000001"), None)), (Stage::TakenOut, Standing::Held));
    }

    #[test]
    fn where_a_document_is_follows_from_the_stage_and_the_index() {
        use Standing::{Held, NotHere, Undecided};
        let read = hit(7, r#"{"a":1}"#);
        let (same, changed) = (hit(9, r#"{"a": 1}"#), hit(8, r#"{"a":2}"#));
        let (same, changed, read_again) = (Some(&same), Some(&changed), Some(&read));
        let (old, new) = (Some("a-000001"), Some("a-000002"));
        let table = [
            (Stage::TakingOut, old, read_again, NotHere),
            (Stage::TakingOut, old, same, NotHere),
            (Stage::TakingOut, old, changed, Undecided),
            (Stage::TakingOut, old, None, Undecided),
            (Stage::TakingOut, new, None, Undecided),
            (Stage::TakenOut, old, None, Held),
            (Stage::TakenOut, old, changed, Held),
            (Stage::TakenOut, new, same, NotHere),
            (Stage::LeftOut, old, read_again, NotHere),
            (Stage::LeftOut, old, changed, NotHere),
            (Stage::LeftOut, old, None, NotHere),
            (Stage::LeftOut, None, None, NotHere),
            (Stage::LeftOut, new, None, Held),
            (Stage::LeftOut, new, same, NotHere),
            (Stage::PuttingBack, old, same, NotHere),
            (Stage::PuttingBack, old, None, Undecided),
        ];
        for (stage, current, stored, expected) in table {
            let entry = put(stage, &read).entry("").expect("writable");
            assert_eq!(entry.standing(current, stored), expected, "{stage:?} {current:?} {stored:?}");
        }
    }
}
