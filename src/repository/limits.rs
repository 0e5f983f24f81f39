//! What Elasticsearch cannot take, told before anything is sent: with the attribute, the limit and the cure, where the server
//! would only quote its own internals. The limit on ids is [`RawId`](crate::document::RawId)'s.

use serde_json::Value;

use super::ObjectKey;
use super::key::Keyed;
use crate::cluster::Cluster;
use crate::document::{Attributes, StoredDocument, depth};
use crate::registry::TypeDefinition;
use crate::{Error, Result};

/// The longest term that an index can hold, in bytes of UTF-8. Source: Lucene, `IndexWriter.MAX_TERM_LENGTH`.
const MAX_TERM_BYTES: usize = 32_766;
/// The nested objects that one document may have. Source: the index setting `index.mapping.nested_objects.limit`.
const MAX_NESTED: usize = 10_000;
/// A shorter source cannot hold a term that is too long, nor too many nested objects: each has three bytes at least.
const HARMLESS_BYTES: usize = 3 * MAX_NESTED;
/// Smaller documents fit into a request on any server that is worth it; for larger ones the server is asked.
const SMALL_DOCUMENT_BYTES: usize = 1024 * 1024;
/// What a bulk has around a document: the action's line with an `_id` of 512 bytes, in escaped form, and its condition.
const AROUND_DOCUMENT_BYTES: usize = 4 * 1024;

/// Refuses a document that the index could not take whatever the server's settings are.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid), naming the attribute, the limit and the cure.
pub(super) fn check(
    definition: &TypeDefinition,
    key: &ObjectKey,
    document: &StoredDocument,
    source_bytes: usize,
) -> Result<()> {
    if source_bytes < HARMLESS_BYTES {
        return Ok(());
    }
    let mut check = Check { key, nested: document.root.references.len() };
    for (at, reference) in document.root.references.iter().enumerate() {
        for (name, value) in [("name", &reference.name), ("type", &reference.type_name), ("id", &reference.id)] {
            check.term(&format!("references[{at}].{name}"), value, None)?;
        }
    }
    let root = &document.root;
    for (name, value) in
        [("originId", &root.origin_id), ("created_by", &root.created_by), ("updated_by", &root.updated_by)]
    {
        if let Some(value) = value {
            check.term(name, value, None)?;
        }
    }
    for name in root.namespaces.iter().flatten() {
        check.term("namespaces", name, None)?;
    }
    let properties = definition.mapping().get("properties").and_then(Value::as_object);
    for (name, field) in properties.into_iter().flatten() {
        if let Some(value) = document.attributes.get(name) {
            check.field(name, field, value)?;
        }
    }
    if check.nested > MAX_NESTED {
        return Err(Error::invalid(
            format!(
                "saved object {key} has {} references and nested objects, and a document may have {MAX_NESTED}",
                check.nested
            ),
            "divide it into several objects",
        ));
    }
    Ok(())
}

/// Refuses a document that nothing could read again: see [`MAX_DEPTH`](crate::document::MAX_DEPTH).
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid), naming the attribute, the limit and the cure.
pub(super) fn check_depth(key: &ObjectKey, attributes: &Attributes) -> Result<()> {
    match depth::too_deep(attributes) {
        None => Ok(()),
        Some(name) => Err(Error::invalid(format!("saved object {key}: {}", depth::refusal(name)), depth::FLATTEN)),
    }
}

/// Refuses a document that fits into no request to the server.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid), naming the limit and the cure.
pub(super) async fn check_request(cluster: &dyn Cluster, object: &impl Keyed, source_bytes: usize) -> Result<()> {
    if source_bytes <= SMALL_DOCUMENT_BYTES {
        return Ok(());
    }
    // If the server does not say, it decides.
    let Ok(limit) = cluster.max_content_length().await else { return Ok(()) };
    if source_bytes.saturating_add(AROUND_DOCUMENT_BYTES) <= limit {
        return Ok(());
    }
    let key = object.key();
    Err(Error::invalid(
        format!("saved object {key} has {source_bytes} bytes, and the server takes requests of at most {limit}"),
        "store less in one object, or raise http.max_content_length of the server",
    ))
}

struct Check<'a> {
    key: &'a ObjectKey,
    nested: usize,
}

impl Check<'_> {
    /// Checks the value at `path`, which is mapped as `field` says.
    fn field(&mut self, path: &str, field: &Value, value: &Value) -> Result<()> {
        if let Value::Array(elements) = value {
            return elements.iter().try_for_each(|element| self.field(path, field, element));
        }
        let kind = field.get("type").and_then(Value::as_str).unwrap_or("object");
        match (kind, value) {
            ("keyword", Value::String(text)) => self.term(path, text, ignore_above(field))?,
            ("flattened", Value::Object(_)) => self.flattened(path, "", field, value)?,
            ("nested", Value::Object(_)) => self.nested += 1,
            _ => {}
        }
        if let Value::Object(members) = value {
            for (name, inner) in field.get("properties").and_then(Value::as_object).into_iter().flatten() {
                if let Some(value) = members.get(name) {
                    self.field(&format!("{path}.{name}"), inner, value)?;
                }
            }
        }
        for (name, again) in field.get("fields").and_then(Value::as_object).into_iter().flatten() {
            if again.get("type").and_then(Value::as_str) == Some("keyword") {
                self.field(&format!("{path}.{name}"), again, value)?;
            }
        }
        Ok(())
    }

    /// Each value within a flattened field is a term by itself, and one with its path before it.
    fn flattened(&self, path: &str, within: &str, field: &Value, value: &Value) -> Result<()> {
        match value {
            Value::Object(members) => members.iter().try_for_each(|(name, value)| {
                let within = if within.is_empty() { name.clone() } else { format!("{within}.{name}") };
                self.flattened(path, &within, field, value)
            }),
            Value::Array(elements) => {
                elements.iter().try_for_each(|element| self.flattened(path, within, field, element))
            }
            Value::String(text) if !is_ignored(text, ignore_above(field)) => {
                self.bytes(&format!("{path}.{within}"), within.len() + 1 + text.len(), "flattened")
            }
            _ => Ok(()),
        }
    }

    fn term(&self, path: &str, text: &str, ignore_above: Option<u64>) -> Result<()> {
        if is_ignored(text, ignore_above) { Ok(()) } else { self.bytes(path, text.len(), "keyword") }
    }

    fn bytes(&self, path: &str, bytes: usize, kind: &str) -> Result<()> {
        if bytes <= MAX_TERM_BYTES {
            return Ok(());
        }
        let key = self.key;
        Err(Error::invalid(
            format!(
                "{path:?} of saved object {key} has {bytes} bytes, and as {kind} it may have {MAX_TERM_BYTES} at most"
            ),
            "shorten it; or map it as `text`, or with `ignore_above`, in a new model version",
        ))
    }
}

fn ignore_above(field: &Value) -> Option<u64> {
    field.get("ignore_above").and_then(Value::as_u64)
}

/// Whether the server leaves a text out of the index because of its length, in characters.
fn is_ignored(text: &str, ignore_above: Option<u64>) -> bool {
    // The server counts UTF-16 units.
    ignore_above.is_some_and(|limit| text.encode_utf16().count() as u64 > limit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ErrorKind;
    use crate::document::{Reference, RootFields};
    use crate::registry::testing::{note, read, version};

    fn refused(properties: Value, attributes: Value, root: RootFields) -> Option<String> {
        let mapping = json!({ "dynamic": false, "properties": properties });
        let known = json!({ "title": {}, "owner": {}, "free": {}, "list": {} });
        let schema = json!({ "type": "object", "properties": known });
        let version = version(json!({ "create": schema, "forward": schema, "encrypted": [], "bound": [] }));
        let definition = read(&note(json!({ "mapping": mapping })), &[version]).expect("fine");
        let attributes = attributes.as_object().cloned().expect("an object");
        let document = StoredDocument { type_name: "note".into(), attributes, root };
        let bytes = document.to_source().len();
        let error = check(&definition, &ObjectKey::new("note", "n1"), &document, bytes).err()?;
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.cure().is_some());
        Some(error.message().to_owned())
    }

    #[test]
    fn terms_that_no_index_takes_are_named() {
        let long = "x".repeat(MAX_TERM_BYTES + 1);
        let fits = "x".repeat(MAX_TERM_BYTES);
        let wide = "é".repeat(MAX_TERM_BYTES / 2 + 1);
        let keyword = || json!({ "title": { "type": "keyword" } });
        let table = [
            (keyword(), json!({ "title": fits }), None),
            (keyword(), json!({ "title": long }), Some("\"title\" of saved object note/n1 has 32767 bytes")),
            (keyword(), json!({ "title": wide }), Some("has 32768 bytes")),
            (keyword(), json!({ "title": ["a", long] }), Some("\"title\"")),
            (keyword(), json!({ "other": long }), None),
            (json!({ "title": { "type": "text" } }), json!({ "title": long }), None),
            (
                json!({ "title": { "type": "text", "fields": { "raw": { "type": "keyword" } } } }),
                json!({ "title": long }),
                Some("\"title.raw\""),
            ),
            (json!({ "title": { "type": "keyword", "ignore_above": 100 } }), json!({ "title": long }), None),
            (
                json!({ "title": { "type": "keyword", "ignore_above": 1_000_000 } }),
                json!({ "title": long }),
                Some("\"title\""),
            ),
            (
                json!({ "owner": { "properties": { "name": { "type": "keyword" } } } }),
                json!({ "owner": [{ "name": "a" }, { "name": long }] }),
                Some("\"owner.name\""),
            ),
            (
                json!({ "free": { "type": "flattened" } }),
                json!({ "free": { "a": { "b": fits } } }),
                Some("\"free.a.b\""),
            ),
            (json!({ "free": { "type": "flattened", "ignore_above": 9 } }), json!({ "free": { "a": long } }), None),
        ];
        for (properties, attributes, expected) in table {
            let message = refused(properties.clone(), attributes, RootFields::default());
            match (message, expected) {
                (None, None) => {}
                (Some(message), Some(expected)) => assert!(message.contains(expected), "{message}"),
                (message, expected) => panic!("{properties}: {message:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn references_and_nested_objects_are_counted_together() {
        let reference = |id: &str| Reference { name: "r".into(), type_name: "note".into(), id: id.into() };
        let root = |references: Vec<Reference>| RootFields { references, ..RootFields::default() };
        let properties = || json!({ "list": { "type": "nested", "properties": {} } });
        let list = |count: usize| json!({ "list": vec![json!({}); count] });
        let references = |count| vec![reference("a"); count];
        assert_eq!(refused(properties(), list(5_000), root(references(5_000))), None);
        for (listed, referred) in [(5_000, 5_001), (10_001, 0), (0, 10_001)] {
            let message = refused(properties(), list(listed), root(references(referred))).expect("too many");
            assert!(message.contains("has 10001 references and nested objects"), "{message}");
        }
        let long = refused(properties(), list(0), root(vec![reference(&"x".repeat(40_000))])).expect("too long");
        assert!(long.contains("references[0].id"), "{long}");
        let far = RootFields { namespaces: Some(vec!["x".repeat(40_000)]), ..RootFields::default() };
        assert!(refused(properties(), list(0), far).expect("too long").contains("\"namespaces\""));
    }
}
