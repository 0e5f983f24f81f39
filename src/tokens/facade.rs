//! The token client over a store, for both scopes.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::identity::Identity;
use super::records::Records;
#[cfg(any(test, feature = "in-memory"))]
use super::types;
use super::{
    ConnectorId, ConnectorToken, Grant, NewToken, OAuthCredentials, ProfileUid, Replacement, Revoker, Scope, ScopeKind,
    TokenClient, TokenError, TokenId, TokenMetadata, TokenType, TokenUpdate,
};
use crate::Result;
#[cfg(any(test, feature = "in-memory"))]
use crate::registry::Registry;
use crate::store::SavedObjects;
#[cfg(any(test, feature = "in-memory"))]
use crate::store::Start;

/// The tokens of connectors in a store, of both scopes: [`TokenClient`], which documents the operations. It logs each
/// call with its scope at debug level. A bare id means a shared token. Clones share everything.
///
/// ```no_run
/// use saved_objects::SavedObjects;
/// use saved_objects::encryption::Secret;
/// use saved_objects::tokens::{ConnectorId, ConnectorTokenClient, NewToken, ProfileUid, Scope, TokenClient};
///
/// # async fn example(store: &SavedObjects) -> saved_objects::Result<()> {
/// let tokens = ConnectorTokenClient::new(store)?;
/// let connector = ConnectorId::new("c1")?;
/// let user = Scope::User(ProfileUid::new("u_kim_0")?);
/// tokens.create(user.clone(), &connector, NewToken::token(Secret::text("Bearer …"))).await?;
/// if let Some(token) = tokens.get_oauth_credentials(user, &connector).await? {
///     let header = token.credentials.access_token.expose_text()?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ConnectorTokenClient {
    records: Records,
}

impl ConnectorTokenClient {
    /// Creates a client of the tokens in a store.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the store does not have the two types: register
    /// [`types`](super::types).
    pub fn new(store: &SavedObjects) -> Result<Self> {
        Ok(Self { records: Records::new(store)? })
    }

    /// Creates a client of a new store in memory. It is the fake for tests of code that uses a [`TokenClient`]: it
    /// needs no server, and its operations behave as those on a server. Its content is lost with the last clone.
    ///
    /// ```
    /// use saved_objects::encryption::Secret;
    /// use saved_objects::tokens::{ConnectorId, ConnectorTokenClient, NewToken, Scope, TokenClient};
    ///
    /// // A platform's own code, and its test.
    /// async fn is_connected(tokens: &dyn TokenClient, connector: &ConnectorId) -> saved_objects::Result<bool> {
    ///     Ok(tokens.get(Scope::Shared, connector).await?.is_some())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// let tokens = ConnectorTokenClient::in_memory().await?;
    /// let connector = ConnectorId::new("github")?;
    /// assert!(!is_connected(&tokens, &connector).await?);
    /// tokens.create(Scope::Shared, &connector, NewToken::token(Secret::text("Bearer 1"))).await?;
    /// assert!(is_connected(&tokens, &connector).await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`SavedObjects::in_memory`].
    #[cfg(any(test, feature = "in-memory"))]
    pub async fn in_memory() -> Result<Self> {
        let registry = Registry::builder().with(types()?).build()?;
        Self::new(&SavedObjects::in_memory(registry)?.start(Start::Migrate).await?)
    }

    /// Revokes every token that is deleted at its provider. The secrets are read before the deletion, and revoked after
    /// it, so that no token remains that its provider no longer accepts. If a provider fails, the token is deleted
    /// anyway and the failure is logged.
    #[must_use]
    pub fn revoking(self, revoker: Arc<dyn Revoker>) -> Self {
        Self { records: self.records.revoking(revoker) }
    }
}

#[async_trait]
impl TokenClient for ConnectorTokenClient {
    async fn create(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        token: NewToken,
    ) -> Result<TokenMetadata, TokenError> {
        log(scope.kind(), "create", connector_id);
        self.records.create(Identity::new(scope, connector_id, token.token_type.as_ref()), token).await
    }

    async fn create_with_refresh_token(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        grant: Grant,
    ) -> Result<TokenMetadata, TokenError> {
        log(scope.kind(), "create_with_refresh_token", connector_id);
        self.records.create_from_grant(Identity::new(scope, connector_id, None), grant).await
    }

    async fn get(&self, scope: Scope, connector_id: &ConnectorId) -> Result<Option<ConnectorToken>, TokenError> {
        log(scope.kind(), "get", connector_id);
        self.records.get(&Identity::new(scope, connector_id, None)).await
    }

    async fn get_of_type(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        token_type: &TokenType,
    ) -> Result<Option<ConnectorToken>, TokenError> {
        log(scope.kind(), "get_of_type", connector_id);
        self.records.get(&Identity::new(scope, connector_id, Some(token_type))).await
    }

    async fn get_oauth_credentials(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
    ) -> Result<Option<ConnectorToken<OAuthCredentials>>, TokenError> {
        log(scope.kind(), "get_oauth_credentials", connector_id);
        self.records.get_oauth(&Identity::new(scope, connector_id, None)).await
    }

    async fn update(&self, id: &TokenId, update: TokenUpdate) -> Result<TokenMetadata, TokenError> {
        self.records.update(log_id("update", id), id, update).await
    }

    async fn update_with_refresh_token(&self, id: &TokenId, grant: Grant) -> Result<TokenMetadata, TokenError> {
        self.records.update_from_grant(log_id("update_with_refresh_token", id), id, grant).await
    }

    async fn replace(&self, read: &TokenMetadata, token: NewToken) -> Result<TokenMetadata, TokenError> {
        log(read.scope.kind(), "replace", &read.connector_id);
        self.records.replace(read.scope.kind(), read, token).await
    }

    async fn update_or_replace(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        existing: Option<&TokenId>,
        replacement: Replacement,
    ) -> Result<(), TokenError> {
        log(scope.kind(), "update_or_replace", connector_id);
        self.records.update_or_replace(Identity::new(scope, connector_id, None), existing, replacement).await
    }

    async fn delete_one(&self, id: &TokenId) -> Result<(), TokenError> {
        self.records.delete_one(log_id("delete_one", id), id).await
    }

    async fn delete(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        token_type: Option<&TokenType>,
    ) -> Result<(), TokenError> {
        log(scope.kind(), "delete", connector_id);
        self.records.delete(&scope, connector_id, token_type).await
    }

    async fn delete_for_all_users(
        &self,
        connector_id: &ConnectorId,
        token_type: Option<&TokenType>,
    ) -> Result<(), TokenError> {
        log(ScopeKind::PerUser, "delete_for_all_users", connector_id);
        self.records.delete_for_all_users(connector_id, token_type).await
    }

    async fn delete_of_connector(&self, connector_id: &ConnectorId) -> Result<(), TokenError> {
        self.delete(Scope::Shared, connector_id, None).await?;
        self.delete_for_all_users(connector_id, None).await
    }

    async fn delete_of_user(&self, profile_uid: &ProfileUid) -> Result<(), TokenError> {
        tracing::debug!(scope = %ScopeKind::PerUser, method = "delete_of_user", "delegating");
        self.records.delete_of_user(profile_uid).await
    }

    async fn connectors_of_user(&self, profile_uid: &ProfileUid) -> Result<BTreeSet<ConnectorId>, TokenError> {
        tracing::debug!(scope = %ScopeKind::PerUser, method = "connectors_of_user", "delegating");
        self.records.connectors_of_user(profile_uid).await
    }
}

fn log(scope: ScopeKind, method: &'static str, connector_id: &ConnectorId) {
    tracing::debug!(%scope, method, %connector_id, "delegating");
}

/// Logs a call for `id`, and returns the scope of the id.
fn log_id(method: &'static str, id: &TokenId) -> ScopeKind {
    let scope = id.kind_or_shared();
    tracing::debug!(%scope, method, %id, "delegating");
    scope
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encryption::Secret;

    #[tokio::test]
    async fn two_clients_in_memory_share_nothing() {
        let (one, other) = (ConnectorTokenClient::in_memory().await, ConnectorTokenClient::in_memory().await);
        let (one, other) = (one.expect("started"), other.expect("started"));
        let connector = ConnectorId::new("c1").expect("a name");
        let scope = Scope::User(ProfileUid::new("u1").expect("a name"));
        let token = NewToken::token(Secret::text("Bearer 1"));
        let created = one.create(scope.clone(), &connector, token).await.expect("stored");
        let read =
            one.clone().get(scope.clone(), &connector).await.expect("readable").expect("a clone shares the store");
        assert_eq!(read.metadata, created);
        assert!(other.get(scope, &connector).await.expect("readable").is_none());
    }
}
