//! The names of connectors, users and types of tokens.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The limit on the length of a name, in bytes of UTF-8. Connectors and users are stored objects elsewhere, whose ids
/// are not longer.
const MAX_BYTES: usize = 512;

/// Defines a type of names: texts that are not empty, have at most 512 bytes, and no control characters. Quotes,
/// backslashes and all other characters are allowed: filters are structures, so a name cannot become syntax.
macro_rules! name {
    ($(#[$documentation:meta])* $name:ident, $what:literal) => {
        $(#[$documentation])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Creates a name from a text.
            ///
            /// # Errors
            /// [`Invalid`](crate::ErrorKind::Invalid) if the text is empty, longer than 512 bytes, or has a control
            /// character.
            pub fn new(text: impl Into<String>) -> Result<Self> {
                let text = text.into();
                check($what, &text)?;
                Ok(Self(text))
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name! {
    /// The id of a connector: not empty, at most 512 bytes, no control characters.
    ConnectorId, "connector id"
}

name! {
    /// The id of a user's profile: not empty, at most 512 bytes, no control characters.
    ProfileUid, "profile uid"
}

name! {
    /// The type of a token or of credentials: not empty, at most 512 bytes, no control characters.
    ///
    /// It is part of a token's identity: a connector has at most one token of each type in each scope.
    TokenType, "token type"
}

impl TokenType {
    /// Returns `access_token`, the default type of shared tokens.
    pub fn access_token() -> Self {
        Self("access_token".to_owned())
    }

    /// Returns `oauth`, the default type of users' credentials.
    pub fn oauth() -> Self {
        Self("oauth".to_owned())
    }
}

fn check(what: &str, text: &str) -> Result<()> {
    if text.is_empty() {
        return Err(Error::invalid(format!("the {what} is empty"), format!("give a {what}")));
    }
    if text.len() > MAX_BYTES {
        return Err(Error::invalid(
            format!("the {what} is too long: it has {} bytes", text.len()),
            format!("give a {what} of at most {MAX_BYTES} bytes"),
        ));
    }
    if text.contains(char::is_control) {
        return Err(Error::invalid(
            format!("the {what} has a control character"),
            format!("give a {what} without one"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn what_names_nothing_is_refused_with_a_hint() {
        let table = [
            (String::new(), "the connector id is empty; give a connector id"),
            (
                "x".repeat(600),
                "the connector id is too long: it has 600 bytes; give a connector id of at most 512 bytes",
            ),
            ("a\nb".to_owned(), "the connector id has a control character; give a connector id without one"),
        ];
        for (text, message) in table {
            let error = ConnectorId::new(text).expect_err(message);
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Invalid, message));
        }
        for fine in ["c1", "a \"quoted\" \\ one", "ünï-😀", &"x".repeat(512)] {
            assert_eq!(ConnectorId::new(fine).expect("a name").as_str(), fine);
        }
    }

    #[test]
    fn a_stored_name_is_checked_too() {
        assert_eq!(serde_json::from_str::<ProfileUid>("\"u1\"").expect("a name"), ProfileUid("u1".to_owned()));
        assert!(serde_json::from_str::<ProfileUid>("\"\"").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            if let Ok(name) = ProfileUid::new(text.as_str()) {
                prop_assert_eq!(name.as_str(), text);
            }
        }
    }
}
