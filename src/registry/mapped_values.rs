//! The values that a mapped field takes, as far as that can be known without the server. Values that only the server
//! can check (formats of dates, shapes, vectors) count as taken.

use std::net::IpAddr;

use serde_json::Value;

use crate::document::date;

/// The levels of objects in a flattened field. Source: its parameter `depth_limit`.
const FLATTENED_LEVELS: u64 = 20;
/// The last millisecond that a `date_nanos` holds: 2262-04-11T23:47:16.854Z.
const LAST_OF_NANOS: i64 = 9_223_372_036_854;
/// Formats of dates that [`date::parse`] reads.
const READABLE_FORMATS: &[&str] = &["strict_date_optional_time", "strict_date_optional_time_nanos", "epoch_millis"];
/// The keys of a range.
const BOUNDS: &[&str] = &["gte", "gt", "lte", "lt"];

/// Returns the type of a mapped field.
pub(crate) fn type_of(field: &Value) -> &str {
    field.get("type").and_then(Value::as_str).unwrap_or("object")
}

/// Returns what a mapped field takes, if it does not take `value`, which is neither null nor a list.
pub(crate) fn refusal(field: &Value, value: &Value) -> Option<String> {
    let kind = type_of(field);
    // A number that is an object is refused all the same.
    let is_number = matches!(kind, "byte" | "short" | "integer" | "long" | "half_float" | "float" | "double");
    if is_set(field, "ignore_malformed") && !(is_number && value.is_object()) {
        return None;
    }
    let is_taken = match kind {
        "object" | "nested" => value.is_object(),
        "flattened" => return flattened(field, value),
        "keyword" | "text" => !value.is_object(),
        "boolean" => value.is_boolean() || matches!(value.as_str(), Some("true" | "false" | "")),
        "date" | "date_nanos" => is_date(field, value),
        "ip" => value.as_str().is_some_and(|text| text.parse::<IpAddr>().is_ok()),
        "byte" => is_whole(field, value, i8::MIN.into(), i8::MAX.into()),
        "short" => is_whole(field, value, i16::MIN.into(), i16::MAX.into()),
        "integer" => is_whole(field, value, i32::MIN.into(), i32::MAX.into()),
        "long" => is_whole(field, value, i64::MIN, i64::MAX),
        "half_float" => is_fraction(field, value, 65_520.0),
        "float" => is_fraction(field, value, f64::from(f32::MAX) * 1.000_000_03),
        "double" => is_fraction(field, value, f64::INFINITY),
        "date_range" | "double_range" | "float_range" | "integer_range" | "long_range" => is_range(value),
        "ip_range" => is_range_of_addresses(value),
        "alias" => false,
        _ => true,
    };
    (!is_taken).then(|| expected(kind))
}

/// Returns whether the root fields `created_at` and `updated_at` take a text.
pub(crate) fn is_root_date(text: &str) -> bool {
    date::parse(text).is_some() || date::is_left_to_the_server(text)
}

fn expected(kind: &str) -> String {
    let whole = |least: i64, most: i64| format!("takes whole numbers from {least} to {most}");
    match kind {
        "object" | "nested" => "holds objects".to_owned(),
        "keyword" | "text" => "takes texts, numbers and booleans, no objects".to_owned(),
        "boolean" => "takes true and false".to_owned(),
        "date" => format!("takes {DATES}"),
        "date_nanos" => format!("takes {DATES} between 1970 and 2262"),
        "ip" => "takes one address, of IPv4 or IPv6".to_owned(),
        "byte" => whole(i8::MIN.into(), i8::MAX.into()),
        "short" => whole(i16::MIN.into(), i16::MAX.into()),
        "integer" => whole(i32::MIN.into(), i32::MAX.into()),
        "long" => whole(i64::MIN, i64::MAX),
        "half_float" | "float" | "double" => "takes finite numbers within its range".to_owned(),
        "alias" => "stands for another field and takes no values".to_owned(),
        "ip_range" => "takes networks (10.0.0.0/8) and objects with `gte`, `gt`, `lte` and `lt`".to_owned(),
        _ => "takes objects with `gte`, `gt`, `lte` and `lt`".to_owned(),
    }
}

/// The values that a field of dates takes.
pub(crate) const DATES: &str = "dates of ISO 8601 (2026-03-01T10:00:00.000Z), or milliseconds since 1970";

fn is_set(field: &Value, parameter: &str) -> bool {
    matches!(field.get(parameter), Some(Value::Bool(true))) || field.get(parameter).is_some_and(|value| value == "true")
}

fn is_unset(field: &Value, parameter: &str) -> bool {
    matches!(field.get(parameter), Some(Value::Bool(false)))
        || field.get(parameter).is_some_and(|value| value == "false")
}

fn is_date(field: &Value, value: &Value) -> bool {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return false,
    };
    let formats = field.get("format").and_then(Value::as_str);
    if formats.is_some_and(|formats| !formats.split("||").all(|format| READABLE_FORMATS.contains(&format))) {
        return true;
    }
    // One readable format alone takes less than two. What it refuses, only the server knows.
    let is_nanos = type_of(field) == "date_nanos";
    match date::parse(&text) {
        None => date::is_left_to_the_server(&text) && !(is_nanos && text.starts_with('-')),
        Some(_) if !is_nanos => true,
        // A number beyond the last millisecond is taken, but a text is not.
        Some(range) => {
            let is_too_late = range.first > LAST_OF_NANOS && value.is_string();
            let is_hour_alone = text.split_once('T').is_some_and(|(_, time)| !time.is_empty() && !time.contains(':'));
            !text.starts_with('-') && range.first >= 0 && !is_too_late && !is_hour_alone
        }
    }
}

fn is_range(value: &Value) -> bool {
    value.as_object().is_some_and(|bounds| bounds.keys().all(|bound| BOUNDS.contains(&bound.as_str())))
}

fn is_range_of_addresses(value: &Value) -> bool {
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    match value {
        Value::String(network) => network
            .split_once('/')
            .is_some_and(|(address, bits)| is_address(address) && bits.parse().is_ok_and(|bits: u8| bits <= 128)),
        Value::Object(bounds) => {
            is_range(value) && bounds.values().all(|bound| bound.is_null() || bound.as_str().is_some_and(is_address))
        }
        _ => false,
    }
}

fn is_whole(field: &Value, value: &Value, least: i64, most: i64) -> bool {
    let is_coerced = !is_unset(field, "coerce");
    let (text, is_text) = match value {
        Value::Number(number) => (number.to_string(), false),
        Value::String(text) if is_coerced => (text.clone(), true),
        _ => return false,
    };
    // An empty text is no value. Which texts other than decimal numbers types of fewer bits take, Java decides.
    if is_text && (text.is_empty() || is_javas(&text)) {
        return type_of(field) != "long" || text.is_empty();
    }
    // Blanks around a text are taken with fewer bits only.
    let trimmed = if is_text && type_of(field) != "long" { text.trim() } else { &text };
    let Some(Decimal { whole, has_fraction }) = Decimal::parse(trimmed) else {
        return false;
    };
    // As a fraction, a number is compared in 64 bits, which know no difference between the last numbers of `long`.
    let most = i128::from(most) + i128::from(!is_text && most == i64::MAX && text.contains(['.', 'e', 'E']));
    (is_coerced || !has_fraction) && whole.is_some_and(|whole| (i128::from(least)..=most).contains(&whole))
}

fn is_fraction(field: &Value, value: &Value, most: f64) -> bool {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) if !is_unset(field, "coerce") => match text.trim() {
            _ if text.is_empty() => return true,
            text if is_javas(text) => return !matches!(text.trim_start_matches(['+', '-']), "NaN" | "Infinity"),
            text => text.parse().ok().filter(|_| Decimal::parse(text).is_some()),
        },
        _ => None,
    };
    number.is_some_and(|number: f64| number.is_finite() && number.abs() <= most)
}

/// Returns whether a text may be a number in Java only: `0x1p3`, `1d`, `NaN`.
fn is_javas(text: &str) -> bool {
    let unsigned = text.trim().trim_start_matches(['+', '-']);
    let is_suffixed = unsigned.ends_with(['d', 'D', 'f', 'F']) && unsigned.starts_with(|c: char| c.is_ascii_digit());
    let is_hexadecimal = (unsigned.starts_with("0x") || unsigned.starts_with("0X")) && unsigned.contains(['p', 'P']);
    is_suffixed || is_hexadecimal || matches!(unsigned, "NaN" | "Infinity")
}

/// A decimal number, exactly.
struct Decimal {
    /// Its whole part; `None` if that has more than 128 bits.
    whole: Option<i128>,
    has_fraction: bool,
}

impl Decimal {
    /// Reads a number as JSON and Java write it.
    fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (unsigned, 0),
        };
        let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{before}{after}");
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let point = i64::try_from(before.len()).ok()?.saturating_add(exponent);
        let point = usize::try_from(point.max(0)).ok()?;
        let (whole, fraction) = digits.split_at_checked(point).unwrap_or((digits.as_str(), ""));
        let whole = whole.trim_start_matches('0');
        let zeros = if whole.is_empty() { 0 } else { point.saturating_sub(digits.len()) };
        let has_fraction = fraction.bytes().any(|digit| digit != b'0');
        // Longer ones have more than 128 bits.
        if whole.len().saturating_add(zeros) > 38 {
            return Some(Self { whole: None, has_fraction });
        }
        let magnitude = format!("0{whole}{}", "0".repeat(zeros)).parse::<i128>().ok();
        let whole = magnitude.map(|magnitude| if text.starts_with('-') { -magnitude } else { magnitude });
        Some(Self { whole, has_fraction })
    }
}

fn flattened(field: &Value, value: &Value) -> Option<String> {
    fn find(value: &Value, levels: u64) -> Option<String> {
        match value {
            Value::Object(_) if levels == 0 => Some("takes objects that are nested less deep".to_owned()),
            Value::Object(members) => {
                let odd = members.iter().any(|(name, value)| name.contains('\0') || has_null_character(value));
                if odd {
                    return Some("takes neither names nor texts with a null character".to_owned());
                }
                members.values().find_map(|value| find(value, levels - 1))
            }
            Value::Array(elements) => elements.iter().find_map(|element| find(element, levels)),
            _ => None,
        }
    }
    fn has_null_character(value: &Value) -> bool {
        value.as_str().is_some_and(|text| text.contains('\0'))
    }
    let levels = field.get("depth_limit").and_then(Value::as_u64).unwrap_or(FLATTENED_LEVELS);
    if value.is_object() { find(value, levels) } else { Some("holds objects".to_owned()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn takes(field: Value, value: Value) -> bool {
        refusal(&field, &value).is_none()
    }

    #[test]
    fn whole_numbers_are_judged_digit_by_digit() {
        let of = |kind: &str| json!({ "type": kind });
        let table = [
            ("long", json!(9_223_372_036_854_775_807_i64), true),
            ("long", json!(9_223_372_036_854_775_808_u64), false),
            ("long", json!(99_999_999_999_999_999_999_f64), false),
            ("long", json!("9223372036854775808"), false),
            ("long", json!("-9223372036854775808"), true),
            ("long", json!("-9223372036854775809"), false),
            ("long", json!("1e3"), true),
            ("long", json!("1e30"), false),
            ("long", json!("0e999999999999"), true),
            ("long", json!(""), true),
            ("long", json!("x"), false),
            ("long", json!("."), false),
            ("long", json!(true), false),
            ("long", json!({}), false),
            ("long", json!(1.5), true),
            ("integer", json!(2_147_483_647), true),
            ("integer", json!(2_147_483_648_i64), false),
            ("short", json!(-32_768), true),
            ("short", json!(-32_769), false),
            ("byte", json!("127.9"), true),
            ("byte", json!(128), false),
            ("float", json!(1e38), true),
            ("float", json!(1e39), false),
            ("half_float", json!(65_504), true),
            ("half_float", json!(70_000), false),
            ("double", json!("1e400"), false),
            ("double", json!("x"), false),
        ];
        for (kind, value, expected) in table {
            assert_eq!(takes(of(kind), value.clone()), expected, "{kind} {value}");
        }
        assert!(!takes(json!({ "type": "long", "coerce": false }), json!("1")));
        assert!(!takes(json!({ "type": "long", "coerce": false }), json!(1.5)));
        assert!(takes(json!({ "type": "long", "coerce": false }), json!(1)));
        assert!(takes(json!({ "type": "long", "ignore_malformed": true }), json!("x")));
    }

    #[test]
    fn other_values_are_judged_by_their_form() {
        let deep = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }));
        let table = [
            (json!({ "type": "date" }), json!("yesterday"), false),
            (json!({ "type": "date" }), json!("2026-02-30"), false),
            (json!({ "type": "date" }), json!("2026-02-28"), true),
            (json!({ "type": "date" }), json!(1_700_000_000_000_i64), true),
            (json!({ "type": "date" }), json!(true), false),
            (json!({ "type": "date" }), json!("2026-02-28T10:00:00Europe/Berlin"), true),
            (json!({ "type": "date", "format": "dd.MM.yyyy" }), json!("28.02.2026"), true),
            (json!({ "type": "date", "format": "dd.MM.yyyy" }), json!({}), false),
            (json!({ "type": "date_nanos" }), json!("1969-12-31"), false),
            (json!({ "type": "date_nanos" }), json!("2263-01-01"), false),
            (json!({ "type": "date_nanos" }), json!("2026-01-01"), true),
            (json!({ "type": "boolean" }), json!("true"), true),
            (json!({ "type": "boolean" }), json!(1), false),
            (json!({ "type": "ip" }), json!("::1"), true),
            (json!({ "type": "ip" }), json!("300.1.1.1"), false),
            (json!({ "type": "keyword" }), json!(5), true),
            (json!({ "type": "keyword" }), json!({}), false),
            (json!({ "properties": {} }), json!("x"), false),
            (json!({ "type": "nested" }), json!(1), false),
            (json!({ "type": "flattened" }), json!("x"), false),
            (json!({ "type": "flattened" }), deep(20), true),
            (json!({ "type": "flattened" }), deep(21), false),
            (json!({ "type": "flattened" }), json!({ "a": "\u{0}" }), false),
            (json!({ "type": "long_range" }), json!({ "gte": 1 }), true),
            (json!({ "type": "long_range" }), json!({ "from": 1 }), false),
            (json!({ "type": "ip_range" }), json!("10.0.0.0/8"), true),
            (json!({ "type": "geo_point" }), json!("whatever"), true),
        ];
        for (field, value, expected) in table {
            assert_eq!(takes(field.clone(), value.clone()), expected, "{field} {value}");
        }
    }
}
