use std::fmt;

use bytes::BufMut;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use thiserror::Error;

use super::header::Text;
use super::{DocumentHeader, NamespaceKind, RawId, Reference, depth, source};

/// The attributes of an object, by name.
pub type Attributes = Map<String, Value>;

/// The fields of a stored document beside its attributes. No type may be named like one of them.
pub const ROOT_FIELDS: &[&str] = &[
    "type",
    "namespace",
    "namespaces",
    "originId",
    "references",
    "managed",
    "created_at",
    "created_by",
    "updated_at",
    "updated_by",
    "typeMigrationVersion",
    "coreMigrationVersion",
    "migrationVersion",
    "accessControl",
    WRITE_NONCE,
];

/// The root field with which every write of a user marks what it writes.
pub(crate) const WRITE_NONCE: &str = "writeNonce";

/// Why a stored document is not a well-formed object (design decision 12). Its text names no content of the document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Corruption {
    /// The source is not a JSON object of the shape that documents have.
    #[error("the source is not a saved object: {0}")]
    Shape(String),
    /// There is no `type`, or it is empty.
    #[error("the document has no type")]
    NoType,
    /// The `_id` does not begin as the type and namespace demand.
    #[error("the _id does not have the form `{expected}`")]
    WrongId {
        /// The form that it should have.
        expected: String,
    },
    /// The attributes are missing or not an object.
    #[error("the document has no attributes object `{type_name}`")]
    NoAttributes {
        /// The type, which is the attributes' field name.
        type_name: String,
    },
}

/// A document as Elasticsearch holds it: `_source`, with the attributes under the type's name. Fields that this library
/// does not know are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDocument {
    /// The type's name.
    pub type_name: String,
    /// The attributes; encrypted ones as envelopes.
    pub attributes: Attributes,
    /// All other fields of the source.
    pub root: RootFields,
}

/// The fields of a stored document beside `type` and the attributes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RootFields {
    /// Where a single-namespace object lives; absent in the default namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Where a multi-namespace object is seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<String>>,
    /// The id the object had where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_id: Option<String>,
    /// References to other objects.
    #[serde(default)]
    pub references: Vec<Reference>,
    /// Whether the platform manages the object and people should not edit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<bool>,
    /// The model version of the attributes, in its stored form `10.<n>.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_migration_version: Option<String>,
    /// Written by the engine that this library takes after; kept as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core_migration_version: Option<String>,
    /// When the object was created, ISO 8601.
    #[serde(rename = "created_at", default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// The profile id of who created it.
    #[serde(rename = "created_by", default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// When the object was last changed by a caller, ISO 8601. A migration does not touch it.
    #[serde(rename = "updated_at", default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// The profile id of who changed it.
    #[serde(rename = "updated_by", default, skip_serializing_if = "Option::is_none")]
    pub updated_by: Option<String>,
    /// Random, and another one in each attempt at a write: it proves whose write is stored, when its answer was lost. What
    /// rewrites a document without changing what it says carries it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_nonce: Option<String>,
    /// Fields this library does not know.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// Reads one root field. A null is as good as nothing. By hand, for serde would copy every document once more for the sake of
/// the fields it does not know.
pub(super) struct RootField<'r> {
    pub(super) root: &'r mut RootFields,
    pub(super) name: &'r str,
}

impl<'de> DeserializeSeed<'de> for RootField<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        let Self { root, name } = self;
        match name {
            "namespace" => root.namespace = Deserialize::deserialize(value)?,
            "namespaces" => root.namespaces = Deserialize::deserialize(value)?,
            "originId" => root.origin_id = Deserialize::deserialize(value)?,
            "references" => root.references = Option::deserialize(value)?.unwrap_or_default(),
            "managed" => root.managed = Deserialize::deserialize(value)?,
            "typeMigrationVersion" => root.type_migration_version = Deserialize::deserialize(value)?,
            "coreMigrationVersion" => root.core_migration_version = Deserialize::deserialize(value)?,
            "created_at" => root.created_at = Deserialize::deserialize(value)?,
            "created_by" => root.created_by = Deserialize::deserialize(value)?,
            "updated_at" => root.updated_at = Deserialize::deserialize(value)?,
            "updated_by" => root.updated_by = Deserialize::deserialize(value)?,
            WRITE_NONCE => root.write_nonce = Deserialize::deserialize(value)?,
            _ => drop(root.others.insert(name.to_owned(), Deserialize::deserialize(value)?)),
        }
        Ok(())
    }
}

/// Those attributes that are wanted.
pub(super) fn attributes(attributes: &RawValue, is_wanted: impl Fn(&str) -> bool) -> Result<Attributes, Corruption> {
    let mut deserializer = serde_json::Deserializer::from_str(attributes.get());
    Wanted(is_wanted).deserialize(&mut deserializer).map_err(|error| {
        let column = error.column();
        Corruption::Shape(match depth::is_unreadable(attributes.get()) {
            true => format!("the attributes are nested too deep to be read, at column {column} of them"),
            false => format!("the attributes are not JSON that can be read, at column {column} of them"),
        })
    })
}

/// Reads a map without what is not wanted.
pub(super) struct Wanted<F>(pub(super) F);

impl<'de, F: Fn(&str) -> bool> DeserializeSeed<'de> for Wanted<F> {
    type Value = Attributes;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Attributes, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: Fn(&str) -> bool> Visitor<'de> for Wanted<F> {
    type Value = Attributes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("attributes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attributes, A::Error> {
        let mut attributes = Attributes::new();
        while let Some(name) = map.next_key_seed(Text)? {
            if (self.0)(&name) {
                attributes.insert(name.into_owned(), map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(attributes)
    }
}

/// The nonce of a document's `_source`, if it has one.
pub(crate) fn write_nonce(source: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Nonce {
        write_nonce: Option<String>,
    }
    serde_json::from_slice::<Nonce>(source).ok()?.write_nonce
}

impl StoredDocument {
    /// Reads a document's `_source`.
    ///
    /// # Errors
    /// [`Corruption`] if it has no type or no attributes, or if a root field has the wrong JSON type.
    pub fn from_source(source: &[u8]) -> Result<Self, Corruption> {
        let source = std::str::from_utf8(source).map_err(|_| Corruption::Shape("it is not UTF-8".to_owned()))?;
        DocumentHeader::with_attributes(source, |_| Some(|_: &str| true))?.into_document()
    }

    /// The document's `_source`.
    pub fn to_source(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.source_bytes());
        self.write_source(&mut bytes);
        bytes
    }

    /// Appends the document's `_source`.
    pub(crate) fn write_source(&self, out: &mut impl BufMut) {
        source::write(self, self.root.write_nonce.as_deref(), out);
    }

    /// Appends the document's `_source` with this nonce in the place of its own.
    pub(crate) fn write_source_with_nonce(&self, nonce: &str, out: &mut impl BufMut) {
        source::write(self, Some(nonce), out);
    }

    /// How many bytes the `_source` has at least, roughly.
    pub(crate) fn source_bytes(&self) -> usize {
        source::bytes_of(self)
    }

    /// The object's id within `raw_id`, its `_id`.
    ///
    /// # Errors
    /// [`Corruption::WrongId`] if the `_id` does not have the form that the type and the document's namespace demand.
    pub fn object_id<'a>(&self, raw_id: &'a str, kind: NamespaceKind) -> Result<&'a str, Corruption> {
        RawId::check_form(raw_id, &self.type_name, kind, self.root.namespace.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_keeps_what_it_does_not_know() {
        let source = br#"{"type":"note","note":{"title":"t"},"references":[{"name":"n","type":"board","id":"1"}],
            "managed":false,"typeMigrationVersion":"10.1.0","created_at":"2026-03-01T10:00:00.000Z","later":{"x":[1,2]}}"#;
        let document = StoredDocument::from_source(source).expect("well-formed");
        assert_eq!(document.root.others["later"]["x"][1], 2);
        let again = StoredDocument::from_source(&document.to_source()).expect("well-formed");
        assert_eq!(again, document);
        let value: Value = serde_json::from_slice(&document.to_source()).expect("JSON");
        assert_eq!(value["note"]["title"], "t");
        assert_eq!(value.get("namespace"), None);
    }

    #[test]
    fn corrupt_documents_are_told_apart() {
        let kind_of = |source: &[u8]| StoredDocument::from_source(source).expect_err("corrupt");
        let no_attributes = Corruption::NoAttributes { type_name: "note".to_owned() };
        for source in [&b"[]"[..], b"{"] {
            assert!(matches!(kind_of(source), Corruption::Shape(_)));
        }
        assert_eq!(kind_of(br#"{"note":{}}"#), Corruption::NoType);
        assert_eq!(kind_of(br#"{"type":"","":{}}"#), Corruption::NoType);
        assert_eq!(kind_of(br#"{"type":"note"}"#), no_attributes);
        let odd_root = kind_of(br#"{"type":"note","note":{},"managed":"SECRET"}"#);
        assert!(matches!(&odd_root, Corruption::Shape(text) if !text.contains("SECRET")), "{odd_root:?}");
    }

    #[test]
    fn what_is_not_wanted_is_not_read() {
        let source = r#"{"note":{"title":"t","body":{"x":[1,"}"]},"body":2},"type":"note"}"#;
        let header = DocumentHeader::from_source(source).expect("well-formed");
        let document = header.into_document_with(|name| name != "body").expect("well-formed");
        assert_eq!(Value::Object(document.attributes), serde_json::json!({ "title": "t" }));
    }

    #[test]
    fn of_fields_with_one_name_the_last_counts() {
        let kind_of = |source: &str| StoredDocument::from_source(source.as_bytes());
        let twice = kind_of(r#"{"type":"a","type":"note","note":1,"note":{"x":1},"managed":1,"managed":true}"#);
        assert!(matches!(twice, Err(Corruption::Shape(_))), "the first is looked at, too: {twice:?}");
        let twice = kind_of(r#"{"type":"a","type":"note","note":1,"note":{"x":1},"managed":true,"managed":null}"#);
        assert_eq!(twice.map(|document| (document.attributes.len(), document.root.managed)), Ok((1, None)));
        assert!(kind_of(r#"{"type":"note","note":{"x":1},"note":1}"#).is_err());
    }

    #[test]
    fn the_id_must_fit_type_and_namespace() {
        let document =
            StoredDocument::from_source(br#"{"type":"note","note":{},"namespace":"ops"}"#).expect("well-formed");
        assert_eq!(document.object_id("ops:note:1", NamespaceKind::Single), Ok("1"));
        let wrong = document.object_id("note:1", NamespaceKind::Single).expect_err("wrong");
        assert_eq!(wrong, Corruption::WrongId { expected: "ops:note:<id>".to_owned() });
    }
}
