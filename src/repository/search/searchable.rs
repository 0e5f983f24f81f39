//! The attributes that a search can use. For a field that it does not know, Elasticsearch silently finds nothing; this
//! module makes that an error.

use serde_json::Value;

use crate::registry::TypeDefinition;
use crate::{Error, Result};

/// What a search does with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::repository) enum Use {
    /// Comparing it with values.
    Compare,
    /// Testing whether it has a value.
    Exists,
    /// Comparing it with values, or its words with words.
    Match,
    /// Comparing it with a pattern.
    Pattern,
    /// Sorting by it.
    Sort,
}

/// Field types whose values are compared as a whole. Others are compared word by word (`text`), in another way, or not
/// at all.
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

/// Refuses a use of the attribute at `path` that would find nothing or that the server would refuse. An attribute of
/// nested objects can be used only if `within` is the attribute that holds them.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid). The hint names what can be used.
pub(in crate::repository) fn check<'a>(
    definition: &'a TypeDefinition,
    path: &'a str,
    within: Option<&str>,
    purpose: Use,
) -> Result<Kind<'a>> {
    let attribute = path.split('.').next().unwrap_or_default();
    let named = format!("the attribute {path:?} of the type {}", definition.name());
    if definition.latest().sets.encrypts(attribute) {
        return Err(Error::invalid(
            format!("{named} is encrypted"),
            "search by attributes that are not; encrypted ones cannot be searched by anyone",
        ));
    }
    let others = || {
        let usable = usable(definition, purpose);
        match usable.is_empty() {
            true => "add it to the type's mapping with a new model version".to_owned(),
            false => {
                format!("use one of {}, or add it to the type's mapping with a new model version", usable.join(", "))
            }
        }
    };
    match find(definition.mapping(), path, within) {
        Found::Field(field) if is_usable(field, purpose) => Ok(Kind(kind(field))),
        Found::Field(field) => Err(Error::invalid(
            format!("{named} is mapped as {}, which {}", kind(field), purpose.is_not_for()),
            instead(definition.name(), field, path, purpose).unwrap_or_else(others),
        )),
        Found::Nested(outer) => Err(Error::invalid(
            format!("{named} lies in the list of nested objects {outer:?}, which {}", purpose.looks_past()),
            match purpose {
                Use::Sort => "sort by an attribute that is in no list".to_owned(),
                _ => format!(
                    "put the filter into `Filter::nested({outer:?}, …)`, in KQL `{}.attributes.{outer}: {{ … }}`",
                    definition.name()
                ),
            },
        )),
        Found::Nothing => Err(Error::invalid(format!("{named} is not searchable"), others())),
    }
}

/// Returns the hint that names what to use instead of a field whose mapping does not allow the use.
fn instead(type_name: &str, field: &Value, path: &str, purpose: Use) -> Option<String> {
    let again = field.get("fields").and_then(Value::as_object);
    let usable = again.into_iter().flatten().find(|(_, again)| is_usable(again, purpose));
    let whole = usable.map(|(name, again)| format!("`{path}.{name}`, which holds it as {}", kind(again)));
    let words = "look for its words (`Filter::Words`) or for them in their order (`Filter::Phrase`), in KQL with `:`";
    match (kind(field), purpose, whole) {
        ("text", Use::Compare, Some(whole)) => Some(format!("{words}, or compare with {whole}")),
        ("text", Use::Compare, None) => {
            Some(format!("{words}; to compare it as a whole, add a keyword to its `fields` with a new model version"))
        }
        ("nested", Use::Exists | Use::Compare | Use::Match | Use::Pattern, _) => Some(format!(
            "look into its objects with `Filter::nested({path:?}, …)`, in KQL `{type_name}.attributes.{path}: {{ … }}`"
        )),
        (_, _, Some(whole)) => Some(format!("use {whole}")),
        _ => None,
    }
}

impl Use {
    /// Returns the part of a message about a field that does not allow this use.
    fn is_not_for(self) -> &'static str {
        match self {
            Self::Compare => "is not compared with values as a whole",
            Self::Exists => "no search can tell whether it is there",
            Self::Match => "is not compared with values",
            Self::Pattern => "is not compared with patterns",
            Self::Sort => "nothing is sorted or aggregated by",
        }
    }

    /// Returns the part of a message about a list of nested objects of which a field is used like this.
    fn looks_past(self) -> &'static str {
        match self {
            Self::Sort => "nothing is sorted or aggregated by",
            _ => "this filter does not look into",
        }
    }
}

/// The field type of a mapped field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::repository) struct Kind<'a>(&'a str);

impl Kind<'_> {
    /// Returns whether it is compared word by word.
    pub(in crate::repository) fn is_text(self) -> bool {
        self.0 == "text"
    }
}

/// Refuses a `path` that does not lead to a list of nested objects.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid).
pub(in crate::repository) fn check_nested(definition: &TypeDefinition, path: &str, within: Option<&str>) -> Result<()> {
    match find(definition.mapping(), path, within) {
        Found::Field(field) if kind(field) == "nested" => Ok(()),
        _ => Err(Error::invalid(
            format!("the attribute {path:?} of the type {} is not a list of nested objects", definition.name()),
            "name one that is mapped as `nested`",
        )),
    }
}

/// Returns the attributes of a type that a text can be searched for in.
pub(in crate::repository) fn words_of(definition: &TypeDefinition) -> Vec<String> {
    let mut paths = Vec::new();
    collect(definition.mapping(), "", Use::Pattern, &mut paths);
    paths.retain(|path| !definition.latest().sets.encrypts(path.split('.').next().unwrap_or_default()));
    paths
}

enum Found<'a> {
    Field(&'a Value),
    /// The field is in the list of nested objects at this path.
    Nested(&'a str),
    Nothing,
}

fn find<'a>(mapping: &'a Value, path: &'a str, within: Option<&str>) -> Found<'a> {
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
            "nested" if !is_within => return Found::Nested(path.get(..so_far).unwrap_or_default()),
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

/// Returns whether a field of the mapping allows the use. The rules of definitions ensure that it is indexed.
fn is_usable(field: &Value, purpose: Use) -> bool {
    let kind = kind(field);
    match purpose {
        // An object exists if one of its mapped fields does.
        Use::Exists if kind == "object" => field.get("properties").is_some(),
        Use::Exists => !matches!(kind, "binary" | "nested"),
        Use::Compare => COMPARABLE.contains(&kind),
        Use::Match => kind == "text" || COMPARABLE.contains(&kind),
        Use::Pattern => matches!(kind, "text" | "keyword"),
        Use::Sort => COMPARABLE.contains(&kind) && field.get("doc_values") != Some(&Value::Bool(false)),
    }
}

/// Returns the paths of all fields that allow the use.
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
            "plain": { "type": "text" },
            "size": { "type": "long", "doc_values": false },
            "labels": { "type": "flattened" },
            "owner": { "properties": { "name": { "type": "keyword" } } },
            "steps": { "type": "nested", "properties": { "name": { "type": "keyword" } } },
        }});
        let names = ["title", "body", "plain", "size", "labels", "owner", "steps"];
        let create = crate::registry::testing::create(&names);
        read(&note(json!({ "mapping": mapping })), &[version(json!({ "create": create }))]).expect("fine")
    }

    #[test]
    fn only_fields_that_the_server_can_search_are_accepted() {
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
        let definition = definition();
        let hint = |path, purpose| check(&definition, path, None, purpose).expect_err("refused");
        let table = [
            ("other", Use::Compare, "is not searchable; use one of labels, owner.name, size, title.raw, or add it"),
            (
                "title",
                Use::Compare,
                "is mapped as text, which is not compared with values as a whole; look for its words (`Filter::Words`) or for them in \
                 their order (`Filter::Phrase`), in KQL with `:`, or compare with `title.raw`, which holds it as keyword",
            ),
            ("title", Use::Sort, "nothing is sorted or aggregated by; use `title.raw`, which holds it as keyword"),
            ("plain", Use::Compare, "to compare it as a whole, add a keyword to its `fields`"),
            (
                "size",
                Use::Pattern,
                "is mapped as long, which is not compared with patterns; use one of owner.name, plain, title.raw, title, or",
            ),
            ("size", Use::Sort, "is mapped as long, which nothing is sorted"),
            (
                "steps",
                Use::Exists,
                "no search can tell whether it is there; look into its objects with `Filter::nested(\"steps\", …)`",
            ),
            (
                "steps.name",
                Use::Compare,
                "lies in the list of nested objects \"steps\", which this filter does not look into; put the filter into \
                 `Filter::nested(\"steps\", …)`, in KQL `note.attributes.steps: { … }`",
            ),
            ("steps.name", Use::Sort, "nothing is sorted or aggregated by; sort by an attribute that is in no list"),
            ("body", Use::Exists, "is encrypted"),
        ];
        for (path, purpose, expected) in table {
            let error = hint(path, purpose).to_string();
            assert!(error.contains(expected), "{path} {purpose:?}: {error}");
        }
    }
}
