//! The configuration of a provider.

use std::time::Duration;

use super::Endpoint;
use crate::encryption::Secret;
use crate::tokens::identity::derived_id;

/// The default time that a provider has to answer. It is less than the default deadline of
/// [`AccessTokens`](crate::tokens::AccessTokens).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// The configuration of an OAuth provider, and of a connector as its client.
///
/// ```
/// use saved_objects::encryption::Secret;
/// use saved_objects::tokens::oauth::{ClientAuthentication, Endpoint, Provider};
///
/// # fn example() -> saved_objects::Result<()> {
/// let provider = Provider::new(Endpoint::new("https://provider.example/token")?, "client-1")
///     .authentication(ClientAuthentication::Basic(Secret::text("…")))
///     .authorization_endpoint(Endpoint::new("https://provider.example/authorize")?)
///     .redirect_uri(Endpoint::new("https://platform.example/oauth/callback")?)
///     .revocation_endpoint(Endpoint::new("https://provider.example/revoke")?)
///     .scopes(["repo", "offline_access"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Provider {
    pub(super) token_endpoint: Endpoint,
    pub(super) authorization_endpoint: Option<Endpoint>,
    pub(super) redirect_uri: Option<Endpoint>,
    pub(super) revocation_endpoint: Option<Endpoint>,
    pub(super) issuer: Option<String>,
    pub(super) client_id: String,
    pub(super) authentication: ClientAuthentication,
    pub(super) scopes: Vec<String>,
    pub(super) authorization_parameters: Vec<(String, String)>,
    pub(super) token_parameters: Vec<(String, String)>,
    pub(super) access_token_path: Vec<String>,
    pub(super) authorization_scheme: Option<String>,
    pub(super) revoked_codes: Vec<String>,
    pub(super) timeout: Duration,
}

/// The authentication of a client at the token endpoint (RFC 6749 2.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAuthentication {
    /// None: for a public client, or one that an assertion authenticates.
    #[default]
    Public,
    /// The client id and this secret in the `Authorization` header.
    Basic(Secret),
    /// The client id and this secret in the body, for providers that do not accept the header.
    Body(Secret),
}

impl Provider {
    /// Creates the configuration of a provider with this token endpoint, for a public client with this id.
    pub fn new(token_endpoint: Endpoint, client_id: impl Into<String>) -> Self {
        Self {
            token_endpoint,
            authorization_endpoint: None,
            redirect_uri: None,
            revocation_endpoint: None,
            issuer: None,
            client_id: client_id.into(),
            authentication: ClientAuthentication::Public,
            scopes: Vec::new(),
            authorization_parameters: Vec::new(),
            token_parameters: Vec::new(),
            access_token_path: vec!["access_token".to_owned()],
            authorization_scheme: None,
            revoked_codes: Vec::new(),
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// Sets the authentication of the client. Default: none.
    #[must_use]
    pub fn authentication(mut self, authentication: ClientAuthentication) -> Self {
        self.authentication = authentication;
        self
    }

    /// Sets the endpoint where users authorize the client.
    #[must_use]
    pub fn authorization_endpoint(mut self, endpoint: Endpoint) -> Self {
        self.authorization_endpoint = Some(endpoint);
        self
    }

    /// Sets the URI to which the provider sends users back, as it is registered there. It is sent byte for byte, since
    /// providers compare it so.
    #[must_use]
    pub fn redirect_uri(mut self, endpoint: Endpoint) -> Self {
        self.redirect_uri = Some(endpoint);
        self
    }

    /// Sets the endpoint where tokens are revoked (RFC 7009). Without it, revoking does nothing.
    #[must_use]
    pub fn revocation_endpoint(mut self, endpoint: Endpoint) -> Self {
        self.revocation_endpoint = Some(endpoint);
        self
    }

    /// Sets the issuer identifier of a provider that names itself in its callbacks (`iss`, RFC 9207). A callback with
    /// another issuer, or without one, is refused before the code is sent. Without this setting, a callback with any
    /// issuer is refused.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Adds scopes that the client requests.
    #[must_use]
    pub fn scopes(mut self, scopes: impl IntoIterator<Item: Into<String>>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Adds a parameter to the authorization request, such as `prompt` or `audience`. It must not be a secret, since it
    /// is in the URL that the user follows.
    #[must_use]
    pub fn authorization_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.authorization_parameters.push((name.into(), value.into()));
        self
    }

    /// Adds a parameter to every request to the token endpoint. It must not be a secret.
    #[must_use]
    pub fn token_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.token_parameters.push((name.into(), value.into()));
        self
    }

    /// Sets the path of the access token in the answer, as names joined by dots: `authed_user.access_token`. The other
    /// members are searched next to it, and then at the top. If the token is not at the path, it is searched under its
    /// name at the top, then as `access_token` anywhere. Default: `access_token`.
    #[must_use]
    pub fn access_token_path(mut self, path: &str) -> Self {
        self.access_token_path = path.split('.').map(str::to_owned).collect();
        self
    }

    /// Sets the authentication scheme with which access tokens are sent to the service, whatever the provider answers:
    /// `Bearer`, `token`, `Zoho-oauthtoken`. With an empty scheme, the token alone is sent. Default: the provider's
    /// `token_type` if that is a scheme of HTTP, otherwise `Bearer`.
    #[must_use]
    pub fn authorization_scheme(mut self, scheme: impl Into<String>) -> Self {
        self.authorization_scheme = Some(scheme.into());
        self
    }

    /// Adds error codes of the provider for a refresh token that it no longer accepts, so that the user has to
    /// authorize again. They are recognized in any member of a refusal; case and punctuation do not matter.
    /// `invalid_grant` and other usual codes are known without this.
    #[must_use]
    pub fn revoked_codes(mut self, codes: impl IntoIterator<Item: Into<String>>) -> Self {
        self.revoked_codes.extend(codes.into_iter().map(Into::into));
        self
    }

    /// Sets the time that the provider has to answer. Default: 20 seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Returns the fingerprint of the provider, which a begun authorization stores. It depends on the endpoints and the
    /// client id; the other settings may change meanwhile.
    pub(super) fn fingerprint(&self) -> String {
        let authorization = self.authorization_endpoint.as_ref().map_or("", |endpoint| endpoint.url().as_str());
        derived_id("oauth_provider", &[authorization, self.token_endpoint.url().as_str(), &self.client_id]).to_string()
    }

    pub(super) fn scope(&self) -> Option<String> {
        (!self.scopes.is_empty()).then(|| self.scopes.join(" "))
    }
}
