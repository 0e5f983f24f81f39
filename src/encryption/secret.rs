//! Decrypted values, which are wiped and never shown.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::canonical_json;
use crate::document::exact;
use crate::document::numbers::Numbers;
use crate::{Error, ErrorKind, Result};

/// The decrypted values of an object, by attribute name.
pub type Secrets = BTreeMap<String, Secret>;

/// A decrypted value: any JSON value except null.
///
/// It is wiped when dropped, its `Debug` is redacted, and it cannot be displayed or serialized. A comparison takes the
/// same time wherever two texts differ. A clone is another copy in memory, wiped like the first: clone only what must
/// outlive its owner.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Creates a secret from the JSON string `value`.
    pub fn text(value: &str) -> Self {
        // The capacity covers the longest escape of every byte that needs one, because growing would leave a copy
        // behind.
        let escapes = value.bytes().filter(|byte| canonical_json::needs_escape(*byte)).count();
        let mut json = Zeroizing::new(String::with_capacity(value.len() + 2 + 5 * escapes));
        canonical_json::write_string(value, &mut json);
        Self(json)
    }

    /// Creates a secret from the JSON of `value`.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the JSON is null, or if `value` cannot be written as JSON. The error does not
    /// contain the value.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        let mut buffer = WipingBuffer::default();
        serde_json::to_writer(&mut buffer, value).map_err(|_| {
            Error::invalid("the secret cannot be written as JSON", "give a value whose map keys are texts")
        })?;
        let text = std::str::from_utf8(&buffer.0)
            .map_err(|_| Error::new(ErrorKind::Internal, "the JSON of a secret is not UTF-8"))?;
        if text == "null" {
            return Err(Error::invalid("null is not a secret", "remove the attribute instead"));
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Creates a secret from the JSON of the value at `pointer` of an object whose number texts are `numbers`.
    ///
    /// # Errors
    /// Those of [`json`](Self::json).
    pub(crate) fn numbered(value: &Value, numbers: &Numbers, pointer: &str) -> Result<Self> {
        match numbers.is_empty() || value.is_null() {
            true => Self::json(value),
            false => Ok(Self(exact::exact_value(value, numbers, pointer))),
        }
    }

    /// Creates a secret from the JSON text of a decrypted envelope. Returns `None` if it is not JSON. Trailing spaces
    /// are padding.
    pub(super) fn from_plaintext(mut text: Zeroizing<String>) -> Option<Self> {
        serde_json::from_str::<serde::de::IgnoredAny>(&text).ok()?;
        let unpadded = text.trim_end().len();
        text.truncate(unpadded);
        Some(Self(text))
    }

    /// Returns the value as JSON text.
    pub fn expose_json(&self) -> &str {
        &self.0
    }

    /// Returns the value as a string.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) if it is not a JSON string. The error does not contain the value.
    pub fn expose_text(&self) -> Result<Zeroizing<String>> {
        self.parse().map(Zeroizing::new)
    }

    /// Parses the value as a `T`. The result is as protected as `T` is.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) if it is not a `T`. The error does not contain the value.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        // serde's own error quotes the value.
        serde_json::from_str(&self.0).map_err(|_| {
            Error::new(ErrorKind::Corrupt, format!("the secret is not a {}", std::any::type_name::<T>()))
                .with_hint("store it again in the form that its type demands")
        })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

/// A buffer that leaves no copies of its content behind when it grows.
#[derive(Default)]
struct WipingBuffer(Zeroizing<Vec<u8>>);

impl Write for WipingBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * self.0.capacity())));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_comes_back() {
        for text in ["", "Bearer abc", "quote \" and \\ and \n and \u{1}", "ä😀"] {
            let secret = Secret::text(text);
            assert_eq!(*secret.expose_text().expect("a text"), text);
            assert_eq!(secret, Secret::json(text).expect("a text is JSON"));
        }
    }

    #[test]
    fn text_reserves_all_the_room_it_needs() {
        let secret = Secret::text(&"\u{1}".repeat(100));
        assert_eq!(secret.0.len(), 602);
        assert_eq!(secret.0.capacity(), 602);
    }

    #[test]
    fn null_is_refused() {
        for error in [Secret::json(&None::<String>), Secret::json(&Value::Null), Secret::json(&f64::NAN)] {
            assert_eq!(error.expect_err("null").kind(), ErrorKind::Invalid);
        }
    }

    #[test]
    fn other_values_keep_their_type() {
        for value in [json!(0), json!(false), json!([]), json!({}), json!({"user": "svc", "n": [1, 2.5]})] {
            let secret = Secret::json(&value).expect("not null");
            assert_eq!(secret.parse::<Value>().expect("JSON"), value);
            assert_eq!(secret.expose_text().expect_err("no string").kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn errors_do_not_quote_the_value() {
        let secret = Secret::text("hunter2");
        let error = secret.parse::<u32>().expect_err("no number");
        assert_eq!(error.to_string(), "the secret is not a u32; store it again in the form that its type demands");
        assert!(!format!("{error:?}").contains("hunter2"));

        let keyed_by_secret = BTreeMap::from([(vec!["hunter2"], 1)]);
        let error = Secret::json(&keyed_by_secret).expect_err("map keys are texts");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn debug_is_redacted() {
        assert_eq!(format!("{:?}", Secret::text("hunter2")), "Secret(redacted)");
    }

    #[test]
    fn padding_is_not_part_of_the_value() {
        let open = |text: &str| Secret::from_plaintext(Zeroizing::new(text.to_owned()));
        assert_eq!(open("\"a\"   "), Some(Secret::text("a")));
        for text in ["", "   ", "\"a", "\"a\" \"b\"", "{", "nul"] {
            assert_eq!(open(text), None, "{text:?}");
        }
    }
}
