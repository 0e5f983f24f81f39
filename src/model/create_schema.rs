//! The JSON Schema of newly written documents.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use crate::document::Attributes;

/// The schema of the attributes of a newly written document, in their stored form: an encrypted attribute is a string.
/// It is a JSON Schema (draft 2020-12 unless `$schema` says otherwise) whose `format`s are enforced.
#[derive(Clone)]
pub struct CreateSchema {
    schema: Value,
    validator: Arc<Validator>,
}

/// A violation of a create schema. Neither part quotes a value, since it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The location as a JSON pointer into the attributes. Empty for the attributes as a whole.
    pub path: String,
    /// The problem at that location.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        write!(f, "{path} {}", self.message)
    }
}

impl CreateSchema {
    /// Compiles a schema. It may refer only to its own parts. Nothing is fetched.
    ///
    /// # Errors
    /// A text that says what is wrong with the schema.
    pub fn new(schema: Value) -> Result<Self, String> {
        let validator = jsonschema::options()
            .offline()
            .should_validate_formats(true)
            .build(&schema)
            .map_err(|error| format!("{error} (at {})", error.instance_path()))?;
        Ok(Self { schema, validator: Arc::new(validator) })
    }

    /// Validates the stored form of attributes.
    ///
    /// # Errors
    /// Every violation. None of them quotes a value.
    pub fn validate(&self, attributes: &Attributes) -> Result<(), Vec<Violation>> {
        self.validate_in_place(&mut attributes.clone())
    }

    /// Like [`validate`](Self::validate), without a copy. The validator takes a `Value`, so the attributes are moved
    /// into one and back.
    ///
    /// # Errors
    /// Those of [`validate`](Self::validate).
    pub(crate) fn validate_in_place(&self, attributes: &mut Attributes) -> Result<(), Vec<Violation>> {
        let mut value = Value::Object(std::mem::take(attributes));
        // `is_valid` is much faster than collecting the first error.
        let violations: Vec<Violation> = match self.validator.is_valid(&value) {
            true => Vec::new(),
            false => self.validator.iter_errors(&value).map(|error| violation(&error)).collect(),
        };
        if let Value::Object(given) = &mut value {
            *attributes = std::mem::take(given);
        }
        if violations.is_empty() { Ok(()) } else { Err(violations) }
    }

    /// Returns the schema as it was given.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// Returns the schema of the attribute `name`, if the schema declares it.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.schema.get("properties")?.get(name)
    }

    /// Returns the names of the attributes that the schema declares.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        self.schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// Returns whether undeclared attributes may be written.
    pub fn is_open(&self) -> bool {
        let allows = |keyword| self.schema.get(keyword) != Some(&Value::Bool(false));
        allows("additionalProperties") && allows("unevaluatedProperties")
    }

    /// Returns the paths of all declared fields: objects and their content, through arrays.
    pub(crate) fn fields(&self) -> BTreeSet<String> {
        let mut fields = BTreeSet::new();
        collect_fields(&self.schema, "", &mut fields);
        fields
    }
}

fn collect_fields(schema: &Value, parent: &str, fields: &mut BTreeSet<String>) {
    if let Some(items) = schema.get("items") {
        collect_fields(items, parent, fields);
    }
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = if parent.is_empty() { name.clone() } else { format!("{parent}.{name}") };
        collect_fields(property, &path, fields);
        fields.insert(path);
    }
}

/// Describes a validation error without quoting values. The validator's own texts quote the value, and its masked texts
/// still quote nested values. The message uses only the schema and the names of attributes.
fn violation(error: &ValidationError<'_>) -> Violation {
    let message = match error.kind() {
        ValidationErrorKind::Required { property } => format!("lacks the required {property}"),
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            format!("has what the schema does not know: {}", unexpected.join(", "))
        }
        ValidationErrorKind::Format { format } => format!("is not of the format `{format}`"),
        _ => match error.schema_path().as_str().rsplit_once('/').map(|(_, keyword)| keyword) {
            Some("type") => "is of another type than the schema demands".to_owned(),
            Some(keyword) => format!("does not satisfy `{keyword}` of the schema"),
            None => "does not satisfy the schema".to_owned(),
        },
    };
    Violation { path: error.instance_path().as_str().to_owned(), message }
}

impl fmt::Debug for CreateSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CreateSchema").field(&self.schema).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> CreateSchema {
        CreateSchema::new(json!({
            "type": "object", "additionalProperties": false, "required": ["title"],
            "properties": {
                "title": {"type": "string", "maxLength": 5},
                "at": {"type": "string", "format": "date-time"},
                "kind": {"oneOf": [{"const": "a"}, {"enum": ["b", "c"]}]},
                "tags": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}}
            }
        }))
        .expect("a schema")
    }

    #[test]
    fn violations_name_the_place_and_never_the_value() {
        let table = [
            (json!({}), "", "lacks the required \"title\""),
            (json!({"title": "SECRET"}), "/title", "does not satisfy `maxLength`"),
            (json!({"title": ["SECRET"]}), "/title", "is of another type"),
            (json!({"title": "t", "at": "SECRET"}), "/at", "`date-time`"),
            (json!({"title": "t", "kind": "SECRET"}), "/kind", "does not satisfy `oneOf`"),
            (json!({"title": "t", "other": "SECRET"}), "", "does not know: other"),
            (json!({"title": "t", "tags": [{"name": {"SECRET": 1}}]}), "/tags/0/name", "is of another type"),
        ];
        for (attributes, path, message) in table {
            let violations = schema().validate(attributes.as_object().expect("an object")).expect_err("invalid");
            assert_eq!(violations[0].path, path, "{attributes}");
            assert!(violations[0].message.contains(message), "{violations:?}");
            assert!(!format!("{violations:?}").contains("SECRET"), "{violations:?}");
        }
    }

    #[test]
    fn fields_are_listed_through_objects_and_arrays() {
        let fields: Vec<_> = schema().fields().into_iter().collect();
        assert_eq!(fields, ["at", "kind", "tags", "tags.name", "title"]);
        assert!(!schema().is_open());
    }

    #[test]
    fn schemas_that_are_wrong_or_elsewhere_are_refused() {
        for schema in [json!({"type": "strin"}), json!({"$ref": "https://example.invalid/x"}), json!({"pattern": "("})]
        {
            assert!(CreateSchema::new(schema.clone()).is_err(), "{schema}");
        }
    }
}
