//! The authorization code grant: begins an authorization, and claims it when the user comes back.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::callback::Outcome;
use super::in_progress::InProgress;
use super::state::{self, OAuthState, StateAttributes, StateSecrets};
use super::{AuthorizationError, Callback, ClaimedAuthorization, Endpoint, OAuthClient, pkce};
use crate::encryption::Secret;
use crate::environment::iso_millis;
use crate::objects::{Change, Objects};
use crate::repository::{Delete, SavedObject};
use crate::store::SavedObjects;
use crate::tokens::{ConnectorId, ConnectorTokenClient, ProfileUid, Scope, ScopeKind, expiry};
use crate::{Error, ErrorKind, Result};

/// The default time that a user has to authorize.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The authorization code grant (RFC 6749 4.1) with PKCE (RFC 7636, method `S256`): [`begin`](Self::begin) returns the
/// URL for the user, [`claim`](Self::claim) takes the provider's callback, and
/// [`exchange`](ClaimedAuthorization::exchange) gets and stores the token.
///
/// Any process can finish an authorization that another one began. It is finished at most once: its record is marked as
/// claimed, at the version that was read, before the code is sent anywhere, and is then deleted.
///
/// ```no_run
/// use saved_objects::SavedObjects;
/// use saved_objects::tokens::oauth::{AuthorizationFlow, Callback, OAuthClient};
/// use saved_objects::tokens::{ConnectorId, ProfileUid, ScopeKind};
///
/// # async fn example(store: &SavedObjects, github: OAuthClient, query: &str) -> saved_objects::Result<()> {
/// let flow = AuthorizationFlow::new(store)?;
/// let (user, connector) = (ProfileUid::new("u_kim_0")?, ConnectorId::new("github")?);
/// let url = flow.begin(&github, &user, ScopeKind::PerUser, &connector).await?;
/// // … the user follows `url.as_str()`, and comes back to the redirect URI with `query`.
/// let claimed = flow.claim(&user, Callback::from_query(query)?).await?;
/// println!("for {}", claimed.connector_id());
/// claimed.exchange(&github).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AuthorizationFlow {
    states: Objects<OAuthState>,
    tokens: ConnectorTokenClient,
    lifetime: Duration,
    exchanges: InProgress,
}

/// The URL where a user authorizes the connector. It contains the state, so its `Debug` shows only the endpoint.
pub struct AuthorizationUrl {
    endpoint: Endpoint,
    url: Zeroizing<String>,
}

impl AuthorizationUrl {
    /// Returns the URL to send the user to.
    pub fn as_str(&self) -> &str {
        &self.url
    }
}

impl fmt::Debug for AuthorizationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuthorizationUrl").field(&self.endpoint).finish_non_exhaustive()
    }
}

impl AuthorizationFlow {
    /// Creates a flow whose begun authorizations and tokens are in a store.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the store does not have the types: register
    /// [`types`](crate::tokens::types).
    pub fn new(store: &SavedObjects) -> Result<Self> {
        let states = Objects::new(store.repository().including(&[crate::tokens::types::OAUTH_STATE])?)?;
        let tokens = ConnectorTokenClient::new(store)?;
        Ok(Self { states, tokens, lifetime: DEFAULT_LIFETIME, exchanges: InProgress::default() })
    }

    /// Sets the time that users have to authorize. Default: ten minutes.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Waits until no exchange of a code by this flow or a clone of it is in progress. Call it before a process ends on
    /// purpose, so that no grant of a provider is lost with it.
    pub async fn settle(&self) {
        self.exchanges.settle().await;
    }

    /// Begins the authorization of a connector by the user `started_by`, for that user or for all users who share the
    /// connector's token. The platform must check whether the user may authorize for all.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the provider has no authorization endpoint or no redirect URI;
    /// [`Unavailable`](ErrorKind::Unavailable) and others of
    /// [`Repository::create`](crate::Repository::create).
    pub async fn begin(
        &self,
        client: &OAuthClient,
        started_by: &ProfileUid,
        scope: ScopeKind,
        connector_id: &ConnectorId,
    ) -> Result<AuthorizationUrl> {
        let provider = client.provider();
        let endpoint = provider.authorization_endpoint.clone().ok_or_else(|| unconfigured("authorization endpoint"))?;
        let redirect_uri = provider.redirect_uri.as_ref().ok_or_else(|| unconfigured("redirect URI"))?;
        let environment = self.states.repository().environment();
        let state = pkce::random_text(environment.rng())?;
        let verifier = pkce::random_text(environment.rng())?;
        let challenge = pkce::challenge(&verifier);
        let attributes = StateAttributes {
            state: state.to_string(),
            connector_id: connector_id.clone(),
            expires_at: iso_millis(expiry::after(environment.clock().now(), self.lifetime)?),
            created_by: started_by.clone(),
            token_scope: scope.as_str().to_owned(),
            provider: Some(provider.fingerprint()),
            claimed_at: None,
        };
        let secrets = StateSecrets { code_verifier: Secret::text(&verifier) };
        let id = state::id(&state);
        self.states.create_with(&attributes, secrets, |request| request.id(id)).await?;

        let mut url = endpoint.url().clone();
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", &provider.client_id)
                .append_pair("redirect_uri", redirect_uri.as_str())
                .append_pair("state", &state)
                .append_pair("code_challenge", &challenge)
                .append_pair("code_challenge_method", "S256");
            if let Some(scope) = provider.scope() {
                query.append_pair("scope", &scope);
            }
            query.extend_pairs(&provider.authorization_parameters);
        }
        Ok(AuthorizationUrl { endpoint, url: Zeroizing::new(url.into()) })
    }

    /// Takes the provider's callback and claims the authorization for `user`, who must have begun it. The claim uses up
    /// the authorization, whatever the outcome; for another user it stays.
    ///
    /// # Errors
    /// [`AlreadyUsed`](AuthorizationError::AlreadyUsed), [`Expired`](AuthorizationError::Expired),
    /// [`OtherUser`](AuthorizationError::OtherUser) (which gives no details), [`Denied`](AuthorizationError::Denied),
    /// and those of [`Repository::update`](crate::Repository::update): after
    /// [`OutcomeUnknown`](ErrorKind::OutcomeUnknown) no other caller can claim it, and the user has to begin again.
    pub async fn claim(
        &self,
        user: &ProfileUid,
        callback: Callback,
    ) -> Result<ClaimedAuthorization, AuthorizationError> {
        let id = state::id(&callback.state);
        let Some((record, secrets)) = self.states.get_with_secrets_opt(&id).await? else {
            return Err(AuthorizationError::AlreadyUsed);
        };
        let StateAttributes { connector_id, expires_at, created_by, token_scope, provider, claimed_at, .. } =
            record.attributes.clone();
        if created_by != *user {
            return Err(AuthorizationError::OtherUser);
        }
        if claimed_at.is_some() {
            return Err(AuthorizationError::AlreadyUsed);
        }
        let scope = match token_scope.as_str() {
            scope if scope == ScopeKind::Shared.as_str() => Scope::Shared,
            scope if scope == ScopeKind::PerUser.as_str() => Scope::User(created_by),
            _ => return Err(malformed("scope").into()),
        };
        let expires_at = expiry::parse(&expires_at).ok_or_else(|| malformed("expiry"))?;
        let now = self.states.repository().environment().clock().now();
        self.mark_claimed(&record, now).await?;
        if expires_at <= now {
            return Err(AuthorizationError::Expired);
        }
        match callback.outcome {
            Outcome::Denied(code) => Err(AuthorizationError::Denied { code }),
            Outcome::Code(code) => Ok(ClaimedAuthorization {
                tokens: self.tokens.clone(),
                environment: self.states.repository().environment().clone(),
                connector_id,
                scope,
                code,
                code_verifier: secrets.code_verifier,
                provider,
                issuer: callback.issuer,
                exchanges: self.exchanges.clone(),
            }),
        }
    }
}

impl AuthorizationFlow {
    /// Marks the record as claimed, if it is still at the version that was read, and then deletes it. The mark decides
    /// which of several callers claims it: after a lost answer, a stored update shows whose it is, and a deletion does
    /// not.
    async fn mark_claimed(
        &self,
        record: &SavedObject<StateAttributes>,
        now: Timestamp,
    ) -> Result<(), AuthorizationError> {
        let mark = |attributes: &mut StateAttributes| attributes.claimed_at = Some(iso_millis(now));
        let marked = match self.states.update(Change::of(record), mark).await {
            Ok(marked) => marked,
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {
                return Err(AuthorizationError::AlreadyUsed);
            }
            Err(error) => return Err(error.into()),
        };
        if let Err(error) = self.states.repository().delete(Delete::of(&marked).gone_is_done()).await {
            tracing::debug!(%error, "a claimed authorization is left for the clean-up");
        }
        Ok(())
    }
}

fn unconfigured(what: &str) -> Error {
    Error::invalid(format!("the provider has no {what}"), format!("give the {what} to `Provider`"))
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the {what} of a begun authorization is malformed"))
        .with_hint("authorize the connector again")
}
