//! One token is refreshed, deleted, authorized again and changed at the same time, in a random order. In any order no
//! refresh token is used twice, the provider accepts the stored refresh token, and a token whose last operation is its
//! deletion is gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::join_all;
use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::encryption::Secret;
use saved_objects::tokens::{
    AccessTokens, ConnectorTokenClient, Grant, ProviderError, RefreshRequest, Refresher, Revocation, Revoker, Scope,
    TokenClient, TokenError, TokenId, TokenUpdate,
};

use super::scopes;
use crate::context::{Context, MEMORY};
use crate::faults::disturbed::{Call, Disturbed, Disturber, Fate};
use crate::faults::seed::{Dice, Named, seeds};
use crate::named_trials;
use crate::tokens::taken_over::take_over;
use crate::tokens::{Tokens, connector, documents, secrets, text, tokens, tokens_on};

/// The number of nodes that ask for the token, and of tasks on each node.
const NODES: u64 = 3;
const TASKS: u64 = 3;
/// How often the service refuses the token of each task.
const REFUSALS: usize = 2;
/// The number of seeds that run at the same time.
const AT_ONCE: usize = 8;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(url, whatever_happens_at_once_the_stored_grant_is_the_living_one)
}

async fn whatever_happens_at_once_the_stored_grant_is_the_living_one(_: Context) {
    let runs = seeds(1..121).map(|seed| {
        tokio::spawn(async move {
            let _named = Named(seed);
            run(seed).await
        })
    });
    let outcomes: Vec<Outcomes> =
        futures::stream::iter(runs).buffer_unordered(AT_ONCE).map(|run| run.expect("it ends well")).collect().await;
    let (mut refreshed, mut gone) = (0, 0);
    for outcome in outcomes {
        (refreshed, gone) = (refreshed + outcome.refreshed, gone + outcome.gone);
    }
    println!("{refreshed} tokens, {gone} times there was none any more");
    assert!(refreshed > 0 && gone > 0);
}

/// What happens in addition to the refreshes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    Disconnect,
    TwoDisconnects,
    Authorization,
    DisconnectThenAuthorization,
    AuthorizationThenDisconnect,
    Update,
    UpdateAndDisconnect,
}

const ALL: [Beside; 8] = [
    Beside::Nothing,
    Beside::Disconnect,
    Beside::TwoDisconnects,
    Beside::Authorization,
    Beside::DisconnectThenAuthorization,
    Beside::AuthorizationThenDisconnect,
    Beside::Update,
    Beside::UpdateAndDisconnect,
];

impl Beside {
    /// Returns whether callers may get the answer that there is no token.
    fn disconnects(self) -> bool {
        !matches!(self, Self::Nothing | Self::Authorization | Self::Update)
    }

    /// Returns whether there is a token in the end.
    fn leaves_a_token(self) -> bool {
        !self.disconnects() || self == Self::DisconnectThenAuthorization
    }

    fn authorizes(self) -> bool {
        matches!(self, Self::Authorization | Self::DisconnectThenAuthorization | Self::AuthorizationThenDisconnect)
    }
}

/// A network in which every request takes a different time.
#[derive(Debug)]
struct Jitter(Dice);

#[async_trait]
impl Disturber for Jitter {
    async fn fate(&self, _: &Call) -> Fate {
        for _ in 0..self.0.below(12) {
            tokio::task::yield_now().await;
        }
        Fate::Done
    }
}

/// A rotating provider that knows the refresh tokens of each authorization, and notices a second use of one.
#[derive(Debug)]
struct Authorizations {
    dice: Dice,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the refresh token that each authorization accepts; `None` if it was revoked.
    living: BTreeMap<u64, Option<u64>>,
    /// How often a refresh token was used again.
    used_twice: usize,
}

/// Returns the name of a refresh token. The first one is that of a record that was taken over.
fn name(authorization: u64, number: u64) -> String {
    if (authorization, number) == (0, 0) { "r".to_owned() } else { format!("{authorization}.{number}") }
}

fn parse(name: &str) -> (u64, u64) {
    let number = |text: &str| text.parse().expect("a number");
    name.split_once('.').map_or((0, 0), |(authorization, serial)| (number(authorization), number(serial)))
}

impl Authorizations {
    fn new(seed: u64) -> Arc<Self> {
        let state = State { living: BTreeMap::from([(0, Some(0))]), used_twice: 0 };
        Arc::new(Self { dice: Dice::new(seed), state: Mutex::new(state) })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with the lock")
    }

    fn authorize(&self) -> Grant {
        let mut state = self.state();
        let authorization = state.living.len() as u64;
        state.living.insert(authorization, Some(0));
        grant(authorization, 0)
    }

    /// Returns whether it accepts this refresh token.
    fn takes(&self, refresh_token: &str) -> bool {
        let (authorization, number) = parse(refresh_token);
        self.state().living[&authorization] == Some(number)
    }
}

fn grant(authorization: u64, number: u64) -> Grant {
    Grant {
        access_token: Secret::text(&format!("access {authorization}.{number}")),
        refresh_token: Some(Secret::text(&name(authorization, number))),
        expires_in: None,
        refresh_token_expires_in: None,
    }
}

#[async_trait]
impl Refresher for Authorizations {
    async fn refresh(&self, request: &RefreshRequest) -> Result<Grant, ProviderError> {
        let (authorization, number) = parse(&text(request.refresh_token.as_ref().expect("it needs one")));
        for turn in 0..2 {
            for _ in 0..self.dice.below(40) {
                tokio::task::yield_now().await;
            }
            if turn == 0 {
                let mut state = self.state();
                match state.living[&authorization] {
                    Some(living) if living == number => {
                        state.living.insert(authorization, Some(number + 1));
                    }
                    Some(_) => {
                        state.used_twice += 1;
                        state.living.insert(authorization, None);
                        return Err(ProviderError::InvalidGrant);
                    }
                    None => return Err(ProviderError::InvalidGrant),
                }
            }
        }
        Ok(grant(authorization, number + 1))
    }
}

#[async_trait]
impl Revoker for Authorizations {
    async fn revoke(&self, revocation: &Revocation) -> Result<(), ProviderError> {
        let (authorization, _) = parse(&text(revocation.refresh_token.as_ref().expect("it has one")));
        self.state().living.insert(authorization, None);
        Ok(())
    }
}

/// What callers got.
#[derive(Debug, Default)]
struct Outcomes {
    refreshed: usize,
    gone: usize,
}

/// Creates a node that reaches the cluster through its own network.
async fn node(context: &Context, provider: &Arc<Authorizations>, seed: u64) -> (AccessTokens, ConnectorTokenClient) {
    let cluster = Arc::new(Disturbed::new(context.cluster(), Arc::new(Jitter(Dice::new(seed)))));
    let Tokens { store, client, .. } = tokens_on(context, cluster).await;
    let access = AccessTokens::new(&store).expect("the types are there").revoking(provider.clone());
    (access, client.revoking(provider.clone()))
}

async fn run(seed: u64) -> Outcomes {
    let dice = Dice::new(seed);
    let beside = ALL[(seed % ALL.len() as u64) as usize];
    let scope = &scopes()[dice.below(2) as usize];
    let (context, provider) = (Context::new(MEMORY, "interleavings"), Authorizations::new(seed));
    let calm = tokens(&context).await;
    // Half of the runs start with a record that was taken over, which moves at its first write.
    let is_taken_over = dice.happens(50);
    let id: TokenId = if is_taken_over {
        take_over(&calm, scope, "access 0.0").await;
        documents(&context).await;
        calm.client.get(scope.clone(), &connector("c1")).await.expect("readable").expect("there").metadata.id
    } else {
        calm.client.create_with_refresh_token(scope.clone(), &connector("c1"), grant(0, 0)).await.expect("stored").id
    };
    let described = format!("seed {seed}: {beside:?}, taken over: {is_taken_over}");

    let nodes = join_all((0..NODES).map(|number| node(&context, &provider, seed * 100 + number))).await;
    let mut asking = Vec::new();
    for (access, _) in &nodes {
        for _ in 0..TASKS {
            let (access, provider, scope) = (access.clone(), provider.clone(), scope.clone());
            asking.push(tokio::spawn(async move { ask(&access, provider, scope).await }));
        }
    }
    let (_, client) = node(&context, &provider, seed * 100 + NODES).await;
    for _ in 0..dice.below(60) {
        tokio::task::yield_now().await;
    }
    happen(beside, &client, &provider, scope, &id).await;

    let mut outcomes = Outcomes::default();
    for got in join_all(asking).await.into_iter().flat_map(|task| task.expect("it ends")) {
        match got {
            Ok(()) => outcomes.refreshed += 1,
            Err(TokenError::Deleted { .. } | TokenError::NoToken { .. }) if beside.disconnects() => outcomes.gone += 1,
            Err(error) => panic!("{described}: {error:?}"),
        }
    }
    for (access, _) in &nodes {
        access.settle().await;
    }
    let stored = calm.client.get(scope.clone(), &connector("c1")).await.expect("readable").map(secrets);
    assert_eq!(provider.state().used_twice, 0, "{described}");
    assert_eq!(stored.is_some(), beside.leaves_a_token(), "{described}: {stored:?}");
    assert_eq!(documents(&context).await, u64::from(beside.leaves_a_token()), "{described}");
    match stored {
        Some((_, refresh_token)) => {
            let refresh_token = refresh_token.expect("a refresh token");
            assert!(provider.takes(&refresh_token), "{described}: {refresh_token} of {:?}", provider.state());
            assert_eq!(parse(&refresh_token).0 > 0, beside.authorizes(), "{described}: {refresh_token}");
        }
        // A token that an authorization replaces is not revoked: it may be the same one, as far as a node knows.
        None if beside.authorizes() => {}
        None => {
            let living: Vec<_> = provider.state().living.values().flatten().copied().collect();
            assert!(living.is_empty(), "{described}: somebody is left with a grant: {living:?}");
        }
    }
    outcomes
}

/// Runs a task whose service refuses the token several times.
async fn ask(access: &AccessTokens, provider: Arc<Authorizations>, scope: Scope) -> Vec<Result<(), TokenError>> {
    let refresher: Arc<dyn Refresher> = provider;
    let (mut refused, mut outcomes) = (Secret::text("access 0.0"), Vec::new());
    for _ in 0..REFUSALS {
        match access.get_instead_of(scope.clone(), &connector("c1"), &refused, &refresher).await {
            Ok(token) => {
                assert_ne!(token.token, refused, "that one was refused");
                refused = token.token;
                outcomes.push(Ok(()));
            }
            Err(error) => {
                outcomes.push(Err(error));
                break;
            }
        }
    }
    outcomes
}

async fn happen(beside: Beside, client: &ConnectorTokenClient, provider: &Authorizations, scope: &Scope, id: &TokenId) {
    let c1 = &connector("c1");
    let disconnect = async || client.delete(scope.clone(), c1, None).await.expect("deleted");
    let authorize = async || {
        let grant = provider.authorize();
        client.create_with_refresh_token(scope.clone(), c1, grant).await.expect("stored");
    };
    let update = async || match client.update(id, TokenUpdate::token(Secret::text("access by hand"))).await {
        Ok(_) => {}
        // The record moved, or is gone.
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}"),
    };
    match beside {
        Beside::Nothing => {}
        Beside::Disconnect => disconnect().await,
        Beside::TwoDisconnects => {
            futures::join!(disconnect(), disconnect());
        }
        Beside::Authorization => authorize().await,
        Beside::DisconnectThenAuthorization => {
            disconnect().await;
            authorize().await;
        }
        Beside::AuthorizationThenDisconnect => {
            authorize().await;
            disconnect().await;
        }
        Beside::Update => update().await,
        Beside::UpdateAndDisconnect => {
            futures::join!(update(), disconnect());
        }
    }
}
