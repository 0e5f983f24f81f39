//! The canonical text of a JSON value, to which envelopes are bound. It has no white space, and keys are sorted by
//! UTF-16 code units. Integers of `i64` and `u64` are written in full, other numbers as in ECMAScript. Strings have
//! only the necessary escapes.

use std::fmt::Write;

use serde_json::{Map, Number, Value};

/// The form of integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Integers {
    /// In full, within the range of `i64` and `u64`.
    InFull,
    /// As in ECMAScript: rounded to a double first.
    #[cfg(any(test, feature = "kibana", feature = "testing"))]
    AsDoubles,
}

/// Appends the canonical text of `value` to `out`.
pub(super) fn write(value: &Value, out: &mut String) {
    write_with(Integers::InFull, value, out);
}

/// Appends the text of `value` to `out` like [`write`], with integers in the given form.
pub(super) fn write_with(integers: Integers, value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(integers, number, out),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(index, out);
                write_with(integers, item, out);
            }
            out.push(']');
        }
        Value::Object(members) => write_object(integers, members, out),
    }
}

/// Appends `text` as a JSON string to `out`.
pub(super) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some((before, escaped, after)) = split_at_escaped(rest) {
        out.push_str(before);
        match escaped {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control => append(out, format_args!("\\u{:04x}", u32::from(control))),
        }
        rest = after;
    }
    out.push_str(rest);
    out.push('"');
}

/// Returns whether `byte` must be escaped in a JSON string.
pub(super) fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn split_at_escaped(text: &str) -> Option<(&str, char, &str)> {
    let position = text.bytes().position(needs_escape)?;
    let (before, rest) = text.split_at_checked(position)?;
    let mut chars = rest.chars();
    let escaped = chars.next()?;
    Some((before, escaped, chars.as_str()))
}

fn write_number(integers: Integers, number: &Number, out: &mut String) {
    let is_in_full = integers == Integers::InFull;
    if let Some(integer) = number.as_i64().filter(|_| is_in_full) {
        append(out, format_args!("{integer}"));
    } else if let Some(integer) = number.as_u64().filter(|_| is_in_full) {
        append(out, format_args!("{integer}"));
    } else if let Some(double) = number.as_f64() {
        out.push_str(ryu_js::Buffer::new().format(double));
    } else {
        // Such a number exists only if a program enables `arbitrary_precision` of serde_json.
        append(out, format_args!("{number}"));
    }
}

fn write_object(integers: Integers, members: &Map<String, Value>, out: &mut String) {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_unstable_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    out.push('{');
    for (index, (name, value)) in sorted.into_iter().enumerate() {
        separate(index, out);
        write_string(name, out);
        out.push(':');
        write_with(integers, value, out);
    }
    out.push('}');
}

fn separate(index: usize, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
}

/// Writing to a `String` cannot fail.
fn append(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn canonical(value: &Value) -> String {
        let mut out = String::new();
        write(value, &mut out);
        out
    }

    #[test]
    fn numbers() {
        let cases = [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("1.0", "1"),
            ("1e0", "1"),
            ("-1.5", "-1.5"),
            ("0.1", "0.1"),
            ("123456789.125", "123456789.125"),
            ("9007199254740992", "9007199254740992"),
            ("9007199254740993", "9007199254740993"),
            ("-9007199254740993", "-9007199254740993"),
            ("9007199254740993.0", "9007199254740992"),
            ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "18446744073709552000"),
            ("1e16", "10000000000000000"),
            ("123456789012345680000", "123456789012345680000"),
            ("1e21", "1e+21"),
            ("-1.5e300", "-1.5e+300"),
            ("0.000001", "0.000001"),
            ("1e-7", "1e-7"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ];
        for (text, expected) in cases {
            let value: Value = serde_json::from_str(text).expect("a number");
            assert_eq!(canonical(&value), expected, "{text}");
        }
    }

    #[test]
    fn keys_are_sorted_by_utf16_at_every_depth() {
        let cases = [
            (
                json!({"b": 1, "a": {"d": [{"f": 1, "e": 2}], "c": null}}),
                r#"{"a":{"c":null,"d":[{"e":2,"f":1}]},"b":1}"#,
            ),
            (json!({"9": 1, "10": 2, "": 3, "Z": 4, "a": 5}), r#"{"":3,"10":2,"9":1,"Z":4,"a":5}"#),
            // In UTF-16, U+1F600 begins with D83D, which sorts below FB33. In UTF-8 it sorts above.
            (json!({"\u{fb33}": 1, "\u{1f600}": 2}), "{\"\u{1f600}\":2,\"\u{fb33}\":1}"),
        ];
        for (value, expected) in cases {
            assert_eq!(canonical(&value), expected);
        }
    }

    #[test]
    fn literals_and_empty_values_are_kept() {
        assert_eq!(canonical(&json!([null, true, false, "", 0, [], {}])), r#"[null,true,false,"",0,[],{}]"#);
    }

    #[test]
    fn strings_have_only_the_necessary_escapes() {
        let cases = [
            ("\" \\ \u{8} \u{c} \n \r \t", r#""\" \\ \b \f \n \r \t""#),
            ("\u{0}\u{1f}", r#""\u0000\u001f""#),
            ("/\u{7f}\u{2028}\u{2029}ä😀", "\"/\u{7f}\u{2028}\u{2029}ä😀\""),
        ];
        for (text, expected) in cases {
            assert_eq!(canonical(&json!(text)), expected);
        }
    }

    proptest! {
        #[test]
        fn strings_are_written_as_serde_json_writes_them(text in "(?s).*|[\\x00-\\x7f]*") {
            prop_assert_eq!(canonical(&json!(text)), serde_json::to_string(&text).expect("a string"));
        }
    }
}
