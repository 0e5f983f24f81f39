//! The callback of a provider, by which the user comes back.

use std::borrow::Cow;
use std::fmt;

use reqwest::Url;
use zeroize::Zeroizing;

use super::codes::known_code;
use crate::encryption::Secret;
use crate::{Error, Result};

/// The longest query that is read.
const MAX_QUERY_BYTES: usize = 16 * 1024;
/// States of this library have 43 characters; those of an index that was taken over may be longer.
const MAX_STATE_BYTES: usize = 512;

/// The parameters with which a provider sent the user back (RFC 6749 4.1.2). Its `Debug` shows neither state nor code.
pub struct Callback {
    pub(super) state: Zeroizing<String>,
    pub(super) outcome: Outcome,
    /// The provider that the callback names (RFC 9207).
    pub(super) issuer: Option<String>,
}

pub(super) enum Outcome {
    Code(Secret),
    Denied(&'static str),
}

impl Callback {
    /// Reads the query of the request at the redirect URI: `code=…&state=…`, or `error=…&state=…`.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if it has no state, has neither code nor error, or has one of them twice.
    /// The error quotes nothing of it.
    pub fn from_query(query: &str) -> Result<Self> {
        let refused = |why: &str| {
            Error::invalid(
                format!("the provider's callback {why}"),
                "authorize the connector again, from the beginning",
            )
        };
        if query.len() > MAX_QUERY_BYTES {
            return Err(refused("is too long"));
        }
        let mut url = Url::parse("https://callback.invalid/").map_err(|_| refused("is not readable"))?;
        url.set_query(Some(query.strip_prefix('?').unwrap_or(query)));
        let parameter = |name: &str| -> Result<Option<Cow<'_, str>>> {
            let mut values = url.query_pairs().filter(|(other, _)| other == name).map(|(_, value)| value);
            match (values.next(), values.next()) {
                (first, None) => Ok(first.filter(|value| !value.is_empty())),
                // RFC 6749 3.1.
                (_, Some(_)) => Err(refused(&format!("has more than one {name}"))),
            }
        };
        let state = parameter("state")?.ok_or_else(|| refused("has no state"))?;
        if state.len() > MAX_STATE_BYTES {
            return Err(refused("has a state that is too long"));
        }
        let outcome = match (parameter("error")?, parameter("code")?) {
            (Some(code), _) => Outcome::Denied(known_code(&code).unwrap_or("an error code that is not repeated here")),
            (None, Some(code)) => Outcome::Code(Secret::text(&code)),
            (None, None) => return Err(refused("has neither a code nor an error")),
        };
        let issuer = parameter("iss")?.map(Cow::into_owned);
        Ok(Self { state: Zeroizing::new(state.into_owned()), outcome, issuer })
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let denied = match &self.outcome {
            Outcome::Code(_) => None,
            Outcome::Denied(code) => Some(code),
        };
        f.debug_struct("Callback").field("denied", &denied).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn codes_and_refusals_are_told_apart() {
        let callback = Callback::from_query("?state=s%20s&code=hunter2%2B&iss=x").expect("a callback");
        assert_eq!(callback.state.as_str(), "s s");
        assert_eq!(callback.issuer.as_deref(), Some("x"));
        assert!(matches!(&callback.outcome, Outcome::Code(code) if *code == Secret::text("hunter2+")));
        assert!(!format!("{callback:?}").contains("hunter2") && !format!("{callback:?}").contains("s s"));
        let table = [
            ("state=s&error=access_denied&error_description=hunter2", "access_denied"),
            ("state=s&error=access_denied&code=c", "access_denied"),
            ("state=s&error=hunter2", "an error code that is not repeated here"),
        ];
        for (query, expected) in table {
            let callback = Callback::from_query(query).expect(query);
            assert!(matches!(callback.outcome, Outcome::Denied(code) if code == expected), "{query}");
        }
    }

    #[test]
    fn malformed_ones_are_refused_without_their_content() {
        let long = format!("state={}&code=c", "s".repeat(600));
        let longer = format!("state=s&code={}", "hunter2".repeat(9_000));
        let table = [
            "",
            "?",
            "code=hunter2",
            "state=&code=hunter2",
            "state=s",
            "state=s&code=",
            "state=s&state=t&code=hunter2",
            "state=s&code=hunter2&iss=a&iss=b",
            "state=s&code=hunter2&code=hunter2",
            &long,
            &longer,
        ];
        for query in table {
            let error = Callback::from_query(query).expect_err(query);
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    proptest! {
        #[test]
        fn no_query_panics(query in any::<String>()) {
            let _ = Callback::from_query(&query);
        }
    }
}
