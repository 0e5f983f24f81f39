//! The client that makes all requests to a provider.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::form::{Form, encode};
use super::http::{Answer, Http};
use super::{ClientAuthentication, Endpoint, Provider, answer};
use crate::environment::Environment;
use crate::store::SavedObjects;
use crate::tokens::{Grant, ProviderError};
use crate::{Error, Result};

/// The grant type of a refresh (RFC 6749 6).
pub(super) const REFRESH_TOKEN: &str = "refresh_token";

/// Refuses a configuration that every provider would refuse, and a scheme that no header can have.
fn check_configuration(provider: &Provider) -> Result<()> {
    if provider.client_id.trim().is_empty() {
        return Err(Error::invalid(
            "the provider's client id is empty",
            "use the client id that the provider registered",
        ));
    }
    if !provider.authorization_scheme.as_deref().is_none_or(answer::is_scheme) {
        return Err(Error::invalid(
            "the provider's authorization scheme is not a scheme of HTTP",
            "give one word such as `Bearer`, or an empty text to send the token alone",
        ));
    }
    match &provider.authentication {
        ClientAuthentication::Basic(secret) | ClientAuthentication::Body(secret)
            if secret.expose_text().is_ok_and(|text| text.trim().is_empty()) =>
        {
            Err(Error::invalid("the client's secret is empty", "give the secret, or use a public client"))
        }
        _ => Ok(()),
    }
}

/// The client of an OAuth provider for one connector. Clones share connections.
#[derive(Debug, Clone)]
pub struct OAuthClient {
    provider: Arc<Provider>,
    http: Http,
}

impl OAuthClient {
    /// Creates a client of `provider`, with the clock and the randomness of a store.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the provider has no client id, an empty client secret, or an invalid
    /// authorization scheme; [`Internal`](crate::ErrorKind::Internal) if the HTTP client cannot be created.
    pub fn new(provider: Provider, store: &SavedObjects) -> Result<Self> {
        Self::with_environment(provider, store.repository().environment().clone())
    }

    pub(super) fn with_environment(provider: Provider, environment: Environment) -> Result<Self> {
        check_configuration(&provider)?;
        let http = Http::new(environment, provider.timeout)?;
        Ok(Self { provider: Arc::new(provider), http })
    }

    pub(super) fn provider(&self) -> &Provider {
        &self.provider
    }

    pub(super) fn environment(&self) -> &Environment {
        self.http.environment()
    }

    /// Asks the token endpoint for a grant of this type. These parameters are added to those that every request has.
    pub(super) async fn ask(&self, grant_type: &str, parameters: &[(&str, &str)]) -> Result<Grant, ProviderError> {
        let form = Form::default().field("grant_type", grant_type).fields(parameters.iter().copied());
        let others = self.provider.token_parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let answer = self.send(&self.provider.token_endpoint, form.fields(others)).await?;
        let grant = answer::grant(&answer, &self.provider)?;
        // A refresh token alone is only of use if it replaces the presented one.
        match grant.access_token.expose_text() {
            Ok(text) if text.is_empty() && grant_type != REFRESH_TOKEN => {
                Err(ProviderError::Refused { reason: "the answer has a refresh token and no access token".to_owned() })
            }
            _ => Ok(grant),
        }
    }

    /// Sends a form to an endpoint with the authentication of the client.
    pub(super) async fn send(&self, endpoint: &Endpoint, form: Form) -> Result<Answer, ProviderError> {
        let client_id = &self.provider.client_id;
        let unusable = |_| ProviderError::Refused { reason: "the client's secret is not a text".to_owned() };
        match &self.provider.authentication {
            ClientAuthentication::Public => self.http.post(endpoint, form.field("client_id", client_id), None).await,
            ClientAuthentication::Body(secret) => {
                let secret = secret.expose_text().map_err(unusable)?;
                let form = form.field("client_id", client_id).field("client_secret", &secret);
                self.http.post(endpoint, form, None).await
            }
            ClientAuthentication::Basic(secret) => {
                // RFC 6749 2.3.1: both are form-encoded before they become user and password.
                let secret = secret.expose_text().map_err(unusable)?;
                let basic = (encode(client_id).collect(), Zeroizing::new(encode(&secret).collect()));
                self.http.post(endpoint, form, Some(basic)).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::encryption::Secret;

    #[test]
    fn a_client_without_a_name_or_a_secret_is_refused() {
        let provider =
            |id: &str| Provider::new(Endpoint::new("https://provider.example/token").expect("an endpoint"), id);
        let client = |provider| OAuthClient::with_environment(provider, Environment::system());
        let empty = || Secret::text(" ");
        for refused in [
            provider(""),
            provider(" "),
            provider("c").authentication(ClientAuthentication::Basic(empty())),
            provider("c").authentication(ClientAuthentication::Body(empty())),
            provider("c").authorization_scheme("Bearer "),
        ] {
            assert_eq!(client(refused).expect_err("refused").kind(), ErrorKind::Invalid);
        }
        assert!(client(provider("c")).is_ok());
        assert!(client(provider("c").authorization_scheme("")).is_ok());
    }
}
