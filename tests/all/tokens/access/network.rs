//! Several nodes that each reach the server through their own bad network.

use std::sync::Arc;

use futures::StreamExt;
use futures::future::join_all;
use libtest_mimic::Trial;
use saved_objects::Start;
use saved_objects::cluster::Elastic;
use saved_objects::environment::{Environment, SystemRng};
use saved_objects::tokens::{Grant, TokenClient, TokenError, TokenId};

use super::provider::{Kind, Provider};
use super::{Node, node, node_over, scopes};
use crate::clock::{ImpatientClock, PollingClock};
use crate::context::Context;
use crate::faults::seed::{Named, seeds};
use crate::named_trials;
use crate::proxy::{Proxy, weather};
use crate::tokens::text;

/// The percentage of requests that meet a fault.
const BAD_WEATHER: u64 = 35;
const NODES: u64 = 3;
/// How often a token is refused and refreshed.
const ROUNDS: usize = 4;
/// The number of seeds that run at the same time.
const AT_ONCE: usize = 3;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(url, no_grant_is_lost_in_a_bad_network)
}

async fn no_grant_is_lost_in_a_bad_network(context: Context) {
    let runs = seeds(1..5).map(|seed| through_bad_networks(&context, seed));
    let outcomes: Vec<Outcomes> = futures::stream::iter(runs).buffer_unordered(AT_ONCE).collect().await;
    println!("{outcomes:?}");
    assert!(outcomes.iter().any(|outcomes| outcomes.tokens > 0));
}

/// What callers got.
#[derive(Debug, Default)]
struct Outcomes {
    tokens: usize,
    not_stored: usize,
    failed: usize,
}

/// Creates a node behind its own network.
async fn behind(context: &Context, seed: u64) -> (Node, Proxy) {
    let proxy = Proxy::start(&context.url, weather(seed, BAD_WEATHER)).await;
    // A client that does not wait between attempts.
    let environment = Environment::new(Arc::new(ImpatientClock::default()), Arc::new(SystemRng));
    let elastic = Elastic::builder(proxy.url()).environment(environment).build().expect("a fine URL");
    let clock = PollingClock::new();
    (node_over(context, Arc::new(elastic), clock.clone(), clock, Start::Skip).await, proxy)
}

async fn through_bad_networks(context: &Context, seed: u64) -> Outcomes {
    let _named = Named(seed);
    let prefix = format!("{}-{seed}", context.prefix).parse().expect("a prefix");
    let context = Context { prefix, ..context.clone() };
    let scope = &scopes()[(seed % 2) as usize];
    let (calm, provider) = (node(&context).await, Provider::new(Kind::Rotating));
    calm.store_expired(scope).await;
    let mut outcomes = Outcomes::default();
    for round in 0..ROUNDS {
        let (refused, _) = calm.stored(scope).await.expect("it is there");
        let behind = join_all((0..NODES).map(|node| behind(&context, seed * 100 + node))).await;
        let asking =
            behind.iter().flat_map(|(node, _)| (0..3).map(|_| node.get_instead_of(scope, &refused, &provider)));
        let mut kept: Option<(TokenId, Grant)> = None;
        for got in join_all(asking).await {
            match got {
                Ok(token) => {
                    assert_ne!(text(&token.token), refused, "seed {seed}, round {round}");
                    outcomes.tokens += 1;
                }
                Err(TokenError::NotStored { id, grant, .. }) => {
                    kept = Some((id, *grant));
                    outcomes.not_stored += 1;
                }
                // No caller may get the answer that there is no token, or that there is another one.
                Err(TokenError::Other(_) | TokenError::RefreshFailed { .. } | TokenError::Revoked { .. }) => {
                    outcomes.failed += 1;
                }
                Err(error) => panic!("seed {seed}, round {round}: {error:?}"),
            }
        }
        // Requests that were sent long ago land.
        join_all(behind.iter().map(|(_, proxy)| proxy.land_all())).await;
        if let Some((id, grant)) = kept {
            calm.client.update_with_refresh_token(&id, grant).await.expect("stored by the caller");
        }
        let (_, refresh_token) = calm.stored(scope).await.expect("it is there");
        let expected = provider.refresh_token();
        assert_eq!(refresh_token, Some(expected), "seed {seed}, round {round}: what the provider takes is stored");
    }
    outcomes
}
