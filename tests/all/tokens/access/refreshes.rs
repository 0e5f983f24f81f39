//! When a token is refreshed, and what the refresh stores.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{join, join_all};
use libtest_mimic::Trial;
use saved_objects::encryption::Secret;
use saved_objects::environment::Clock;
use saved_objects::tokens::{NewToken, Scope, TokenClient};
use serde_json::json;

use super::provider::{Kind, Provider};
use super::{Node, node, pair, scopes, seconds, token};
use crate::context::Context;
use crate::named_trials;
use crate::tokens::{SHARED_C1, USER_U1_C1, change_stored, connector, documents, text};

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_good_token_is_one_request,
        an_expired_token_is_refreshed_and_what_was_rotated_is_stored,
        a_token_is_refreshed_before_it_expires,
        a_good_token_is_given_after_a_second_and_refreshed_beside,
        a_token_of_unknown_lifetime_is_refreshed_after_the_assumed_one,
        a_token_just_obtained_is_given_whatever_its_lifetime,
        a_refused_token_is_refreshed_only_if_it_is_the_stored_one,
        a_provider_that_gives_the_refused_token_again_is_asked_once,
        a_constant_refresh_token_stays,
        a_record_with_a_random_id_folds,
        a_provider_that_wants_no_refresh_token_is_asked_for_the_first_one_too,
    )
}

async fn a_good_token_is_one_request(context: Context) {
    let (node, provider) = (node(&context).await, Provider::new(Kind::Rotating));
    for scope in scopes() {
        for left in [None, Some(seconds(3600))] {
            node.store(&scope, left).await;
            let before = node.cluster.requests();
            let got = node.get(&scope, &provider).await.expect("good");
            let after = node.cluster.requests();
            assert_eq!((after.reads - before.reads, after.writes - before.writes), (1, 0));
            assert_eq!(text(&got.token), "access 0");
            assert_eq!(got.expires_at, left.map(|left| node.clock.now() + left));
        }
    }
    assert_eq!(provider.asked(), 0);
}

async fn an_expired_token_is_refreshed_and_what_was_rotated_is_stored(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        let created = node.store_expired(&scope).await;
        let asked_at = node.clock.now();
        let got = node.get(&scope, &provider).await.expect("refreshed");
        assert_eq!(text(&got.token), "access 1");
        assert_eq!(got.expires_at, Some(asked_at + seconds(3600)));
        assert_eq!(node.stored(&scope).await, pair("access 1", "refresh 1"));
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        assert_eq!(provider.asked(), 1);

        // Again, with the rotated refresh token; the record stays the same one.
        node.clock.forward(seconds(3600));
        assert_eq!(token(node.get(&scope, &provider).await), "access 2");
        assert_eq!(node.stored(&scope).await, pair("access 2", "refresh 2"));
        let read = node.client.get(scope, &connector("c1")).await.expect("readable").expect("there").metadata;
        assert_eq!((read.id, read.created_at), (created.id, created.created_at));
    }
    assert_eq!(documents(&context).await, 2);
}

async fn a_token_is_refreshed_before_it_expires(context: Context) {
    let node = node(&context).await;
    let table = [(3600, 3539, false), (3600, 3541, true), (40, 29, false), (40, 31, true)];
    for scope in scopes() {
        for (lifetime, age, is_refreshed) in table {
            let provider = Provider::new(Kind::Rotating);
            node.store(&scope, Some(seconds(lifetime))).await;
            node.clock.forward(seconds(age));
            let expected = if is_refreshed { "access 1" } else { "access 0" };
            assert_eq!(token(node.get(&scope, &provider).await), expected, "{lifetime} {age}");
            assert_eq!(provider.asked(), usize::from(is_refreshed), "{lifetime} {age}");
        }
    }
}

async fn a_good_token_is_given_after_a_second_and_refreshed_beside(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        node.store(&scope, Some(seconds(80))).await;
        node.clock.forward(seconds(68));
        let waiting = node.getting_held(&scope, &provider).await;
        node.clock.forward(Duration::from_millis(999));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished(), "it is waited for");
        node.clock.forward(Duration::from_millis(1));
        assert_eq!(token(waiting.await.expect("it ends")), "access 0");
        provider.let_go();
        // The refresh continues after its caller has gone.
        node.clock.forward(seconds(1));
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        assert_eq!(provider.asked(), 1);
        assert_eq!(node.stored(&scope).await, pair("access 1", "refresh 1"));
    }
}

async fn a_token_of_unknown_lifetime_is_refreshed_after_the_assumed_one(context: Context) {
    let without = node(&context).await;
    let mut node = without.clone();
    node.access = node.access.assumed_lifetime(seconds(600));
    let is_refreshed = async |node: &Node, scope: &Scope, provider: &Arc<Provider>| {
        let before = provider.asked();
        token(node.get(scope, provider).await);
        provider.asked() - before
    };
    // Some providers say zero for an unknown lifetime.
    for (scope, lifetime) in
        scopes().into_iter().flat_map(|scope| [None, Some(Duration::ZERO)].map(|said| (scope.clone(), said)))
    {
        let provider = Provider::granting(Kind::Rotating, lifetime);
        node.store_expired(&scope).await;
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        let read = node.client.get(scope.clone(), &connector("c1")).await.expect("readable").expect("there");
        assert_eq!(read.metadata.expires_at, None, "nobody knows");
        for (wait, refreshed) in [(0, 0), (539, 0), (2, 1), (539, 0), (100, 1)] {
            node.clock.forward(seconds(wait));
            assert_eq!(is_refreshed(&node, &scope, &provider).await, refreshed, "{lifetime:?} after {wait} s");
        }
        node.clock.forward(seconds(100_000));
        assert_eq!(is_refreshed(&without, &scope, &provider).await, 0, "it is good until its service refuses it");
        let provider = Provider::granting(Kind::Alone, lifetime);
        assert_eq!(is_refreshed(&node, &scope, &provider).await, 1);
        // The token that cannot be refreshed is the only one.
        node.client
            .create(scope.clone(), &connector("c1"), NewToken::token(Secret::text("for ever")))
            .await
            .expect("stored");
        node.clock.forward(seconds(100_000));
        let provider = Provider::new(Kind::Rotating);
        assert_eq!(token(node.get(&scope, &provider).await), "for ever");
    }
}

async fn a_token_just_obtained_is_given_whatever_its_lifetime(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::granting(Kind::Rotating, Some(Duration::from_millis(1)));
        node.store_expired(&scope).await;
        provider.hold();
        let waiting = [node.getting(&scope, &provider), node.getting(&scope, &provider)];
        provider.until_asked(1).await;
        provider.let_go();
        for got in waiting {
            token(got.await.expect("it ends"));
        }
        assert_eq!(token(node.get(&scope, &provider).await), format!("access {}", provider.asked()));
    }
}

async fn a_refused_token_is_refreshed_only_if_it_is_the_stored_one(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        node.store(&scope, None).await;
        assert_eq!(token(node.get_instead_of(&scope, "another", &provider).await), "access 0");
        assert_eq!(provider.asked(), 0);
        let refused = (0..20).map(|_| node.get_instead_of(&scope, "access 0", &provider));
        for got in join_all(refused).await {
            assert_eq!(token(got), "access 1");
        }
        assert_eq!(provider.asked(), 1);
        assert_eq!(token(node.get_instead_of(&scope, "access 1", &provider).await), "access 2");
        assert_eq!(provider.asked(), 2);
    }
}

async fn a_provider_that_gives_the_refused_token_again_is_asked_once(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Insisting);
        node.store(&scope, None).await;
        provider.hold();
        let let_go = async {
            provider.until_asked(1).await;
            provider.let_go();
        };
        // All callers have started when the provider answers.
        let asking = (0..20).map(|_| node.get_instead_of(&scope, "access 0", &provider));
        let (all, ()) = join(join_all(asking), let_go).await;
        for got in all {
            assert_eq!(token(got), "access 0");
        }
        assert_eq!(provider.asked(), 1);
    }
}

async fn a_constant_refresh_token_stays(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Constant);
        node.store_expired(&scope).await;
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        assert_eq!(node.stored(&scope).await, pair("access 1", super::FIRST_REFRESH_TOKEN));
    }
}

async fn a_record_with_a_random_id_folds(context: Context) {
    let all = crate::tokens::tokens(&context).await;
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        let uuid = crate::tokens::taken_over::take_over(&all, &scope, "access 0").await;
        documents(&context).await;
        // It has not expired, but its service does not accept it.
        assert_eq!(token(node.get_instead_of(&scope, "access 0", &provider).await), "access 1");
        let read = node.client.get(scope.clone(), &connector("c1")).await.expect("readable").expect("there");
        assert!(!read.metadata.id.to_string().ends_with(&uuid));
        assert_eq!(node.stored(&scope).await, pair("access 1", "refresh 1"));
    }
    assert_eq!(documents(&context).await, 2, "the old ones are gone");
}

async fn a_provider_that_wants_no_refresh_token_is_asked_for_the_first_one_too(context: Context) {
    let node = node(&context).await;
    for (scope, type_name, uuid) in
        [(scopes()[0].clone(), "connector_token", SHARED_C1), (scopes()[1].clone(), "user_connector_token", USER_U1_C1)]
    {
        let provider = Provider::new(Kind::Alone);
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        assert_eq!(node.stored(&scope).await, Some(("access 1".to_owned(), None)));
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        node.clock.forward(seconds(3600));
        assert_eq!(token(node.get(&scope, &provider).await), "access 2");
        // A record that cannot be read is replaced, and nothing is lost by that.
        change_stored(&context, type_name, uuid, json!({"updatedAt": "2026-01-01T00:00:00.000Z"})).await;
        assert_eq!(token(node.get(&scope, &provider).await), "access 3");
        assert_eq!(node.stored(&scope).await, Some(("access 3".to_owned(), None)));
        assert_eq!(provider.asked(), 3);
    }
    assert_eq!(documents(&context).await, 2);
}
