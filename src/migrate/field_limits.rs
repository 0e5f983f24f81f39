//! Compares the number of fields that an index would have with its limits, before anything is written. Counts as the
//! server does: each field, object, multi-field, alias and runtime field is one.

use std::fmt;

use serde_json::{Map, Value};

use super::carry::limit_of;
use super::{Blocker, CheckName, GroupPlan, Way};
use crate::cluster::{IndexSettings, TOTAL_FIELDS_LIMIT};

/// The server's limits for an index without settings of its own.
const SERVERS_TOTAL: u64 = 1_000;
const SERVERS_NESTED: u64 = 100;
const SERVERS_DEPTH: u64 = 20;

/// The numbers of a mapping that the server limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FieldCounts {
    /// The number of all fields.
    pub total: u64,
    /// The number of fields of the type `nested`.
    pub nested: u64,
    /// The number of levels of objects, including the document itself.
    pub depth: u64,
}

impl FieldCounts {
    /// Counts the fields of a mapping.
    pub fn of(mapping: &Value) -> Self {
        let runtime = mapping.get("runtime").and_then(Value::as_object).map_or(0, Map::len);
        let mut counts = Self { total: runtime as u64, nested: 0, depth: 1 };
        counts.add(mapping, 1);
        counts
    }

    fn add(&mut self, field: &Value, depth: u64) {
        self.depth = self.depth.max(depth);
        for (within, is_object) in [("properties", true), ("fields", false)] {
            for field in field.get(within).and_then(Value::as_object).into_iter().flat_map(Map::values) {
                self.total += 1;
                self.nested += u64::from(field.get("type").is_some_and(|kind| kind == "nested"));
                let is_object = is_object && (field.get("type").is_none() || field.get("properties").is_some());
                self.add(field, if is_object { depth + 1 } else { depth });
            }
        }
    }
}

/// The limits of an index.
#[derive(Debug, Clone, Copy)]
struct Limits {
    total: u64,
    nested: u64,
    depth: u64,
}

impl Limits {
    fn of(settings: &IndexSettings, total: u64) -> Self {
        let limit = |name: &str, otherwise| limit_of(settings, name).unwrap_or(otherwise);
        Self {
            total,
            nested: limit("mapping.nested_fields.limit", SERVERS_NESTED),
            depth: limit("mapping.depth.limit", SERVERS_DEPTH),
        }
    }
}

/// A limit that a mapping exceeds.
struct Exceeded {
    what: &'static str,
    name: &'static str,
    has: u64,
    may: u64,
}

impl Exceeded {
    fn of(mapping: &Value, may: Limits) -> Option<Self> {
        let has = FieldCounts::of(mapping);
        let table = [
            ("fields", "total_fields", has.total, may.total),
            ("nested fields", "nested_fields", has.nested, may.nested),
            ("levels of objects", "depth", has.depth, may.depth),
        ];
        let exceeded = table.into_iter().find(|(.., has, may)| has > may);
        exceeded.map(|(what, name, has, may)| Self { what, name, has, may })
    }

    fn setting(&self) -> String {
        format!("index.mapping.{}.limit", self.name)
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, has, may, .. } = self;
        write!(f, "{has} {what}, and may have {may}")
    }
}

/// Returns the blocker of a group whose index would exceed a limit.
pub(super) fn blocker(group: &GroupPlan) -> Option<Blocker> {
    let none = IndexSettings::new();
    let current = group.current.as_ref().filter(|_| group.take_over.is_none());
    let settings = current.map_or(&none, |current| &current.settings);
    let (mapping, total) = match (group.way, current) {
        (Way::None, _) => return None,
        (Way::Create, _) => (group.mapping.clone(), TOTAL_FIELDS_LIMIT),
        (Way::InPlace, Some(current)) => {
            let total = limit_of(settings, "mapping.total_fields.limit").unwrap_or(SERVERS_TOTAL);
            (merged(&current.mapping, &group.mapping), total)
        }
        (Way::Copy | Way::InPlace, current) => {
            (group.copy_mapping(), current.map_or(TOTAL_FIELDS_LIMIT, |current| current.carried.total_fields_limit()))
        }
    };
    let exceeded = Exceeded::of(&mapping, Limits::of(settings, total))?;
    let (index, setting, has) = (&group.index, exceeded.setting(), exceeded.has);
    let fewer = hint(&group.group);
    Some(Blocker {
        check: CheckName::Fields,
        what: format!("the index {index} would have {exceeded} ({setting})"),
        hint: match current {
            Some(_) => format!(
                "raise the limit, which a copy of the index keeps: PUT /{index}/_settings {{\"{setting}\":{has}}}; or \
                 {fewer}"
            ),
            None => fewer,
        },
    })
}

/// Returns how to use fewer fields.
fn hint(group: &str) -> String {
    format!(
        "map fewer fields of the types of group {group}: an object that is not searched needs only \"dynamic\": false, \
         and keys that are not known beforehand can be one field of the type `flattened`; or give some types that are \
         not released another group"
    )
}

/// Returns the mapping of an index after `added` was added to it.
fn merged(current: &Value, added: &Value) -> Value {
    let mut merged = current.clone();
    for within in ["properties", "fields", "runtime"] {
        let Some(added) = added.get(within).and_then(Value::as_object) else { continue };
        let Some(fields) = merged.as_object_mut() else { break };
        let fields = fields.entry(within).or_insert_with(|| Value::Object(Map::new()));
        let Some(fields) = fields.as_object_mut() else { continue };
        for (name, field) in added {
            let both = fields.get(name).map_or_else(|| field.clone(), |current| self::merged(current, field));
            fields.insert(name.clone(), both);
        }
    }
    merged
}

/// Returns the problem and the hint if a new index for a group of types would exceed a limit, else `None`.
pub fn too_many(group: &str, mapping: &Value) -> Option<(String, String)> {
    let exceeded = Exceeded::of(mapping, Limits::of(&IndexSettings::new(), TOTAL_FIELDS_LIMIT))?;
    Some((format!("the index of group {group} would have {exceeded}"), hint(group)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_counted_as_the_server_does() {
        let mapping = json!({
            "runtime": { "r": { "type": "long" } },
            "properties": {
                "k": { "type": "keyword", "fields": { "t": { "type": "text" }, "u": { "type": "text" } } },
                "o": { "properties": { "p": { "properties": { "q": { "type": "date" } } } } },
                "n": { "type": "nested", "properties": { "a": { "type": "alias", "path": "k" } } },
                "f": { "type": "flattened" }, "e": { "type": "object" },
            },
        });
        assert_eq!(FieldCounts::of(&mapping), FieldCounts { total: 11, nested: 1, depth: 3 });
        assert_eq!(FieldCounts::of(&json!({})), FieldCounts { total: 0, nested: 0, depth: 1 });
    }

    #[test]
    fn what_is_added_is_counted_once() {
        let current = json!({ "_meta": {}, "properties": { "a": { "properties": { "b": { "type": "long" } } } } });
        let added = json!({ "properties": {
            "a": { "properties": { "b": { "type": "long" }, "c": { "type": "long", "fields": { "k": {} } } } },
        } });
        assert_eq!(FieldCounts::of(&merged(&current, &added)).total, 4);
    }
}
