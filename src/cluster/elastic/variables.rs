//! Settings from the process's environment. Secrets come from there or from files, never from the command line, which
//! other users of the machine can list.

use std::ffi::OsString;
use std::path::PathBuf;

use elasticsearch::http::headers::HeaderName;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::credentials::{Credentials, SecretSource};
use super::settings::ElasticSettings;
use crate::{Error, Result};

/// The prefix of all variables' names.
const PREFIX: &str = "SAVED_OBJECTS_ELASTICSEARCH_";
const DEFAULT_URL: &str = "http://127.0.0.1:9200";

impl ElasticSettings {
    /// Returns the settings in the process's environment:
    ///
    /// | variable `SAVED_OBJECTS_ELASTICSEARCH_…` | setting |
    /// |---|---|
    /// | `URL` | [`ElasticSettings::new`]; `http://127.0.0.1:9200` if it is not set |
    /// | `API_KEY`, or `API_KEY_FILE` | [`Credentials::ApiKey`] |
    /// | `BEARER_TOKEN`, or `BEARER_TOKEN_FILE` | [`Credentials::Bearer`] |
    /// | `USERNAME` with `PASSWORD` or `PASSWORD_FILE` | [`Credentials::Basic`] |
    /// | `CA_CERT` | [`ElasticSettings::ca_certificates`] |
    /// | `CLIENT_CERT` with `CLIENT_KEY` | [`ElasticSettings::client_certificate`] |
    /// | `HEADERS` | [`ElasticSettings::header`]: `Name: value`, one per line |
    ///
    /// An empty variable counts as not set.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the variables contradict each other, one of a pair is missing, or one
    /// is malformed. [`ElasticBuilder::build`](super::ElasticBuilder::build) reads the files later.
    pub fn from_env() -> Result<Self> {
        from_variables(|name| std::env::var_os(format!("{PREFIX}{name}")))
    }
}

/// Returns the settings in the variables, which `lookup` finds by their names without the prefix.
fn from_variables(lookup: impl Fn(&str) -> Option<OsString>) -> Result<ElasticSettings> {
    let variables = Variables { lookup };
    let mut settings = ElasticSettings::new(match variables.text("URL")? {
        Some(urls) => urls.as_str().to_owned(),
        None => DEFAULT_URL.to_owned(),
    });
    let api_key = variables.secret("API_KEY", "API_KEY_FILE")?.map(Credentials::ApiKey);
    let bearer = variables.secret("BEARER_TOKEN", "BEARER_TOKEN_FILE")?.map(Credentials::Bearer);
    let password = variables.secret("PASSWORD", "PASSWORD_FILE")?;
    let basic = match (variables.text("USERNAME")?, password) {
        (None, None) => None,
        (Some(user), Some(password)) => Some(Credentials::Basic(user.as_str().to_owned(), password)),
        (Some(_), None) => return Err(half("USERNAME", "PASSWORD_FILE or PASSWORD")),
        (None, Some(_)) => return Err(half("PASSWORD or PASSWORD_FILE", "USERNAME")),
    };
    let mut given = [api_key, bearer, basic].into_iter().flatten();
    if let Some(credentials) = given.next() {
        settings = settings.credentials(credentials);
    }
    if given.next().is_some() {
        return Err(Error::invalid(
            format!("more than one of {PREFIX}API_KEY, {PREFIX}BEARER_TOKEN and {PREFIX}USERNAME is set"),
            "unset all but one of them, and their files",
        ));
    }
    if let Some(path) = variables.path("CA_CERT") {
        settings = settings.ca_certificates(path);
    }
    settings = match (variables.path("CLIENT_CERT"), variables.path("CLIENT_KEY")) {
        (None, None) => settings,
        (Some(certificate), Some(key)) => settings.client_certificate(certificate, key),
        (Some(_), None) => return Err(half("CLIENT_CERT", "CLIENT_KEY")),
        (None, Some(_)) => return Err(half("CLIENT_KEY", "CLIENT_CERT")),
    };
    let headers = variables.text("HEADERS")?.unwrap_or_default();
    for (number, line) in (1..).zip(headers.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let header = line.split_once(':').filter(|(name, _)| HeaderName::from_bytes(name.trim().as_bytes()).is_ok());
        let Some((name, value)) = header else {
            return Err(Error::invalid(
                format!("line {number} of {PREFIX}HEADERS is not a header"),
                "write `Name: value`, one a line",
            ));
        };
        settings = settings.header(name.trim(), value.trim());
    }
    Ok(settings)
}

fn half(given: &str, missing: &str) -> Error {
    Error::invalid(format!("{PREFIX}{given} is set, and {PREFIX}{missing} is not"), "set both, or neither of them")
}

struct Variables<F> {
    lookup: F,
}

impl<F: Fn(&str) -> Option<OsString>> Variables<F> {
    fn value(&self, name: &str) -> Option<OsString> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).map(PathBuf::from)
    }

    fn text(&self, name: &str) -> Result<Option<Zeroizing<String>>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let text = value
            .into_string()
            .map_err(|_| Error::invalid(format!("{PREFIX}{name} is not UTF-8"), "set it to a text"))?;
        Ok(Some(Zeroizing::new(text)))
    }

    fn secret(&self, name: &str, file: &str) -> Result<Option<SecretSource>> {
        match (self.text(name)?, self.path(file)) {
            (None, None) => Ok(None),
            (Some(text), None) => Ok(Some(SecretSource::Value(SecretString::from(text.as_str())))),
            (None, Some(path)) => Ok(Some(SecretSource::File(path))),
            (Some(_), Some(_)) => {
                Err(Error::invalid(format!("both {PREFIX}{name} and {PREFIX}{file} are set"), "unset one of them"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn read(variables: &[(&str, &str)]) -> Result<ElasticSettings> {
        from_variables(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn variables_become_settings() {
        let table: [(&[(&str, &str)], &str); 8] = [
            (&[], r#"urls: "http://127.0.0.1:9200", credentials: None"#),
            (
                &[("URL", "https://es/path"), ("API_KEY", "k")],
                r#"urls: "https://es/path", credentials: Some(ApiKey(Value("#,
            ),
            (&[("API_KEY_FILE", "src/k")], "ApiKey(File(src/k))"),
            (&[("BEARER_TOKEN_FILE", "src/t")], "Bearer(File(src/t))"),
            (&[("USERNAME", "kim"), ("PASSWORD_FILE", "src/p")], r#"Basic("kim", File(src/p))"#),
            (&[("CA_CERT", "/ca"), ("API_KEY", "")], r#"credentials: None, ca_certificates: Some("/ca")"#),
            (&[("CLIENT_CERT", "src/c"), ("CLIENT_KEY", "src/k"), ("API_KEY", "k")], "certificate: src/c, key: src/k"),
            (&[("HEADERS", "X-A: 1\n\nx-b:2:3\n")], r#"headers: ["X-A", "x-b"]"#),
        ];
        for (variables, expected) in table {
            let shown = format!("{:?}", read(variables).expect("fine variables"));
            assert!(shown.contains(expected), "{variables:?}: {shown}");
        }
    }

    #[test]
    fn half_given_and_contradicting_variables_are_invalid() {
        let table: [&[(&str, &str)]; 9] = [
            &[("USERNAME", "kim")],
            &[("USERNAME", "kim"), ("PASSWORD", "")],
            &[("PASSWORD", "secret")],
            &[("API_KEY", "secret"), ("API_KEY_FILE", "/k")],
            &[("API_KEY", "secret"), ("BEARER_TOKEN", "secret")],
            &[("API_KEY", "secret"), ("USERNAME", "kim"), ("PASSWORD", "secret")],
            &[("CLIENT_CERT", "/c")],
            &[("CLIENT_KEY", "/c")],
            &[("HEADERS", "secret")],
        ];
        for variables in table {
            let error = read(variables).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            assert!(error.hint().is_some() && !format!("{error:?}").contains("secret"), "{error}");
        }
    }
}
