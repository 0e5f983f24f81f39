use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::cluster::{BulkAction, BulkOperation};
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
    /// The document, as it was.
    pub(super) source: Box<RawValue>,
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

    pub(super) fn operation(&self, since: &str) -> Result<BulkOperation> {
        let unwritable = |error| {
            Error::new(ErrorKind::Internal, format!("{} cannot be written to quarantine", self.id)).with_source(error)
        };
        let source = String::from_utf8_lossy(&one_line(self.source)).into_owned();
        let entry = Entry {
            alias: self.alias.to_owned(),
            id: self.id.to_owned(),
            type_name: self.type_name.map(str::to_owned),
            reason: self.reason.to_owned(),
            attribute: self.attribute.map(str::to_owned),
            since: since.to_owned(),
            source: RawValue::from_string(source).map_err(unwritable)?,
        };
        let source = Bytes::from(serde_json::to_string(&entry).map_err(unwritable)?);
        Ok(BulkOperation { id: self.entry_id(), action: BulkAction::Create { source } })
    }
}

impl Entry {
    pub(super) fn parse(source: &str) -> Result<Self> {
        serde_json::from_str(source).map_err(|error| {
            let place = format!("at column {}", error.column());
            Error::new(ErrorKind::Incompatible, format!("an entry of the quarantine has an unknown form, {place}"))
                .with_cure("use the version of this software that wrote it, or a newer one")
        })
    }

    /// The entry with another content of its document.
    pub(super) fn with_source(self, source: String) -> Result<Bytes> {
        let id = self.id.clone();
        let unwritable =
            |error| Error::new(ErrorKind::Internal, format!("{id} cannot be written to quarantine")).with_source(error);
        let source = RawValue::from_string(source).map_err(unwritable)?;
        serde_json::to_string(&Self { source, ..self }).map(Bytes::from).map_err(unwritable)
    }

    /// Whether `source` is the document that is here.
    pub(super) fn holds(&self, source: &str) -> bool {
        let value = |text: &str| serde_json::from_str::<Value>(text).ok();
        self.source.get() == source || value(self.source.get()) == value(source)
    }

    pub(super) fn summary(self) -> Quarantined {
        let Self { alias, id, type_name, reason, attribute, since, .. } = self;
        Quarantined { alias, id, type_name, reason, attribute, since }
    }
}

/// A document as it was stored, without the line breaks that a bulk cannot carry. In JSON they only stand between values.
pub(crate) fn one_line(source: &str) -> Bytes {
    Bytes::from(source.replace(['\n', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let source = "{\"type\":\"note\",\n \"note\": {\"n\": 12345678901234567890}}";
        let put =
            Put { alias: "a", id: "note:1", type_name: Some("note"), reason: "odd", attribute: Some("body"), source };
        let operation = put.operation("2026-01-01T00:00:00Z").expect("writable");
        let written = operation.action.source().expect("a document");
        assert!(!written.contains(&b'\n'));
        let entry = Entry::parse(std::str::from_utf8(written).expect("text")).expect("readable");
        assert!(entry.holds(source) && !entry.holds("{}"));
        let summary = entry.summary();
        assert_eq!((summary.id.as_str(), summary.attribute.as_deref()), ("note:1", Some("body")));
        let other = Put { source: "{}", ..put.clone() };
        assert_ne!(other.entry_id(), put.entry_id(), "another content is another entry");
    }
}
