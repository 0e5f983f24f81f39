//! The endpoints of providers and redirect URIs.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

use crate::environment::is_this_machine;
use crate::{Error, Result};

/// The URL of an endpoint of a provider, or of the platform's own page to which a provider sends users back: `https`,
/// or `http` on this machine. It has no user, password or fragment (RFC 6749 3.1).
///
/// The text is kept byte for byte, since providers compare redirect URIs and audiences so.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    given: String,
    url: Url,
}

impl Endpoint {
    /// Creates an endpoint from a URL.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the URL cannot be one. The error does not quote it, since it may hold
    /// a password.
    pub fn new(url: &str) -> Result<Self> {
        let refuse =
            |why: &str| Err(Error::invalid(format!("an OAuth endpoint {why}"), "give a URL such as https://host/path"));
        // The parser drops them.
        if url.trim() != url || url.contains(char::is_control) {
            return refuse("has white space around it or control characters in it");
        }
        let Ok(parsed) = Url::parse(url) else { return refuse("is not a URL") };
        match parsed.scheme() {
            "https" => {}
            "http" if is_this_machine(parsed.host_str().unwrap_or_default()) => {}
            "http" => return refuse("is not encrypted: http is for this machine only"),
            _ => return refuse("is neither https nor http"),
        }
        if parsed.host_str().is_none_or(str::is_empty) {
            return refuse("has no host");
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return refuse("has a user or a password in it");
        }
        if parsed.fragment().is_some() {
            return refuse("has a fragment");
        }
        Ok(Self { given: url.to_owned(), url: parsed })
    }

    /// Returns the URL in its normal form, to which requests are sent.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Returns whether the endpoint is on this machine.
    pub(super) fn is_on_this_machine(&self) -> bool {
        is_this_machine(self.url.host_str().unwrap_or_default())
    }

    /// Returns the text that was given, byte for byte.
    pub fn as_str(&self) -> &str {
        &self.given
    }
}

impl fmt::Display for Endpoint {
    /// Shows the URL without its query, in which some providers put keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.url.origin().ascii_serialization(), self.url.path())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self> {
        Self::new(url)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn only_encrypted_or_local_ones_are_endpoints() {
        let fine = [
            "https://provider.example/token",
            "https://provider.example:8443/token?tenant=a",
            "http://127.0.0.1:1234/token",
            "http://127.9.9.9/token",
            "http://[::1]:1234/token",
            "http://localhost/token",
            "https://provider.example",
            "https://Provider.Example:443/a/../b/./%7ekim/?",
            "HTTPS://provider.example/t k",
            "https://bücher.example/ü",
        ];
        for url in fine {
            assert_eq!(Endpoint::new(url).expect(url).as_str(), url);
        }
        let refused = [
            "",
            "provider.example/token",
            "http://provider.example/token",
            "http://127.0.0.1.example/token",
            "http://localhost.example/token",
            "http://10.0.0.1/token",
            "http://0.0.0.0/token",
            "ftp://127.0.0.1/token",
            "file:///etc/passwd",
            "https://kim:hunter2@provider.example/token",
            "https://provider.example/token#part",
            "https://provider.example/token\n",
            " https://provider.example/token",
            "https://provider.example/to\tken",
        ];
        for url in refused {
            let error = Endpoint::new(url).expect_err(url);
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_query_is_not_shown() {
        let endpoint = Endpoint::new("https://provider.example/token?key=hunter2").expect("an endpoint");
        assert_eq!(format!("{endpoint} {endpoint:?}"), "https://provider.example/token https://provider.example/token");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = Endpoint::new(&text);
        }
    }
}
