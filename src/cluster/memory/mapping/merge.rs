//! The merge of a mapping with the changes of a request.

use std::collections::BTreeMap;

use super::{Field, LeafField, Mapping, ObjectField};

impl Mapping {
    /// Returns this mapping merged with `added`: the properties of both, and the newer `_meta`. Fails if a field would
    /// have to change in a way that its index does not allow.
    pub(in crate::cluster::memory) fn merged(&self, added: Self) -> Result<Self, String> {
        let mut root = self.root.clone();
        root.merge(added.root, "_doc")?;
        Ok(Self { root, meta: added.meta.or_else(|| self.meta.clone()) })
    }
}

impl ObjectField {
    fn merge(&mut self, added: Self, path: &str) -> Result<(), String> {
        if self.nested != added.nested {
            return Err(format!("can't merge a nested mapping [{path}] with one that is not"));
        }
        if self.enabled != added.enabled {
            return Err(format!("the [enabled] parameter can't be updated for the object mapping [{path}]"));
        }
        self.dynamic = added.dynamic.or(self.dynamic);
        for (name, field) in added.properties {
            match (self.properties.get_mut(&name), field) {
                (None, field) => drop(self.properties.insert(name, field)),
                (Some(Field::Object(existing)), Field::Object(added)) => existing.merge(added, &name)?,
                (Some(Field::Leaf(existing)), Field::Leaf(added)) => existing.merge(added, &name)?,
                (Some(_), _) => {
                    return Err(format!("can't merge a non object mapping [{name}] with an object mapping"));
                }
            }
        }
        Ok(())
    }
}

impl LeafField {
    fn merge(&mut self, added: Self, path: &str) -> Result<(), String> {
        if self.field_type != added.field_type {
            let (from, to) = (self.field_type.name(), added.field_type.name());
            return Err(format!("mapper [{path}] cannot be changed from type [{from}] to [{to}]"));
        }
        for parameter in ["index", "doc_values"] {
            if self.parameters.get(parameter) != added.parameters.get(parameter) {
                return Err(format!(
                    "Mapper for [{path}] conflicts with existing mapper: Cannot update parameter [{parameter}]"
                ));
            }
        }
        self.parameters = added.parameters;
        merge_fields(&mut self.fields, added.fields)
    }
}

/// Merges sub-fields. Those that `added` does not name stay.
fn merge_fields(existing: &mut BTreeMap<String, LeafField>, added: BTreeMap<String, LeafField>) -> Result<(), String> {
    for (name, field) in added {
        match existing.get_mut(&name) {
            Some(existing) => existing.merge(field, &name)?,
            None => drop(existing.insert(name, field)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn fields_are_added_and_never_changed() {
        let properties =
            |properties: Value| Mapping::from_json(&json!({ "properties": properties })).expect("a mapping");
        let existing = properties(json!({
            "k": {"type": "keyword", "ignore_above": 5, "fields": {"t": {"type": "text"}}},
            "o": {"properties": {"a": {"type": "long"}}},
            "n": {"type": "nested", "properties": {}},
        }));
        let merged = existing.merged(properties(json!({
            "k": {"type": "keyword"}, "o": {"properties": {"b": {"type": "date"}}}, "x": {"type": "boolean"},
        })));
        let expected = properties(json!({
            "k": {"type": "keyword", "fields": {"t": {"type": "text"}}},
            "o": {"properties": {"a": {"type": "long"}, "b": {"type": "date"}}},
            "n": {"type": "nested", "properties": {}},
            "x": {"type": "boolean"},
        }));
        assert_eq!(merged, Ok(expected));
        for refused in [
            json!({"k": {"type": "long"}}),
            json!({"k": {"type": "keyword", "index": false}}),
            json!({"k": {"properties": {}}}),
            json!({"o": {"type": "keyword"}}),
            json!({"o": {"type": "object", "enabled": false}}),
            json!({"o": {"type": "nested"}}),
            json!({"n": {"properties": {}}}),
            json!({"x": {"type": "boolean"}, "o": {"properties": {"a": {"type": "integer"}}}}),
        ] {
            assert!(existing.merged(properties(refused.clone())).is_err(), "{refused}");
        }
    }
}
