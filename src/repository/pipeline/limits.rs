//! Limits of Elasticsearch, checked before anything is sent. The errors name the attribute, the limit and the hint,
//! where the server would only quote its own internals. [`RawId`](crate::document::RawId) has the limit on ids.

use super::errors;
use super::target::Target;
use crate::cluster::Cluster;
use crate::document::{Attributes, Reference, StoredDocument, depth};
use crate::registry::misfit::{Judged, MAX_NESTED, misfit};
use crate::registry::{TypeDefinition, mapped_values};
use crate::repository::ObjectKey;
use crate::{Error, Result};

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
    fits(key, Judged::Limits, definition, document)
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
    fits(key, Judged::Values, definition, document)
}

fn fits(key: &ObjectKey, judged: Judged, definition: &TypeDefinition, document: &StoredDocument) -> Result<()> {
    misfit(definition.mapping(), document, judged).map_or(Ok(()), |misfit| {
        let of = misfit.of.map(|of| format!("{of} of ")).unwrap_or_default();
        Err(Error::invalid(format!("{of}saved object {key} {}", misfit.why), misfit.hint))
    })
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::ErrorKind;
    use crate::document::{Reference, RootFields};
    use crate::registry::misfit::MAX_TERM_BYTES;
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
