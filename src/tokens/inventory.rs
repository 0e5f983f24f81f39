//! The list of tokens, for operators.

use futures::stream::BoxStream;
use futures::{StreamExt, stream};

use super::records::Records;
use super::{ConnectorId, Credentials, ProfileUid, ScopeKind, TokenError, TokenId, TokenMetadata};
use crate::Result;
use crate::repository::{Filter, Unreadable};
use crate::store::SavedObjects;

/// Lists the tokens in a store, for operators of a platform. It reveals no secret.
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
    records: Records,
}

/// Selects tokens by every field that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The scope.
    pub scope: Option<ScopeKind>,
    /// The connector.
    pub connector_id: Option<ConnectorId>,
    /// The user.
    pub profile_uid: Option<ProfileUid>,
}

/// Facts about a token's secrets that do not reveal them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretsSummary {
    /// True if they are OAuth credentials.
    pub is_oauth: bool,
    /// True if they include a refresh token.
    pub has_refresh_token: bool,
}

/// A stream of tokens, and of records that are not tokens. An error ends it.
pub type TokenStream = BoxStream<'static, Result<Result<TokenMetadata, Unreadable>>>;

impl TokenInventory {
    /// Creates an inventory of the tokens in a store.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the store does not have the types: register [`types`](super::types).
    pub fn new(store: &SavedObjects) -> Result<Self> {
        Ok(Self { records: Records::new(store)? })
    }

    /// Streams the selected tokens in bounded memory: first the shared ones, then those of users, each sorted by
    /// connector. It is a search, which finds a write after the next refresh of the index, usually within a second.
    ///
    /// # Errors
    /// Those of [`Repository::stream`](crate::Repository::stream).
    pub fn list(&self, selection: &Selection) -> Result<TokenStream> {
        let mut streams = Vec::new();
        for kind in ScopeKind::ALL {
            if let Some(filter) = selection.filter_of(kind) {
                streams.push(self.records.list(kind, filter)?);
            }
        }
        Ok(stream::iter(streams).flatten().boxed())
    }

    /// Returns the token `id` without its secrets. Sends one real-time request. A bare id means a shared token.
    ///
    /// # Errors
    /// [`Unreadable`](TokenError::Unreadable) if the record is not a token.
    pub async fn get(&self, id: &TokenId) -> Result<Option<TokenMetadata>, TokenError> {
        self.records.metadata(id.kind_or_shared(), id).await
    }

    /// Decrypts the secrets of a listed token and summarizes them. Returns `None` if the token was changed or deleted
    /// since it was listed.
    ///
    /// # Errors
    /// [`Unreadable`](TokenError::Unreadable) if they cannot be decrypted.
    pub async fn summarize_secrets(&self, token: &TokenMetadata) -> Result<Option<SecretsSummary>, TokenError> {
        let opened = self.records.open(token).await?;
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
    /// Returns the filter for the selected tokens of one scope; `None` if the selection excludes them all.
    fn filter_of(&self, kind: ScopeKind) -> Option<Filter> {
        if self.scope.is_some_and(|scope| scope != kind) || (kind == ScopeKind::Shared && self.profile_uid.is_some()) {
            return None;
        }
        Some(kind.filter(self.profile_uid.as_ref(), self.connector_id.as_ref(), None))
    }
}
