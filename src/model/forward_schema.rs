//! The schema by which older software reads newer documents.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::document::Attributes;

/// Keywords that do not affect which keys are known. Reading never refuses a newer document, so they have no effect.
/// They are allowed so that a create schema can be copied.
const WITHOUT_EFFECT: &[&str] = &[
    "$comment",
    "$id",
    "$schema",
    "const",
    "contentEncoding",
    "contentMediaType",
    "default",
    "deprecated",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "readOnly",
    "required",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
];

/// The parts that software of a version keeps of a newer document: the keys under `properties`, through objects and the
/// `items` of arrays. Keys that it does not name are dropped. It refuses nothing.
#[derive(Debug, Clone)]
pub struct ForwardSchema {
    schema: Value,
    known: BTreeMap<String, Node>,
}

/// The parts that are kept at one location.
#[derive(Debug, Clone)]
enum Node {
    /// The whole value.
    Whole,
    /// These keys of an object, or of each element of an array.
    Object(BTreeMap<String, Node>),
    /// The inner node, for each element.
    Array(Box<Node>),
}

/// The reason why a forward schema cannot be used, with the location, such as `properties.a.items`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardSchemaError {
    /// The location in the schema. Empty for its root.
    pub path: String,
    /// The problem at that location.
    pub message: String,
}

impl ForwardSchema {
    /// Reads a forward schema.
    ///
    /// # Errors
    /// [`ForwardSchemaError`] if the root has no `properties`, or if a keyword would make the set of known keys depend
    /// on values (`oneOf`, `$ref`, `patternProperties`, …).
    pub fn new(schema: Value) -> Result<Self, ForwardSchemaError> {
        let refused = |message: &str| ForwardSchemaError { path: String::new(), message: message.to_owned() };
        match read(&schema, "")? {
            Node::Object(known) => Ok(Self { schema, known }),
            Node::Whole | Node::Array(_) => Err(refused("the schema names no `properties` to keep")),
        }
    }

    /// Returns the known parts of `attributes`. The operation is idempotent.
    pub fn project(&self, attributes: &Attributes) -> Attributes {
        project_object(&self.known, attributes)
    }

    /// Returns the schema as it was given.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// Returns whether the attribute `name` is kept.
    pub fn knows(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }
}

fn read(schema: &Value, path: &str) -> Result<Node, ForwardSchemaError> {
    let refused = |message: String| ForwardSchemaError { path: path.to_owned(), message };
    let keywords = match schema {
        Value::Bool(true) => return Ok(Node::Whole),
        Value::Object(keywords) => keywords,
        _ => return Err(refused("a schema is an object or `true`".to_owned())),
    };
    for (keyword, value) in keywords {
        match keyword.as_str() {
            "properties" | "items" => {}
            "additionalProperties" if value.is_boolean() => {}
            keyword if WITHOUT_EFFECT.contains(&keyword) => {}
            keyword => return Err(refused(format!("`{keyword}` cannot be used in a forward schema"))),
        }
    }
    match (keywords.get("properties"), keywords.get("items")) {
        (None, None) => Ok(Node::Whole),
        (Some(_), Some(_)) => Err(refused("`properties` and `items` exclude each other".to_owned())),
        (None, Some(items)) => Ok(Node::Array(Box::new(read(items, &join(path, "items"))?))),
        (Some(properties), None) => {
            let path = join(path, "properties");
            let properties = properties.as_object().ok_or_else(|| ForwardSchemaError {
                path: path.clone(),
                message: "`properties` is not an object".to_owned(),
            })?;
            let read_property =
                |(name, schema): (&String, &Value)| Ok((name.clone(), read(schema, &join(&path, name))?));
            Ok(Node::Object(properties.iter().map(read_property).collect::<Result<_, _>>()?))
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn project_object(known: &BTreeMap<String, Node>, object: &Map<String, Value>) -> Map<String, Value> {
    known
        .iter()
        .filter_map(|(name, node)| object.get(name).map(|value| (name.clone(), project_value(node, value))))
        .collect()
}

/// Projects one value. A newer version may have turned an object into an array of objects, or back. The same keys are
/// kept in both cases, so that no unknown key passes.
fn project_value(node: &Node, value: &Value) -> Value {
    match (node, value) {
        (Node::Object(known), Value::Object(object)) => Value::Object(project_object(known, object)),
        (Node::Object(_), Value::Array(elements)) => {
            Value::Array(elements.iter().map(|element| project_value(node, element)).collect())
        }
        (Node::Array(inner), Value::Array(elements)) => {
            Value::Array(elements.iter().map(|element| project_value(inner, element)).collect())
        }
        (Node::Array(inner), Value::Object(_)) => project_value(inner, value),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn schema() -> ForwardSchema {
        ForwardSchema::new(json!({
            "type": "object", "required": ["a"], "additionalProperties": false,
            "properties": {
                "a": { "type": "string", "maxLength": 3 },
                "b": { "type": "object", "properties": { "a": {}, "c": { "type": "object", "properties": { "d": true } } } },
                "c": { "type": "array", "items": { "type": "object", "properties": { "a": {} } } },
                "d": { "type": "object" }
            }
        }))
        .expect("a schema")
    }

    fn project(attributes: Value) -> Value {
        Value::Object(schema().project(attributes.as_object().expect("an object")))
    }

    #[test]
    fn known_keys_are_kept_as_they_are() {
        let table = [
            (json!({}), json!({})),
            // The schema refuses nothing: neither missing keys nor what the keywords without effect forbid.
            (json!({ "a": "too long", "x": 1 }), json!({ "a": "too long" })),
            (
                json!({ "a": null, "b": {}, "c": [], "d": { "x": [1] } }),
                json!({ "a": null, "b": {}, "c": [], "d": { "x": [1] } }),
            ),
            (
                json!({ "b": { "a": { "x": 1 }, "x": 1, "c": { "x": 1, "d": 2 } } }),
                json!({ "b": { "a": { "x": 1 }, "c": { "d": 2 } } }),
            ),
            (json!({ "c": [{ "a": 1, "x": 2 }, 3, [{ "x": 1 }]] }), json!({ "c": [{ "a": 1 }, 3, [{}]] })),
            // Values that a newer version turned into an array, or out of one.
            (
                json!({ "b": [{ "a": 1, "x": 2 }], "c": { "a": 1, "x": 2 } }),
                json!({ "b": [{ "a": 1 }], "c": { "a": 1 } }),
            ),
            (json!({ "b": "text", "c": 7 }), json!({ "b": "text", "c": 7 })),
        ];
        for (newer, known) in table {
            assert_eq!(project(newer.clone()), known, "{newer}");
        }
    }

    #[test]
    fn schemas_whose_keys_depend_on_values_are_refused() {
        let table = [
            (json!({ "$ref": "#/$defs/a" }), "", "`$ref`"),
            (json!({ "properties": {}, "oneOf": [] }), "", "`oneOf`"),
            (json!({ "properties": { "a": { "anyOf": [] } } }), "properties.a", "`anyOf`"),
            (json!({ "properties": { "a": { "items": { "allOf": [] } } } }), "properties.a.items", "`allOf`"),
            (json!({ "properties": { "a": { "patternProperties": {} } } }), "properties.a", "`patternProperties`"),
            (
                json!({ "properties": { "a": { "additionalProperties": {} } } }),
                "properties.a",
                "`additionalProperties`",
            ),
            (json!({ "properties": { "a": { "prefixItems": [] } } }), "properties.a", "`prefixItems`"),
            (json!({ "properties": { "a": false } }), "properties.a", "an object or `true`"),
            (json!({ "properties": { "a": { "items": [{}] } } }), "properties.a.items", "an object or `true`"),
            (json!({ "properties": { "a": { "items": {}, "properties": {} } } }), "properties.a", "exclude each other"),
            (json!({ "properties": [] }), "properties", "not an object"),
            (json!({ "type": "object" }), "", "no `properties`"),
            (json!(true), "", "no `properties`"),
        ];
        for (schema, path, message) in table {
            let error = ForwardSchema::new(schema.clone()).expect_err("refused");
            assert_eq!(error.path, path, "{schema}");
            assert!(error.message.contains(message), "{error:?}");
        }
    }

    /// JSON with few names, so that they often match the schema's.
    fn json_value() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from)];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[abcdx]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn attributes() -> impl Strategy<Value = Attributes> {
        prop::collection::btree_map("[abcdx]", json_value(), 0..6).prop_map(|map| map.into_iter().collect())
    }

    /// Returns whether every object that the schema describes has only known keys.
    fn has_known_keys_only(node: &Node, value: &Value) -> bool {
        match (node, value) {
            (Node::Whole, _) => true,
            (Node::Object(known), Value::Object(object)) => {
                object.iter().all(|(name, value)| known.get(name).is_some_and(|node| has_known_keys_only(node, value)))
            }
            (Node::Array(inner), Value::Object(_)) => has_known_keys_only(inner, value),
            (Node::Array(inner), Value::Array(elements)) => {
                elements.iter().all(|value| has_known_keys_only(inner, value))
            }
            (Node::Object(_), Value::Array(elements)) => elements.iter().all(|value| has_known_keys_only(node, value)),
            _ => true,
        }
    }

    proptest! {
        #[test]
        fn projecting_keeps_known_keys_only_and_once_is_enough(attributes in attributes()) {
            let schema = schema();
            let projected = schema.project(&attributes);
            prop_assert_eq!(&schema.project(&projected), &projected);
            prop_assert!(has_known_keys_only(&Node::Object(schema.known.clone()), &Value::Object(projected.clone())));
            for name in ["a", "d"] {
                prop_assert_eq!(projected.get(name), attributes.get(name));
            }
        }
    }
}
