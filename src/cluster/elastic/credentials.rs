//! Credentials for Elasticsearch: where their secrets come from, and the header that is made of them.

use std::fmt;
use std::path::PathBuf;

use base64::{Engine, engine::general_purpose::STANDARD};
use elasticsearch::http::headers::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::encryption::secret_file;
use crate::{Error, Result};

/// The source of a secret.
#[derive(Clone)]
pub enum SecretSource {
    /// The secret itself.
    Value(SecretString),
    /// A file that contains only the secret; line breaks at its end are ignored. It must not be open to every user of
    /// the machine. The file is read again when it changes.
    File(PathBuf),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(secret) => f.debug_tuple("Value").field(secret).finish(),
            Self::File(path) => f.debug_tuple("File").field(&secret_file::Shown(path)).finish(),
        }
    }
}

impl From<SecretString> for SecretSource {
    fn from(secret: SecretString) -> Self {
        Self::Value(secret)
    }
}

impl From<PathBuf> for SecretSource {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl SecretSource {
    fn read(&self, what: &str) -> Result<Zeroizing<String>> {
        match self {
            Self::Value(secret) => Self::checked(Zeroizing::new(secret.expose_secret().to_owned()), what),
            Self::File(path) => secret_file::read(path)
                .map(|text| Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned()))
                .and_then(|secret| Self::checked(secret, what))
                .map_err(|error| error.context(format_args!("the file {} with {what}", secret_file::Shown(path)))),
        }
    }

    fn checked(secret: Zeroizing<String>, what: &str) -> Result<Zeroizing<String>> {
        if secret.is_empty() {
            return Err(Error::invalid(format!("{what} is empty"), "give one, or leave the setting out"));
        }
        match secret.contains(char::is_control) {
            true => Err(Error::invalid(
                format!("{what} has several lines or control characters"),
                "give it alone, as UTF-8",
            )),
            false => Ok(secret),
        }
    }

    pub(super) fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Value(_) => None,
            Self::File(path) => Some(path),
        }
    }
}

/// The credentials for Elasticsearch.
///
/// A client certificate can be added to any of these:
/// [`ElasticSettings::client_certificate`](super::ElasticSettings::client_certificate).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Credentials {
    /// User name and password.
    Basic(String, SecretSource),
    /// An API key: its encoded form, or `id:key`.
    ApiKey(SecretSource),
    /// A bearer token.
    Bearer(SecretSource),
}

impl Credentials {
    /// Creates the credentials of a user.
    pub fn basic(user: impl Into<String>, password: impl Into<SecretSource>) -> Self {
        Self::Basic(user.into(), password.into())
    }

    /// Creates the credentials of an API key: its encoded form, or `id:key`.
    pub fn api_key(key: impl Into<SecretSource>) -> Self {
        Self::ApiKey(key.into())
    }

    /// Creates the credentials of a bearer token.
    pub fn bearer(token: impl Into<SecretSource>) -> Self {
        Self::Bearer(token.into())
    }

    pub(super) fn secret(&self) -> &SecretSource {
        match self {
            Self::Basic(_, secret) | Self::ApiKey(secret) | Self::Bearer(secret) => secret,
        }
    }

    /// Returns the value of the header `Authorization`. It is marked as sensitive, so that no log shows it.
    pub(super) fn authorization(&self) -> Result<HeaderValue> {
        let (what, value) = match self {
            Self::Basic(user, password) => {
                if user.is_empty() || user.contains(':') {
                    return Err(Error::invalid("a user name is empty or has a colon", "give the name of the user"));
                }
                let what = "the password";
                let pair = Zeroizing::new(format!("{user}:{}", password.read(what)?.as_str()));
                (what, Zeroizing::new(format!("Basic {}", Zeroizing::new(STANDARD.encode(pair.as_bytes())).as_str())))
            }
            Self::ApiKey(key) => {
                let what = "the API key";
                let key = key.read(what)?;
                let is_of_a_key = |c: char| c.is_ascii_alphanumeric() || "+/=_-:".contains(c);
                if !key.chars().all(is_of_a_key) || key.matches(':').count() > 1 {
                    return Err(Error::invalid(
                        "the API key has another form",
                        "give `encoded` of the answer that made the key, or its `id` and `api_key` with a colon between them",
                    ));
                }
                let encoded = match key.contains(':') {
                    true => Zeroizing::new(STANDARD.encode(key.as_bytes())),
                    false => key,
                };
                (what, Zeroizing::new(format!("ApiKey {}", encoded.as_str())))
            }
            Self::Bearer(token) => {
                let what = "the bearer token";
                (what, Zeroizing::new(format!("Bearer {}", token.read(what)?.as_str())))
            }
        };
        let mut header = HeaderValue::from_str(&value).map_err(|_| {
            Error::invalid(format!("{what} has characters that no header takes"), "give it without white space")
        })?;
        header.set_sensitive(true);
        Ok(header)
    }
}
