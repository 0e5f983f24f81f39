//! The stored form of an object.

use super::corruption::Corruption;
use super::fields::{Attributes, RootFields};
use super::{NamespaceKind, RawId};

/// A document as Elasticsearch stores it: `_source`, with the attributes under the type's name. Fields that this
/// library does not know are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDocument {
    /// The type's name.
    pub type_name: String,
    /// The attributes. Encrypted ones are envelopes.
    pub attributes: Attributes,
    /// All other fields of the source.
    pub root: RootFields,
}

impl StoredDocument {
    /// Returns the object's id within `raw_id`, the document's `_id`.
    ///
    /// # Errors
    /// [`Corruption::WrongId`] if `raw_id` does not have the form that the type and the document's namespace require.
    pub fn object_id<'a>(&self, raw_id: &'a str, kind: NamespaceKind) -> Result<&'a str, Corruption> {
        RawId::check_form(raw_id, &self.type_name, kind, self.root.namespace.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::document::DocumentHeader;

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
