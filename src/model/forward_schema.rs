use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::document::Attributes;

/// Keywords that say nothing about which keys there are. Reading never refuses a newer document, so they have no effect
/// and are let pass for those who copy a create schema.
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

/// What software of a version keeps of a newer document: the keys under `properties`, through objects and the `items` of
/// arrays. Keys that it does not name are dropped; it refuses nothing.
#[derive(Debug, Clone)]
pub struct ForwardSchema {
    schema: Value,
    known: BTreeMap<String, Node>,
}

/// What is kept at one place.
#[derive(Debug, Clone)]
enum Node {
    /// The value whole.
    Whole,
    /// Of an object these keys, and of an array the same in each element.
    Object(BTreeMap<String, Node>),
    /// Of each element this.
    Array(Box<Node>),
}

/// Why a forward schema cannot be used, and where in it, as `properties.a.items`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardSchemaError {
    /// The place in the schema; empty for its root.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

impl ForwardSchema {
    /// Reads a forward schema.
    ///
    /// # Errors
    /// [`ForwardSchemaError`] if the root has no `properties`, or for a keyword by which the set of known keys would
    /// depend on values (`oneOf`, `$ref`, `patternProperties`, …).
    pub fn new(schema: Value) -> Result<Self, ForwardSchemaError> {
        let refused = |message: &str| ForwardSchemaError { path: String::new(), message: message.to_owned() };
        match read(&schema, "")? {
            Node::Object(known) => Ok(Self { schema, known }),
            Node::Whole | Node::Array(_) => Err(refused("the schema names no `properties` to keep")),
        }
    }

    /// What is known of `attributes`. Doing it twice is the same as once.
    pub fn project(&self, attributes: &Attributes) -> Attributes {
        project_object(&self.known, attributes)
    }

    /// The schema as it was given.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// Whether the attribute `name` is kept.
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

/// A newer version may have made an object into an array of objects or back: the same keys are kept either way, so that
/// nothing unknown ever passes.
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
