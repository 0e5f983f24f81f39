//! The attributes that a search returns of each object: by name, or by a path into an attribute.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::nearest;
use crate::document::Attributes;
use crate::registry::TypeDefinition;
use crate::{Error, Result};

/// The largest number of names that a message lists.
const MAX_LISTED: usize = 30;

/// Refuses names that no object of these types can have: neither the mapping nor the schema of the newest version has
/// them.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid). The hint names similar attributes.
pub(in crate::repository) fn check(fields: &[String], definitions: &[&TypeDefinition]) -> Result<()> {
    let is_known = |path: &str| definitions.iter().any(|definition| knows(definition, path));
    let Some(path) = fields.iter().find(|path| !is_known(path)) else { return Ok(()) };
    let types: Vec<&str> = definitions.iter().map(|definition| definition.name()).collect();
    let types = types.join(" or ");
    if definitions.iter().any(|definition| hides(definition, path)) {
        return Err(Error::invalid(
            format!("the attribute {path:?} of the type {types} is encrypted, and never among the attributes"),
            "leave it out of the fields, and read the secret with `get_with_secrets`",
        ));
    }
    let known: BTreeSet<String> = definitions.iter().flat_map(|definition| names(definition)).collect();
    let mut near = nearest::to(path, known.iter().map(String::as_str));
    if near.is_empty() {
        near = around(path, &known);
    }
    let hint = match near.is_empty() {
        false => format!("ask for {}, if that is meant", near.join(" or ")),
        true => {
            let listed: Vec<&str> = known.iter().map(String::as_str).take(MAX_LISTED).collect();
            format!("ask for {}, or paths into them", listed.join(", "))
        }
    };
    Err(Error::invalid(format!("the type {types} has no attribute {path:?}"), hint))
}

/// Returns the paths into the longest known beginning of a path, or that beginning if there are no paths into it.
fn around<'a>(path: &str, known: &'a BTreeSet<String>) -> Vec<&'a str> {
    let is_within = |path: &str, outer: &str| path.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
    let beginnings = known.iter().filter(|known| is_within(path, known));
    let Some(longest) = beginnings.max_by_key(|known| known.len()) else { return Vec::new() };
    let inner: Vec<&str> = known.iter().map(String::as_str).filter(|known| is_within(known, longest)).collect();
    if inner.is_empty() { vec![longest.as_str()] } else { inner }
}

/// Returns whether an attribute is encrypted and not exposed.
fn hides(definition: &TypeDefinition, path: &str) -> bool {
    let attribute = path.split('.').next().unwrap_or_default();
    definition.latest().sets.encrypts(attribute) && definition.exposed().all(|exposed| exposed.name != attribute)
}

fn knows(definition: &TypeDefinition, path: &str) -> bool {
    let names: Vec<&str> = path.split('.').collect();
    let is_schemas = || leads(definition.latest().create.schema(), &names, &allowed_by_schema);
    !hides(definition, path) && (leads(definition.mapping(), &names, &allowed_by_mapping) || is_schemas())
}

/// What a mapping or a schema says about a member of an object.
enum Member<'a> {
    Described(&'a Value),
    /// The member may exist, and nothing describes it.
    Free,
    Unknown,
}

/// Returns whether `names` lead to a member from the object that `object` describes. A name may contain dots.
fn leads<'a>(object: &'a Value, names: &[&str], member: &dyn Fn(&'a Value, &str) -> Member<'a>) -> bool {
    (1..=names.len()).any(|count| match member(object, &names[..count].join(".")) {
        Member::Free => true,
        Member::Described(_) if count == names.len() => true,
        Member::Described(inner) => leads(inner, &names[count..], member),
        Member::Unknown => false,
    })
}

fn allowed_by_mapping<'a>(field: &'a Value, name: &str) -> Member<'a> {
    match (field.get("properties").and_then(|fields| fields.get(name)), field.get("type").and_then(Value::as_str)) {
        (Some(inner), _) => Member::Described(inner),
        (None, Some("flattened")) => Member::Free,
        // An object without mapped members, or one that the server does not parse.
        (None, None | Some("object" | "nested")) if field.get("properties").is_none() => Member::Free,
        _ => Member::Unknown,
    }
}

/// Keywords of JSON Schema that describe members in ways that this module does not follow.
const ELSEWHERE: &[&str] =
    &["$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "patternProperties", "prefixItems"];

fn allowed_by_schema<'a>(schema: &'a Value, name: &str) -> Member<'a> {
    let Some(keywords) = schema.as_object() else { return Member::Free };
    if let Some(inner) = keywords.get("properties").and_then(|fields| fields.get(name)) {
        return Member::Described(inner);
    }
    let is_closed = |keyword: &str| keywords.get(keyword) == Some(&Value::Bool(false));
    if ELSEWHERE.iter().any(|keyword| keywords.contains_key(*keyword)) {
        return Member::Free;
    }
    if let Some(items) = keywords.get("items") {
        return allowed_by_schema(items, name);
    }
    let can_be = |kind: &str| match keywords.get("type") {
        None => true,
        Some(Value::String(only)) => only == kind,
        Some(kinds) => kinds.as_array().is_some_and(|kinds| kinds.iter().any(|other| other == kind)),
    };
    let is_open = can_be("object") && !is_closed("additionalProperties") && !is_closed("unevaluatedProperties");
    // An array without `items` can have any element.
    if is_open || keywords.get("type").is_some() && can_be("array") { Member::Free } else { Member::Unknown }
}

/// Returns the paths that a type names, without those that are never returned.
fn names(definition: &TypeDefinition) -> BTreeSet<String> {
    fn collect(field: &Value, parent: &str, names: &mut BTreeSet<String>) {
        for (name, inner) in field.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = if parent.is_empty() { name.clone() } else { format!("{parent}.{name}") };
            collect(inner, &path, names);
            names.insert(path);
        }
    }
    let mut names = definition.latest().create.fields();
    collect(definition.mapping(), "", &mut names);
    names.retain(|path| !hides(definition, path));
    names
}

/// Removes the attributes that were not requested. In a list of objects, each object keeps what was requested.
pub(in crate::repository) fn pick(fields: &[String], attributes: &mut Attributes) {
    let paths: Vec<&str> = fields.iter().map(String::as_str).collect();
    pick_members(&paths, attributes);
}

fn pick_members(paths: &[&str], members: &mut Map<String, Value>) {
    members.retain(|name, value| {
        if paths.contains(&name.as_str()) {
            return true;
        }
        let within = |path: &&str| path.strip_prefix(name.as_str())?.strip_prefix('.').map(str::len);
        let rest: Vec<&str> = paths.iter().filter_map(|path| path.get(path.len() - within(path)?..)).collect();
        !rest.is_empty() && pick_within(&rest, value)
    });
}

/// Removes what was not requested from a value. Returns whether anything is left.
fn pick_within(paths: &[&str], value: &mut Value) -> bool {
    match value {
        Value::Object(members) => {
            pick_members(paths, members);
            !members.is_empty()
        }
        Value::Array(elements) => {
            elements.retain_mut(|element| pick_within(paths, element));
            !elements.is_empty()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::testing::{note, read, version};

    fn definition(create: Value) -> TypeDefinition {
        let mapping = json!({ "dynamic": false, "properties": {
            "title": { "type": "text", "fields": { "raw": { "type": "keyword" } } }, "labels": { "type": "flattened" },
            "owner": { "properties": { "name": { "type": "keyword" } } },
        }});
        read(&note(json!({ "mapping": mapping })), &[version(json!({ "create": create }))]).expect("fine")
    }

    fn closed() -> Value {
        json!({ "type": "object", "additionalProperties": false, "properties": {
            "title": { "type": "string" }, "body": { "type": "string" }, "labels": {}, "opaque": {}, "a.b": { "type": "string" },
            "owner": { "type": "object", "additionalProperties": false, "properties": { "name": {}, "age": {} } },
            "steps": { "type": "array", "items": { "type": "object", "additionalProperties": false, "properties": { "at": {} } } },
            "free": { "type": ["object", "null"] }, "ref": { "$ref": "#/$defs/x" },
        }, "$defs": { "x": {} } })
    }

    #[test]
    fn unknown_names_are_refused_with_similar_names() {
        let definition = definition(closed());
        let check = |path: &str| check(&[path.to_owned()], &[&definition]);
        for known in [
            "title",
            "labels",
            "labels.any.key",
            "owner",
            "owner.name",
            "owner.age",
            "opaque.any",
            "steps",
            "steps.at",
            "free.any",
            "a.b",
            "ref.any",
        ] {
            assert!(check(known).is_ok(), "{known}: {:?}", check(known));
        }
        let table = [
            ("titel", "ask for title"),
            ("Title", "ask for title"),
            ("title.raw", "ask for title"),
            ("owner.nam", "ask for owner.name"),
            ("steps.when", "ask for steps.at"),
            ("a.c", "ask for a.b"),
            ("", "paths into them"),
            ("body", "get_with_secrets"),
        ];
        for (path, expected) in table {
            let error = check(path).expect_err(path);
            assert!(error.hint().is_some_and(|hint| hint.contains(expected)), "{path}: {error}");
        }
    }

    #[test]
    fn what_may_be_written_may_be_requested() {
        let open = json!({ "type": "object", "properties": { "title": {}, "body": { "type": "string" } } });
        assert!(check(&["anything".to_owned()], &[&definition(open)]).is_ok());
    }

    #[test]
    fn paths_go_through_objects_and_lists() {
        let attributes = json!({
            "title": "t", "owner": { "name": "n", "age": 5 }, "a.b": 1, "a": { "b": 2, "c": 3 }, "text": "x",
            "steps": [{ "at": 1, "by": 2 }, { "by": 3 }, { "at": 4 }],
        });
        let table = [
            (&["title"][..], json!({ "title": "t" })),
            (&["owner.name"], json!({ "owner": { "name": "n" } })),
            (&["owner.name", "owner"], json!({ "owner": { "name": "n", "age": 5 } })),
            (&["a.b"], json!({ "a.b": 1, "a": { "b": 2 } })),
            (&["steps.at"], json!({ "steps": [{ "at": 1 }, { "at": 4 }] })),
            (&["owner.none", "text.none", "own", "owner."], json!({})),
            (&[], json!({})),
        ];
        for (fields, expected) in table {
            let mut picked = attributes.as_object().cloned().expect("an object");
            pick(&fields.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>(), &mut picked);
            assert_eq!(json!(picked), expected, "{fields:?}");
        }
    }
}
