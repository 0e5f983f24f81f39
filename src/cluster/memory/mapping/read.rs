use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Dynamic, Field, LeafField, Mapping, ObjectField};
use crate::cluster::memory::field_value::FieldType;

/// Parameters of a leaf, beside `type` and `fields`.
const PARAMETERS: &[&str] = &["index", "doc_values", "ignore_above", "depth_limit", "meta"];

impl Mapping {
    /// Reads what a request gives; an error if a real server refuses it, or if it is beyond what the memory cluster models.
    pub(in crate::cluster::memory) fn from_json(json: &Value) -> Result<Self, String> {
        let mut json = object(json, "the mapping")?.clone();
        let meta = json.remove("_meta").filter(|meta| !meta.is_null());
        if let Some(odd) = json.keys().find(|key| !["dynamic", "properties"].contains(&key.as_str())) {
            return Err(format!("root mapping definition has the unsupported parameter {odd}"));
        }
        Ok(Self { root: ObjectField::from_json(&json, false)?, meta })
    }
}

impl ObjectField {
    fn from_json(json: &Map<String, Value>, nested: bool) -> Result<Self, String> {
        let dynamic = match json.get("dynamic") {
            None => None,
            Some(dynamic) => Some(match dynamic.as_str().map(str::to_owned).unwrap_or(dynamic.to_string()).as_str() {
                "true" => Dynamic::True,
                "false" => Dynamic::False,
                "strict" => Dynamic::Strict,
                other => return Err(format!("dynamic is {other:?}")),
            }),
        };
        let mut properties = BTreeMap::new();
        if let Some(fields) = json.get("properties") {
            for (name, field) in object(fields, "properties")? {
                if name.is_empty() || name.contains('.') {
                    return Err(format!("{name:?} is no field name that the memory cluster takes"));
                }
                properties.insert(name.clone(), Field::from_json(name, field)?);
            }
        }
        Ok(Self { dynamic, enabled: json.get("enabled") != Some(&Value::Bool(false)), nested, properties })
    }
}

impl Field {
    fn from_json(name: &str, json: &Value) -> Result<Self, String> {
        let json = object(json, name)?;
        let nested = match json.get("type").and_then(Value::as_str) {
            None if json.contains_key("properties") => false,
            None => return Err(format!("no type specified for field [{name}]")),
            Some("object") => false,
            Some("nested") => true,
            Some(_) => return LeafField::from_json(name, json).map(Self::Leaf),
        };
        let known =
            if nested { ["type", "dynamic", "properties", ""] } else { ["type", "dynamic", "properties", "enabled"] };
        match json.keys().find(|key| !known.contains(&key.as_str())) {
            Some(odd) => Err(format!("unknown parameter [{odd}] on mapper [{name}]")),
            None => ObjectField::from_json(json, nested).map(Self::Object),
        }
    }
}

impl LeafField {
    fn from_json(name: &str, json: &Map<String, Value>) -> Result<Self, String> {
        let type_name = json.get("type").and_then(Value::as_str).unwrap_or_default();
        let Some(field_type) = FieldType::from_name(type_name) else {
            return Err(format!(
                "The mapper type [{type_name}] declared on field [{name}] does not exist. It might have been created \
                 within a future version or requires a plugin to be installed. Check the documentation."
            ));
        };
        let mut leaf = Self { field_type, parameters: Map::new(), fields: BTreeMap::new() };
        for (parameter, value) in json {
            match (parameter.as_str(), value) {
                ("type", _) => {}
                ("fields", fields) => {
                    for (name, field) in object(fields, "fields")? {
                        leaf.fields.insert(name.clone(), Self::from_json(name, object(field, name)?)?);
                    }
                }
                // The default is not kept.
                ("index" | "doc_values", Value::Bool(true)) => {}
                (known, _) if PARAMETERS.contains(&known) => {
                    leaf.parameters.insert(parameter.clone(), value.clone());
                }
                _ => return Err(format!("unknown parameter [{parameter}] on mapper [{name}] of type [{type_name}]")),
            }
        }
        Ok(leaf)
    }
}

fn object<'a>(json: &'a Value, what: &str) -> Result<&'a Map<String, Value>, String> {
    json.as_object().ok_or_else(|| format!("{what} is no object"))
}
