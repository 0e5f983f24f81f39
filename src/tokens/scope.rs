//! The owner of a token: all users of a connector, or one user.

use std::fmt;

use super::{ConnectorId, ProfileUid, TokenType};
use crate::repository::Filter;

/// The attribute that holds the user of a token.
pub(super) const PROFILE_UID: &str = "profileUid";
/// The attribute that holds the connector of a token.
pub(super) const CONNECTOR_ID: &str = "connectorId";

/// The owner of a token. A missing user never becomes [`Shared`](Self::Shared): the two are different variants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The tokens that all users of a connector share.
    Shared,
    /// The tokens of one user.
    User(ProfileUid),
}

/// A [`Scope`] without its user: the part of it that a token's id shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScopeKind {
    /// [`Scope::Shared`].
    Shared,
    /// [`Scope::User`].
    PerUser,
}

impl Scope {
    /// Returns the scope without its user.
    pub fn kind(&self) -> ScopeKind {
        match self {
            Self::Shared => ScopeKind::Shared,
            Self::User(_) => ScopeKind::PerUser,
        }
    }

    /// Returns the user, if the scope has one.
    pub(super) fn user(&self) -> Option<&ProfileUid> {
        match self {
            Self::Shared => None,
            Self::User(profile_uid) => Some(profile_uid),
        }
    }
}

impl ScopeKind {
    pub(super) const ALL: [Self; 2] = [Self::Shared, Self::PerUser];

    /// Returns `shared` or `per-user`, the text that ids begin with.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::PerUser => "per-user",
        }
    }

    /// Returns the default type of tokens in this scope: `access_token` or `oauth`.
    pub fn default_token_type(self) -> TokenType {
        match self {
            Self::Shared => TokenType::access_token(),
            Self::PerUser => TokenType::oauth(),
        }
    }

    /// Returns the stored type of the tokens in this scope.
    pub(super) fn stored_type(self) -> &'static str {
        match self {
            Self::Shared => "connector_token",
            Self::PerUser => "user_connector_token",
        }
    }

    /// Returns the attribute that holds the type of a token in this scope.
    pub(super) fn token_type_attribute(self) -> &'static str {
        match self {
            Self::Shared => "tokenType",
            Self::PerUser => "credentialType",
        }
    }

    /// Returns the filter for tokens of this scope with the given user, connector and type. What is `None` does not
    /// matter.
    pub(super) fn filter(
        self,
        profile_uid: Option<&ProfileUid>,
        connector_id: Option<&ConnectorId>,
        token_type: Option<&TokenType>,
    ) -> Filter {
        let of_user = profile_uid.map(|uid| Filter::equals(PROFILE_UID, uid.as_str()));
        let of_connector = connector_id.map(|id| Filter::equals(CONNECTOR_ID, id.as_str()));
        let of_type = token_type.map(|of_type| Filter::equals(self.token_type_attribute(), of_type.as_str()));
        Filter::and(of_user.into_iter().chain(of_connector).chain(of_type))
    }
}

impl fmt::Display for ScopeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
