//! Which attributes a search can look at. Elasticsearch finds nothing, without a word, for a field that it does not know;
//! here that is an error.

use serde_json::Value;

use crate::registry::TypeDefinition;
use crate::{Error, Result};

/// What a search does with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Comparing it with values.
    Compare,
    /// Asking whether it is there.
    Exists,
    /// Sorting by it.
    Sort,
}

/// Field types whose values compare as a whole. The others compare by word (`text`), in a way of their own, or not at all.
const COMPARABLE: &[&str] = &[
    "keyword",
    "boolean",
    "date",
    "date_nanos",
    "ip",
    "byte",
    "short",
    "integer",
    "long",
    "half_float",
    "float",
    "double",
    "flattened",
];

/// Refuses a use of the attribute at `path` that would find nothing or be refused by the server.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid), naming what can be used.
pub(super) fn check(definition: &TypeDefinition, path: &str, purpose: Use) -> Result<()> {
    let attribute = path.split('.').next().unwrap_or_default();
    let refused = |why: &str| {
        let usable = usable(definition, purpose);
        let cure = match usable.is_empty() {
            true => "add it to the type's mapping with a new model version".to_owned(),
            false => {
                format!("use one of {}, or add it to the type's mapping with a new model version", usable.join(", "))
            }
        };
        Err(Error::invalid(format!("the attribute {path:?} of the type {} {why}", definition.name()), cure))
    };
    if definition.latest().sets.encrypts(attribute) {
        return Err(Error::invalid(
            format!("the attribute {path:?} of the type {} is encrypted", definition.name()),
            "search by attributes that are not; encrypted ones cannot be searched by anyone",
        ));
    }
    match find(definition.mapping(), path) {
        Found::Field(field) if is_usable(field, purpose) => Ok(()),
        Found::Field(_) => refused("is not mapped in a way that allows this"),
        Found::Nested => refused("lies in a list of nested objects, which this filter does not look into"),
        Found::Nothing => refused("is not searchable"),
    }
}

enum Found<'a> {
    Field(&'a Value),
    Nested,
    Nothing,
}

fn find<'a>(mapping: &'a Value, path: &str) -> Found<'a> {
    let mut field = mapping;
    for name in path.split('.') {
        match kind(field) {
            // Every key of a flattened object is searchable.
            "flattened" => return Found::Field(field),
            "nested" => return Found::Nested,
            _ => {}
        }
        let inner = |keyword: &str| field.get(keyword).and_then(|fields| fields.get(name));
        match inner("properties").or_else(|| inner("fields")) {
            Some(inner) => field = inner,
            None => return Found::Nothing,
        }
    }
    Found::Field(field)
}

fn kind(field: &Value) -> &str {
    field.get("type").and_then(Value::as_str).unwrap_or("object")
}

/// Whether a field of the mapping can be used so. That it is indexed is a rule of definitions.
fn is_usable(field: &Value, purpose: Use) -> bool {
    let kind = kind(field);
    match purpose {
        // An object exists where one of its mapped fields does.
        Use::Exists if kind == "object" => field.get("properties").is_some(),
        Use::Exists => !matches!(kind, "binary" | "nested"),
        Use::Compare => COMPARABLE.contains(&kind),
        Use::Sort => COMPARABLE.contains(&kind) && field.get("doc_values") != Some(&Value::Bool(false)),
    }
}

/// The paths of all fields that can be used so.
fn usable(definition: &TypeDefinition, purpose: Use) -> Vec<String> {
    let mut paths = Vec::new();
    collect(definition.mapping(), "", purpose, &mut paths);
    paths.retain(|path| !definition.latest().sets.encrypts(path));
    paths
}

fn collect(field: &Value, parent: &str, purpose: Use, paths: &mut Vec<String>) {
    let fields = ["properties", "fields"].into_iter().filter_map(|keyword| field.get(keyword)?.as_object()).flatten();
    for (name, field) in fields {
        let path = if parent.is_empty() { name.clone() } else { format!("{parent}.{name}") };
        if kind(field) != "nested" {
            collect(field, &path, purpose, paths);
        }
        if is_usable(field, purpose) {
            paths.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::testing::{note, read, version};

    fn definition() -> TypeDefinition {
        let mapping = json!({ "dynamic": false, "properties": {
            "title": { "type": "text", "fields": { "raw": { "type": "keyword" } } },
            "size": { "type": "long", "doc_values": false },
            "labels": { "type": "flattened" },
            "owner": { "properties": { "name": { "type": "keyword" } } },
            "steps": { "type": "nested", "properties": { "name": { "type": "keyword" } } },
        }});
        let names = ["title", "body", "size", "labels", "owner", "steps"];
        let create = crate::registry::testing::create(&names);
        read(&note(json!({ "mapping": mapping })), &[version(json!({ "create": create }))]).expect("fine")
    }

    #[test]
    fn only_what_the_server_can_search_is_let_pass() {
        use Use::{Compare, Exists, Sort};
        let table = [
            ("title", Compare, false),
            ("title", Exists, true),
            ("title", Sort, false),
            ("title.raw", Compare, true),
            ("title.raw", Sort, true),
            ("title.other", Compare, false),
            ("size", Compare, true),
            ("size", Sort, false),
            ("labels.any.key", Compare, true),
            ("owner", Compare, false),
            ("owner", Exists, true),
            ("owner.name", Compare, true),
            ("owner.age", Exists, false),
            ("steps.name", Compare, false),
            ("body", Exists, false),
            ("", Compare, false),
            ("title.", Compare, false),
        ];
        for (path, purpose, expected) in table {
            assert_eq!(check(&definition(), path, purpose).is_ok(), expected, "{path} {purpose:?}");
        }
    }

    #[test]
    fn a_refusal_names_what_can_be_used() {
        let error = check(&definition(), "title", Use::Compare).expect_err("compared by word");
        assert_eq!(
            error.cure(),
            Some(
                "use one of labels, owner.name, size, title.raw, or add it to the type's mapping with a new model version"
            )
        );
        assert!(check(&definition(), "body", Use::Exists).expect_err("encrypted").message().contains("encrypted"));
        assert!(check(&definition(), "steps.name", Use::Sort).expect_err("nested").message().contains("nested"));
    }
}
