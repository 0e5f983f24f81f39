//! The errors of searches. For a value that does not fit its field, the server repeats the value and omits the field.
//! The error here names the field and omits the value.

use serde_json::{Value, json};

use super::filter::RootField;
use crate::Error;
use crate::cluster::{ClusterError, ClusterErrorKind, Query, Refusal};
use crate::registry::TypeDefinition;
use crate::registry::mapped_values::{self, type_of};
use crate::repository::pipeline::errors;

/// Returns the error of a search of these aliases.
pub(in crate::repository) fn of(aliases: &str, error: ClusterError) -> Error {
    match error.kind {
        ClusterErrorKind::IndexNotFound => errors::no_indices(&[aliases]).with_source(error),
        // This library determines the form of the query, so the server can only object to the request.
        ClusterErrorKind::Rejected if error.refusal().is_none() => Error::invalid(
            error.to_string(),
            "see the type and the reason that the server gives; report it if the request looks right",
        )
        .with_source(error),
        _ => error.into(),
    }
}

/// Returns the error of a search with this query, with the name of the field that a value does not fit. The server does
/// not name it.
pub(in crate::repository) fn naming_misfit(error: Error, query: &Query, definitions: &[&TypeDefinition]) -> Error {
    let is_of_value = |error: &ClusterError| error.refusal() == Some(Refusal::Value);
    let misfit = || first(query, definitions);
    match error.find_source().is_some_and(is_of_value).then(misfit).flatten() {
        None => error,
        Some(Misfit { field, takes }) => Error::invalid(
            format!("a value that {field} is compared with does not fit it: {}", error.message()),
            format!("{field} {takes}"),
        )
        .with_source(error),
    }
}

/// A field that a value does not fit.
#[derive(Debug, PartialEq, Eq)]
struct Misfit {
    /// Its path in the document: `note.size`.
    field: String,
    /// What the field takes.
    takes: String,
}

/// Returns the first field of the query that one of its values does not fit.
fn first(query: &Query, definitions: &[&TypeDefinition]) -> Option<Misfit> {
    match query {
        Query::And(queries) | Query::Or(queries) => queries.iter().find_map(|query| first(query, definitions)),
        Query::Not(query) | Query::Nested { query, .. } => first(query, definitions),
        Query::AnyOf { field, values } => values.iter().find_map(|value| misfit(field, value, definitions)),
        Query::Range { field, from, above, to, below } => {
            let bounds = [from, above, to, below].into_iter().flatten();
            bounds.into_iter().find_map(|value| misfit(field, value, definitions))
        }
        _ => None,
    }
}

fn misfit(path: &str, value: &Value, definitions: &[&TypeDefinition]) -> Option<Misfit> {
    let root;
    let field = match path.split_once('.') {
        Some((type_name, rest)) => {
            let definition = definitions.iter().find(|definition| definition.name() == type_name)?;
            mapped(definition.mapping(), rest)?
        }
        None => {
            root = json!({ "type": RootField::ALL.into_iter().find(|field| field.as_str() == path)?.mapped_as() });
            &root
        }
    };
    if is_more_than_a_value(field, value) {
        return None;
    }
    let takes = mapped_values::refusal(field, value)?;
    Some(Misfit { field: path.to_owned(), takes })
}

fn mapped<'a>(mapping: &'a Value, path: &str) -> Option<&'a Value> {
    let inner = |field: &'a Value, name: &str| {
        let inner = |keyword: &str| field.get(keyword)?.get(name);
        inner("properties").or_else(|| inner("fields"))
    };
    path.split('.').try_fold(mapping, inner)
}

/// Returns whether a value is one that a query takes and no document can hold: date mathematics, a network.
fn is_more_than_a_value(field: &Value, value: &Value) -> bool {
    let Some(text) = value.as_str() else { return false };
    match type_of(field) {
        "date" | "date_nanos" => text.starts_with("now") || text.contains("||"),
        "ip" => text.contains('/'),
        // Its keys are compared with texts.
        "flattened" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::testing::{note, read, version};

    #[test]
    fn the_field_is_found_in_every_kind_of_query() {
        let mapping = json!({ "dynamic": false, "properties": {
            "size": { "type": "long" }, "seen": { "type": "date" }, "from": { "type": "ip" },
            "steps": { "type": "nested", "properties": { "done": { "type": "boolean" } } },
        }});
        let names = ["title", "body", "size", "seen", "from", "steps"];
        let create = crate::registry::testing::create(&names);
        let definition =
            read(&note(json!({ "mapping": mapping })), &[version(json!({ "create": create }))]).expect("fine");
        let equals = |field: &str, value: Value| Query::AnyOf { field: field.to_owned(), values: vec![value] };
        let nested =
            Query::Nested { path: "note.steps".into(), query: Box::new(equals("note.steps.done", json!("no"))) };
        let table = [
            (equals("note.size", json!("abc")), Some("note.size")),
            (equals("note.size", json!(5)), None),
            (Query::And(vec![equals("note.size", json!(5)), equals("note.seen", json!("soon"))]), Some("note.seen")),
            (equals("note.seen", json!("now-1d")), None),
            (equals("note.from", json!("10.0.0.0/8")), None),
            (Query::Not(Box::new(nested)), Some("note.steps.done")),
            (equals("created_at", json!("soon")), Some("created_at")),
            (equals("managed", json!("perhaps")), Some("managed")),
            (equals("created_by", json!("kim")), None),
            (equals("other.size", json!("abc")), None),
        ];
        for (query, expected) in table {
            let found = first(&query, &[&definition]);
            assert_eq!(found.as_ref().map(|misfit| misfit.field.as_str()), expected, "{query:?}");
        }
    }
}
