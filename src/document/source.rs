//! The writer of a stored document's `_source`: the root fields, then the attributes under the type's name.
//! Hand-written because `#[serde(flatten)]` would collect all root fields in a map to handle the unknown ones.

use bytes::BufMut;

use super::fields::RootFields;
use super::{Reference, StoredDocument, json_text, numbers};

impl StoredDocument {
    /// Returns the document's `_source`.
    pub fn to_source(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.source_bytes());
        self.write_source(&mut bytes);
        bytes
    }

    /// Appends the document's `_source`.
    pub(crate) fn write_source(&self, out: &mut impl BufMut) {
        write(self, self.root.write_nonce.as_deref(), out);
    }

    /// Appends the document's `_source` with `nonce` instead of its own.
    pub(crate) fn write_source_with_nonce(&self, nonce: &str, out: &mut impl BufMut) {
        write(self, Some(nonce), out);
    }

    /// Returns roughly the least number of bytes that the `_source` has.
    pub(crate) fn source_bytes(&self) -> usize {
        bytes_of(self)
    }
}

/// Returns roughly the least number of bytes that the document's source has.
fn bytes_of(document: &StoredDocument) -> usize {
    512 + json_text::bytes_of(&document.attributes)
}

fn write(document: &StoredDocument, nonce: Option<&str>, out: &mut impl BufMut) {
    let StoredDocument { type_name, attributes, root } = document;
    out.put_slice(br#"{"type":"#);
    json_text::write_text(type_name, out);
    write_root(root, nonce, out);
    out.put_u8(b',');
    json_text::write_text(type_name, out);
    out.put_u8(b':');
    json_text::write_numbered(attributes, &root.numbers, out);
    out.put_u8(b'}');
}

/// Writes the root fields, each preceded by a comma.
fn write_root(root: &RootFields, nonce: Option<&str>, out: &mut impl BufMut) {
    write_optional(br#","namespace":"#, root.namespace.as_deref(), out);
    if let Some(namespaces) = &root.namespaces {
        out.put_slice(br#","namespaces":"#);
        json_text::write_list(namespaces, out, |name, out| json_text::write_text(name, out));
    }
    write_optional(br#","originId":"#, root.origin_id.as_deref(), out);
    out.put_slice(br#","references":"#);
    json_text::write_list(&root.references, out, write_reference);
    match root.managed {
        Some(true) => out.put_slice(br#","managed":true"#),
        Some(false) => out.put_slice(br#","managed":false"#),
        None => {}
    }
    write_optional(br#","typeMigrationVersion":"#, root.type_migration_version.as_deref(), out);
    write_optional(br#","coreMigrationVersion":"#, root.core_migration_version.as_deref(), out);
    write_optional(br#","created_at":"#, root.created_at.as_deref(), out);
    write_optional(br#","created_by":"#, root.created_by.as_deref(), out);
    write_optional(br#","updated_at":"#, root.updated_at.as_deref(), out);
    write_optional(br#","updated_by":"#, root.updated_by.as_deref(), out);
    write_optional(br#","writeNonce":"#, nonce, out);
    for (name, value) in &root.others {
        out.put_u8(b',');
        json_text::write_text(name, out);
        out.put_u8(b':');
        match root.other_numbers.is_empty() {
            true => json_text::write(value, out),
            false => json_text::write_numbered_value(value, &root.other_numbers, &mut numbers::pointer_to(name), out),
        }
    }
}

fn write_optional(name: &[u8], text: Option<&str>, out: &mut impl BufMut) {
    if let Some(text) = text {
        out.put_slice(name);
        json_text::write_text(text, out);
    }
}

fn write_reference(reference: &Reference, out: &mut impl BufMut) {
    out.put_slice(br#"{"name":"#);
    json_text::write_text(&reference.name, out);
    out.put_slice(br#","type":"#);
    json_text::write_text(&reference.type_name, out);
    out.put_slice(br#","id":"#);
    json_text::write_text(&reference.id, out);
    out.put_u8(b'}');
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;
    use serde::Serialize;
    use serde_json::{Map, Value};

    use super::*;

    /// The same form, serialized by serde.
    #[derive(Serialize)]
    struct Source<'a> {
        #[serde(rename = "type")]
        type_name: &'a str,
        #[serde(flatten)]
        root: &'a RootFields,
        #[serde(flatten)]
        attributes: Map<String, Value>,
    }

    fn text() -> impl Strategy<Value = String> {
        "(?s).{0,12}|[\\x00-\\x7f]{0,4}"
    }

    fn optional() -> impl Strategy<Value = Option<String>> {
        prop::option::of(text())
    }

    fn map() -> impl Strategy<Value = Map<String, Value>> {
        let value = prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text().prop_map(Value::from),
            prop::collection::vec(text(), 0..3).prop_map(Value::from),
        ];
        prop::collection::btree_map(text(), value, 0..4).prop_map(|members| members.into_iter().collect())
    }

    fn roots() -> impl Strategy<Value = RootFields> {
        let reference = (text(), text(), text()).prop_map(|(name, type_name, id)| Reference { name, type_name, id });
        let lists = (prop::option::of(prop::collection::vec(text(), 0..3)), prop::collection::vec(reference, 0..3));
        let texts = (optional(), optional(), optional(), optional());
        let times = (optional(), optional(), optional(), optional(), optional());
        (lists, texts, times, any::<Option<bool>>(), map()).prop_map(|(lists, texts, times, managed, others)| {
            let (namespaces, references) = lists;
            let (namespace, origin_id, type_migration_version, core_migration_version) = texts;
            let (created_at, created_by, updated_at, updated_by, write_nonce) = times;
            RootFields {
                namespace,
                namespaces,
                origin_id,
                references,
                managed,
                type_migration_version,
                core_migration_version,
                created_at,
                created_by,
                updated_at,
                updated_by,
                write_nonce,
                others,
                ..RootFields::default()
            }
        })
    }

    proptest! {
        #[test]
        fn it_is_what_serde_writes(type_name in text(), root in roots(), attributes in map()) {
            let document = StoredDocument { type_name, attributes, root };
            let under_type = [(document.type_name.clone(), Value::Object(document.attributes.clone()))];
            let by_serde =
                Source { type_name: &document.type_name, root: &document.root, attributes: under_type.into_iter().collect() };
            let by_serde = serde_json::to_string(&by_serde).expect("JSON");
            prop_assert_eq!(String::from_utf8(document.to_source()).expect("UTF-8"), by_serde.as_str());
            let mut after_others = BytesMut::from("before");
            document.write_source(&mut after_others);
            prop_assert_eq!(after_others.strip_prefix(b"before"), Some(by_serde.as_bytes()));
        }
    }
}
