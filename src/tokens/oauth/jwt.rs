//! Assertions of a client (JWT bearer, RFC 7523).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{OAuthClient, SigningKey};
use crate::tokens::ProviderError;
use crate::{Error, ErrorKind, Result};

/// The default lifetime of an assertion. It is used at once.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);

/// An assertion in exchange for which a connector gets a token (RFC 7523 3): a JWT, which is created and signed for
/// each request.
///
/// ```
/// use saved_objects::encryption::Secret;
/// use saved_objects::tokens::oauth::{JwtAssertion, SigningKey};
///
/// # fn example(pem: &Secret) -> saved_objects::Result<()> {
/// let key = SigningKey::from_pem(pem)?;
/// let assertion = JwtAssertion::new(key, "client-1").subject("service@platform.example").key_id("k1");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct JwtAssertion {
    key: SigningKey,
    key_id: Option<String>,
    issuer: String,
    subject: Option<String>,
    audience: Option<String>,
    lifetime: Duration,
    claims: Map<String, Value>,
}

impl JwtAssertion {
    /// Creates an assertion of `issuer` about itself, for the token endpoint. It is valid for five minutes.
    pub fn new(key: SigningKey, issuer: impl Into<String>) -> Self {
        Self {
            key,
            key_id: None,
            issuer: issuer.into(),
            subject: None,
            audience: None,
            lifetime: DEFAULT_LIFETIME,
            claims: Map::new(),
        }
    }

    /// Sets the key id (`kid`).
    #[must_use]
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        self.key_id = Some(key_id.into());
        self
    }

    /// Sets the subject (`sub`). Default: the issuer.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Sets the audience (`aud`). Default: the URL of the token endpoint.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Sets the lifetime (`exp`), in whole seconds. Default: five minutes.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Adds a claim. It does not replace those of the standard.
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    fn claims(&self, token_endpoint: &str, now: i64, id: String) -> Map<String, Value> {
        let lifetime = i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX);
        let mut claims = self.claims.clone();
        let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        set("iss", json!(self.issuer));
        set("sub", json!(self.subject.as_ref().unwrap_or(&self.issuer)));
        set("aud", json!(self.audience.as_deref().unwrap_or(token_endpoint)));
        set("iat", json!(now));
        set("exp", json!(now.saturating_add(lifetime)));
        set("jti", json!(id));
        claims
    }
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

impl OAuthClient {
    /// Creates and signs a JWT of the assertion (RFC 7515 3.1).
    pub(super) fn sign(&self, assertion: &JwtAssertion) -> Result<Zeroizing<String>, ProviderError> {
        let unsigned = |error: Error| ProviderError::Refused { reason: error.message().to_owned() };
        let environment = self.environment();
        let now = environment.clock().now().as_second();
        let id = environment.random_uuid().map_err(unsigned)?.to_string();
        let header = Header { alg: assertion.key.algorithm(), typ: "JWT", kid: assertion.key_id.as_deref() };
        let claims = assertion.claims(self.provider().token_endpoint.as_str(), now, id);
        let encoded = |part: Result<Vec<u8>>| part.map(|part| URL_SAFE_NO_PAD.encode(part)).map_err(unsigned);
        let mut token = Zeroizing::new(encoded(to_json(&header))? + "." + &encoded(to_json(&claims))?);
        let signature = encoded(assertion.key.sign(token.as_bytes()))?;
        token.push('.');
        token.push_str(&signature);
        Ok(token)
    }
}

fn to_json(part: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(part).map_err(|error| {
        Error::new(ErrorKind::Internal, "an assertion could not be serialized as JSON").with_source(error)
    })
}
