//! Paths that name a value within attributes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{Error, Result};

/// The path of a value within attributes: names joined by dots, such as `config.retries`. A path goes through arrays
/// and then names the value in each object of the array. A name that contains a dot cannot be addressed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributePath {
    first: String,
    rest: Vec<String>,
}

impl AttributePath {
    /// Returns the attribute that the path begins with.
    pub fn attribute(&self) -> &str {
        &self.first
    }

    /// Returns whether the path names a value inside its attribute, and not the attribute itself.
    pub fn is_nested(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Removes the named value from `attributes`. If the path leads nowhere, nothing changes.
    pub(crate) fn remove_from(&self, attributes: &mut Map<String, Value>) {
        remove(attributes, &self.first, &self.rest);
    }
}

fn remove(object: &mut Map<String, Value>, name: &str, rest: &[String]) {
    match rest.split_first() {
        None => drop(object.remove(name)),
        Some((next, rest)) => {
            if let Some(value) = object.get_mut(name) {
                remove_within(value, next, rest);
            }
        }
    }
}

fn remove_within(value: &mut Value, name: &str, rest: &[String]) {
    match value {
        Value::Object(object) => remove(object, name, rest),
        Value::Array(elements) => elements.iter_mut().for_each(|element| remove_within(element, name, rest)),
        _ => (),
    }
}

impl fmt::Display for AttributePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.first)?;
        self.rest.iter().try_for_each(|name| write!(f, ".{name}"))
    }
}

impl FromStr for AttributePath {
    type Err = Error;

    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if a name between the dots is empty.
    fn from_str(text: &str) -> Result<Self> {
        let mut names = text.split('.').map(str::to_owned);
        let first = names.next().unwrap_or_default();
        let rest: Vec<String> = names.collect();
        if first.is_empty() || rest.iter().any(String::is_empty) {
            return Err(Error::invalid(
                format!("the path {text:?} has an empty name"),
                "write the names from the attribute inwards, joined by single dots",
            ));
        }
        Ok(Self { first, rest })
    }
}

impl Serialize for AttributePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AttributePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn removal_goes_through_objects_and_arrays_of_objects() {
        let table = [
            ("a", json!({"a": {"b": 1}, "c": 2}), json!({"c": 2})),
            ("a.b", json!({"a": {"b": 1, "d": 3}}), json!({"a": {"d": 3}})),
            ("a.b", json!({"a": [{"b": 1, "d": 3}, {"b": 2}, 7]}), json!({"a": [{"d": 3}, {}, 7]})),
            ("a.b.c", json!({"a": [[{"b": {"c": 1}}]]}), json!({"a": [[{"b": {}}]]})),
            ("a.b", json!({"a": "text", "a.b": 1}), json!({"a": "text", "a.b": 1})),
            ("x.y", json!({"a": null}), json!({"a": null})),
        ];
        for (path, mut before, after) in table {
            let path: AttributePath = path.parse().expect("a path");
            path.remove_from(before.as_object_mut().expect("an object"));
            assert_eq!(before, after, "{path}");
        }
    }

    #[test]
    fn empty_names_are_refused() {
        for text in ["", ".", "a.", ".a", "a..b"] {
            assert!(text.parse::<AttributePath>().is_err(), "{text:?}");
        }
    }
}
