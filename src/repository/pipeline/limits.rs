//! Limits of Elasticsearch, checked before anything is sent. The errors name the attribute, the limit and the hint,
//! where the server would only quote its own internals. [`RawId`](crate::document::RawId) has the limit on ids.

use serde_json::{Map, Value};

use super::errors;
use super::mapped_values::{self, type_of};
use super::target::Target;
use crate::cluster::Cluster;
use crate::document::{Attributes, Reference, StoredDocument, depth};
use crate::registry::TypeDefinition;
use crate::repository::ObjectKey;
use crate::{Error, Result};

/// The longest term that an index can hold, in bytes of UTF-8. Source: Lucene, `IndexWriter.MAX_TERM_LENGTH`.
const MAX_TERM_BYTES: usize = 32_766;
/// The nested objects that one document may have. Source: the index setting `index.mapping.nested_objects.limit`.
const MAX_NESTED: usize = 10_000;
/// A shorter source can hold neither a term that is too long nor too many nested objects: each has at least three
/// bytes.
const HARMLESS_BYTES: usize = 3 * MAX_NESTED;
/// Smaller documents fit into a request on any usual server. For larger ones the server is asked for its limit.
const SMALL_DOCUMENT_BYTES: usize = 1024 * 1024;
/// The most bytes that a bulk has around a document: the action's line with an escaped `_id` of 512 bytes, and its
/// condition.
const AROUND_DOCUMENT_BYTES: usize = 4 * 1024;

/// Refuses a document that the index could not take under any settings of the server.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid), naming the attribute, the limit and the hint.
pub(in crate::repository) fn check(target: &Target, document: &StoredDocument, source_bytes: usize) -> Result<()> {
    if source_bytes < HARMLESS_BYTES {
        return Ok(());
    }
    let Target { definition, key, .. } = target;
    Check { key, nested: document.root.references.len(), judges_values: false }.document(definition, document)
}

/// Refuses a document that the index would refuse, as far as that can be known without the server: like [`check`], and
/// also for the names and values of its fields. For callers that must know it before they send anything; for a single
/// write, the server reports it.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid), naming the attribute, what it takes and the hint.
pub(in crate::repository) fn check_whole(target: &Target, document: &StoredDocument) -> Result<()> {
    let Target { definition, key, .. } = target;
    let root = &document.root;
    for (name, date) in [("created_at", &root.created_at), ("updated_at", &root.updated_at)] {
        if date.as_ref().is_some_and(|date| !mapped_values::is_root_date(date)) {
            return Err(Error::invalid(
                format!("`{name}` of saved object {key} is no date"),
                format!("it takes {}", mapped_values::DATES),
            ));
        }
    }
    check_references(key, &root.references)?;
    Check { key, nested: root.references.len(), judges_values: true }.document(definition, document)
}

/// Refuses references that can lead to no object.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid), naming the reference.
pub(in crate::repository) fn check_references(key: &ObjectKey, references: &[Reference]) -> Result<()> {
    match references.iter().position(|reference| is_nameless(&reference.type_name, &reference.id)) {
        None => Ok(()),
        Some(at) => Err(Error::invalid(
            format!("references[{at}] of saved object {key} has an empty type or id"),
            "name the object that it refers to, or leave the reference out",
        )),
    }
}

/// Refuses a type and id that no object can have.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid).
pub(in crate::repository) fn check_named(type_name: &str, id: &str) -> Result<()> {
    match is_nameless(type_name, id) {
        false => Ok(()),
        true => Err(Error::invalid(
            format!("the object {:?} has an empty type or id", format!("{type_name}/{id}")),
            "name the type and the id of the object that is meant",
        )),
    }
}

fn is_nameless(type_name: &str, id: &str) -> bool {
    type_name.trim().is_empty() || id.trim().is_empty()
}

/// Refuses a document that could not be read again: see [`MAX_DEPTH`](crate::document::MAX_DEPTH).
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid), naming the attribute, the limit and the hint.
pub(in crate::repository) fn check_depth(key: &ObjectKey, attributes: &Attributes) -> Result<()> {
    match depth::too_deep(attributes) {
        None => Ok(()),
        Some(name) => Err(Error::invalid(format!("saved object {key}: {}", depth::refusal(name)), depth::FLATTEN)),
    }
}

/// Refuses a document that fits into no request to the server.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid), naming the limit and the hint.
pub(in crate::repository) async fn check_request(
    cluster: &dyn Cluster,
    key: &ObjectKey,
    source_bytes: usize,
) -> Result<()> {
    if source_bytes <= SMALL_DOCUMENT_BYTES {
        return Ok(());
    }
    // If the server does not tell its limit, it decides by itself.
    let Ok(limit) = cluster.max_content_length().await else { return Ok(()) };
    if source_bytes.saturating_add(AROUND_DOCUMENT_BYTES) <= limit {
        return Ok(());
    }
    Err(Error::invalid(
        format!(
            "saved object {key} has {source_bytes} bytes, and the server takes requests of at most {limit} (http.max_content_length)"
        ),
        errors::TOO_LARGE,
    ))
}

struct Check<'a> {
    key: &'a ObjectKey,
    nested: usize,
    /// Whether names and values are checked too, and not only their lengths and numbers.
    judges_values: bool,
}

/// An object of a mapping, and whether the index refuses names in it that are not mapped.
#[derive(Clone, Copy)]
struct Mapped<'a> {
    field: &'a Value,
    is_strict: bool,
}

impl<'a> Mapped<'a> {
    /// Returns the object that `field` maps, within this one.
    fn within(self, field: &'a Value) -> Self {
        let is_strict = field.get("dynamic").map_or(self.is_strict, |dynamic| dynamic == "strict");
        Self { field, is_strict }
    }
}

impl Check<'_> {
    fn document(mut self, definition: &TypeDefinition, document: &StoredDocument) -> Result<()> {
        let root = &document.root;
        for (at, reference) in root.references.iter().enumerate() {
            for (name, value) in [("name", &reference.name), ("type", &reference.type_name), ("id", &reference.id)] {
                self.term(&format!("references[{at}].{name}"), value, None)?;
            }
        }
        for (name, value) in
            [("originId", &root.origin_id), ("created_by", &root.created_by), ("updated_by", &root.updated_by)]
        {
            if let Some(value) = value {
                self.term(name, value, None)?;
            }
        }
        for name in root.namespaces.iter().flatten() {
            self.term("namespaces", name, None)?;
        }
        let mapping = Mapped { field: definition.mapping(), is_strict: false };
        self.members("", mapping.within(definition.mapping()), &document.attributes)?;
        if self.nested <= MAX_NESTED {
            return Ok(());
        }
        let (key, nested) = (self.key, self.nested);
        Err(Error::invalid(
            format!(
                "saved object {key} has {nested} references and nested objects, and a document may have {MAX_NESTED}"
            ),
            "divide it into several objects",
        ))
    }

    /// Checks the members of the object at `path`.
    fn members(&mut self, path: &str, object: Mapped<'_>, members: &Map<String, Value>) -> Result<()> {
        for (name, value) in members {
            // A name with dots stands for objects, one within the other. As the server splits it: empty names at its
            // end do not count.
            let names: Vec<&str> = name.trim_end_matches('.').split('.').collect();
            if self.judges_values && names.iter().any(|name| name.trim().is_empty()) {
                let within = if path.is_empty() { String::new() } else { format!(" of {path:?}") };
                return Err(self.refused(
                    &format!("the name {name:?}{within}"),
                    "is empty, or empty before or after a dot",
                    "rename it",
                ));
            }
            self.named(path, object, &names, value)?;
        }
        Ok(())
    }

    /// Checks the value at the path `names` within the object at `path`.
    fn named(&mut self, path: &str, object: Mapped<'_>, names: &[&str], value: &Value) -> Result<()> {
        let Some((name, rest)) = names.split_first() else { return Ok(()) };
        let path = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
        let Some(field) = object.field.get("properties").and_then(|fields| fields.get(name)) else {
            return match self.judges_values && object.is_strict {
                true => Err(self.refused(
                    &format!("{path:?}"),
                    "is not in the mapping, which says `strict`",
                    "leave it out, or add it to the mapping with a new model version",
                )),
                false => Ok(()),
            };
        };
        if rest.is_empty() {
            return self.field(&path, object.within(field), value);
        }
        match type_of(field) {
            "object" | "nested" => self.named(&path, object.within(field), rest, value),
            // The rest of the name makes an object of it.
            _ => self.judge(
                &path,
                field,
                &Value::Object(rest.iter().take(1).map(|name| ((*name).to_owned(), Value::Null)).collect()),
            ),
        }
    }

    /// Checks the value at `path`.
    fn field(&mut self, path: &str, mapped: Mapped<'_>, value: &Value) -> Result<()> {
        let field = mapped.field;
        match value {
            Value::Null => return Ok(()),
            Value::Array(elements) => return elements.iter().try_for_each(|element| self.field(path, mapped, element)),
            _ => self.judge(path, field, value)?,
        }
        match (type_of(field), value) {
            ("keyword", Value::String(text)) => self.term(path, text, ignore_above(field))?,
            ("flattened", Value::Object(_)) => self.flattened(path, "", field, value)?,
            ("nested", Value::Object(members)) => {
                self.nested += 1;
                self.members(path, mapped, members)?;
            }
            ("object", Value::Object(members)) => self.members(path, mapped, members)?,
            _ => {}
        }
        for (name, again) in field.get("fields").and_then(Value::as_object).into_iter().flatten() {
            self.field(&format!("{path}.{name}"), mapped.within(again), value)?;
        }
        Ok(())
    }

    fn judge(&self, path: &str, field: &Value, value: &Value) -> Result<()> {
        match mapped_values::refusal(field, value).filter(|_| self.judges_values) {
            None => Ok(()),
            Some(takes) => Err(self.refused(
                &format!("{path:?}"),
                &format!("has a value that its mapping as {} refuses", type_of(field)),
                &format!("it {takes}"),
            )),
        }
    }

    fn refused(&self, what: &str, why: &str, hint: &str) -> Error {
        Error::invalid(format!("{what} of saved object {} {why}", self.key), hint)
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

/// Returns whether the server leaves a text out of the index because of its length in characters.
fn is_ignored(text: &str, ignore_above: Option<u64>) -> bool {
    // The server counts UTF-16 units.
    ignore_above.is_some_and(|limit| text.encode_utf16().count() as u64 > limit)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::ErrorKind;
    use crate::document::{Reference, RootFields};
    use crate::registry::testing::{note, read, version};

    fn target(definition: TypeDefinition) -> Target {
        Target::new(&Arc::new(definition), ObjectKey::new("note", "n1")).expect("an id")
    }

    fn refused(properties: Value, attributes: Value, root: RootFields) -> Option<String> {
        let mapping = json!({ "dynamic": false, "properties": properties });
        let known = json!({ "title": {}, "owner": {}, "free": {}, "list": {} });
        let schema = json!({ "type": "object", "properties": known });
        let version = version(json!({ "create": schema, "forward": schema, "encrypted": [], "bound": [] }));
        let definition = read(&note(json!({ "mapping": mapping })), &[version]).expect("fine");
        let attributes = attributes.as_object().cloned().expect("an object");
        let document = StoredDocument { type_name: "note".into(), attributes, root };
        let bytes = document.to_source().len();
        let error = check(&target(definition), &document, bytes).err()?;
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.hint().is_some());
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
    fn names_and_values_that_the_mapping_refuses_are_named() {
        let mapping = json!({ "dynamic": false, "properties": {
            "title": { "type": "keyword", "fields": { "words": { "type": "text" }, "size": { "type": "long" } } },
            "owner": { "dynamic": "strict", "properties": { "name": { "type": "keyword" }, "free": { "dynamic": "false", "properties": {} } } },
            "free": { "type": "flattened" }, "list": { "type": "nested", "properties": { "n": { "type": "long" } } },
        } });
        let known = json!({ "title": {}, "owner": {}, "free": {}, "list": {} });
        let schema = json!({ "type": "object", "properties": known });
        let version = version(json!({ "create": schema, "forward": schema, "encrypted": [], "bound": [] }));
        let target = target(read(&note(json!({ "mapping": mapping })), &[version]).expect("fine"));
        let table = [
            (json!({ "title": "5", "other": { "": 1, "a..b": 2 } }), None),
            (json!({ "title": "five" }), Some("\"title.size\"")),
            (json!({ "title": { "a": 1 } }), Some("\"title\" of saved object note/n1 has a value")),
            (json!({ "title.raw": 1 }), Some("\"title\"")),
            (json!({ "": 1 }), Some("the name \"\"")),
            (json!({ " ": 1 }), Some("the name")),
            (json!({ "a..b": 1 }), Some("the name \"a..b\"")),
            (json!({ "title.": "5" }), None),
            (json!({ "owner": { "name": "kim", "free": { "x": 1 } } }), None),
            (json!({ "owner": { "age": 1 } }), Some("\"owner.age\" of saved object note/n1 is not in the mapping")),
            (json!({ "owner.age": null }), Some("\"owner.age\"")),
            (json!({ "owner": { "": 1 } }), Some("the name \"\" of \"owner\"")),
            (json!({ "owner": ["kim"] }), Some("\"owner\"")),
            (json!({ "owner.name": "kim" }), None),
            (json!({ "list": [{ "n": 1 }, null, { "n": "x" }] }), Some("\"list.n\"")),
            (json!({ "list.n": "x" }), Some("\"list.n\"")),
            (json!({ "free": { "a": { "": 1 } } }), None),
            (json!({ "free": 1 }), Some("\"free\"")),
        ];
        for (attributes, expected) in table {
            let given = attributes.as_object().cloned().expect("an object");
            let document = StoredDocument { type_name: "note".into(), attributes: given, root: RootFields::default() };
            let outcome = check_whole(&target, &document);
            match (outcome, expected) {
                (Ok(()), None) => {}
                (Err(error), Some(expected)) => {
                    assert!(error.message().contains(expected) && error.hint().is_some(), "{error}");
                }
                (outcome, expected) => panic!("{attributes}: {outcome:?}, not {expected:?}"),
            }
        }
        let root = |date: &str| RootFields { created_at: Some(date.to_owned()), ..RootFields::default() };
        for (date, is_fine) in [("2026-03-01T10:00:00.000Z", true), ("yesterday", false), ("", false)] {
            let document = StoredDocument { type_name: "note".into(), attributes: Attributes::new(), root: root(date) };
            let outcome = check_whole(&target, &document);
            assert_eq!(outcome.is_ok(), is_fine, "{date}");
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
