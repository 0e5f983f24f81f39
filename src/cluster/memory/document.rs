//! A stored document: its source, and the fields that searches see.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::field_value::{FieldType, FieldValue};
use super::mapping::{Dynamic, Field, LeafField, Mapping, ObjectField};
use crate::cluster::{Hit, SequenceNumber};
use crate::document::depth;
use crate::document::numbers::with_large_as_texts;

/// Names that are reserved for the server.
const METADATA_FIELDS: &[&str] =
    &["_id", "_index", "_source", "_seq_no", "_version", "_routing", "_field_names", "_ignored", "_nested_path"];

/// The levels that the server accepts in any content.
const MAX_LEVELS: usize = 1_000;
/// The levels that are searched for mapped fields.
const MAPPED_LEVELS: usize = 100;

/// The fields of a document, or of a document nested in it, as searches see them.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    /// The values by path.
    values: BTreeMap<String, Vec<FieldValue>>,
    /// The nested documents by path.
    nested: BTreeMap<String, Vec<Fields>>,
}

impl Fields {
    /// Returns the values of the field at `path`, or an empty slice if the field is missing.
    pub(super) fn values(&self, path: &str) -> &[FieldValue] {
        self.values.get(path).map_or(&[], Vec::as_slice)
    }

    /// Returns whether a field whose path begins with `start` has a value.
    pub(super) fn has_within(&self, start: &str) -> bool {
        self.values.range(start.to_owned()..).next().is_some_and(|(path, _)| path.starts_with(start))
    }

    /// Returns the terms of the field at `path`: the words of its texts, or its keywords as a whole.
    pub(super) fn terms(&self, path: &str) -> impl Iterator<Item = &str> {
        self.values(path)
            .iter()
            .flat_map(|value| match value {
                FieldValue::Text(text) => std::slice::from_ref(text),
                FieldValue::Words(words) => words.as_slice(),
                _ => &[],
            })
            .map(String::as_str)
    }

    /// Returns how often one of the texts at `path` has `words` in sequence.
    pub(super) fn phrases(&self, path: &str, words: &[String]) -> usize {
        let texts = self.values(path).iter().filter_map(|value| match value {
            FieldValue::Words(text) => Some(text),
            _ => None,
        });
        texts.map(|text| text.windows(words.len().max(1)).filter(|window| *window == words).count()).sum()
    }

    /// Returns whether the values at `path` are texts, which consist of words.
    pub(super) fn has_words(&self, path: &str) -> bool {
        matches!(self.values(path).first(), Some(FieldValue::Words(_)))
    }

    /// Returns the nested documents at `path`.
    pub(super) fn nested(&self, path: &str) -> &[Self] {
        self.nested.get(path).map_or(&[], Vec::as_slice)
    }
}

/// A stored document.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) id: String,
    pub(super) sequence: SequenceNumber,
    /// The number of its writes.
    pub(super) version: u64,
    pub(super) source: Box<RawValue>,
    pub(super) fields: Fields,
}

impl Document {
    pub(super) fn to_hit(&self, index: &str) -> Hit {
        Hit { index: index.to_owned(), id: self.id.clone(), sequence: self.sequence, source: self.source.clone() }
    }

    /// Returns the values of the field at `path`, or an empty slice if the field is missing.
    pub(super) fn values(&self, path: &str) -> &[FieldValue] {
        self.fields.values(path)
    }

    /// Returns the texts of a keyword field, or a single `None` if it has none.
    pub(super) fn texts(&self, path: &str) -> Vec<Option<String>> {
        let text = |value: &FieldValue| match value {
            FieldValue::Text(text) => Some(Some(text.clone())),
            _ => None,
        };
        let texts: Vec<_> = self.values(path).iter().filter_map(text).collect();
        if texts.is_empty() { vec![None] } else { texts }
    }
}

/// Parses a document's source. Fails if the mapping does not accept it.
pub(super) fn parse(source: &[u8], mapping: &Mapping) -> Result<(Box<RawValue>, Fields), String> {
    let malformed = |error: serde_json::Error| format!("failed to parse: {error}");
    let raw: Box<RawValue> = serde_json::from_slice(source).map_err(malformed)?;
    let levels = depth::depth(raw.get());
    if levels > MAX_LEVELS {
        return Err(format!(
            "failed to parse: Document nesting depth ({levels}) exceeds the maximum allowed ({MAX_LEVELS})"
        ));
    }
    let pruned = pruned(raw.get());
    // A server checks the size of numbers in mapped fields only.
    let document = serde_json::from_str(&pruned).or_else(|_| serde_json::from_str(&with_large_as_texts(&pruned)));
    let Value::Object(document) = document.map_err(malformed)? else {
        return Err("malformed content, must be an object".to_owned());
    };
    if let Some(name) = document.keys().find(|name| METADATA_FIELDS.contains(&name.as_str())) {
        return Err(format!("field [{name}] is a metadata field and cannot be added inside a document"));
    }
    let mut parser = Parser::default();
    let dynamic = mapping.root.dynamic.unwrap_or(Dynamic::True);
    parser.object(&document, &Place { object: &mapping.root, path: "", dynamic })?;
    Ok((raw, parser.fields))
}

/// Returns the document without the levels that are deeper than any mapping and than serde_json parses.
fn pruned(source: &str) -> Cow<'_, str> {
    if depth::depth(source) <= MAPPED_LEVELS {
        return Cow::Borrowed(source);
    }
    let (mut kept, mut depth, mut is_text, mut is_escaped) =
        (String::with_capacity(source.len()), 0_usize, false, false);
    for character in source.chars() {
        let was_within = depth <= MAPPED_LEVELS;
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_text => is_escaped = true,
            '"' => is_text = !is_text,
            _ if is_text => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match (was_within, depth <= MAPPED_LEVELS) {
            (true, true) => kept.push(character),
            (true, false) => kept.push_str("null"),
            (false, _) => {}
        }
    }
    Cow::Owned(kept)
}

/// An object of the mapping, and how it was reached.
struct Place<'a> {
    object: &'a ObjectField,
    path: &'a str,
    /// How the objects around it treat unknown fields.
    dynamic: Dynamic,
}

impl Place<'_> {
    fn join(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

#[derive(Default)]
struct Parser {
    fields: Fields,
}

impl Parser {
    fn object(&mut self, document: &Map<String, Value>, place: &Place<'_>) -> Result<(), String> {
        for (name, value) in document {
            // The server ignores empty names at the end.
            let names: Vec<&str> = name.trim_end_matches('.').split('.').collect();
            if names.iter().any(|name| name.trim().is_empty()) {
                return Err(format!("field name cannot be empty or contain only whitespace: {name:?}"));
            }
            self.named(&names, value, place)?;
        }
        Ok(())
    }

    /// Parses the value at `names`, each within the one before: a name with dots stands for objects.
    fn named(&mut self, names: &[&str], value: &Value, place: &Place<'_>) -> Result<(), String> {
        let Some((name, rest)) = names.split_first() else { return Ok(()) };
        let path = place.join(name);
        match place.object.properties.get(*name) {
            Some(Field::Object(object)) if !object.enabled => Ok(()),
            Some(Field::Object(object)) => {
                let inner = Place { object, path: &path, dynamic: object.dynamic.unwrap_or(place.dynamic) };
                match rest.is_empty() {
                    true => self.objects(value, &inner),
                    false => self.named(rest, value, &inner),
                }
            }
            Some(Field::Leaf(leaf)) if rest.is_empty() => self.leaf(leaf, &path, value),
            Some(Field::Leaf(_)) => Err(format!("field [{path}] is no object")),
            None => match place.dynamic {
                Dynamic::False => Ok(()),
                Dynamic::Strict => {
                    Err(format!("mapping set to strict, dynamic introduction of [{name}] within [{}]", place.path))
                }
                Dynamic::True => Err(format!(
                    "the cluster in memory does not support fields that a document adds to the mapping, such as [{path}]"
                )),
            },
        }
    }

    fn objects(&mut self, value: &Value, place: &Place<'_>) -> Result<(), String> {
        match value {
            Value::Null => Ok(()),
            Value::Object(object) if place.object.nested => {
                // Only nested queries see it.
                let mut apart = Self::default();
                apart.object(object, place)?;
                self.fields.nested.entry(place.path.to_owned()).or_default().push(apart.fields);
                Ok(())
            }
            Value::Object(object) => self.object(object, place),
            Value::Array(values) => values.iter().try_for_each(|value| self.objects(value, place)),
            _ => Err(format!("object mapping for [{}] found a concrete value", place.path)),
        }
    }

    fn leaf(&mut self, leaf: &LeafField, path: &str, value: &Value) -> Result<(), String> {
        match value {
            Value::Null => return Ok(()),
            Value::Array(values) => return values.iter().try_for_each(|value| self.leaf(leaf, path, value)),
            Value::Object(keys) if leaf.field_type == FieldType::Flattened => {
                return keys.iter().try_for_each(|(key, value)| self.key(leaf, path, &format!("{path}.{key}"), value));
            }
            _ if leaf.field_type == FieldType::Flattened => {
                return Err(format!("failed to parse field [{path}] of type [flattened]"));
            }
            _ => {}
        }
        if !is_too_long(leaf, value) {
            let parsed = leaf.field_type.of_document(value).map_err(|reason| format!("{reason} at [{path}]"))?;
            self.add(leaf, path, parsed);
        }
        leaf.fields.iter().try_for_each(|(name, field)| self.leaf(field, &format!("{path}.{name}"), value))
    }

    /// Adds a value in a flattened field, which is found both at its key and at the field itself.
    fn key(&mut self, leaf: &LeafField, root: &str, path: &str, value: &Value) -> Result<(), String> {
        match value {
            Value::Null => Ok(()),
            Value::Array(values) => values.iter().try_for_each(|value| self.key(leaf, root, path, value)),
            Value::Object(keys) => {
                keys.iter().try_for_each(|(key, value)| self.key(leaf, root, &format!("{path}.{key}"), value))
            }
            _ if is_too_long(leaf, value) => Ok(()),
            _ => {
                let parsed = leaf.field_type.of_document(value).map_err(|reason| format!("{reason} at [{path}]"))?;
                self.add(leaf, root, parsed.clone());
                self.add(leaf, path, parsed);
                Ok(())
            }
        }
    }

    fn add(&mut self, leaf: &LeafField, path: &str, value: Option<FieldValue>) {
        if let Some(value) = value.filter(|_| leaf.is_searchable()) {
            self.fields.values.entry(path.to_owned()).or_default().push(value);
        }
    }
}

fn is_too_long(leaf: &LeafField, value: &Value) -> bool {
    let length = || value.as_str().map_or(0, |text| text.encode_utf16().count() as u64);
    leaf.ignore_above().is_some_and(|most| length() > most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(document: &Value) -> Result<Vec<String>, String> {
        let mapping = json!({"dynamic": "strict", "properties": {
            "k": {"type": "keyword", "ignore_above": 3}, "l": {"type": "keyword", "fields": {"t": {"type": "text"}}},
            "n": {"type": "long"}, "f": {"type": "flattened"}, "off": {"type": "object", "enabled": false},
            "o": {"dynamic": false, "properties": {"a": {"type": "keyword"}}},
            "refs": {"type": "nested", "properties": {"id": {"type": "keyword"}}},
        }});
        let mapping = Mapping::from_json(&mapping).expect("a mapping");
        let (source, fields) = parse(document.to_string().as_bytes(), &mapping)?;
        assert_eq!(source.get(), document.to_string(), "it is stored as it was sent");
        Ok(fields.values.into_keys().collect())
    }

    #[test]
    fn searches_see_what_is_mapped() {
        let table = [
            (json!({"k": ["abc", "abcd"], "n": null, "off": [1, {"x": 2}]}), vec!["k"]),
            (json!({"k": "abcd", "n": ""}), vec![]),
            (json!({"l": "a"}), vec!["l", "l.t"]),
            (json!({"o": [{"a": "x", "b": {"c.": 1, "": 2}}, [{"a": "y"}]]}), vec!["o.a"]),
            (json!({"o.a": "x", "o.b": 5}), vec!["o.a"]),
            (json!({"f": {"a": 1, "b": {"c": [true, null]}}}), vec!["f", "f.a", "f.b.c"]),
            (json!({"refs": [{"id": "1"}]}), vec![]),
        ];
        for (document, seen) in table {
            assert_eq!(fields(&document), Ok(seen.into_iter().map(str::to_owned).collect()), "{document}");
        }
        for refused in [
            json!([]),
            json!({"zz": null}),
            json!({"_id": "1"}),
            json!({"k": {}}),
            json!({"n": "abc"}),
            json!({"n": 9_223_372_036_854_775_808_u64}),
            json!({"o": 1}),
            json!({"o": {".a": 1}}),
            json!({"o": {" ": 1}}),
            json!({"o": {"a.b": 1}}),
            json!({"f": 1}),
            json!({"l": "a".repeat(32_767)}),
            json!({"refs": {"zz": 1}}),
        ] {
            assert!(fields(&refused).is_err(), "{refused}");
        }
    }
}
