use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::stored::{self, StoredDocument};
use super::{Corruption, NamespaceKind, RawId};

/// What must be known of a document before it is decided how much of it to parse: the attributes are passed over.
#[derive(Debug, Default)]
pub struct DocumentHeader<'a> {
    type_name: Option<Cow<'a, str>>,
    namespace: Option<Cow<'a, str>>,
    version: Option<Cow<'a, str>>,
    /// All root fields but the type, unparsed.
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// Most documents have less root fields.
const USUAL_FIELDS: usize = 16;

impl<'a> DocumentHeader<'a> {
    /// Reads the header of a document's `_source`.
    ///
    /// # Errors
    /// [`Corruption`] if the source is not a JSON object or has no type.
    pub fn from_source(source: &'a str) -> Result<Self, Corruption> {
        let mut deserializer = serde_json::Deserializer::from_str(source);
        let header = deserializer
            .deserialize_map(HeaderVisitor)
            .map_err(|error| Corruption::Shape(format!("not a JSON object, at column {}", error.column())))?;
        if header.type_name.as_deref().unwrap_or_default().is_empty() {
            return Err(Corruption::NoType);
        }
        Ok(header)
    }

    /// The type.
    pub fn type_name(&self) -> &str {
        self.type_name.as_deref().unwrap_or_default()
    }

    /// `typeMigrationVersion`.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Checks that the `_id` fits type and namespace, and that there are attributes.
    ///
    /// # Errors
    /// [`Corruption::WrongId`], [`Corruption::NoAttributes`].
    pub fn check(&self, raw_id: &str, kind: NamespaceKind) -> Result<(), Corruption> {
        RawId::check_form(raw_id, self.type_name(), kind, self.namespace.as_deref())?;
        self.attributes().map(drop)
    }

    /// The attributes, unparsed.
    fn attributes(&self) -> Result<&'a RawValue, Corruption> {
        // Of fields of one name the last one counts, as for the whole document.
        let attributes = self.fields.iter().rev().find(|(name, _)| name == self.type_name());
        attributes
            .map(|(_, value)| *value)
            .filter(|value| value.get().starts_with('{'))
            .ok_or_else(|| Corruption::NoAttributes { type_name: self.type_name().to_owned() })
    }

    /// The whole document.
    ///
    /// # Errors
    /// [`Corruption`] if it has no attributes, or if a root field has the wrong JSON type.
    pub fn document(&self) -> Result<StoredDocument, Corruption> {
        self.document_with(|_| true)
    }

    /// The document with only those attributes that are wanted; the others are not parsed.
    ///
    /// # Errors
    /// Those of [`document`](Self::document).
    pub fn document_with(&self, is_wanted: impl Fn(&str) -> bool) -> Result<StoredDocument, Corruption> {
        let attributes = stored::attributes(self.attributes()?, is_wanted)?;
        let others = self.fields.iter().filter(|(name, _)| name != self.type_name());
        let root = stored::root_fields(others.map(|(name, value)| (name.as_ref(), *value)))?;
        Ok(StoredDocument { type_name: self.type_name().to_owned(), attributes, root })
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = DocumentHeader<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut header = DocumentHeader { fields: Vec::with_capacity(USUAL_FIELDS), ..DocumentHeader::default() };
        while let Some(name) = map.next_key::<&'de RawValue>()? {
            let name = text(name).ok_or_else(|| A::Error::custom("a key is not a text"))?;
            let value = map.next_value::<&'de RawValue>()?;
            match name.as_ref() {
                "type" => {
                    header.type_name = text(value);
                    continue;
                }
                "namespace" => header.namespace = text(value),
                "typeMigrationVersion" => header.version = text(value),
                _ => {}
            }
            header.fields.push((name, value));
        }
        Ok(header)
    }
}

/// The text of a JSON value; none if it is not one. Borrowed where nothing is escaped.
pub(super) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let quoted = value.get();
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    match serde_json::from_str(quoted) {
        Ok(Value::String(text)) => Some(Cow::Owned(text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::StoredDocument;

    #[test]
    fn it_says_what_the_whole_document_says() {
        let sources = [
            (r#"{"type":"note","note":{"title":"a"},"typeMigrationVersion":"10.2.0"}"#, "note:1", true),
            (r#"{"type":"no\u0074e","note":{},"namespace":"ops"}"#, "ops:note:1", true),
            (r#"{"type":"note","note":{},"namespace":"ops"}"#, "note:1", false),
            (r#"{"type":"note","note":[]}"#, "note:1", false),
            (r#"{"type":"note"}"#, "note:1", false),
            (r#"{"type":"","note":{}}"#, "note:1", false),
            (r#"{"type":7,"note":{}}"#, "note:1", false),
            (r#"[]"#, "note:1", false),
            (r#"{"type":"note","note":{}"#, "note:1", false),
        ];
        for (source, raw_id, is_fine) in sources {
            let by_header =
                DocumentHeader::from_source(source).and_then(|header| header.check(raw_id, NamespaceKind::Single));
            let by_document = StoredDocument::from_source(source.as_bytes())
                .and_then(|document| document.object_id(raw_id, NamespaceKind::Single).map(drop));
            assert_eq!(by_header.is_ok(), is_fine, "{source}");
            assert_eq!(by_document.is_ok(), is_fine, "{source}");
        }
        let header = DocumentHeader::from_source(sources[0].0).expect("fine");
        assert_eq!((header.type_name(), header.version()), ("note", Some("10.2.0")));
    }
}
