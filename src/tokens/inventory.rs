use futures::stream::BoxStream;
use futures::{StreamExt, stream};

use super::identity::{SharedIdentity, UserIdentity};
use super::records::Records;
use super::{ConnectorId, Credentials, ProfileUid, ScopeKind, TokenError, TokenId, TokenMetadata};
use crate::Result;
use crate::repository::{Filter, Repository, Unreadable};
use crate::store::SavedObjects;

/// Which tokens there are, for those who operate a platform. No secret comes out of it.
///
/// ```no_run
/// use futures::TryStreamExt;
/// use saved_objects::SavedObjects;
/// use saved_objects::tokens::{ConnectorId, Selection, TokenInventory};
///
/// # async fn example(store: &SavedObjects) -> saved_objects::Result<()> {
/// let inventory = TokenInventory::new(store)?;
/// let of_github = Selection { connector_id: Some(ConnectorId::new("github")?), ..Selection::default() };
/// let mut tokens = inventory.list(&of_github)?;
/// while let Some(listed) = tokens.try_next().await? {
///     match listed {
///         Ok(token) => println!("{} {:?}", token.id, token.expires_at),
///         Err(unreadable) => eprintln!("{}: {}", unreadable.raw_id, unreadable.error),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TokenInventory {
    shared: Records<SharedIdentity>,
    users: Records<UserIdentity>,
}

/// Which tokens are meant: those that everything fits which is said here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Those of this scope.
    pub scope: Option<ScopeKind>,
    /// Those of this connector.
    pub connector_id: Option<ConnectorId>,
    /// Those of this user.
    pub profile_uid: Option<ProfileUid>,
}

/// What can be said of a token's secrets without telling them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretsSummary {
    /// Whether they are OAuth credentials.
    pub is_oauth: bool,
    /// Whether there is a refresh token among them.
    pub has_refresh_token: bool,
}

/// A stream of tokens, and of records that are none. An error ends it.
pub type TokenStream = BoxStream<'static, Result<Result<TokenMetadata, Unreadable>>>;

impl TokenInventory {
    /// The tokens in a store.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the store does not have the types: register [`types`](super::types).
    pub fn new(store: &SavedObjects) -> Result<Self> {
        Self::over(store.repository())
    }

    pub(crate) fn over(repository: &Repository) -> Result<Self> {
        Ok(Self { shared: Records::over(repository)?, users: Records::over(repository)? })
    }

    /// The selected tokens, shared ones first, each kind by connector: however many, in bounded memory. A search: it sees a
    /// write after the index's next refresh, within a second usually.
    ///
    /// # Errors
    /// Those of [`Repository::stream`].
    pub fn list(&self, selection: &Selection) -> Result<TokenStream> {
        let shared = match selection.filter_of(ScopeKind::Shared) {
            Some(filter) => self.shared.list(filter)?.boxed(),
            None => stream::empty().boxed(),
        };
        let users = match selection.filter_of(ScopeKind::PerUser) {
            Some(filter) => self.users.list(filter)?.boxed(),
            None => stream::empty().boxed(),
        };
        Ok(shared.chain(users).boxed())
    }

    /// The token called `id`, without its secrets. One real-time request. A bare id means a shared token.
    ///
    /// # Errors
    /// [`Unreadable`](TokenError::Unreadable) if the record is no token.
    pub async fn get(&self, id: &TokenId) -> Result<Option<TokenMetadata>, TokenError> {
        match id.kind().unwrap_or(ScopeKind::Shared) {
            ScopeKind::Shared => self.shared.metadata(id).await,
            ScopeKind::PerUser => self.users.metadata(id).await,
        }
    }

    /// Opens the secrets of a token as it was listed, and tells what they are; none if it was changed or deleted since.
    ///
    /// # Errors
    /// [`Unreadable`](TokenError::Unreadable) if they do not open.
    pub async fn summarize_secrets(&self, token: &TokenMetadata) -> Result<Option<SecretsSummary>, TokenError> {
        let opened = match token.scope.kind() {
            ScopeKind::Shared => self.shared.open(token).await?,
            ScopeKind::PerUser => self.users.open(token).await?,
        };
        Ok(opened.map(|token| SecretsSummary::of(&token.credentials)))
    }
}

impl SecretsSummary {
    pub(super) fn of(credentials: &Credentials) -> Self {
        let oauth = credentials.to_oauth();
        Self { is_oauth: oauth.is_some(), has_refresh_token: oauth.is_some_and(|oauth| oauth.refresh_token.is_some()) }
    }
}

impl Selection {
    /// The filter for tokens of this scope; none if none of them is selected.
    fn filter_of(&self, kind: ScopeKind) -> Option<Filter> {
        if self.scope.is_some_and(|scope| scope != kind) || (kind == ScopeKind::Shared && self.profile_uid.is_some()) {
            return None;
        }
        let connector = self.connector_id.as_ref().map(|id| Filter::equals("connectorId", id.as_str()));
        let user = self.profile_uid.as_ref().map(|uid| Filter::equals("profileUid", uid.as_str()));
        Some(Filter::and(connector.into_iter().chain(user)))
    }
}
