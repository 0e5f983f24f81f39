//! The mapping of an index: its fields, what it refuses, and how it changes.

mod merge;
mod read;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::field_value::FieldType;

/// What happens to a field that the mapping does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dynamic {
    /// A server would add it to the mapping; the cluster in memory does not.
    True,
    /// It is stored, but not searchable.
    False,
    /// The document is refused.
    Strict,
}

/// The mapping of an index.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mapping {
    pub(super) root: ObjectField,
    pub(super) meta: Option<Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Field {
    Object(ObjectField),
    Leaf(LeafField),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ObjectField {
    /// `None` inherits the parent's.
    pub(super) dynamic: Option<Dynamic>,
    /// Whether its contents are parsed.
    pub(super) enabled: bool,
    /// Whether its objects are separate documents, which only nested queries see.
    pub(super) nested: bool,
    pub(super) properties: BTreeMap<String, Field>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct LeafField {
    pub(super) field_type: FieldType,
    pub(super) parameters: Map<String, Value>,
    /// Sub-fields, which index the same value in other ways.
    pub(super) fields: BTreeMap<String, LeafField>,
}

/// The target of a path, for queries that are not nested.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found<'a> {
    Leaf(&'a LeafField),
    /// A key in a flattened field.
    Key(&'a LeafField),
    Object,
    Nothing,
}

impl Mapping {
    pub(super) fn find(&self, path: &str) -> Found<'_> {
        let mut names = path.split('.');
        let mut object = &self.root;
        while let Some(name) = names.next() {
            match object.properties.get(name) {
                Some(Field::Object(inner)) if !inner.nested && inner.enabled => object = inner,
                Some(Field::Leaf(leaf)) => return leaf.find(names),
                _ => return Found::Nothing,
            }
        }
        Found::Object
    }
}

impl Mapping {
    /// Returns the mapping as seen from inside the nested documents at `path`, or `None` if there are none.
    pub(super) fn inside(&self, path: &str) -> Option<Self> {
        let mut inside = self.clone();
        let mut object = &mut inside.root;
        for name in path.split('.') {
            match object.properties.get_mut(name) {
                Some(Field::Object(inner)) => object = inner,
                _ => return None,
            }
        }
        std::mem::replace(&mut object.nested, false).then_some(inside)
    }
}

impl LeafField {
    fn find<'a>(&'a self, mut names: std::str::Split<'_, char>) -> Found<'a> {
        match (names.next(), self.field_type) {
            (None, _) => Found::Leaf(self),
            (Some(_), FieldType::Flattened) => Found::Key(self),
            (Some(name), _) => match (self.fields.get(name), names.next()) {
                (Some(inner), None) => Found::Leaf(inner),
                _ => Found::Nothing,
            },
        }
    }

    pub(super) fn has_doc_values(&self) -> bool {
        self.field_type != FieldType::Text && self.parameters.get("doc_values") != Some(&Value::Bool(false))
    }

    /// Returns whether queries can use the field.
    pub(super) fn is_searchable(&self) -> bool {
        self.has_doc_values() || self.parameters.get("index") != Some(&Value::Bool(false))
    }

    /// Returns the largest number of characters with which a value is searchable.
    pub(super) fn ignore_above(&self) -> Option<u64> {
        self.parameters.get("ignore_above").and_then(Value::as_u64)
    }

    fn to_json(&self) -> Value {
        let mut json = self.parameters.clone();
        json.insert("type".to_owned(), self.field_type.name().into());
        if !self.fields.is_empty() {
            let fields: Map<_, _> = self.fields.iter().map(|(name, field)| (name.clone(), field.to_json())).collect();
            json.insert("fields".to_owned(), fields.into());
        }
        json.into()
    }
}

impl ObjectField {
    fn field_count(&self) -> usize {
        let count = |field: &Field| match field {
            Field::Leaf(leaf) => 1 + leaf.fields.len(),
            Field::Object(object) => 1 + object.field_count(),
        };
        self.properties.values().map(count).sum()
    }

    fn to_json(&self) -> Map<String, Value> {
        let mut json = Map::new();
        if let Some(dynamic) = self.dynamic {
            let name = match dynamic {
                Dynamic::True => "true",
                Dynamic::False => "false",
                Dynamic::Strict => "strict",
            };
            json.insert("dynamic".to_owned(), name.into());
        }
        if self.nested {
            json.insert("type".to_owned(), "nested".into());
        }
        if !self.enabled {
            json.insert("enabled".to_owned(), false.into());
        }
        if !self.properties.is_empty() {
            let properties: Map<_, _> = self
                .properties
                .iter()
                .map(|(name, field)| {
                    let json = match field {
                        Field::Leaf(leaf) => leaf.to_json(),
                        Field::Object(object) => object.to_inner_json(),
                    };
                    (name.clone(), json)
                })
                .collect();
            json.insert("properties".to_owned(), properties.into());
        }
        json
    }

    fn to_inner_json(&self) -> Value {
        let mut json = self.to_json();
        if self.properties.is_empty() && !self.nested {
            json.insert("type".to_owned(), "object".into());
        }
        json.into()
    }
}

impl Mapping {
    /// Returns the number of fields that `mapping.total_fields.limit` counts; objects count too.
    pub(super) fn field_count(&self) -> usize {
        self.root.field_count()
    }

    /// Returns the mapping as the server returns it.
    pub(super) fn to_json(&self) -> Value {
        let mut json = Value::Object(self.root.to_json());
        if let Some(meta) = &self.meta {
            json["_meta"] = json!(meta);
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(json: Value) -> Mapping {
        Mapping::from_json(&json).expect("a mapping")
    }

    #[test]
    fn a_mapping_comes_back_as_the_server_gives_it() {
        let given = json!({"dynamic": "strict", "_meta": {"a": 1}, "properties": {
            "k": {"type": "keyword", "index": true, "ignore_above": 5, "fields": {"t": {"type": "text"}}},
            "o": {"type": "object", "dynamic": false, "properties": {"a": {"type": "long", "doc_values": false}}},
            "e": {"type": "object", "properties": {}},
            "n": {"type": "nested", "properties": {"id": {"type": "keyword"}}},
            "off": {"type": "object", "enabled": false},
        }});
        let returned = json!({"dynamic": "strict", "_meta": {"a": 1}, "properties": {
            "k": {"type": "keyword", "ignore_above": 5, "fields": {"t": {"type": "text"}}},
            "o": {"dynamic": "false", "properties": {"a": {"type": "long", "doc_values": false}}},
            "e": {"type": "object"},
            "n": {"type": "nested", "properties": {"id": {"type": "keyword"}}},
            "off": {"type": "object", "enabled": false},
        }});
        assert_eq!(mapping(given).to_json(), returned);
        assert_eq!(mapping(returned.clone()).to_json(), returned);
    }

    #[test]
    fn paths_lead_to_fields() {
        let mapping = mapping(json!({"properties": {
            "k": {"type": "keyword", "fields": {"t": {"type": "text"}}},
            "o": {"properties": {"a": {"type": "long"}}},
            "f": {"type": "flattened"},
            "n": {"type": "nested", "properties": {"id": {"type": "keyword"}}},
        }}));
        for path in ["k", "k.t", "o.a", "f"] {
            assert!(matches!(mapping.find(path), Found::Leaf(_)), "{path}");
        }
        assert!(matches!(mapping.find("f.a.b"), Found::Key(_)));
        assert!(matches!(mapping.find("o"), Found::Object));
        for path in ["x", "k.x", "o.x", "o.a.x", "n", "n.id", ""] {
            assert!(matches!(mapping.find(path), Found::Nothing), "{path}");
        }
    }
}
