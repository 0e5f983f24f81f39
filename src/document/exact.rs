//! JSON that keeps the exact text of its numbers.

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::numbers::Numbers;
use super::{Attributes, json_text};

/// Attributes with the texts of their numbers, for lines of an export.
#[derive(Debug, Default)]
pub(crate) struct Numbered {
    pub(crate) values: Attributes,
    pub(crate) numbers: Numbers,
}

impl Numbered {
    /// Wraps `values` without number texts.
    pub(crate) fn of(values: Attributes) -> Self {
        Self { values, numbers: Numbers::default() }
    }

    /// Reads the number texts from `json`, in which the object is at the JSON pointer `within`.
    pub(crate) fn read_numbers(&mut self, json: &str, within: &str) {
        self.numbers = Numbers::read(json, within, &self.values);
    }
}

impl Serialize for Numbered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.numbers.is_empty() {
            return self.values.serialize(serializer);
        }
        RawValue::from_string(exact_json(&self.values, &self.numbers))
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

/// Returns the JSON of `values`, with every number digit for digit.
pub(crate) fn exact_json(values: &Attributes, numbers: &Numbers) -> String {
    let mut json = Vec::new();
    json_text::write_numbered(values, numbers, &mut json);
    String::from_utf8(json).unwrap_or_default()
}

/// Returns the JSON of the value at `pointer`, with every number digit for digit.
pub(crate) fn exact_value(value: &Value, numbers: &Numbers, pointer: &str) -> Zeroizing<String> {
    let mut json = Zeroizing::new(Vec::<u8>::with_capacity(256));
    json_text::write_numbered_value(value, numbers, &mut pointer.to_owned(), &mut *json);
    Zeroizing::new(std::str::from_utf8(&json).unwrap_or_default().to_owned())
}
