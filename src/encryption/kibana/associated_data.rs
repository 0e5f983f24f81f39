//! The associated data of values that Kibana encrypted.

use serde_json::Value;

use crate::document::Attributes;
use crate::encryption::Descriptor;
use crate::encryption::canonical_json::{Integers, write_with};
use crate::model::EncryptionSets;

/// Returns the canonical JSON of `[namespace?, type, id, {bound attributes that are present}]`, in Kibana's form:
/// unlike in this library's own envelopes, integers are rounded to doubles.
pub(super) fn associated_data(descriptor: &Descriptor<'_>, sets: &EncryptionSets, attributes: &Attributes) -> String {
    let bound: Attributes = sets
        .bound
        .iter()
        .filter(|name| !sets.encrypts(name))
        .filter_map(|name| Some((name.clone(), attributes.get(name)?.clone())))
        .collect();
    let place = [descriptor.namespace, Some(descriptor.type_name), Some(descriptor.id)];
    let parts: Vec<Value> = place.into_iter().flatten().map(Value::from).chain([Value::Object(bound)]).collect();
    let mut text = String::new();
    write_with(Integers::AsDoubles, &Value::Array(parts), &mut text);
    text
}
