//! Parses mappings from JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Dynamic, Field, LeafField, Mapping, ObjectField};
use crate::cluster::memory::field_value::FieldType;
use crate::cluster::memory::refusals::Refused;

/// Field types that a server has and the cluster in memory does not.
const OTHER_TYPES: &[&str] = &[
    "aggregate_metric_double",
    "alias",
    "annotated_text",
    "completion",
    "constant_keyword",
    "counted_keyword",
    "date_nanos",
    "date_range",
    "dense_vector",
    "double_range",
    "float_range",
    "geo_point",
    "geo_shape",
    "half_float",
    "histogram",
    "integer_range",
    "ip",
    "ip_range",
    "join",
    "long_range",
    "match_only_text",
    "murmur3",
    "passthrough",
    "percolator",
    "point",
    "rank_feature",
    "rank_features",
    "rank_vectors",
    "scaled_float",
    "search_as_you_type",
    "semantic_text",
    "shape",
    "sparse_vector",
    "token_count",
    "unsigned_long",
    "version",
    "wildcard",
];

/// Parameters of a mapping, an object or a leaf that a server has and the cluster in memory does not.
const OTHER_PARAMETERS: &[&str] = &[
    "analyzer",
    "boost",
    "coerce",
    "copy_to",
    "date_detection",
    "dynamic_date_formats",
    "dynamic_templates",
    "eager_global_ordinals",
    "fielddata",
    "fielddata_frequency_filter",
    "format",
    "ignore_malformed",
    "include_in_parent",
    "include_in_root",
    "index_options",
    "index_phrases",
    "index_prefixes",
    "locale",
    "normalizer",
    "norms",
    "null_value",
    "numeric_detection",
    "on_script_error",
    "position_increment_gap",
    "runtime",
    "script",
    "search_analyzer",
    "search_quote_analyzer",
    "similarity",
    "split_queries_on_whitespace",
    "store",
    "subobjects",
    "synthetic_source_keep",
    "term_vector",
    "time_series_dimension",
    "time_series_metric",
    "_routing",
    "_source",
    "_data_stream_timestamp",
    "_doc_count",
    "_field_names",
    "_size",
];

/// Returns the refusal of a parameter that the cluster in memory does not have, in these words if no server has it
/// either.
fn odd_parameter(name: &str, words: String) -> Refused {
    match OTHER_PARAMETERS.contains(&name) {
        true => Refused::unsupported(format!("the parameter `{name}` of a mapping")),
        false => words.into(),
    }
}

/// The parameters of a leaf, other than `type` and `fields`.
const PARAMETERS: &[&str] = &["index", "doc_values", "ignore_above", "depth_limit", "meta"];

impl Mapping {
    /// Parses a request's mapping. Fails if a real server refuses it, or if the cluster in memory does not model it.
    pub(in crate::cluster::memory) fn from_json(json: &Value) -> Result<Self, Refused> {
        let mut json = object(json, "the mapping")?.clone();
        let meta = json.remove("_meta").filter(|meta| !meta.is_null());
        if let Some(odd) = json.keys().find(|key| !["dynamic", "properties"].contains(&key.as_str())) {
            return Err(odd_parameter(odd, format!("root mapping definition has the unsupported parameter {odd}")));
        }
        Ok(Self { root: ObjectField::from_json(&json, false)?, meta })
    }
}

impl ObjectField {
    fn from_json(json: &Map<String, Value>, nested: bool) -> Result<Self, Refused> {
        let dynamic = match json.get("dynamic") {
            None => None,
            Some(dynamic) => Some(match dynamic.as_str().map(str::to_owned).unwrap_or(dynamic.to_string()).as_str() {
                "true" => Dynamic::True,
                "false" => Dynamic::False,
                "strict" => Dynamic::Strict,
                "runtime" => return Err(Refused::unsupported("the parameter `dynamic: runtime` of a mapping")),
                other => return Err(format!("dynamic is {other:?}").into()),
            }),
        };
        let mut properties = BTreeMap::new();
        if let Some(fields) = json.get("properties") {
            for (name, field) in object(fields, "properties")? {
                if name.is_empty() {
                    return Err("field name cannot be an empty string".into());
                }
                if name.contains('.') {
                    return Err(Refused::unsupported("names with dots in a mapping"));
                }
                properties.insert(name.clone(), Field::from_json(name, field)?);
            }
        }
        Ok(Self { dynamic, enabled: json.get("enabled") != Some(&Value::Bool(false)), nested, properties })
    }
}

impl Field {
    fn from_json(name: &str, json: &Value) -> Result<Self, Refused> {
        let json = object(json, name)?;
        let nested = match json.get("type").and_then(Value::as_str) {
            None if json.contains_key("properties") => false,
            None => return Err(format!("no type specified for field [{name}]").into()),
            Some("object") => false,
            Some("nested") => true,
            Some(_) => return LeafField::from_json(name, json).map(Self::Leaf),
        };
        let known =
            if nested { ["type", "dynamic", "properties", ""] } else { ["type", "dynamic", "properties", "enabled"] };
        match json.keys().find(|key| !known.contains(&key.as_str())) {
            Some(odd) => Err(odd_parameter(odd, format!("unknown parameter [{odd}] on mapper [{name}]"))),
            None => ObjectField::from_json(json, nested).map(Self::Object),
        }
    }
}

impl LeafField {
    fn from_json(name: &str, json: &Map<String, Value>) -> Result<Self, Refused> {
        let type_name = json.get("type").and_then(Value::as_str).unwrap_or_default();
        let Some(field_type) = FieldType::from_name(type_name) else {
            return Err(match OTHER_TYPES.contains(&type_name) {
                true => Refused::unsupported(format!("fields of the type `{type_name}`")),
                false => format!(
                    "The mapper type [{type_name}] declared on field [{name}] does not exist. It might have been created \
                     within a future version or requires a plugin to be installed. Check the documentation."
                )
                .into(),
            });
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
                // Default values are not stored.
                ("index" | "doc_values", Value::Bool(true)) => {}
                (known, _) if PARAMETERS.contains(&known) => {
                    leaf.parameters.insert(parameter.clone(), value.clone());
                }
                odd => {
                    let reason = format!("unknown parameter [{parameter}] on mapper [{name}] of type [{type_name}]");
                    return Err(odd_parameter(odd.0, reason));
                }
            }
        }
        Ok(leaf)
    }
}

fn object<'a>(json: &'a Value, what: &str) -> Result<&'a Map<String, Value>, Refused> {
    json.as_object().ok_or_else(|| format!("{what} is no object").into())
}
