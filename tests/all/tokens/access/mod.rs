//! Access tokens that stay valid: which process asks the provider, what is stored, and what every caller gets.

mod failures;
mod interleavings;
mod late;
mod network;
mod pauses;
mod processes;
pub(super) mod provider;
mod races;
mod refreshes;
mod remote;
mod restored;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use libtest_mimic::Trial;
use saved_objects::Start;
use saved_objects::cluster::Cluster;
use saved_objects::encryption::Secret;
use saved_objects::environment::{Clock, Environment, SystemRng};
use saved_objects::tokens::{
    self, AccessToken, AccessTokens, ConnectorTokenClient, Credentials, NewToken, Refresher, Scope, TokenClient,
    TokenError, TokenMetadata,
};

use super::{connector, secrets, text, user};
use crate::clock::PollingClock;
use crate::context::{Context, MEMORY};
use provider::{FIRST_REFRESH_TOKEN, Provider};

pub(crate) use processes::{CHILD, child};

pub(super) fn trials(url: &str) -> Vec<Trial> {
    let mut trials = vec![refreshes::trials(url), failures::trials(url), races::trials(url), pauses::trials(url)];
    if url == MEMORY {
        trials.extend([late::trials(url), interleavings::trials(url)]);
    } else {
        trials.extend([processes::trials(url), network::trials(url), restored::trials(url)]);
    }
    trials.into_iter().flatten().collect()
}

/// A node on the test's cluster, with its own clock.
#[derive(Debug, Clone)]
struct Node {
    clock: Arc<PollingClock>,
    access: AccessTokens,
    client: ConnectorTokenClient,
    cluster: Arc<dyn Cluster>,
}

async fn node(context: &Context) -> Node {
    let clock = PollingClock::new();
    node_with(context, clock.clone(), clock).await
}

async fn node_with(context: &Context, clock: Arc<PollingClock>, seen: Arc<dyn Clock>) -> Node {
    node_over(context, context.cluster(), clock, seen, Start::Migrate).await
}

async fn node_over(
    context: &Context,
    cluster: Arc<dyn Cluster>,
    clock: Arc<PollingClock>,
    seen: Arc<dyn Clock>,
    start: Start,
) -> Node {
    let types = tokens::types().expect("built-in types");
    let environment = Environment::new(seen, Arc::new(SystemRng));
    let builder = context.builder(types).cluster(cluster.clone()).environment(environment);
    let store = builder.start(start).await.expect("the store starts");
    let access = AccessTokens::new(&store).expect("the types are there");
    Node { clock, access, client: ConnectorTokenClient::new(&store).expect("the types are there"), cluster }
}

impl Node {
    /// Stores a token that is valid for `left`, with the refresh token that a provider accepts first.
    async fn store(&self, scope: &Scope, left: Option<Duration>) -> TokenMetadata {
        self.store_until(scope, left.map(|left| self.clock.now() + left)).await
    }

    async fn store_until(&self, scope: &Scope, expires_at: Option<Timestamp>) -> TokenMetadata {
        let credentials = Credentials::Token {
            token: Secret::text("access 0"),
            refresh_token: Some(Secret::text(FIRST_REFRESH_TOKEN)),
        };
        let mut token = NewToken::new(credentials);
        token.expires_at = expires_at;
        self.client.create(scope.clone(), &connector("c1"), token).await.expect("stored")
    }

    /// Stores a token that has expired by the clock of any node.
    async fn store_expired(&self, scope: &Scope) -> TokenMetadata {
        self.store_until(scope, Some(Timestamp::UNIX_EPOCH)).await
    }

    async fn get(&self, scope: &Scope, provider: &Arc<Provider>) -> Result<AccessToken, TokenError> {
        let refresher: Arc<dyn Refresher> = provider.clone();
        self.access.get(scope.clone(), &connector("c1"), &refresher).await
    }

    async fn get_instead_of(
        &self,
        scope: &Scope,
        refused: &str,
        provider: &Arc<Provider>,
    ) -> Result<AccessToken, TokenError> {
        let refresher: Arc<dyn Refresher> = provider.clone();
        self.access.get_instead_of(scope.clone(), &connector("c1"), &Secret::text(refused), &refresher).await
    }

    /// Starts a call of `get` that continues while the test does something else.
    fn getting(
        &self,
        scope: &Scope,
        provider: &Arc<Provider>,
    ) -> tokio::task::JoinHandle<Result<AccessToken, TokenError>> {
        let (node, scope, provider) = (self.clone(), scope.clone(), provider.clone());
        tokio::spawn(async move { node.get(&scope, &provider).await })
    }

    /// Starts a call of `get` whose refresh the provider holds back, and waits until the provider was asked.
    async fn getting_held(
        &self,
        scope: &Scope,
        provider: &Arc<Provider>,
    ) -> tokio::task::JoinHandle<Result<AccessToken, TokenError>> {
        provider.hold();
        let getting = self.getting(scope, provider);
        provider.until_asked(1).await;
        getting
    }

    /// Returns the stored token and refresh token.
    async fn stored(&self, scope: &Scope) -> Option<(String, Option<String>)> {
        let read = self.client.get(scope.clone(), &connector("c1")).await.expect("readable");
        read.map(secrets)
    }
}

fn scopes() -> [Scope; 2] {
    [Scope::Shared, user("u1")]
}

fn token(got: Result<AccessToken, TokenError>) -> String {
    text(&got.expect("a token").token)
}

fn pair(token: &str, refresh_token: &str) -> Option<(String, Option<String>)> {
    Some((token.to_owned(), Some(refresh_token.to_owned())))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
