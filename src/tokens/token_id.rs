//! The ids of tokens.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::ScopeKind;
use crate::{Error, Result};

const SHARED: &str = "shared:";
const PER_USER: &str = "per-user:";
/// The former prefix for `per-user:`, accepted for callers that stored such ids.
const PERSONAL: &str = "personal:";

/// The id of a token outside the library: `shared:<uuid>` or `per-user:<uuid>`. Two other forms are accepted:
/// `personal:<uuid>` means `per-user:<uuid>`, and a bare UUID means a user's token for
/// [`UserConnectorTokenClient`](super::UserConnectorTokenClient) and a shared token for all other clients.
///
/// A write returns the id in the form in which it was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenId {
    prefix: &'static str,
    uuid: String,
}

impl TokenId {
    /// Creates the id of a token in the scope `kind`, in the form that reads return.
    pub(super) fn new(kind: ScopeKind, uuid: impl Into<String>) -> Self {
        let prefix = match kind {
            ScopeKind::Shared => SHARED,
            ScopeKind::PerUser => PER_USER,
        };
        Self { prefix, uuid: uuid.into() }
    }

    /// Returns the scope that the id names; `None` if it is a bare UUID.
    pub fn kind(&self) -> Option<ScopeKind> {
        match self.prefix {
            SHARED => Some(ScopeKind::Shared),
            PER_USER | PERSONAL => Some(ScopeKind::PerUser),
            _ => None,
        }
    }

    /// Returns the scope that the id names; a bare UUID means a shared token.
    pub(super) fn kind_or_shared(&self) -> ScopeKind {
        self.kind().unwrap_or(ScopeKind::Shared)
    }

    /// Returns the id of the stored object.
    pub(super) fn uuid(&self) -> &str {
        &self.uuid
    }

    /// Returns the id of another object in the same form.
    pub(super) fn with_uuid(&self, uuid: impl Into<String>) -> Self {
        Self { prefix: self.prefix, uuid: uuid.into() }
    }

    /// Refuses an id of another scope than `kind`.
    pub(super) fn check_kind(&self, kind: ScopeKind) -> Result<()> {
        match self.kind() {
            Some(other) if other != kind => Err(Error::invalid(
                format!("the token id {self} is {other}, but {kind} tokens are expected"),
                format!("use an id that begins with `{kind}:`, or the client of {other} tokens"),
            )),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.prefix, self.uuid)
    }
}

impl FromStr for TokenId {
    type Err = Error;

    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the text has none of the forms above.
    fn from_str(text: &str) -> Result<Self> {
        let stripped =
            [SHARED, PER_USER, PERSONAL].into_iter().find_map(|prefix| Some((prefix, text.strip_prefix(prefix)?)));
        let (prefix, uuid) = stripped.unwrap_or(("", text));
        // Other forms of the same UUID would be other ids to the server.
        let is_uuid = Uuid::try_parse(uuid).is_ok_and(|parsed| parsed.hyphenated().to_string() == uuid);
        if !is_uuid {
            return Err(Error::invalid(
                "the text is not a token id",
                "use an id as in a token's metadata: `shared:<uuid>` or `per-user:<uuid>`",
            ));
        }
        Ok(Self { prefix, uuid: uuid.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ErrorKind;

    const UUID: &str = "a9106551-bfa7-872d-84d0-610d668914aa";

    #[test]
    fn ids_come_back_as_given() {
        let table = [
            ("shared:", Some(ScopeKind::Shared)),
            ("per-user:", Some(ScopeKind::PerUser)),
            ("personal:", Some(ScopeKind::PerUser)),
            ("", None),
        ];
        for (prefix, kind) in table {
            let text = format!("{prefix}{UUID}");
            let id: TokenId = text.parse().expect("a form of ids");
            assert_eq!((id.to_string(), id.kind(), id.uuid()), (text, kind, UUID));
            assert_eq!(id.with_uuid("x").to_string(), format!("{prefix}x"));
        }
        assert_eq!(TokenId::new(ScopeKind::PerUser, UUID).to_string(), format!("per-user:{UUID}"));
    }

    #[test]
    fn anything_else_is_refused_with_a_hint() {
        let simple = UUID.replace('-', "");
        let upper = UUID.to_uppercase();
        let long = format!("shared:{}", "x".repeat(600));
        let table =
            ["", "shared:", "shared:c1", "c1", &simple, &upper, &long, "Shared:a9106551-bfa7-872d-84d0-610d668914aa"];
        for text in table {
            let error = text.parse::<TokenId>().expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn the_other_scope_is_refused_and_a_bare_id_is_not() {
        let parse = |prefix: &str| format!("{prefix}{UUID}").parse::<TokenId>().expect("a form of ids");
        let error = parse("shared:").check_kind(ScopeKind::PerUser).expect_err("the other scope");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(parse("personal:").check_kind(ScopeKind::Shared).is_err());
        assert!(parse("personal:").check_kind(ScopeKind::PerUser).is_ok());
        for kind in [ScopeKind::Shared, ScopeKind::PerUser] {
            assert!(parse("").check_kind(kind).is_ok());
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            if let Ok(id) = text.parse::<TokenId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
