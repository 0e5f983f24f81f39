//! SHA-256 digests of JSON values and texts.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Returns the SHA-256 digest of a JSON value, in hexadecimal. Object keys are hashed in sorted order, so their stored
/// order does not matter.
pub(super) fn json(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    hex(&Sha256::digest(text))
}

/// Returns the SHA-256 digest of a text, in hexadecimal.
pub(super) fn text(text: &str) -> String {
    hex(&Sha256::digest(text))
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (name, value) in entries {
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(elements) => {
            text.push('[');
            for element in elements {
                write(element, text);
                text.push(',');
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
