use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::stored::{self, StoredDocument, Wanted};
use super::{Attributes, Corruption, NamespaceKind, RawId};

/// What must be known of a document before it is decided how much of it to parse: the attributes are passed over.
#[derive(Debug, Default)]
pub struct DocumentHeader<'a> {
    type_name: Option<Cow<'a, str>>,
    namespace: Option<Cow<'a, str>>,
    version: Option<Cow<'a, str>>,
    /// All root fields but the type, unparsed.
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// The attributes, if they were parsed on the way; they are not among the fields then.
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
        let never = |_: &Self| None::<fn(&str) -> bool>;
        let header = read(source, never)
            .map_err(|error| Corruption::Shape(format!("not a JSON object, at column {}", error.column())))?;
        if header.type_name.as_deref().unwrap_or_default().is_empty() {
            return Err(Corruption::NoType);
        }
        Ok(header)
    }

    /// Reads the header of a document's `_source`, and on the way its attributes, if all is in the order in which this library
    /// writes documents: one of a kilobyte takes a third less time than if it is gone through twice. Once the root fields that
    /// come before the attributes are known, `choose` says which attributes are wanted; none: they are to be passed over.
    ///
    /// # Errors
    /// Those of [`from_source`](Self::from_source).
    pub fn with_attributes<W: Fn(&str) -> bool>(
        source: &'a str,
        choose: impl FnMut(&Self) -> Option<W>,
    ) -> Result<Self, Corruption> {
        match read(source, choose) {
            Ok(header) if !header.type_name().is_empty() => Ok(header),
            // Whatever is odd about it is said by the one that reads in any order.
            _ => Self::from_source(source),
        }
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
        match self.attributes {
            Some(_) => Ok(()),
            None => self.unparsed_attributes().map(drop),
        }
    }

    /// Of fields of one name the last one counts: too late, if the attributes were parsed because of the one before.
    fn refuse_again<E: serde::de::Error>(&self, is_again: bool) -> Result<(), E> {
        match is_again && self.attributes.is_some() {
            true => Err(E::custom("a field comes again after the attributes")),
            false => Ok(()),
        }
    }

    fn unparsed_attributes(&self) -> Result<&'a RawValue, Corruption> {
        // The last one counts, as for the whole document.
        let attributes = self.fields.iter().rev().find(|(name, _)| name == self.type_name());
        attributes
            .map(|(_, value)| *value)
            .filter(|value| value.get().starts_with('{'))
            .ok_or_else(|| Corruption::NoAttributes { type_name: self.type_name().to_owned() })
    }

    /// The whole document, unless the attributes were parsed on the way and not all of them were wanted.
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
    pub fn into_document_with(self, is_wanted: impl Fn(&str) -> bool) -> Result<StoredDocument, Corruption> {
        let unparsed = match &self.attributes {
            Some(_) => None,
            None => Some(stored::attributes(self.unparsed_attributes()?, is_wanted)?),
        };
        let others = self.fields.iter().filter(|(name, _)| name != self.type_name());
        let root = stored::root_fields(others.map(|(name, value)| (name.as_ref(), *value)))?;
        let type_name = self.type_name().to_owned();
        Ok(StoredDocument { type_name, attributes: unparsed.or(self.attributes).unwrap_or_default(), root })
    }
}

fn read<'a, W: Fn(&str) -> bool>(
    source: &'a str,
    choose: impl FnMut(&DocumentHeader<'a>) -> Option<W>,
) -> serde_json::Result<DocumentHeader<'a>> {
    serde_json::Deserializer::from_str(source).deserialize_map(HeaderVisitor(choose))
}

struct HeaderVisitor<F>(F);

impl<'de, W: Fn(&str) -> bool, F: FnMut(&DocumentHeader<'de>) -> Option<W>> Visitor<'de> for HeaderVisitor<F> {
    type Value = DocumentHeader<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut header = DocumentHeader { fields: Vec::with_capacity(USUAL_FIELDS), ..DocumentHeader::default() };
        while let Some(name) = map.next_key::<&'de RawValue>()? {
            let name = text(name).ok_or_else(|| A::Error::custom("a key is not a text"))?;
            if header.type_name.as_deref() == Some(name.as_ref())
                && let Some(is_wanted) = (self.0)(&header)
            {
                header.refuse_again(header.attributes.is_some())?;
                header.attributes = Some(map.next_value_seed(Wanted(is_wanted))?);
                continue;
            }
            let value = map.next_value::<&'de RawValue>()?;
            match name.as_ref() {
                "type" => header.refuse_again(header.type_name.is_some())?,
                "typeMigrationVersion" => header.refuse_again(header.version.is_some())?,
                _ => {}
            }
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
