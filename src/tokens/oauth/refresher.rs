//! The [`Refresher`] of OAuth providers.

use async_trait::async_trait;

use super::client::REFRESH_TOKEN;
use super::{JwtAssertion, OAuthClient};
use crate::tokens::{Grant, ProviderError, RefreshRequest, Refresher};

/// Gets access tokens from an OAuth provider, for [`AccessTokens`](crate::tokens::AccessTokens).
#[derive(Debug, Clone)]
pub struct OAuthRefresher {
    client: OAuthClient,
    grant_type: GrantType,
}

/// The grant type with which a new access token is requested.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum GrantType {
    /// The refresh token of the last grant, as after an authorization code (RFC 6749 6).
    RefreshToken,
    /// The credentials of the client (RFC 6749 4.4). No token needs to be stored before.
    ClientCredentials,
    /// An assertion that the client signs (RFC 7523 2.1). No token needs to be stored before.
    JwtBearer(JwtAssertion),
}

impl OAuthRefresher {
    /// Creates a refresher for the connector of `client`.
    pub fn new(client: OAuthClient, grant_type: GrantType) -> Self {
        Self { client, grant_type }
    }
}

#[async_trait]
impl Refresher for OAuthRefresher {
    async fn refresh(&self, request: &RefreshRequest) -> Result<Grant, ProviderError> {
        let scope = self.client.provider().scope();
        let scope = scope.as_deref().map(|scope| ("scope", scope));
        match &self.grant_type {
            GrantType::RefreshToken => {
                let refused = |reason: &str| ProviderError::Refused { reason: reason.to_owned() };
                let refresh_token =
                    request.refresh_token.as_ref().ok_or_else(|| refused("no refresh token is stored"))?;
                let refresh_token =
                    refresh_token.expose_text().map_err(|_| refused("the refresh token is not a text"))?;
                // Without a scope, the new token has the scope of the old one.
                self.client.ask(REFRESH_TOKEN, &[("refresh_token", &refresh_token)]).await
            }
            GrantType::ClientCredentials => {
                let parameters: Vec<_> = scope.into_iter().collect();
                self.client.ask("client_credentials", &parameters).await
            }
            GrantType::JwtBearer(assertion) => {
                let assertion = self.client.sign(assertion)?;
                let parameters: Vec<_> = [("assertion", assertion.as_str())].into_iter().chain(scope).collect();
                self.client.ask("urn:ietf:params:oauth:grant-type:jwt-bearer", &parameters).await
            }
        }
    }

    fn needs_refresh_token(&self) -> bool {
        matches!(self.grant_type, GrantType::RefreshToken)
    }
}
