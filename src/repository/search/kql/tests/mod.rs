//! Tests of KQL: the queries that texts are compiled to, and the refusals of others.

mod accepted;
mod refused;
mod round_trip;

use serde_json::{Value, json};

use super::{Kql, KqlError};
use crate::cluster::Query;
use crate::registry::TypeDefinition;
use crate::registry::testing::{create, read};

/// Returns a type with a field of each kind.
fn note() -> TypeDefinition {
    let keyword = json!({ "type": "keyword" });
    let properties = json!({
        "title": keyword, "text": { "type": "text", "fields": { "raw": keyword } }, "count": { "type": "long" },
        "done": { "type": "boolean" }, "at": { "type": "date" }, "labels": { "type": "flattened" },
        "owner": { "properties": { "name": keyword } }, "id": keyword,
        "steps": { "type": "nested", "properties": {
            "name": keyword, "took": { "type": "long" },
            "tries": { "type": "nested", "properties": { "result": keyword } }
        } },
    });
    let names = ["title", "text", "count", "done", "at", "labels", "owner", "id", "steps", "body", "free"];
    let file = json!({
        "type": "note", "group": "things", "namespace_kind": "agnostic",
        "mapping": { "dynamic": false, "properties": properties }
    });
    read(&file, &[json!({ "create": create(&names), "encrypted": [{ "name": "body" }] })]).expect("fine")
}

fn page() -> TypeDefinition {
    let file = json!({
        "type": "page", "group": "things", "namespace_kind": "agnostic",
        "mapping": { "dynamic": false, "properties": { "title": { "type": "keyword" } } }
    });
    read(&file, &[json!({ "create": create(&["title"]) })]).expect("fine")
}

/// Returns the query for notes in a search for notes and pages.
fn query(text: &str) -> Result<Query, KqlError> {
    let (note, page) = (note(), page());
    let filter = text.parse::<Kql>()?.to_filter(&[&note, &page])?;
    Ok(filter.compile(&note).expect("what is let pass can be asked"))
}

fn json_of(text: &str) -> Value {
    match query(text) {
        Ok(query) => query.to_json(),
        Err(error) => panic!("{text}: {error}"),
    }
}
