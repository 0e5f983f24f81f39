//! The rules for the mapping of a type.

use serde_json::{Map, Value};

use crate::registry::problem::FileProblems;

/// The field types that every build of the server has (record 19).
const CORE_FIELD_TYPES: &[&str] = &[
    "alias",
    "binary",
    "boolean",
    "byte",
    "completion",
    "date",
    "date_nanos",
    "date_range",
    "dense_vector",
    "double",
    "double_range",
    "flattened",
    "float",
    "float_range",
    "geo_point",
    "half_float",
    "integer",
    "integer_range",
    "ip",
    "ip_range",
    "keyword",
    "long",
    "long_range",
    "nested",
    "object",
    "short",
    "text",
];

/// Checks the mapping of a type and returns whether it is well-formed.
pub(super) fn check(mapping: &Value, problems: &mut FileProblems<'_>) -> bool {
    const CURE: &str = "write `{\"dynamic\": false, \"properties\": {…}}` with the attributes that are searched";
    let Some(mapping) = mapping.as_object() else {
        problems.add("mapping", "the mapping is not an object", CURE);
        return false;
    };
    match mapping.get("dynamic") {
        Some(Value::Bool(false)) => {}
        Some(Value::String(text)) if text == "false" || text == "strict" => {}
        Some(_) => problems.add(
            "mapping.dynamic",
            "`dynamic` is neither false nor \"strict\"",
            "do not let documents change the mapping: only model versions do",
        ),
        None => problems.add("mapping", "`dynamic` is missing", CURE),
    }
    for keyword in mapping.keys().filter(|keyword| !["dynamic", "properties"].contains(&keyword.as_str())) {
        problems.add(
            format!("mapping.{keyword}"),
            format!("`{keyword}` is no part of a type's mapping"),
            "keep only `dynamic` and `properties`",
        );
    }
    match mapping.get("properties") {
        Some(Value::Object(properties)) => check_fields(properties, "mapping.properties", problems),
        _ => {
            problems.add("mapping.properties", "`properties` is not an object", CURE);
            false
        }
    }
}

/// Checks the fields of a mapping, or the fields that a change adds to it. Returns whether they are well-formed.
pub(super) fn check_fields(fields: &Map<String, Value>, path: &str, problems: &mut FileProblems<'_>) -> bool {
    let mut well_formed = true;
    for (name, field) in fields {
        let path = format!("{path}.{name}");
        if name.is_empty() || name.contains('.') {
            problems.add(
                &path,
                format!("{name:?} is not the name of a field"),
                "write nested objects instead of names with dots",
            );
            well_formed = false;
        }
        match field {
            Value::Object(field) => well_formed &= check_field(field, &path, problems),
            _ => {
                problems.add(&path, "the field is not an object", "write `{\"type\": …}`");
                well_formed = false;
            }
        }
    }
    well_formed
}

fn check_field(field: &Map<String, Value>, path: &str, problems: &mut FileProblems<'_>) -> bool {
    for keyword in ["index", "enabled"] {
        if field.get(keyword).is_some_and(|value| value == false || value == "false") {
            problems.add(
                format!("{path}.{keyword}"),
                format!("`{keyword}: false` can never be undone in place"),
                "leave the attribute out of the mapping: it is stored all the same",
            );
        }
    }
    match field.get("type") {
        None if field.contains_key("properties") => {}
        Some(Value::String(kind)) if CORE_FIELD_TYPES.contains(&kind.as_str()) => {}
        Some(Value::String(kind)) => problems.add(
            format!("{path}.type"),
            format!("not every server has the field type `{kind}`"),
            format!("use one of {}", CORE_FIELD_TYPES.join(", ")),
        ),
        _ => problems.add(path, "the field has no type", "add `type`, as `\"type\": \"keyword\"`"),
    }
    let mut well_formed = true;
    for keyword in ["properties", "fields"] {
        let path = format!("{path}.{keyword}");
        match field.get(keyword) {
            None => {}
            Some(Value::Object(fields)) => well_formed &= check_fields(fields, &path, problems),
            Some(_) => {
                problems.add(&path, format!("`{keyword}` is not an object"), "write fields by their names");
                well_formed = false;
            }
        }
    }
    well_formed
}
