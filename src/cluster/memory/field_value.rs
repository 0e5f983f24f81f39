//! Field types: how the values of documents and queries are parsed and compared.

use jiff::Timestamp;
use serde_json::{Number, Value};

use super::date_math;
use super::refusals::Refused;
use super::words::words;
use crate::document::date::{self, DateRange};

/// The format of dates unless a mapping has another one.
const DATE_FORMAT: &str = "strict_date_optional_time||epoch_millis";

/// The longest term that the server indexes.
const MAX_TERM_BYTES: usize = 32_766;

/// The type of a field, which decides how its values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldType {
    Keyword,
    /// Integers in the range between both numbers.
    Whole(&'static str, i64, i64),
    Double,
    /// A 32-bit number.
    Float,
    Boolean,
    Date,
    Flattened,
    /// A text that is searched by its words.
    Text,
    /// Only stored.
    Binary,
}

/// A value of a field as searches see it. All values of one field have the same variant.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub(super) enum FieldValue {
    Text(String),
    /// The words of a text.
    Words(Vec<String>),
    /// Integers, dates in milliseconds since 1970, and booleans as 0 and 1.
    Whole(i64),
    Fraction(f64),
}

impl FieldType {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "keyword" => Self::Keyword,
            "long" => Self::Whole("long", i64::MIN, i64::MAX),
            "integer" => Self::Whole("integer", i32::MIN as i64, i32::MAX as i64),
            "short" => Self::Whole("short", i16::MIN as i64, i16::MAX as i64),
            "byte" => Self::Whole("byte", i8::MIN as i64, i8::MAX as i64),
            "double" => Self::Double,
            "float" => Self::Float,
            "boolean" => Self::Boolean,
            "date" => Self::Date,
            "flattened" => Self::Flattened,
            "text" => Self::Text,
            "binary" => Self::Binary,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Keyword => "keyword",
            Self::Whole(name, ..) => name,
            Self::Double => "double",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Flattened => "flattened",
            Self::Text => "text",
            Self::Binary => "binary",
        }
    }

    /// Parses a document's `value`, which is neither a list nor null. Returns `None` if the field ignores it, and an
    /// error if a real server refuses it.
    pub(super) fn of_document(self, value: &Value) -> Result<Option<FieldValue>, String> {
        let refused = || format!("failed to parse field of type [{}]", self.name());
        let text = scalar_text(value).ok_or_else(refused);
        match self {
            Self::Keyword | Self::Flattened => {
                let text = text?;
                match text.len() > MAX_TERM_BYTES {
                    true => Err(format!("failed to parse field: its term is longer than {MAX_TERM_BYTES} bytes")),
                    false => Ok(Some(FieldValue::Text(text))),
                }
            }
            Self::Text => text.map(|text| Some(FieldValue::Words(words(&text)))),
            Self::Binary => text.map(|_| None),
            Self::Boolean => boolean(value).map(Some).ok_or_else(refused),
            Self::Date => match value {
                Value::Bool(_) => Err(refused()),
                _ => date::parse(&text?).map(|range| Some(FieldValue::Whole(range.first))).ok_or_else(refused),
            },
            // An empty string is not a number, but not an error either.
            Self::Whole(..) | Self::Double | Self::Float if value.as_str() == Some("") => Ok(None),
            Self::Whole(_, least, most) => {
                let whole = match number(value).ok_or_else(refused)? {
                    Exact::Whole(whole) => whole,
                    Exact::Fraction(fraction) => fraction.trunc() as i128,
                };
                let whole = i64::try_from(whole).ok().filter(|whole| (least..=most).contains(whole));
                whole.map(|whole| Some(FieldValue::Whole(whole))).ok_or_else(refused)
            }
            Self::Double | Self::Float => self.fraction(value).map(Some).ok_or_else(refused),
        }
    }

    /// Returns whether its values are terms, parts of which a query can name.
    pub(super) fn has_terms(self) -> bool {
        matches!(self, Self::Keyword | Self::Text | Self::Flattened)
    }

    /// Returns the first and the last of the values that `value` stands for in a query at the time `now`. If there are
    /// none, the first is above the last.
    pub(super) fn of_query(self, value: &Value, now: Timestamp) -> Result<(FieldValue, FieldValue), Refused> {
        let shown = scalar_text(value).unwrap_or_else(|| value.to_string());
        let argument = |reason: String| Refused::query("illegal_argument_exception", reason);
        let no_number = || Refused::query("number_format_exception", format!("For input string: {shown:?}"));
        let out_of_range = |name: &str| argument(format!("Value [{shown}] is out of range for a {name}"));
        let one = |value: FieldValue| (value.clone(), value);
        match self {
            Self::Keyword | Self::Flattened | Self::Text => {
                let no_text = || argument(format!("{} is no text", shown));
                scalar_text(value).map(FieldValue::Text).map(one).ok_or_else(no_text)
            }
            Self::Boolean => boolean(value)
                .map(one)
                .ok_or_else(|| argument(format!("Can't parse boolean value [{shown}], expected [true] or [false]"))),
            Self::Date => {
                let start = shown.split_once("||").map_or(shown.as_str(), |(start, _)| start);
                if date::is_left_to_the_server(start) {
                    return Err(Refused::unsupported("dates in years before 0 and in time zones with names"));
                }
                let DateRange { first, last } = date_math::parse(&shown, now).map_err(|wrong| match wrong {
                    date_math::NO_DATE => {
                        let reason = format!("{wrong} [{shown}] with format [{DATE_FORMAT}]");
                        Refused::query("date_time_parse_exception", format!("{reason}: [{reason}]"))
                    }
                    wrong => Refused::query("parse_exception", format!("{wrong} [{shown}]")),
                })?;
                Ok((FieldValue::Whole(first), FieldValue::Whole(last)))
            }
            Self::Whole(name, least, most) => match number(value).ok_or_else(no_number)? {
                // A number outside of a shorter type's range is valid: a query then matches nothing, or everything.
                Exact::Whole(whole) => match i64::try_from(whole) {
                    Ok(whole) => Ok(one(FieldValue::Whole(whole))),
                    Err(_) => Err(out_of_range(name)),
                },
                Exact::Fraction(fraction) if fraction < least as f64 || fraction > most as f64 => {
                    Err(out_of_range(name))
                }
                // No integer equals it, but those above and below are still found.
                Exact::Fraction(fraction) => {
                    Ok((FieldValue::Whole(fraction.ceil() as i64), FieldValue::Whole(fraction.floor() as i64)))
                }
            },
            Self::Double | Self::Float => self.fraction(value).map(one).ok_or_else(no_number),
            Self::Binary => Err(Refused::mapping("Binary fields do not support searching")),
        }
    }

    fn fraction(self, value: &Value) -> Option<FieldValue> {
        let fraction = match number(value)? {
            Exact::Whole(whole) => whole as f64,
            Exact::Fraction(fraction) => fraction,
        };
        let fraction = if self == Self::Float { f64::from(fraction as f32) } else { fraction };
        fraction.is_finite().then_some(FieldValue::Fraction(fraction))
    }
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(boolean) => Some(boolean.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn boolean(value: &Value) -> Option<FieldValue> {
    match (value, value.as_str()) {
        (Value::Bool(true), _) | (_, Some("true")) => Some(FieldValue::Whole(1)),
        (Value::Bool(false), _) | (_, Some("false" | "")) => Some(FieldValue::Whole(0)),
        _ => None,
    }
}

enum Exact {
    Whole(i128),
    Fraction(f64),
}

fn number(value: &Value) -> Option<Exact> {
    let of_number = |number: &Number| match (number.as_i128(), number.as_f64()) {
        (Some(whole), _) => Some(Exact::Whole(whole)),
        (None, Some(float)) if float.fract() == 0.0 && float.abs() < 1e18 => Some(Exact::Whole(float as i128)),
        (None, float) => float.map(Exact::Fraction),
    };
    match value {
        Value::Number(number) => of_number(number),
        Value::String(text) => of_number(&text.trim().parse::<Number>().ok()?),
        _ => None,
    }
}
