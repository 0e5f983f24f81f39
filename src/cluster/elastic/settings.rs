//! The settings of a connection: URLs, credentials, certificates, headers. The library's builder and the command line
//! use the same settings.

use std::fmt;
use std::path::PathBuf;

use elasticsearch::http::Url;
use elasticsearch::http::headers::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::credentials::Credentials;
use crate::encryption::secret_file::{self, Shown, Stamp};
use crate::{Error, Result};

/// The files of a client certificate.
#[derive(Clone)]
pub(super) struct ClientCertificate {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { certificate, key } = self;
        let mut shown = f.debug_struct("ClientCertificate");
        shown.field("certificate", &Shown(certificate)).field("key", &Shown(key)).finish()
    }
}

/// The headers that only the client may set. With another content length, for example, the server would wait for more
/// bytes or read fewer.
const HEADERS_OF_THE_CLIENT: &[&str] = &[
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The settings of a connection to an Elasticsearch cluster. `Debug` shows no secret.
///
/// # Examples
///
/// ```
/// use saved_objects::cluster::elastic::{Credentials, ElasticSettings};
///
/// let settings = ElasticSettings::new("https://es1.example.org:9200,https://es2.example.org:9200")
///     .credentials(Credentials::api_key(std::path::PathBuf::from("/run/secrets/api-key")))
///     .ca_certificates("/etc/ssl/elasticsearch-ca.crt");
/// assert_eq!(settings.shown_urls(), "https://es1.example.org:9200,https://es2.example.org:9200");
/// ```
#[derive(Clone)]
pub struct ElasticSettings {
    /// May contain a user's name and password.
    urls: SecretString,
    credentials: Option<Credentials>,
    ca_certificates: Option<PathBuf>,
    client_certificate: Option<ClientCertificate>,
    headers: Vec<(String, SecretString)>,
}

impl ElasticSettings {
    /// Creates settings for the cluster at `urls`, such as `http://127.0.0.1:9200`; several nodes are separated by
    /// commas.
    ///
    /// A URL may have a path, and a user's name and password, which become the credentials and are removed from the
    /// URL.
    pub fn new(urls: impl Into<String>) -> Self {
        Self {
            urls: SecretString::from(urls.into()),
            credentials: None,
            ca_certificates: None,
            client_certificate: None,
            headers: Vec::new(),
        }
    }

    /// Replaces the URLs.
    #[must_use]
    pub fn at(mut self, urls: impl Into<String>) -> Self {
        self.urls = SecretString::from(urls.into());
        self
    }

    /// Sets the credentials of all requests.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Trusts the certificates in a PEM file, or in the files of a folder, in addition to the system's and the built-in
    /// ones.
    #[must_use]
    pub fn ca_certificates(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_certificates = Some(path.into());
        self
    }

    /// Sets the client's certificate: PEM files of the certificate with its chain, and of its unencrypted key.
    ///
    /// Both are read again when they change.
    #[must_use]
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.client_certificate = Some(ClientCertificate { certificate: certificate.into(), key: key.into() });
        self
    }

    /// Adds a header to all requests. Its value is treated as a secret.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), SecretString::from(value.into())));
        self
    }

    /// Returns the URLs without a user's name and password, for display.
    pub fn shown_urls(&self) -> String {
        match self.nodes() {
            Ok(nodes) => {
                let shown = nodes.urls.iter().map(|url| url.as_str().trim_end_matches('/'));
                shown.collect::<Vec<_>>().join(",")
            }
            // A malformed URL may contain a password at any position.
            Err(_) => "(malformed)".to_owned(),
        }
    }

    /// Returns the nodes, and the credentials in their URLs.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if a URL is malformed, or two URLs have different users or passwords.
    pub(super) fn nodes(&self) -> Result<Nodes> {
        let all = self.urls.expose_secret();
        let mut urls = Vec::new();
        let mut user_info = None;
        for (number, text) in (1..).zip(all.split(',')) {
            // A malformed URL may contain a password at any position.
            let shown = format!("number {number}");
            let mut url = Url::parse(text.trim()).map_err(|error| malformed(&shown, error))?;
            if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
                return Err(malformed(&shown, "it is neither http:// nor https:// with a host"));
            }
            if url.query().is_some() || url.fragment().is_some() {
                return Err(malformed(&shown, "it has a query or a fragment"));
            }
            let found = user_info_of(&url);
            let cannot = |()| malformed(&shown, "it cannot hold a user");
            url.set_username("").map_err(cannot)?;
            url.set_password(None).map_err(cannot)?;
            if number > 1 && found != user_info {
                return Err(Error::invalid(
                    "the URLs of the nodes have different users or passwords",
                    "give all nodes the same, or none of them: credentials are a setting of their own",
                ));
            }
            user_info = found;
            urls.push(url);
        }
        let credentials = match user_info {
            None => None,
            Some((user, password)) if !user.is_empty() && !password.is_empty() => {
                let password = SecretString::from(password.as_str());
                Some(Credentials::basic(user, password))
            }
            Some(_) => {
                return Err(Error::invalid(
                    "a URL has a user without a password, or a password without a user",
                    "give both, or neither: credentials are a setting of their own",
                ));
            }
        };
        Ok(Nodes { urls, credentials })
    }

    /// Returns the headers of all requests, `Authorization` included.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if a header is malformed, settings contradict each other, or a file
    /// cannot be read.
    pub(super) fn request_headers(&self, nodes: &Nodes) -> Result<HeaderMap> {
        let credentials = match (&self.credentials, &nodes.credentials) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid(
                    "both the URL and another setting give credentials",
                    "remove user and password from the URL, or leave the other credentials out",
                ));
            }
            (given, of_url) => given.as_ref().or(of_url.as_ref()),
        };
        let mut headers = HeaderMap::new();
        for (number, (name, value)) in (1..).zip(&self.headers) {
            // A malformed name may be a secret.
            let refused = || {
                Error::invalid(
                    format!("the header number {number} is malformed"),
                    "use a header's name and visible ASCII characters",
                )
            };
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
            if HEADERS_OF_THE_CLIENT.contains(&name.as_str()) {
                return Err(Error::invalid(format!("the header {name} is the client's own"), "leave it out"));
            }
            let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| refused())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        if let Some(credentials) = credentials {
            if headers.contains_key(AUTHORIZATION) {
                return Err(Error::invalid(
                    "both the header Authorization and another setting give credentials",
                    "leave one of them out",
                ));
            }
            headers.insert(AUTHORIZATION, credentials.authorization()?);
        }
        Ok(headers)
    }

    pub(super) fn ca_path(&self) -> Option<&PathBuf> {
        self.ca_certificates.as_ref()
    }

    pub(super) fn client_certificate_files(&self) -> Option<&ClientCertificate> {
        self.client_certificate.as_ref()
    }

    /// Returns the stamps of the settings' files, which show whether one has changed.
    pub(super) fn stamps(&self) -> Vec<Stamp> {
        let secret = self.credentials.as_ref().and_then(|credentials| credentials.secret().file());
        let of_client = self.client_certificate.as_ref().map(|files| [&files.certificate, &files.key]);
        let files = secret.into_iter().chain(of_client.into_iter().flatten()).chain(&self.ca_certificates);
        files.map(|path| secret_file::stamp(path)).collect()
    }
}

impl From<&str> for ElasticSettings {
    fn from(urls: &str) -> Self {
        Self::new(urls)
    }
}

impl From<&String> for ElasticSettings {
    fn from(urls: &String) -> Self {
        Self::new(urls)
    }
}

impl From<String> for ElasticSettings {
    fn from(urls: String) -> Self {
        Self::new(urls)
    }
}

impl fmt::Debug for ElasticSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ElasticSettings")
            .field("urls", &self.shown_urls())
            .field("credentials", &self.credentials)
            .field("ca_certificates", &self.ca_certificates)
            .field("client_certificate", &self.client_certificate)
            .field("headers", &self.headers.iter().map(|(name, _)| shown_name(name)).collect::<Vec<_>>())
            .finish()
    }
}

/// Returns a header's name for display. A malformed name may be a secret.
fn shown_name(name: &str) -> &str {
    HeaderName::from_bytes(name.as_bytes()).map_or("(malformed)", |_| name)
}

/// The nodes of a cluster.
pub(super) struct Nodes {
    /// The URLs, without users.
    pub(super) urls: Vec<Url>,
    credentials: Option<Credentials>,
}

fn user_info_of(url: &Url) -> Option<(String, Zeroizing<String>)> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match (url.username(), url.password()) {
        ("", None) => None,
        (user, password) => Some((decoded(user), Zeroizing::new(password.map(decoded).unwrap_or_default()))),
    }
}

fn malformed(shown: &str, reason: impl fmt::Display) -> Error {
    Error::invalid(
        format!("the Elasticsearch URL {shown} is malformed: {reason}"),
        "give one like http://127.0.0.1:9200, or several separated by commas; in the name and password of a user write %2C for a \
         comma, %2F for a slash, %3A for a colon and %40 for @",
    )
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;
    use crate::ErrorKind;

    const SECRET: &str = "hunter2-do-not-show";

    fn headers(settings: &ElasticSettings) -> Result<HeaderMap> {
        settings.request_headers(&settings.nodes()?)
    }

    fn secret() -> SecretString {
        SecretString::from(SECRET)
    }

    #[test]
    fn credentials_become_a_sensitive_header() {
        let at = || ElasticSettings::new("https://es:9200");
        let table = [
            (
                at().credentials(Credentials::basic("kim", secret())),
                format!("Basic {}", STANDARD.encode(format!("kim:{SECRET}"))),
            ),
            (at().credentials(Credentials::api_key(secret())), format!("ApiKey {SECRET}")),
            (
                at().credentials(Credentials::api_key(SecretString::from("id:key"))),
                format!("ApiKey {}", STANDARD.encode("id:key")),
            ),
            (at().credentials(Credentials::bearer(secret())), format!("Bearer {SECRET}")),
            (
                ElasticSettings::new("https://kim:p%40ss,1@es:9200/es").at("https://kim:p%40ss@es:9200/es"),
                format!("Basic {}", STANDARD.encode("kim:p@ss")),
            ),
        ];
        for (settings, expected) in table {
            let headers = headers(&settings).expect("fine settings");
            let header = headers.get(AUTHORIZATION).expect("the header");
            assert_eq!(header.to_str().expect("text"), expected);
            assert!(header.is_sensitive());
            let shown = format!("{settings:?} {headers:?}");
            assert!(!shown.contains(SECRET) && !shown.contains("p%40ss") && !shown.contains("p@ss"), "{shown}");
        }
    }

    #[test]
    fn urls_are_shown_without_users() {
        let shown = |urls: &str| ElasticSettings::new(urls).shown_urls();
        assert_eq!(shown("https://kim:secret@a:9200/es/, https://kim:secret@b"), "https://a:9200/es,https://b");
        assert_eq!(shown("http://127.0.0.1:9200"), "http://127.0.0.1:9200");
        assert_eq!(shown("https://kim:a,b@es"), "(malformed)");
    }

    #[test]
    fn contradicting_and_malformed_settings_are_invalid_and_show_no_secret() {
        let at = ElasticSettings::new;
        let table = [
            at("https://kim:hunter2-do-not-show@es").credentials(Credentials::api_key(secret())),
            at("https://kim:hunter2-do-not-show@a,https://lee:hunter2-do-not-show@b"),
            at("https://kim:hunter2-do-not-show@a,https://b"),
            at("https://kim:hunter2-do-not-show,1@es"),
            at("https://kim@es"),
            at("https://:hunter2-do-not-show@es"),
            at("ftp://kim:hunter2-do-not-show@es"),
            at("https://es?token=hunter2-do-not-show#@"),
            at("hunter2-do-not-show@"),
            at("https://es").header("Authorization", SECRET).credentials(Credentials::api_key(secret())),
            at("https://es").header("X-A", format!("{SECRET}\n")),
            at("https://es").header(format!("Bearer {SECRET}"), "X"),
            at("https://es").header("Content-Length", "3"),
            at("https://es").credentials(Credentials::api_key(PathBuf::from(SECRET))),
            at("https://es").credentials(Credentials::api_key(SecretString::from(format!("{SECRET}\n")))),
            at("https://es").credentials(Credentials::api_key(SecretString::from(""))),
            at("https://es").credentials(Credentials::basic("a:b", secret())),
            at("https://es").credentials(Credentials::api_key(PathBuf::from("/nowhere/at/all"))),
        ];
        for settings in table {
            let error = headers(&settings).expect_err("refused");
            let shown = format!("{error} {error:?} {settings:?}");
            assert_eq!(error.kind(), ErrorKind::Invalid, "{shown}");
            assert!(error.hint().is_some(), "{shown}");
            assert!(!shown.contains(SECRET), "{shown}");
        }
    }
}
