//! The one text of a JSON value that envelopes are bound to: no white space, keys sorted by UTF-16 code units, integers of
//! `i64` and `u64` in full, other numbers as ECMAScript writes them, in strings only the necessary escapes.

use std::fmt::Write;

use serde_json::{Map, Number, Value};

/// Appends the canonical text of `value` to `out`.
pub(super) fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(index, out);
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => write_object(members, out),
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

/// Whether a JSON string cannot hold `byte` as it is.
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

fn write_number(number: &Number, out: &mut String) {
    if let Some(integer) = number.as_i64() {
        append(out, format_args!("{integer}"));
    } else if let Some(integer) = number.as_u64() {
        append(out, format_args!("{integer}"));
    } else if let Some(double) = number.as_f64() {
        out.push_str(ryu_js::Buffer::new().format(double));
    }
}

fn write_object(members: &Map<String, Value>, out: &mut String) {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_unstable_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    out.push('{');
    for (index, (name, value)) in sorted.into_iter().enumerate() {
        separate(index, out);
        write_string(name, out);
        out.push(':');
        write(value, out);
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
