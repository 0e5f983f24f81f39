use std::time::Duration;

use super::Endpoint;
use crate::encryption::Secret;
use crate::tokens::identity::derived_id;

/// How long a provider may take to answer unless said otherwise: less than what
/// [`AccessTokens`](crate::tokens::AccessTokens) gives a refresh.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// An OAuth provider, and what a connector is to it.
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

/// How a client proves to the token endpoint which one it is (RFC 6749 2.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAuthentication {
    /// Not at all: a public client, or one whose assertion says it.
    #[default]
    Public,
    /// Client id and this secret in the `Authorization` header, and not in the body.
    Basic(Secret),
    /// Client id and this secret in the body, for providers that do not take the header.
    Body(Secret),
}

impl Provider {
    /// A provider whose token endpoint this is, for a public client of this id.
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

    /// How the client proves which one it is.
    #[must_use]
    pub fn authentication(mut self, authentication: ClientAuthentication) -> Self {
        self.authentication = authentication;
        self
    }

    /// Where users authorize the client.
    #[must_use]
    pub fn authorization_endpoint(mut self, endpoint: Endpoint) -> Self {
        self.authorization_endpoint = Some(endpoint);
        self
    }

    /// Where the provider sends users back to, as it is registered there: providers compare it byte for byte, so it is sent as it
    /// was given.
    #[must_use]
    pub fn redirect_uri(mut self, endpoint: Endpoint) -> Self {
        self.redirect_uri = Some(endpoint);
        self
    }

    /// Where tokens are revoked (RFC 7009). Without it, revoking does nothing.
    #[must_use]
    pub fn revocation_endpoint(mut self, endpoint: Endpoint) -> Self {
        self.revocation_endpoint = Some(endpoint);
        self
    }

    /// Names the issuer identifier of a provider that names itself in its callbacks (`iss`, RFC 9207). A callback that names
    /// another one, or none, is refused before the code is sent; without this setting, one that names any.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// What the client asks to be allowed.
    #[must_use]
    pub fn scopes(mut self, scopes: impl IntoIterator<Item: Into<String>>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Another parameter of the authorization request: `prompt`, `audience`, whatever the provider wants. It is in the URL that
    /// the user follows, so it is no place for secrets.
    #[must_use]
    pub fn authorization_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.authorization_parameters.push((name.into(), value.into()));
        self
    }

    /// Another parameter of every request to the token endpoint, no secret either.
    #[must_use]
    pub fn token_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.token_parameters.push((name.into(), value.into()));
        self
    }

    /// Sets where in the answer the access token is, names joined by dots: `authed_user.access_token`. The other members are looked
    /// for beside it, and then at the top. A token that is elsewhere is found there: first under its name at the top, then as
    /// `access_token` anywhere. Default: `access_token`.
    #[must_use]
    pub fn access_token_path(mut self, path: &str) -> Self {
        self.access_token_path = path.split('.').map(str::to_owned).collect();
        self
    }

    /// Sets the authentication scheme by which access tokens are sent to the service, whatever the provider answers: `Bearer`,
    /// `token`, `Zoho-oauthtoken`. With an empty one the token alone is sent. Default: the provider's `token_type`, if that is a
    /// scheme of HTTP, and `Bearer` if not.
    #[must_use]
    pub fn authorization_scheme(mut self, scheme: impl Into<String>) -> Self {
        self.authorization_scheme = Some(scheme.into());
        self
    }

    /// Adds codes by which the provider says that a refresh token is no longer good, so that the user has to authorize again. They
    /// are found in any member of a refusal, and capitals and punctuation do not count. `invalid_grant` and what else is usual is
    /// known without this.
    #[must_use]
    pub fn revoked_codes(mut self, codes: impl IntoIterator<Item: Into<String>>) -> Self {
        self.revoked_codes.extend(codes.into_iter().map(Into::into));
        self
    }

    /// How long the provider may take to answer: 20 seconds unless said otherwise.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What an authorization remembers of the provider that it was begun with. Endpoints and client id make a client one of its
    /// provider; the rest may change meanwhile.
    pub(super) fn fingerprint(&self) -> String {
        let authorization = self.authorization_endpoint.as_ref().map_or("", |endpoint| endpoint.url().as_str());
        derived_id("oauth_provider", &[authorization, self.token_endpoint.url().as_str(), &self.client_id]).to_string()
    }

    pub(super) fn scope(&self) -> Option<String> {
        (!self.scopes.is_empty()).then(|| self.scopes.join(" "))
    }
}
