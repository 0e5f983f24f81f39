use jiff::Timestamp;

use super::attributes::TokenAttributes;
use super::identity::Identity;
use super::{ConnectorId, Credentials, OAuthCredentials, Scope, TokenError, TokenId, TokenType, expiry};
use crate::document::VersionToken;
use crate::{Error, ErrorKind, Result};

/// A token as a read gives it, secrets and all. `C` is the form of its credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorToken<C = Credentials> {
    /// All but the secrets.
    pub metadata: TokenMetadata,
    /// The secrets.
    pub credentials: C,
}

/// What is known of a token beside its secrets; what writes answer with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenMetadata {
    /// What updates call it.
    pub id: TokenId,
    /// Whose it is.
    pub scope: Scope,
    /// The connector it is for.
    pub connector_id: ConnectorId,
    /// Its type: for users' tokens, what kind of credentials it has.
    pub token_type: TokenType,
    /// Until when it is good; none if it does not expire, or if nobody knows.
    pub expires_at: Option<Timestamp>,
    /// Until when its refresh token is good; none if that does not expire, or if nobody knows.
    pub refresh_token_expires_at: Option<Timestamp>,
    /// When it was created. To create it again begins anew, to update it does not.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// The version that this is.
    pub version: VersionToken,
}

impl ConnectorToken {
    /// The token with its credentials narrowed to those of OAuth; keys that OAuth does not know are left out.
    ///
    /// # Errors
    /// [`NotOAuth`](TokenError::NotOAuth) if they have another form.
    pub fn into_oauth(self) -> Result<ConnectorToken<OAuthCredentials>, TokenError> {
        match self.credentials.to_oauth() {
            Some(credentials) => Ok(ConnectorToken { metadata: self.metadata, credentials }),
            None => Err(TokenError::NotOAuth { id: self.metadata.id }),
        }
    }
}

impl TokenMetadata {
    /// The metadata of the token called `id`.
    ///
    /// # Errors
    /// [`Unreadable`](TokenError::Unreadable) if one of its times is not a time.
    pub(super) fn new<I: Identity>(
        id: TokenId,
        attributes: &TokenAttributes<I>,
        version: VersionToken,
    ) -> Result<Self, TokenError> {
        let (identity, times) = (&attributes.identity, &attributes.times);
        let moment = |name: &str, stored: &str| {
            expiry::parse(stored).ok_or_else(|| TokenError::of_reading(id.clone(), not_a_time(name)))
        };
        let opt_moment =
            |name: &str, stored: &Option<String>| stored.as_deref().map(|text| moment(name, text)).transpose();
        Ok(Self {
            scope: identity.scope(),
            connector_id: identity.connector_id().clone(),
            token_type: identity.token_type().clone(),
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
        .with_cure("store the token anew")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encryption::Secret;
    use crate::tokens::ScopeKind;
    use crate::tokens::attributes::Times;
    use crate::tokens::identity::SharedIdentity;

    const VERSION: VersionToken = VersionToken { seq_no: 1, primary_term: 1, generation: 1 };

    fn id() -> TokenId {
        TokenId::new(ScopeKind::Shared, "x")
    }

    fn attributes(times: Times) -> TokenAttributes<SharedIdentity> {
        let connector_id = ConnectorId::new("c1").expect("a name");
        TokenAttributes::new(SharedIdentity { connector_id, token_type: TokenType::access_token() }, times)
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
            let error = TokenMetadata::new(id(), &attributes(times), VERSION).expect_err("not a time");
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            let TokenError::Unreadable { source, .. } = error else { panic!("{error:?}") };
            assert!(source.message().contains(name), "{source}");
        }
        assert!(TokenMetadata::new(id(), &attributes(times()), VERSION).is_ok());
    }

    #[test]
    fn narrowing_tells_other_credentials_apart() {
        let metadata = TokenMetadata::new(id(), &attributes(times()), VERSION).expect("well-formed");
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
