use serde_json::{Number, Value};

use crate::document::date::{self, DateRange};

/// The longest term that the server indexes.
const MAX_TERM_BYTES: usize = 32_766;

/// What a field's values are compared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldType {
    Keyword,
    /// Whole numbers from the first to the second.
    Whole(&'static str, i64, i64),
    Double,
    /// A number of 32 bits.
    Float,
    Boolean,
    Date,
    Flattened,
    /// Stored and found by `exists`; comparing its words is left to the real server.
    Text,
    /// Only stored.
    Binary,
}

/// A value of a field as searches see it. Values of one field are all of one variant.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub(super) enum FieldValue {
    Text(String),
    /// Whole numbers, dates in milliseconds since 1970, booleans as 0 and 1.
    Whole(i64),
    Fraction(f64),
    /// There is one, which cannot be compared.
    Present,
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

    /// The value that a document's `value`, no list and not null, gives the field. None if it is ignored; an error if a real
    /// server refuses it.
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
            Self::Text => text.map(|_| Some(FieldValue::Present)),
            Self::Binary => text.map(|_| None),
            Self::Boolean => boolean(value).map(Some).ok_or_else(refused),
            Self::Date => match value {
                Value::Bool(_) => Err(refused()),
                _ => date::parse(&text?).map(|range| Some(FieldValue::Whole(range.first))).ok_or_else(refused),
            },
            // An empty text is no number, and no error.
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

    /// The first and the last of the values that `value` stands for in a query: the first is above the last if there are
    /// none.
    pub(super) fn of_query(self, value: &Value) -> Result<(FieldValue, FieldValue), String> {
        let refused = || format!("failed to create query: {value} is no {}", self.name());
        let one = |value: FieldValue| (value.clone(), value);
        match self {
            Self::Keyword | Self::Flattened => scalar_text(value).map(FieldValue::Text).map(one).ok_or_else(refused),
            Self::Boolean => boolean(value).map(one).ok_or_else(refused),
            Self::Date => {
                let text = scalar_text(value).filter(|_| !value.is_boolean()).ok_or_else(refused)?;
                let DateRange { first, last } = date::parse(&text)
                    .ok_or_else(|| format!("{text:?} is no date that the memory cluster knows; date maths is not"))?;
                Ok((FieldValue::Whole(first), FieldValue::Whole(last)))
            }
            Self::Whole(_, least, most) => match number(value).ok_or_else(refused)? {
                Exact::Whole(whole) => match i64::try_from(whole).ok().filter(|whole| (least..=most).contains(whole)) {
                    Some(whole) => Ok(one(FieldValue::Whole(whole))),
                    None => Err(refused()),
                },
                Exact::Fraction(fraction) if fraction < least as f64 || fraction > most as f64 => Err(refused()),
                // Nothing is equal to it; the numbers above and below it are found all the same.
                Exact::Fraction(fraction) => {
                    Ok((FieldValue::Whole(fraction.ceil() as i64), FieldValue::Whole(fraction.floor() as i64)))
                }
            },
            Self::Double | Self::Float => self.fraction(value).map(one).ok_or_else(refused),
            Self::Text | Self::Binary => {
                Err(format!("the memory cluster does not search fields of type {}", self.name()))
            }
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
