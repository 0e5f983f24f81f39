//! The header of a document: the parts that decide how much of the rest is parsed.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::corruption::Corruption;
use super::fields::{Attributes, RootField, RootFields, Text, Wanted};
use super::numbers::{self, Numbers};
use super::stored::StoredDocument;
use super::{NamespaceKind, RawId, depth};

/// The parts of a document that are needed to decide how much of it to parse. The attributes are skipped unless
/// [`with_attributes`](Self::with_attributes) reads them.
#[derive(Debug)]
pub struct DocumentHeader<'a> {
    pub(super) source: &'a str,
    type_name: Cow<'a, str>,
    /// The fields that were read. If the document is not in order, these are only the namespace and the version.
    root: RootFields,
    /// The skipped fields, as raw JSON.
    unread: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// The attributes, if they were read together with the header.
    attributes: Option<Attributes>,
}

/// Most documents have fewer root fields.
const USUAL_FIELDS: usize = 16;

impl<'a> DocumentHeader<'a> {
    /// Reads the header of a document's `_source`.
    ///
    /// # Errors
    /// [`Corruption`] if the source is not a JSON object or has no type.
    pub fn from_source(source: &'a str) -> Result<Self, Corruption> {
        let mut deserializer = serde_json::Deserializer::from_str(source);
        let header = (&mut deserializer)
            .deserialize_map(HeaderVisitor)
            .and_then(|header| deserializer.end().map(|()| Self { source, ..header }))
            .map_err(|error| Corruption::Shape(format!("not a JSON object, at column {}", error.column())))?;
        if header.type_name.is_empty() {
            return Err(Corruption::NoType);
        }
        Ok(header)
    }

    /// Creates the header of a document of which only the type has been read.
    pub(super) fn of_type(type_name: Cow<'a, str>) -> Self {
        Self { source: "", type_name, root: RootFields::default(), unread: Vec::new(), attributes: None }
    }

    /// Returns the type.
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// Returns `typeMigrationVersion`.
    pub fn version(&self) -> Option<&str> {
        self.root.type_migration_version.as_deref()
    }

    /// Returns the `namespace` field as the document has it.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.root.namespace.as_deref()
    }

    /// Returns `namespaces`, or `None` if it is missing or malformed. A single string counts as a list of one, as the
    /// server treats it. Works only on a header that [`from_source`](Self::from_source) returned.
    pub(crate) fn namespaces(&self) -> Option<Vec<String>> {
        let (_, value) = self.unread.iter().rev().find(|(name, _)| *name == "namespaces")?;
        match serde_json::from_str(value.get()) {
            Ok(names) => Some(names),
            Err(_) => text(value).map(|name| vec![name.into_owned()]),
        }
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

    /// Checks that the `_id` matches the type and namespace, and that there are attributes.
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
        // Of repeated fields the last one counts, as in a document that is read as a whole.
        let attributes = self.unread.iter().rev().find(|(name, _)| *name == self.type_name);
        attributes
            .map(|(_, value)| *value)
            .filter(|value| value.get().starts_with('{'))
            .ok_or_else(|| Corruption::NoAttributes { type_name: self.type_name().to_owned() })
    }

    /// Returns the whole document. If the attributes were read with the header, it has only those that were wanted.
    ///
    /// # Errors
    /// [`Corruption`] if it has no attributes, or if a root field has the wrong JSON type.
    pub fn into_document(self) -> Result<StoredDocument, Corruption> {
        self.into_document_with(|_| true)
    }

    /// Returns the document with only the wanted attributes. The others are not parsed.
    ///
    /// # Errors
    /// Those of [`into_document`](Self::into_document).
    pub fn into_document_with(mut self, is_wanted: impl Fn(&str) -> bool) -> Result<StoredDocument, Corruption> {
        let attributes = match self.attributes.take() {
            Some(attributes) => attributes,
            None => attributes_of(self.unread_attributes()?, is_wanted)?,
        };
        for (name, value) in self.unread.iter().filter(|(name, _)| *name != self.type_name) {
            // serde's messages can quote values, and a value may be a secret, so they are dropped.
            RootField { root: &mut self.root, name }
                .deserialize(*value)
                .map_err(|_| Corruption::Shape("a root field has the wrong JSON type".to_owned()))?;
        }
        let within = numbers::pointer_to(&self.type_name);
        self.root.numbers = Numbers::read(self.source, &within, &attributes);
        self.root.other_numbers = Numbers::read(self.source, "", &self.root.others);
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

/// Returns the string in a JSON value, or `None` if it is not a string. Borrows it if it contains no escapes.
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

/// Reads the wanted attributes.
fn attributes_of(attributes: &RawValue, is_wanted: impl Fn(&str) -> bool) -> Result<Attributes, Corruption> {
    let mut deserializer = serde_json::Deserializer::from_str(attributes.get());
    Wanted(is_wanted).deserialize(&mut deserializer).map_err(|error| {
        let column = error.column();
        Corruption::Shape(match (depth::is_unreadable(attributes.get()), numbers::too_large(attributes.get())) {
            (true, _) => format!("the attributes are nested too deep to be read, at column {column} of them"),
            (false, Some(pointer)) => format!("the number at {pointer:?} of the attributes is too large to be read"),
            (false, None) => format!("the attributes are not JSON that can be read, at column {column} of them"),
        })
    })
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

    /// Values that attributes and root fields may have, should not have, or cannot have.
    fn value() -> impl Strategy<Value = String> {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let mut values: Vec<String> = vec![deep(120), deep(125), deep(126), deep(127), deep(128), deep(300)];
        let others = [
            "null",
            "true",
            "1",
            "-0",
            "1.50",
            "18446744073709551616",
            "1e400",
            "01",
            r#""""#,
            r#""ops""#,
            r#""o\u0070s""#,
            r#""10.1.0""#,
            r#""10.2.0""#,
            r#""\ud83d\ude00\n\"}""#,
            r#""\ud800""#,
            "[]",
            r#"["ops","*"]"#,
            r#"[{"name":"n","type":"board","id":"1"}]"#,
            r#"[{"name":"n"}]"#,
            "{}",
            r#"{"title":"t","body":[{"x":"}"}]}"#,
            r#" { "title" : 1 , "ti\u0074le" : { "b" : null , "b" : 2 } } "#,
            r#"{"title":1e400,"body":"\ud800"}"#,
            r#"{"title":1"#,
        ];
        values.extend(others.map(str::to_owned));
        prop::sample::select(values)
    }

    /// Fields in any order, some of them repeated. Many sources begin like documents that are in order.
    fn sources() -> impl Strategy<Value = String> {
        let names = prop::sample::select(vec![
            r#""note""#,
            r#""note""#,
            r#""n\u006fte""#,
            r#""other""#,
            r#""type""#,
            r#""t\u0079pe""#,
            r#""namespace""#,
            r#""namespaces""#,
            r#""typeMigrationVersion""#,
            r#""typeMigr\u0061tionVersion""#,
            r#""originId""#,
            r#""references""#,
            r#""managed""#,
            r#""created_at""#,
            r#""writeNonce""#,
            r#""later""#,
            r#""""#,
        ]);
        let types = || {
            let types =
                vec!["note", "note", "note", "n\\u006fte", "other", "type", "namespace", "typeMigrationVersion"];
            prop::sample::select(types).prop_map(|name| format!(r#""type":"{name}""#))
        };
        let fine = || {
            prop::sample::select(vec![
                r#""note":{"title":"t","body":"b"}"#,
                r#""namespace":"ops""#,
                r#""namespace":null"#,
                r#""typeMigrationVersion":"10.1.0""#,
                r#""typeMigrationVersion":"10.2.0""#,
                r#""references":[]"#,
                r#""managed":true"#,
                r#""writeNonce":"n""#,
                r#""later":{"y":[1]}"#,
            ])
            .prop_map(str::to_owned)
        };
        let any = (names, value()).prop_map(|(name, value)| format!("{name}:{value}"));
        let fields = prop::collection::vec(prop_oneof![4 => fine(), 2 => any, 1 => types()], 0..7);
        let first = prop_oneof![4 => types().prop_map(Some), 1 => Just(None)];
        let ends = prop::sample::select(vec!["}", "}", "}", " } ", "", "}}", ",}", "} x"]);
        (first, fields, ends).prop_map(|(first, fields, end)| {
            let fields: Vec<String> = first.into_iter().chain(fields).collect();
            format!("{{{}{end}", fields.join(","))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn a_document_is_the_same_however_much_is_read_on_the_way(source in sources()) {
            let wanted = |header: &DocumentHeader<'_>| match (header.type_name(), header.version()) {
                ("note", Some("10.1.0")) => |name: &str| name == "title",
                _ => |_: &str| true,
            };
            let known = |header: &DocumentHeader<'_>| (header.type_name() != "other").then(|| wanted(header));
            let by_header = |header: &DocumentHeader<'_>| {
                let checks = [NamespaceKind::Single, NamespaceKind::Agnostic, NamespaceKind::Multiple]
                    .map(|kind| ["note:1", "ops:note:1"].map(|raw_id| header.check(raw_id, kind)));
                (header.type_name().to_owned(), header.version().map(str::to_owned), checks)
            };
            let read = |header: Result<DocumentHeader<'_>, Corruption>| {
                header.map(|header| {
                    let is_wanted = wanted(&header);
                    (by_header(&header), header.into_document_with(is_wanted))
                })
            };
            let in_two_steps = read(DocumentHeader::from_source(&source));
            prop_assert_eq!(&read(DocumentHeader::with_attributes(&source, |header| Some(wanted(header)))), &in_two_steps);
            prop_assert_eq!(&read(DocumentHeader::with_attributes(&source, known)), &in_two_steps);
            let passed_over = DocumentHeader::with_attributes(&source, |_| None::<fn(&str) -> bool>);
            prop_assert_eq!(&read(passed_over), &in_two_steps);
            if let Ok((_, Ok(document))) = in_two_steps {
                let again = StoredDocument::from_source(&document.to_source());
                prop_assert_eq!(again, Ok(document));
            }
        }
    }

    #[test]
    fn a_type_of_the_name_type_and_what_comes_after_the_end_are_odd_in_any_order() {
        let end = |source| DocumentHeader::with_attributes(source, |_| Some(|_: &str| true)).map(drop);
        assert_eq!(end(r#"{"type":"type","type":{}}"#), Err(Corruption::NoType));
        assert_eq!(end("{\"type\":\"note\",\"note\":{}} \n"), Ok(()));
        for source in [r#"{"type":"note","note":{}} {}"#, r#"{"note":{},"type":"note"}}"#] {
            assert!(matches!(end(source), Err(Corruption::Shape(_))), "{source}");
        }
    }
}
