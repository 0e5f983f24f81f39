//! Conversion of attributes between JSON and a struct. serde's messages quote values, so they are not passed on.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::document::Attributes;
use crate::{Error, ErrorKind, Result};

/// Returns the attributes as a struct.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) if they do not fit the struct. The message names the location.
pub(super) fn from_json<T: DeserializeOwned>(attributes: Attributes) -> Result<T> {
    serde_path_to_error::deserialize(Value::Object(attributes)).map_err(|error| {
        let reason = error.inner().to_string();
        // The name of a field comes from the struct; every other message may quote a value.
        let reason = if reason.starts_with("missing field") { reason } else { "it has another form".to_owned() };
        Error::new(
            ErrorKind::Corrupt,
            format!("the stored attributes are no {}: at {}: {reason}", std::any::type_name::<T>(), error.path()),
        )
        .with_hint("compare the struct with the create schema of the type's newest model version")
    })
}

/// Returns the struct as attributes.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if it does not serialize to a JSON object.
pub(super) fn to_json<T: Serialize>(attributes: &T) -> Result<Attributes> {
    match serde_json::to_value(attributes) {
        Ok(Value::Object(attributes)) => Ok(attributes),
        _ => Err(Error::invalid(
            format!("a {} does not serialize to a JSON object", std::any::type_name::<T>()),
            "use a struct with named fields, or a map with text keys",
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Note {
        title: String,
        tags: Vec<u32>,
    }

    fn read(value: Value) -> Result<Note> {
        from_json(value.as_object().cloned().expect("an object"))
    }

    #[test]
    fn errors_name_the_location_and_never_the_value() {
        let error = read(json!({"title": "t", "tags": [1, "SECRET"]})).expect_err("a text");
        assert!(error.message().contains("tags[1]"), "{error}");
        assert!(!format!("{error:?}").contains("SECRET"), "{error:?}");
        let error = read(json!({"tags": []})).expect_err("no title");
        assert!(error.message().contains("missing field `title`"), "{error}");
    }

    #[test]
    fn only_objects_are_attributes() {
        assert!(to_json(&Note { title: "t".to_owned(), tags: vec![] }).is_ok());
        assert_eq!(to_json(&"text").expect_err("a text").kind(), ErrorKind::Invalid);
    }
}
