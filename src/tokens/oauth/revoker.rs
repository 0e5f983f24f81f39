//! The [`Revoker`] of OAuth providers.

use async_trait::async_trait;

use super::form::Form;
use super::{OAuthClient, answer};
use crate::encryption::Secret;
use crate::tokens::{ProviderError, Revocation, Revoker};

/// Token revocation (RFC 7009): first the refresh token, with which a provider also revokes its access tokens, then the
/// access token. A provider without a revocation endpoint gets no request.
#[async_trait]
impl Revoker for OAuthClient {
    async fn revoke(&self, revocation: &Revocation) -> Result<(), ProviderError> {
        let refresh_token = match &revocation.refresh_token {
            Some(refresh_token) => self.revoke_one(refresh_token, "refresh_token").await,
            None => Ok(()),
        };
        let access_token = self.revoke_one(&revocation.access_token, "access_token").await;
        // Some providers revoke refresh tokens only, and refuse access tokens.
        refresh_token.and(match access_token {
            Err(ProviderError::Refused { .. }) if revocation.refresh_token.is_some() => Ok(()),
            outcome => outcome,
        })
    }
}

impl OAuthClient {
    async fn revoke_one(&self, token: &Secret, hint: &str) -> Result<(), ProviderError> {
        let Some(endpoint) = &self.provider().revocation_endpoint else { return Ok(()) };
        let not_a_text = |_| ProviderError::Refused { reason: format!("the stored {hint} is not a text") };
        let text = token.expose_text().map_err(not_a_text)?;
        // An access token is stored as the value of a header. The provider knows it without the scheme.
        let token = match text.split_once(' ') {
            Some((_, token)) if hint == "access_token" => token,
            _ => text.as_str(),
        };
        let form = Form::default().field("token", token).field("token_type_hint", hint);
        answer::revoked(&self.send(endpoint, form).await?, self.provider())
    }
}
