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
    /// Comparing it with values, or its words with words.
    Match,
    /// Comparing it with a pattern.
    Pattern,
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

/// Refuses a use of the attribute at `path` that would find nothing or be refused by the server. What lies in nested objects
/// can only be used `within` them, the attribute that holds them.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid), naming what can be used.
pub(super) fn check<'a>(
    definition: &'a TypeDefinition,
    path: &str,
    within: Option<&str>,
    purpose: Use,
) -> Result<Kind<'a>> {
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
    match find(definition.mapping(), path, within) {
        Found::Field(field) if is_usable(field, purpose) => Ok(Kind(kind(field))),
        Found::Field(_) => refused("is not mapped in a way that allows this"),
        Found::Nested => refused("lies in a list of nested objects, which this filter does not look into"),
        Found::Nothing => refused("is not searchable"),
    }
}

/// How a field is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind<'a>(&'a str);

impl Kind<'_> {
    /// Whether it is compared by its words.
    pub(super) fn is_text(self) -> bool {
        self.0 == "text"
    }
}

/// Refuses a `path` that does not lead to a list of nested objects.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid).
pub(super) fn check_nested(definition: &TypeDefinition, path: &str, within: Option<&str>) -> Result<()> {
    match find(definition.mapping(), path, within) {
        Found::Field(field) if kind(field) == "nested" => Ok(()),
        _ => Err(Error::invalid(
            format!("the attribute {path:?} of the type {} is not a list of nested objects", definition.name()),
            "name one that is mapped as `nested`",
        )),
    }
}

/// The attributes of a type that a text can be looked for in.
pub(super) fn words_of(definition: &TypeDefinition) -> Vec<String> {
    let mut paths = Vec::new();
    collect(definition.mapping(), "", Use::Pattern, &mut paths);
    paths.retain(|path| !definition.latest().sets.encrypts(path.split('.').next().unwrap_or_default()));
    paths
}

enum Found<'a> {
    Field(&'a Value),
    Nested,
    Nothing,
}

fn find<'a>(mapping: &'a Value, path: &str, within: Option<&str>) -> Found<'a> {
    let mut field = mapping;
    let mut so_far = 0;
    for name in path.split('.') {
        let is_within = within.is_some_and(|within| {
            let reached = path.get(..so_far).unwrap_or_default();
            within == reached || within.strip_prefix(reached).is_some_and(|rest| rest.starts_with('.'))
        });
        match kind(field) {
            // Every key of a flattened object is searchable.
            "flattened" => return Found::Field(field),
            "nested" if !is_within => return Found::Nested,
            _ => {}
        }
        so_far += name.len() + usize::from(so_far > 0);
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
        Use::Match => kind == "text" || COMPARABLE.contains(&kind),
        Use::Pattern => matches!(kind, "text" | "keyword"),
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
            assert_eq!(check(&definition(), path, None, purpose).is_ok(), expected, "{path} {purpose:?}");
        }
    }

    #[test]
    fn a_refusal_names_what_can_be_used() {
        let error = check(&definition(), "title", None, Use::Compare).expect_err("compared by word");
        assert_eq!(
            error.cure(),
            Some(
                "use one of labels, owner.name, size, title.raw, or add it to the type's mapping with a new model version"
            )
        );
        assert!(
            check(&definition(), "body", None, Use::Exists).expect_err("encrypted").message().contains("encrypted")
        );
        assert!(check(&definition(), "steps.name", None, Use::Sort).expect_err("nested").message().contains("nested"));
    }
}
