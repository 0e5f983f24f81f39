use std::fmt;

use super::{ProfileUid, TokenType};

/// Whose tokens: everybody's or one user's. There is no way from a missing user to everybody's tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The tokens that all users of a connector share.
    Shared,
    /// The tokens of one user.
    User(ProfileUid),
}

/// A [`Scope`] without its user: what a token's id tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScopeKind {
    /// [`Scope::Shared`].
    Shared,
    /// [`Scope::User`].
    PerUser,
}

impl Scope {
    /// The scope without its user.
    pub fn kind(&self) -> ScopeKind {
        match self {
            Self::Shared => ScopeKind::Shared,
            Self::User(_) => ScopeKind::PerUser,
        }
    }
}

impl ScopeKind {
    /// `shared` or `per-user`, as ids begin with it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::PerUser => "per-user",
        }
    }

    /// The type of tokens in this scope unless said otherwise: `access_token` or `oauth`.
    pub fn default_token_type(self) -> TokenType {
        match self {
            Self::Shared => TokenType::access_token(),
            Self::PerUser => TokenType::oauth(),
        }
    }
}

impl fmt::Display for ScopeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
