use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::{
    ConnectorId, ConnectorToken, Grant, NewToken, OAuthCredentials, ProfileUid, Replacement, Revoker, Scope, ScopeKind,
    SharedTokenClient, TokenClient, TokenError, TokenId, TokenMetadata, TokenType, TokenUpdate, UserTokenClient,
};
use crate::Result;
use crate::repository::Repository;
use crate::store::SavedObjects;

/// The tokens of connectors in a store: one client for both scopes, which says at debug level to which of the two it hands
/// a call. A bare id means a shared token. Cloning shares everything.
///
/// ```no_run
/// use saved_objects::SavedObjects;
/// use saved_objects::encryption::Secret;
/// use saved_objects::tokens::{ConnectorId, ConnectorTokens, NewToken, ProfileUid, Scope, TokenClient};
///
/// # async fn example(store: &SavedObjects) -> saved_objects::Result<()> {
/// let tokens = ConnectorTokens::new(store)?;
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
pub struct ConnectorTokens {
    shared: SharedTokenClient,
    users: UserTokenClient,
}

impl ConnectorTokens {
    /// The tokens in a store.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the store does not have the two types: register [`types`](super::types).
    pub fn new(store: &SavedObjects) -> Result<Self> {
        Self::over(store.repository())
    }

    pub(crate) fn over(repository: &Repository) -> Result<Self> {
        Ok(Self { shared: SharedTokenClient::over(repository)?, users: UserTokenClient::over(repository)? })
    }

    /// Lets every token that is deleted be revoked at its provider. Its secrets are read before; it is revoked when it is
    /// gone, so that no token is left that its provider no longer takes. A provider that fails keeps no token from being
    /// deleted: that is logged.
    #[must_use]
    pub fn revoking(self, revoker: Arc<dyn Revoker>) -> Self {
        Self { shared: self.shared.revoking(Arc::clone(&revoker)), users: self.users.revoking(revoker) }
    }
}

#[async_trait]
impl TokenClient for ConnectorTokens {
    async fn create(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        token: NewToken,
    ) -> Result<TokenMetadata, TokenError> {
        delegating(scope.kind(), "create", connector_id);
        match scope {
            Scope::Shared => self.shared.create(connector_id, token).await,
            Scope::User(profile_uid) => self.users.create(&profile_uid, connector_id, token).await,
        }
    }

    async fn create_with_refresh_token(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        grant: Grant,
    ) -> Result<TokenMetadata, TokenError> {
        delegating(scope.kind(), "create_with_refresh_token", connector_id);
        match scope {
            Scope::Shared => self.shared.create_with_refresh_token(connector_id, grant).await,
            Scope::User(profile_uid) => self.users.create_with_refresh_token(&profile_uid, connector_id, grant).await,
        }
    }

    async fn get(&self, scope: Scope, connector_id: &ConnectorId) -> Result<Option<ConnectorToken>, TokenError> {
        delegating(scope.kind(), "get", connector_id);
        match scope {
            Scope::Shared => self.shared.get(connector_id).await,
            Scope::User(profile_uid) => self.users.get(&profile_uid, connector_id).await,
        }
    }

    async fn get_of_type(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        token_type: &TokenType,
    ) -> Result<Option<ConnectorToken>, TokenError> {
        delegating(scope.kind(), "get_of_type", connector_id);
        match scope {
            Scope::Shared => self.shared.get_of_type(connector_id, token_type).await,
            Scope::User(profile_uid) => self.users.get_of_type(&profile_uid, connector_id, token_type).await,
        }
    }

    async fn get_oauth_credentials(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
    ) -> Result<Option<ConnectorToken<OAuthCredentials>>, TokenError> {
        delegating(scope.kind(), "get_oauth_credentials", connector_id);
        match scope {
            Scope::Shared => self.shared.get_oauth_credentials(connector_id).await,
            Scope::User(profile_uid) => self.users.get_oauth_credentials(&profile_uid, connector_id).await,
        }
    }

    async fn update(&self, id: &TokenId, update: TokenUpdate) -> Result<TokenMetadata, TokenError> {
        match delegating_by_id("update", id) {
            ScopeKind::Shared => self.shared.update(id, update).await,
            ScopeKind::PerUser => self.users.update(id, update).await,
        }
    }

    async fn update_with_refresh_token(&self, id: &TokenId, grant: Grant) -> Result<TokenMetadata, TokenError> {
        match delegating_by_id("update_with_refresh_token", id) {
            ScopeKind::Shared => self.shared.update_with_refresh_token(id, grant).await,
            ScopeKind::PerUser => self.users.update_with_refresh_token(id, grant).await,
        }
    }

    async fn replace(&self, read: &TokenMetadata, token: NewToken) -> Result<TokenMetadata, TokenError> {
        delegating(read.scope.kind(), "replace", &read.connector_id);
        match read.scope {
            Scope::Shared => self.shared.replace(read, token).await,
            Scope::User(_) => self.users.replace(read, token).await,
        }
    }

    async fn update_or_replace(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        existing: Option<&TokenId>,
        replacement: Replacement,
    ) -> Result<(), TokenError> {
        delegating(scope.kind(), "update_or_replace", connector_id);
        match scope {
            Scope::Shared => self.shared.update_or_replace(connector_id, existing, replacement).await,
            Scope::User(profile_uid) => {
                self.users.update_or_replace(&profile_uid, connector_id, existing, replacement).await
            }
        }
    }

    async fn delete_one(&self, id: &TokenId) -> Result<(), TokenError> {
        match delegating_by_id("delete_one", id) {
            ScopeKind::Shared => self.shared.delete_one(id).await,
            ScopeKind::PerUser => self.users.delete_one(id).await,
        }
    }

    async fn delete(
        &self,
        scope: Scope,
        connector_id: &ConnectorId,
        token_type: Option<&TokenType>,
    ) -> Result<(), TokenError> {
        delegating(scope.kind(), "delete", connector_id);
        match scope {
            Scope::Shared => self.shared.delete(connector_id, token_type).await,
            Scope::User(profile_uid) => self.users.delete(&profile_uid, connector_id, token_type).await,
        }
    }

    async fn delete_for_all_users(
        &self,
        connector_id: &ConnectorId,
        token_type: Option<&TokenType>,
    ) -> Result<(), TokenError> {
        delegating(ScopeKind::PerUser, "delete_for_all_users", connector_id);
        self.users.delete_for_all_users(connector_id, token_type).await
    }

    async fn delete_of_connector(&self, connector_id: &ConnectorId) -> Result<(), TokenError> {
        self.delete(Scope::Shared, connector_id, None).await?;
        self.delete_for_all_users(connector_id, None).await
    }

    async fn delete_of_user(&self, profile_uid: &ProfileUid) -> Result<(), TokenError> {
        tracing::debug!(scope = %ScopeKind::PerUser, method = "delete_of_user", "delegating");
        self.users.delete_of_user(profile_uid).await
    }

    async fn connectors_of_user(&self, profile_uid: &ProfileUid) -> Result<BTreeSet<ConnectorId>, TokenError> {
        tracing::debug!(scope = %ScopeKind::PerUser, method = "connectors_of_user", "delegating");
        self.users.connectors_of_user(profile_uid).await
    }
}

fn delegating(scope: ScopeKind, method: &'static str, connector_id: &ConnectorId) {
    tracing::debug!(%scope, method, %connector_id, "delegating");
}

/// The scope that a call about `id` belongs to.
fn delegating_by_id(method: &'static str, id: &TokenId) -> ScopeKind {
    let scope = id.kind().unwrap_or(ScopeKind::Shared);
    tracing::debug!(%scope, method, %id, "delegating");
    scope
}
