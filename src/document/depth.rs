//! The limit on the nesting depth of an object's JSON. Everything that is written must be readable again, in every form
//! in which it is stored or exported.

use serde_json::Value;

use super::Attributes;

/// The number of levels that serde_json reads. It refuses deeper text, so that no input can overflow the stack.
const READABLE_LEVELS: usize = 127;
/// The levels around the value of an attribute. In a document: the document and its attributes. In an export: the line
/// and its `attributes`, `envelopes` or `secrets`. The quarantine stores documents as text, which adds no level.
const LEVELS_AROUND: usize = 2;
/// The number of levels that the value of one attribute may have, encrypted or not. An array or an object counts as one
/// level, and its content is added on top.
pub const MAX_DEPTH: usize = READABLE_LEVELS - LEVELS_AROUND;

/// Returns the name of an attribute that is nested deeper than [`MAX_DEPTH`], or `None` if all of them can be stored.
pub(crate) fn too_deep(attributes: &Attributes) -> Option<&str> {
    attributes.iter().find(|(_, value)| exceeds(value, MAX_DEPTH)).map(|(name, _)| name.as_str())
}

/// Returns whether `value` has more than `levels` levels. Recurses at most `levels` deep, whatever the value.
fn exceeds(value: &Value, levels: usize) -> bool {
    let Some(rest) = levels.checked_sub(1) else { return value.is_array() || value.is_object() };
    match value {
        Value::Array(values) => values.iter().any(|value| exceeds(value, rest)),
        Value::Object(values) => values.values().any(|value| exceeds(value, rest)),
        _ => false,
    }
}

/// Returns whether serde_json refuses a text because of its depth.
pub(crate) fn is_unreadable(json: &str) -> bool {
    depth(json) > READABLE_LEVELS
}

/// Returns the number of levels of a JSON text. Text that is not valid JSON has a depth as well, because it is not
/// parsed.
pub(crate) fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut is_text, mut is_escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Returns the error text for the value at `path`, which is nested too deep.
pub(crate) fn refusal(path: &str) -> String {
    format!("{path:?} is nested too deep: the value of an attribute may have {MAX_DEPTH} levels of arrays and objects")
}

/// The hint for that error.
pub(crate) const FLATTEN: &str = "store it flatter, or as a text";

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> String {
        let objects = levels / 2;
        let lists = levels - objects;
        format!("{}{}1{}{}", "[".repeat(lists), "{\"[\":".repeat(objects), "}".repeat(objects), "]".repeat(lists))
    }

    #[test]
    fn the_levels_of_a_text_are_counted() {
        let table = [("1", 0), ("[]", 1), (r#"{"a":[{}],"b":[]}"#, 3), (r#"["[{\"[","\\",[[]]]"#, 3)];
        for (json, levels) in table {
            assert_eq!(depth(json), levels, "{json}");
        }
        for levels in [0, 1, 126, 127, 128, 990] {
            let json = nested(levels);
            assert_eq!(depth(&json), levels);
            assert_eq!(is_unreadable(&json), serde_json::from_str::<Value>(&json).is_err(), "{levels}");
        }
    }

    #[test]
    fn an_attribute_at_the_limit_fits_into_every_form_and_no_deeper_one_does() {
        for (levels, fits) in [(MAX_DEPTH - 1, true), (MAX_DEPTH, true), (MAX_DEPTH + 1, false)] {
            let value: Value = serde_json::from_str(&nested(levels)).expect("readable by itself");
            let attributes = Attributes::from_iter([("fine".to_owned(), Value::Null), ("data".to_owned(), value)]);
            assert_eq!(too_deep(&attributes), (!fits).then_some("data"), "{levels}");
            let around = serde_json::json!({ "attributes": attributes }).to_string();
            assert_eq!(serde_json::from_str::<Value>(&around).is_ok(), fits, "{levels}");
        }
    }
}
