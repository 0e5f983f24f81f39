//! JSON as serde_json writes it. Of a stored document most bytes are in texts that have nothing to escape, such as envelopes:
//! looking for that in whole texts is several times as fast as byte by byte.

use bytes::BufMut;
use serde_json::{Map, Value};

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
    // No branch: so the compiler makes it work on many bytes at a time.
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

/// How many bytes the JSON of attributes has at least, roughly.
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
