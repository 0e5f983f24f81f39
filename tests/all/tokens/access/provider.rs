//! A provider of tokens within the test process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use saved_objects::encryption::Secret;
use saved_objects::tokens::{Grant, ProviderError, RefreshRequest, Refresher, Revocation, Revoker};
use tokio::sync::watch;

use crate::tokens::text;

/// A provider in this process. It counts its requests, accepts each refresh token once if it rotates, and can be made
/// to fail or to hold its answers back.
#[derive(Debug)]
pub(crate) struct Provider {
    kind: Kind,
    lifetime: Option<Duration>,
    state: Mutex<State>,
    /// The number of requests.
    asked: watch::Sender<usize>,
    gate: watch::Sender<Gate>,
}

/// The requests that are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    All,
    None,
    /// The request with this number.
    Only(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Each grant has a new refresh token, and the one before becomes invalid.
    Rotating,
    /// One refresh token for ever.
    Constant,
    /// Like `Constant`, with one access token until it expires.
    Insisting,
    /// Like `Rotating`, with one access token.
    Renewing,
    /// It needs no refresh token.
    Alone,
}

#[derive(Debug)]
struct State {
    refresh_token: String,
    grants: usize,
    failures: VecDeque<ProviderError>,
    revoked: Vec<(String, Option<String>)>,
}

/// The refresh token that a [`Provider`] accepts first.
pub(crate) const FIRST_REFRESH_TOKEN: &str = "r";

impl Provider {
    pub(crate) fn new(kind: Kind) -> Arc<Self> {
        Self::granting(kind, Some(Duration::from_secs(3600)))
    }

    /// Creates a provider whose grants are valid for `lifetime`.
    pub(crate) fn granting(kind: Kind, lifetime: Option<Duration>) -> Arc<Self> {
        let state = State {
            refresh_token: FIRST_REFRESH_TOKEN.to_owned(),
            grants: 0,
            failures: VecDeque::new(),
            revoked: Vec::new(),
        };
        let (asked, gate) = (watch::Sender::new(0), watch::Sender::new(Gate::All));
        Arc::new(Self { kind, lifetime, state: Mutex::new(state), asked, gate })
    }

    /// Makes the next request fail with `error`.
    pub(crate) fn fail(&self, error: ProviderError) {
        self.state.lock().expect("no test panics with the lock").failures.push_back(error);
    }

    /// Holds answers back until it is released; meanwhile requests are not processed.
    pub(crate) fn hold(&self) {
        self.gate.send_replace(Gate::None);
    }

    pub(crate) fn let_go(&self) {
        self.gate.send_replace(Gate::All);
    }

    /// Answers the request with this number, counted from one.
    pub(crate) fn let_one_go(&self, number: usize) {
        self.gate.send_replace(Gate::Only(number));
    }

    pub(crate) fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    /// Waits until it got `times` requests.
    pub(crate) async fn until_asked(&self, times: usize) {
        self.asked.subscribe().wait_for(|asked| *asked >= times).await.expect("the provider is there");
    }

    /// Returns the refresh token that it accepts.
    pub(crate) fn refresh_token(&self) -> String {
        self.state.lock().expect("no test panics with the lock").refresh_token.clone()
    }

    /// Returns the revoked tokens: access tokens, each with its refresh token.
    pub(crate) fn revoked(&self) -> Vec<(String, Option<String>)> {
        self.state.lock().expect("no test panics with the lock").revoked.clone()
    }

    /// Answers a request with this refresh token.
    pub(crate) fn grant(&self, refresh_token: Option<&str>) -> Result<Grant, ProviderError> {
        let mut state = self.state.lock().expect("no test panics with the lock");
        if let Some(failure) = state.failures.pop_front() {
            return Err(failure);
        }
        if self.kind != Kind::Alone && refresh_token != Some(state.refresh_token.as_str()) {
            return Err(ProviderError::InvalidGrant);
        }
        state.grants += 1;
        let number = state.grants;
        let rotates = matches!(self.kind, Kind::Rotating | Kind::Renewing);
        if rotates {
            state.refresh_token = format!("refresh {number}");
        }
        let number = if matches!(self.kind, Kind::Insisting | Kind::Renewing) { 0 } else { number };
        Ok(Grant {
            access_token: Secret::text(&format!("access {number}")),
            refresh_token: rotates.then(|| Secret::text(&state.refresh_token)),
            expires_in: self.lifetime,
            refresh_token_expires_in: None,
        })
    }

    /// Counts a request, and waits while answers are held back.
    pub(crate) async fn hear(&self) {
        let mut number = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        let is_open = |gate: &Gate| *gate == Gate::All || *gate == Gate::Only(number);
        self.gate.subscribe().wait_for(is_open).await.expect("the provider is there");
    }
}

#[async_trait]
impl Refresher for Provider {
    async fn refresh(&self, request: &RefreshRequest) -> Result<Grant, ProviderError> {
        self.hear().await;
        self.grant(request.refresh_token.as_ref().map(text).as_deref())
    }

    fn needs_refresh_token(&self) -> bool {
        self.kind != Kind::Alone
    }
}

#[async_trait]
impl Revoker for Provider {
    async fn revoke(&self, revocation: &Revocation) -> Result<(), ProviderError> {
        let revoked = (text(&revocation.access_token), revocation.refresh_token.as_ref().map(text));
        let mut state = self.state.lock().expect("no test panics with the lock");
        state.revoked.push(revoked);
        state.failures.pop_front().map_or(Ok(()), Err)
    }
}
