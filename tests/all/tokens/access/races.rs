//! Callers, nodes and operations that race for one token: the provider is asked once, and no grant is lost.

use std::sync::Arc;

use futures::future::{join, join_all};
use libtest_mimic::Trial;
use saved_objects::encryption::Secret;
use saved_objects::environment::Clock;
use saved_objects::migrate::Outcome;
use saved_objects::tokens::{
    ConnectorTokenClient, Credentials, Grant, NewToken, ProviderError, RefreshRequest, Refresher, Scope, TokenClient,
    TokenError,
};
use tokio::sync::Barrier;

use super::provider::{Kind, Provider};
use super::{Node, node, pair, scopes, seconds, token};
use crate::context::Context;
use crate::named_trials;
use crate::tokens::mixed_versions::types_that_copy;
use crate::tokens::{connector, documents, secrets};

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        of_fifty_on_three_nodes_one_asks_and_all_get_it,
        users_of_a_connector_do_not_wait_for_each_other,
        all_who_wait_hear_of_one_failure,
        a_disconnect_during_a_refresh_leaves_no_token_behind,
        a_new_authorization_during_a_refresh_stays,
        what_another_node_rotated_is_adopted,
        an_abandoned_claim_is_taken_over_and_the_stalled_node_adopts,
        a_caller_who_goes_away_loses_nothing,
        a_grant_is_stored_in_the_index_that_took_the_place_of_the_one_that_was_read,
    )
}

async fn of_fifty_on_three_nodes_one_asks_and_all_get_it(context: Context) {
    let nodes: Vec<Node> = join_all((0..3).map(|_| node(&context))).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        nodes[0].store_expired(&scope).await;
        let started = Arc::new(Barrier::new(50));
        let tasks = (0..50).map(|number| {
            let (node, provider, scope) = (nodes[number % 3].clone(), provider.clone(), scope.clone());
            let started = started.clone();
            tokio::spawn(async move {
                started.wait().await;
                node.get(&scope, &provider).await
            })
        });
        for got in join_all(tasks).await {
            assert_eq!(token(got.expect("it ends")), "access 1");
        }
        assert_eq!(provider.asked(), 1);
    }
}

async fn users_of_a_connector_do_not_wait_for_each_other(context: Context) {
    let node = node(&context).await;
    let [shared, user] = scopes();
    let (held, free) = (Provider::new(Kind::Rotating), Provider::new(Kind::Rotating));
    node.store_expired(&shared).await;
    node.store_expired(&user).await;
    held.hold();
    let waiting = node.getting(&shared, &held);
    held.until_asked(1).await;
    assert_eq!(token(node.get(&user, &free).await), "access 1");
    held.let_go();
    assert_eq!(token(waiting.await.expect("it ends")), "access 1");
}

async fn all_who_wait_hear_of_one_failure(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        node.store_expired(&scope).await;
        provider.fail(ProviderError::Refused { reason: "no".to_owned() });
        provider.hold();
        let let_go = async {
            provider.until_asked(1).await;
            provider.let_go();
        };
        // All callers have started when the provider answers.
        let (all, ()) = join(join_all((0..10).map(|_| node.get(&scope, &provider))), let_go).await;
        for got in all {
            assert!(matches!(got, Err(TokenError::RefreshFailed { .. })), "{got:?}");
        }
        assert_eq!(provider.asked(), 1);
    }
}

async fn a_disconnect_during_a_refresh_leaves_no_token_behind(context: Context) {
    let mut node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        node.access = node.access.revoking(provider.clone());
        let id = node.store_expired(&scope).await.id;
        provider.hold();
        let waiting = [node.getting(&scope, &provider), node.getting(&scope, &provider)];
        provider.until_asked(1).await;
        node.client.delete(scope.clone(), &connector("c1"), None).await.expect("deleted");
        provider.let_go();
        for got in waiting {
            match got.await.expect("it ends") {
                Err(TokenError::Deleted { id: named }) => assert_eq!(named, id),
                // The second call may have come after the token was gone.
                Err(TokenError::NoToken { .. }) => {}
                got => panic!("{got:?}"),
            }
        }
        assert_eq!(provider.revoked(), [("access 1".to_owned(), Some("refresh 1".to_owned()))]);
        assert_eq!(documents(&context).await, 0);
    }
}

async fn a_new_authorization_during_a_refresh_stays(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        node.store_expired(&scope).await;
        let waiting = node.getting_held(&scope, &provider).await;
        authorize(&node, &scope).await;
        provider.let_go();
        assert_eq!(token(waiting.await.expect("it ends")), "authorized");
        assert_eq!(node.stored(&scope).await, pair("authorized", "anew"));
        assert_eq!(provider.revoked(), [], "it may be the same authorization");
    }
}

/// The user authorizes the connector again.
async fn authorize(node: &Node, scope: &Scope) {
    let refresh_token = Some(Secret::text("anew"));
    let token = NewToken::new(Credentials::Token { token: Secret::text("authorized"), refresh_token });
    node.client.create(scope.clone(), &connector("c1"), token).await.expect("stored");
}

/// The provider of another node: when it is asked, that node has already stored its grant for the same refresh token.
#[derive(Debug)]
struct AskedByAnother {
    node: Node,
    scope: Scope,
}

#[async_trait::async_trait]
impl Refresher for AskedByAnother {
    async fn refresh(&self, _: &RefreshRequest) -> Result<Grant, ProviderError> {
        authorize(&self.node, &self.scope).await;
        Err(ProviderError::InvalidGrant)
    }
}

async fn what_another_node_rotated_is_adopted(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        node.store_expired(&scope).await;
        let another: Arc<dyn Refresher> = Arc::new(AskedByAnother { node: node.clone(), scope: scope.clone() });
        let got = node.access.get(scope.clone(), &connector("c1"), &another).await;
        assert_eq!(token(got), "authorized");
        assert_eq!(node.stored(&scope).await, pair("authorized", "anew"));
    }
}

async fn an_abandoned_claim_is_taken_over_and_the_stalled_node_adopts(context: Context) {
    let (mut stalled, mut other) = (node(&context).await, node(&context).await);
    for node in [&mut stalled, &mut other] {
        node.access = node.access.clone().deadline(seconds(8));
    }
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        stalled.store_expired(&scope).await;
        // The provider has the request of a node that has stalled.
        let waiting = stalled.getting_held(&scope, &provider).await;
        let began = other.clock.monotonic();
        let other_waiting = other.getting(&scope, &provider);
        provider.until_asked(2).await;
        let waited = other.clock.monotonic() - began;
        assert!(waited >= seconds(12), "it has seen the claim unchanged only since {waited:?}");
        provider.let_one_go(2);
        assert_eq!(token(other_waiting.await.expect("it ends")), "access 1");
        // The stalled node gets the answer that its refresh token was used.
        provider.let_go();
        assert_eq!(token(waiting.await.expect("it ends")), "access 1");
        assert_eq!(stalled.stored(&scope).await, pair("access 1", "refresh 1"));
    }
}

async fn a_caller_who_goes_away_loses_nothing(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        node.store_expired(&scope).await;
        let waiting = node.getting_held(&scope, &provider).await;
        waiting.abort();
        assert!(waiting.await.expect_err("it went away").is_cancelled());
        let mut settled = Box::pin(node.access.settle());
        assert!(futures::poll!(settled.as_mut()).is_pending(), "a refresh is under way");
        provider.let_go();
        settled.await;
        assert_eq!(node.stored(&scope).await, pair("access 1", "refresh 1"));
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        assert_eq!((provider.asked(), node.stored(&scope).await), (1, pair("access 1", "refresh 1")));
    }
}

async fn a_grant_is_stored_in_the_index_that_took_the_place_of_the_one_that_was_read(context: Context) {
    let node = node(&context).await;
    let mut waiting = Vec::new();
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        node.store_expired(&scope).await;
        let got = node.getting_held(&scope, &provider).await;
        waiting.push((scope, provider, got));
    }
    // A newer node starts, and copies the index.
    let newer = context.store(types_that_copy()).await;
    assert_eq!(newer.start_report().expect("migrated").outcome, Outcome::Migrated);
    let names = context.prefix.group("connectors");
    let indices = context.cluster().indices(&[names.alias()]).await.expect("the cluster answers");
    assert!(indices.contains_key(&names.index(2)), "{:?}", indices.keys());
    let newer = ConnectorTokenClient::new(&newer).expect("the types are there");
    for (scope, provider, got) in waiting {
        provider.let_go();
        assert_eq!(token(got.await.expect("it ends")), "access 1");
        assert_eq!(node.stored(&scope).await, pair("access 1", "refresh 1"));
        let read = newer.get(scope, &connector("c1")).await.expect("readable");
        assert_eq!(read.map(secrets), pair("access 1", "refresh 1"));
    }
}
