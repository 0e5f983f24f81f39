//! A token as reads return it, and the metadata that writes return.

use jiff::Timestamp;

use super::attributes::TokenAttributes;
#[cfg(any(test, feature = "in-memory"))]
use super::identity::Identity;
use super::{ConnectorId, Credentials, OAuthCredentials, Scope, TokenError, TokenId, TokenType, expiry};
use crate::document::VersionToken;
use crate::{Error, ErrorKind, Result};

/// A token with its secrets, as reads return it. `C` is the form of its credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorToken<C = Credentials> {
    /// Everything except the secrets.
    pub metadata: TokenMetadata,
    /// The secrets.
    pub credentials: C,
}

/// A token without its secrets. Writes return it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenMetadata {
    /// The id, by which updates name the token.
    pub id: TokenId,
    /// The owner.
    pub scope: Scope,
    /// The connector that the token is for.
    pub connector_id: ConnectorId,
    /// The type; of a user's token, the kind of its credentials.
    pub token_type: TokenType,
    /// The time at which the token expires. `None` if it does not expire, or if its expiry is unknown.
    pub expires_at: Option<Timestamp>,
    /// The time at which the refresh token expires. `None` if it does not expire, or if its expiry is unknown.
    pub refresh_token_expires_at: Option<Timestamp>,
    /// The time of creation. Creating the token again sets it, updating the token does not.
    pub created_at: Timestamp,
    /// The time of the last write.
    pub updated_at: Timestamp,
    /// The version that was read or written.
    pub version: VersionToken,
}

impl ConnectorToken {
    /// Returns the token with OAuth credentials. Keys that OAuth does not know are left out.
    ///
    /// # Errors
    /// [`NotOAuth`](TokenError::NotOAuth) if the credentials have another form.
    pub fn into_oauth(self) -> Result<ConnectorToken<OAuthCredentials>, TokenError> {
        match self.credentials.to_oauth() {
            Some(credentials) => Ok(ConnectorToken { metadata: self.metadata, credentials }),
            None => Err(TokenError::NotOAuth { id: self.metadata.id }),
        }
    }
}

impl TokenMetadata {
    /// Creates metadata for values that a fake [`TokenClient`](super::TokenClient) returns in tests: of a token with
    /// its derived id and the default type of its scope, which does not expire. All fields are public, so a test can
    /// set others.
    ///
    /// ```
    /// use saved_objects::document::VersionToken;
    /// use saved_objects::encryption::Secret;
    /// use saved_objects::tokens::{ConnectorId, ConnectorToken, Credentials, Scope, TokenMetadata};
    ///
    /// # fn main() -> saved_objects::Result<()> {
    /// let metadata = TokenMetadata::for_tests(Scope::Shared, &ConnectorId::new("github")?);
    /// let metadata = TokenMetadata { version: VersionToken::for_tests(7), ..metadata };
    /// let credentials = Credentials::Token { token: Secret::text("Bearer 1"), refresh_token: None };
    /// let token = ConnectorToken { metadata, credentials };
    /// assert!(token.metadata.id.to_string().starts_with("shared:"));
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(any(test, feature = "in-memory"))]
    pub fn for_tests(scope: Scope, connector_id: &ConnectorId) -> Self {
        let identity = Identity::new(scope, connector_id, None);
        Self {
            id: TokenId::new(identity.kind(), identity.derived_id()),
            scope: identity.scope,
            connector_id: identity.connector_id,
            token_type: identity.token_type,
            expires_at: None,
            refresh_token_expires_at: None,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            version: VersionToken::for_tests(1),
        }
    }

    /// Reads the metadata of the token `id`.
    ///
    /// # Errors
    /// [`Unreadable`](TokenError::Unreadable) if one of its times is not a time.
    pub(super) fn new(id: TokenId, attributes: &TokenAttributes, version: VersionToken) -> Result<Self, TokenError> {
        let (identity, times) = (&attributes.identity, &attributes.times);
        let moment = |name: &str, stored: &str| {
            expiry::parse(stored).ok_or_else(|| TokenError::of_reading(id.clone(), not_a_time(name)))
        };
        let opt_moment =
            |name: &str, stored: &Option<String>| stored.as_deref().map(|text| moment(name, text)).transpose();
        Ok(Self {
            scope: identity.scope.clone(),
            connector_id: identity.connector_id.clone(),
            token_type: identity.token_type.clone(),
            expires_at: opt_moment("expiresAt", &times.expires_at)?,
            refresh_token_expires_at: opt_moment("refreshTokenExpiresAt", &times.refresh_token_expires_at)?,
            created_at: moment("createdAt", &times.created_at)?,
            updated_at: moment("updatedAt", &times.updated_at)?,
            version,
            id,
        })
    }
}

fn not_a_time(attribute: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the attribute {attribute:?} of a stored token is not a time"))
        .with_hint("store the token again with `create`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encryption::Secret;
    use crate::tokens::ScopeKind;
    use crate::tokens::attributes::Times;

    fn id() -> TokenId {
        TokenId::new(ScopeKind::Shared, "x")
    }

    fn attributes(times: Times) -> TokenAttributes {
        let connector_id = ConnectorId::new("c1").expect("a name");
        TokenAttributes::new(Identity::new(Scope::Shared, &connector_id, None), times)
    }

    fn times() -> Times {
        Times {
            expires_at: None,
            refresh_token_expires_at: None,
            created_at: "2026-03-01T10:00:00.000Z".to_owned(),
            updated_at: "2026-03-01T10:00:00.000Z".to_owned(),
        }
    }

    #[test]
    fn a_time_that_is_none_makes_the_token_unreadable_and_is_named() {
        let yo = || "yo".to_owned();
        let table = [
            ("expiresAt", Times { expires_at: Some(yo()), ..times() }),
            ("refreshTokenExpiresAt", Times { refresh_token_expires_at: Some(yo()), ..times() }),
            ("createdAt", Times { created_at: yo(), ..times() }),
            ("updatedAt", Times { updated_at: yo(), ..times() }),
        ];
        for (name, times) in table {
            let error =
                TokenMetadata::new(id(), &attributes(times), VersionToken::for_tests(1)).expect_err("not a time");
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            let TokenError::Unreadable { source, .. } = error else { panic!("{error:?}") };
            assert!(source.message().contains(name), "{source}");
        }
        assert!(TokenMetadata::new(id(), &attributes(times()), VersionToken::for_tests(1)).is_ok());
    }

    #[test]
    fn narrowing_tells_other_credentials_apart() {
        let metadata = TokenMetadata::for_tests(Scope::Shared, &ConnectorId::new("c1").expect("a name"));
        let token = |credentials| ConnectorToken { metadata: metadata.clone(), credentials };
        let basic = Secret::json(&serde_json::json!({"user": "kim"})).expect("not null");
        let error = token(Credentials::Object(basic)).into_oauth().expect_err("not OAuth");
        assert!(matches!(error, TokenError::NotOAuth { .. }), "{error:?}");
        let bearer = token(Credentials::Token { token: Secret::text("hunter2"), refresh_token: None });
        let oauth = bearer.into_oauth().expect("OAuth");
        assert_eq!(oauth.credentials.access_token, Secret::text("hunter2"));
        assert!(!format!("{oauth:?}").contains("hunter2"));
    }
}
