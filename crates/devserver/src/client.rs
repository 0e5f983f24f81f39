//! HTTP requests to the nodes: plain, or over TLS as the user with all privileges.

use std::time::Duration;

use reqwest::{Certificate, RequestBuilder};
use serde::Deserialize;

use crate::layout::Layout;
use crate::secure::Access;
use crate::state::{NodeRecord, State};
use crate::{Error, ErrorKind, Result, files};

/// A healthy node answers a health request in milliseconds.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The request for the first API key also creates the security index, which is slow.
const API_KEY_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    http: reqwest::Client,
    is_secure: bool,
    user: Option<(String, String)>,
}

impl Client {
    /// Creates a client for the nodes of `state`.
    pub(crate) fn new(state: &State, layout: &Layout) -> Result<Self> {
        let access = Access::of(state, layout);
        let mut http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let mut user = None;
        // Before its first start, a server with security has neither a certificate nor a password.
        if state.secure && access.password_file.is_file() && access.ca_cert.is_file() {
            let pem = std::fs::read(&access.ca_cert).map_err(|error| files::failed("read", &access.ca_cert, error))?;
            http = http
                .tls_built_in_root_certs(false)
                .add_root_certificate(Certificate::from_pem(&pem).map_err(unusable)?);
            user = Some((access.username.clone(), files::read_lossy(&access.password_file)));
        }
        Ok(Self { http: http.build().map_err(unusable)?, is_secure: state.secure, user })
    }

    /// Returns the body of the answer to a `GET`, or `None` if its status is not 200.
    pub(crate) async fn get(&self, port: u16, path: &str) -> Option<String> {
        let request = self.http.get(self.url(port, path)).timeout(TIMEOUT);
        let answer = self.with_user(request).send().await.ok()?;
        if answer.status() != 200 {
            return None;
        }
        answer.text().await.ok()
    }

    /// Creates an API key with all privileges and returns it encoded.
    pub(crate) async fn create_api_key(&self, port: u16) -> Result<String> {
        #[derive(Deserialize)]
        struct Created {
            encoded: String,
        }
        let failed = |reason: String| {
            Error::new(ErrorKind::Unavailable, format!("the server made no API key: {reason}"))
                .with_hint("`saved-objects dev down --delete-data`, then `up` again")
        };
        let request = self.http.post(self.url(port, "_security/api_key")).timeout(API_KEY_TIMEOUT);
        let request =
            request.header("content-type", "application/json").body(r#"{"name":"saved-objects-development"}"#);
        let answer = self.with_user(request).send().await.map_err(|error| failed(error.to_string()))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| failed(error.to_string()))?;
        let created: Created = serde_json::from_slice(&body).map_err(|_| failed(format!("it answered {status}")))?;
        Ok(created.encoded)
    }

    fn url(&self, port: u16, path: &str) -> String {
        format!("{}/{path}", NodeRecord::url_of(port, self.is_secure))
    }

    fn with_user(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.user {
            Some((name, password)) => request.basic_auth(name, Some(password)),
            None => request,
        }
    }
}

fn unusable(error: reqwest::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("no requests can be sent to the server: {error}")).with_source(error)
}
