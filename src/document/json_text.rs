//! A writer of JSON whose output equals serde_json's. Most bytes of a stored document are in strings without escapes,
//! such as envelopes. Checking a whole string for escapes is several times as fast as checking byte by byte.

use bytes::BufMut;
use serde_json::{Map, Value};

use super::numbers::{self, Numbers};

pub(super) fn write_object(members: &Map<String, Value>, out: &mut impl BufMut) {
    out.put_u8(b'{');
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        write_text(name, out);
        out.put_u8(b':');
        write(value, out);
    }
    out.put_u8(b'}');
}

pub(super) fn write_text(text: &str, out: &mut impl BufMut) {
    // Without a branch, the compiler vectorizes the check.
    let has_escape = text.bytes().fold(false, |any, byte| any | (byte < 0x20) | (byte == b'"') | (byte == b'\\'));
    if has_escape {
        // Writing into memory cannot fail.
        let _ = serde_json::to_writer(out.writer(), text);
        return;
    }
    out.put_u8(b'"');
    out.put_slice(text.as_bytes());
    out.put_u8(b'"');
}

pub(super) fn write_list<T, B: BufMut>(items: &[T], out: &mut B, write_item: impl Fn(&T, &mut B)) {
    out.put_u8(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        write_item(item, out);
    }
    out.put_u8(b']');
}

pub(super) fn write<B: BufMut>(value: &Value, out: &mut B) {
    match value {
        Value::String(text) => write_text(text, out),
        Value::Object(members) => write_object(members, out),
        Value::Array(items) => write_list(items, out, write),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            let _ = serde_json::to_writer(out.writer(), value);
        }
    }
}

/// Writes an object with the exact texts of its numbers.
pub(super) fn write_numbered(members: &Map<String, Value>, numbers: &Numbers, out: &mut impl BufMut) {
    match numbers.is_empty() {
        true => write_object(members, out),
        false => write_numbered_members(members, numbers, &mut String::new(), out),
    }
}

fn write_numbered_members<B: BufMut>(
    members: &Map<String, Value>,
    numbers: &Numbers,
    pointer: &mut String,
    out: &mut B,
) {
    out.put_u8(b'{');
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        write_text(name, out);
        out.put_u8(b':');
        numbers::within(pointer, name, |pointer| write_numbered_value(value, numbers, pointer, out));
    }
    out.put_u8(b'}');
}

/// Writes the value at `pointer` with the exact texts of its numbers.
pub(super) fn write_numbered_value<B: BufMut>(value: &Value, numbers: &Numbers, pointer: &mut String, out: &mut B) {
    match value {
        Value::Object(members) => write_numbered_members(members, numbers, pointer, out),
        Value::Array(items) => {
            out.put_u8(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.put_u8(b',');
                }
                numbers::within(pointer, &index.to_string(), |pointer| {
                    write_numbered_value(item, numbers, pointer, out);
                });
            }
            out.put_u8(b']');
        }
        Value::Number(_) => match numbers.text_of(pointer, value) {
            Some(text) => out.put_slice(text.as_bytes()),
            None => write(value, out),
        },
        Value::String(_) | Value::Null | Value::Bool(_) => write(value, out),
    }
}

/// Returns roughly the least number of bytes that the JSON of `attributes` has.
pub(super) fn bytes_of(attributes: &Map<String, Value>) -> usize {
    let of = |(name, value): (&String, &Value)| name.len() + value.as_str().map_or(8, str::len) + 8;
    attributes.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "(?s).{0,40}|[\\x00-\\x7f]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("(?s).{0,6}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_is_what_serde_json_writes(value in values()) {
            let mut written = Vec::new();
            write(&value, &mut written);
            prop_assert_eq!(written, serde_json::to_vec(&value).expect("JSON"));
        }
    }
}
