use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::stored::{self, RootField, RootFields, StoredDocument};
use super::{Attributes, Corruption, NamespaceKind, RawId, in_order};

/// What must be known of a document before it is decided how much of it to parse: the attributes are passed over.
#[derive(Debug)]
pub struct DocumentHeader<'a> {
    type_name: Cow<'a, str>,
    /// As far as they were read: of a document that is not in order only the namespace and the version.
    root: RootFields,
    /// All that was passed over.
    unread: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// The attributes, if they were read on the way.
    attributes: Option<Attributes>,
}

/// Most documents have less root fields.
const USUAL_FIELDS: usize = 16;

impl<'a> DocumentHeader<'a> {
    /// Reads the header of a document's `_source`.
    ///
    /// # Errors
    /// [`Corruption`] if the source is not a JSON object or has no type.
    pub fn from_source(source: &'a str) -> Result<Self, Corruption> {
        let header = serde_json::Deserializer::from_str(source)
            .deserialize_map(HeaderVisitor)
            .map_err(|error| Corruption::Shape(format!("not a JSON object, at column {}", error.column())))?;
        if header.type_name.is_empty() {
            return Err(Corruption::NoType);
        }
        Ok(header)
    }

    /// Reads the header of a document's `_source`, and on the way all the rest, if it is in the order in which this library
    /// writes documents: one of a kilobyte takes half the time than if it is gone through twice. Once the root fields that
    /// come before the attributes are known, `choose` says which attributes are wanted; none: they are to be passed over.
    ///
    /// # Errors
    /// Those of [`from_source`](Self::from_source).
    pub fn with_attributes<W: Fn(&str) -> bool>(
        source: &'a str,
        choose: impl FnMut(&Self) -> Option<W>,
    ) -> Result<Self, Corruption> {
        // Whatever is odd about it is said by the one that reads in any order.
        in_order::read(source, choose).or_else(|_| Self::from_source(source))
    }

    /// The header of a document of which nothing but the type is read.
    pub(super) fn of_type(type_name: Cow<'a, str>) -> Self {
        Self { type_name, root: RootFields::default(), unread: Vec::new(), attributes: None }
    }

    /// The type.
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// `typeMigrationVersion`.
    pub fn version(&self) -> Option<&str> {
        self.root.type_migration_version.as_deref()
    }

    pub(super) fn root_mut(&mut self) -> &mut RootFields {
        &mut self.root
    }

    pub(super) fn take_attributes(&mut self, attributes: Attributes) {
        self.attributes = Some(attributes);
    }

    pub(super) fn pass_over(&mut self, name: Cow<'a, str>, value: &'a RawValue) {
        self.unread.push((name, value));
    }

    /// Checks that the `_id` fits type and namespace, and that there are attributes.
    ///
    /// # Errors
    /// [`Corruption::WrongId`], [`Corruption::NoAttributes`].
    pub fn check(&self, raw_id: &str, kind: NamespaceKind) -> Result<(), Corruption> {
        RawId::check_form(raw_id, self.type_name(), kind, self.root.namespace.as_deref())?;
        match self.attributes {
            Some(_) => Ok(()),
            None => self.unread_attributes().map(drop),
        }
    }

    fn unread_attributes(&self) -> Result<&'a RawValue, Corruption> {
        // The last one counts, as for the whole document.
        let attributes = self.unread.iter().rev().find(|(name, _)| *name == self.type_name);
        attributes
            .map(|(_, value)| *value)
            .filter(|value| value.get().starts_with('{'))
            .ok_or_else(|| Corruption::NoAttributes { type_name: self.type_name().to_owned() })
    }

    /// The whole document, unless the attributes were read on the way and not all of them were wanted.
    ///
    /// # Errors
    /// [`Corruption`] if it has no attributes, or if a root field has the wrong JSON type.
    pub fn into_document(self) -> Result<StoredDocument, Corruption> {
        self.into_document_with(|_| true)
    }

    /// The document with only those attributes that are wanted; the others are not parsed.
    ///
    /// # Errors
    /// Those of [`into_document`](Self::into_document).
    pub fn into_document_with(mut self, is_wanted: impl Fn(&str) -> bool) -> Result<StoredDocument, Corruption> {
        let attributes = match self.attributes.take() {
            Some(attributes) => attributes,
            None => stored::attributes(self.unread_attributes()?, is_wanted)?,
        };
        for (name, value) in self.unread.iter().filter(|(name, _)| *name != self.type_name) {
            // serde's messages can quote values, and a value may be a secret: they are not passed on.
            RootField { root: &mut self.root, name }
                .deserialize(*value)
                .map_err(|_| Corruption::Shape("a root field has the wrong JSON type".to_owned()))?;
        }
        Ok(StoredDocument { type_name: self.type_name.into_owned(), attributes, root: self.root })
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = DocumentHeader<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut header = DocumentHeader::of_type(Cow::Borrowed(""));
        header.unread.reserve(USUAL_FIELDS);
        while let Some(name) = map.next_key_seed(Text)? {
            let value = map.next_value::<&'de RawValue>()?;
            match name.as_ref() {
                "type" => {
                    header.type_name = text(value).unwrap_or_default();
                    continue;
                }
                "namespace" => header.root.namespace = text(value).map(Cow::into_owned),
                "typeMigrationVersion" => header.root.type_migration_version = text(value).map(Cow::into_owned),
                _ => {}
            }
            header.unread.push((name, value));
        }
        Ok(header)
    }
}

/// Reads a text, borrowed where nothing is escaped.
pub(super) struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
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
    use proptest::prelude::*;

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

    /// Fields in any order, some of them twice.
    fn sources() -> impl Strategy<Value = String> {
        let field = prop::sample::select(vec![
            r#""type":"note""#,
            r#""type":"other""#,
            r#""type":1"#,
            r#""note":{"title":"t","body":"b"}"#,
            r#""note":{"title":[{"x":"}"}],"title":2}"#,
            r#""note":7"#,
            r#""other":{"title":"o"}"#,
            r#""namespace":"ops""#,
            r#""typeMigrationVersion":"10.1.0""#,
            r#""typeMigrationVersion":"10.2.0""#,
            r#""references":[]"#,
            r#""managed":"no""#,
            r#""later":{"y":[1]}"#,
            r#""broken":{"#,
        ]);
        prop::collection::vec(field, 0..7).prop_map(|fields| format!("{{{}}}", fields.join(",")))
    }

    proptest! {
        #[test]
        fn attributes_are_the_same_when_they_are_parsed_on_the_way(source in sources()) {
            let wanted = |header: &DocumentHeader<'_>| match (header.type_name(), header.version()) {
                ("note", Some("10.1.0")) => |name: &str| name == "title",
                _ => |_: &str| true,
            };
            let at_once = DocumentHeader::with_attributes(&source, |header| Some(wanted(header)));
            let at_once = at_once.and_then(|header| {
                let is_wanted = wanted(&header);
                header.into_document_with(is_wanted)
            });
            let in_two_steps = DocumentHeader::from_source(&source).and_then(|header| {
                let is_wanted = wanted(&header);
                header.into_document_with(is_wanted)
            });
            match (at_once, in_two_steps) {
                // Before its version comes, more of a document may be wanted than after.
                (Ok(mut at_once), Ok(in_two_steps)) => {
                    at_once.attributes.retain(|name, _| in_two_steps.attributes.contains_key(name));
                    prop_assert_eq!(at_once, in_two_steps);
                }
                (at_once, in_two_steps) => prop_assert_eq!(at_once, in_two_steps),
            }
        }
    }
}
