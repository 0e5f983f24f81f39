//! Providers that ask for a pause, and refresh tokens that they refused.

use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::encryption::Secret;
use saved_objects::tokens::{Credentials, NewToken, ProviderError, TokenClient, TokenError};

use super::provider::{Kind, Provider};
use super::{Node, node, scopes, seconds, token};
use crate::context::Context;
use crate::named_trials;
use crate::tokens::connector;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_provider_that_wants_to_be_left_alone_is,
        a_refused_refresh_token_is_not_used_again_for_a_while,
        a_new_authorization_ends_what_is_remembered_of_a_refusal,
    )
}

const CALLS: usize = 5;

fn busy(retry_after: Duration) -> ProviderError {
    ProviderError::Transient { reason: "it is asked too often".to_owned(), retry_after: Some(retry_after) }
}

/// Asks a few times for an expired token, and returns the last error.
async fn errors(node: &Node, scope: &saved_objects::tokens::Scope, provider: &Arc<Provider>) -> TokenError {
    let mut last = None;
    for _ in 0..CALLS {
        last = Some(node.get(scope, provider).await.expect_err("it is over"));
        node.clock.forward(Duration::from_millis(1));
    }
    last.expect("it was asked")
}

async fn a_provider_that_wants_to_be_left_alone_is(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        node.store(&scope, Some(seconds(3600))).await;
        node.clock.forward(seconds(3550));
        provider.fail(busy(seconds(60)));
        for _ in 0..CALLS {
            assert_eq!(token(node.get(&scope, &provider).await), "access 0", "it still is good");
        }
        assert_eq!(provider.asked(), 1);
        node.clock.forward(seconds(50));
        let error = errors(&node, &scope, &provider).await;
        assert_eq!((error.kind(), provider.asked()), (ErrorKind::Unavailable, 1));
        let TokenError::RefreshFailed { source: ProviderError::Transient { reason, retry_after }, .. } = error else {
            panic!("{error:?}")
        };
        assert!(reason.contains("another 10 s") && retry_after <= Some(seconds(10)), "{reason} {retry_after:?}");
        // Its service refuses it as well.
        let refused = node.get_instead_of(&scope, "access 0", &provider).await.expect_err("it is over");
        assert_eq!((refused.kind(), provider.asked()), (ErrorKind::Unavailable, 1));
        node.clock.forward(seconds(10));
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        assert_eq!(provider.asked(), 2);

        // A day at most, whatever the provider says, and also where nothing is stored.
        node.client.delete(scope.clone(), &connector("c1"), None).await.expect("deleted");
        let alone = Provider::new(Kind::Alone);
        alone.fail(busy(Duration::MAX));
        assert_eq!(errors(&node, &scope, &alone).await.kind(), ErrorKind::Unavailable);
        assert_eq!(alone.asked(), 1);
        node.clock.forward(seconds(24 * 60 * 60));
        assert_eq!(token(node.get(&scope, &alone).await), "access 1");
        assert_eq!(alone.asked(), 2);
    }
}

async fn a_refused_refresh_token_is_not_used_again_for_a_while(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        let id = node.store_expired(&scope).await.id;
        provider.fail(ProviderError::InvalidGrant);
        let error = errors(&node, &scope, &provider).await;
        assert!(matches!(&error, TokenError::Revoked { id: named } if *named == id), "{error:?}");
        assert_eq!((error.kind(), provider.asked()), (ErrorKind::Forbidden, 1));
        node.clock.forward(seconds(5 * 60));
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        assert_eq!(provider.asked(), 2);
    }
}

async fn a_new_authorization_ends_what_is_remembered_of_a_refusal(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        let credentials = Credentials::Token { token: Secret::text("old"), refresh_token: Some(Secret::text("dead")) };
        let expired = NewToken::new(credentials).expires_at(jiff::Timestamp::UNIX_EPOCH);
        node.client.create(scope.clone(), &connector("c1"), expired).await.expect("stored");
        assert!(matches!(errors(&node, &scope, &provider).await, TokenError::Revoked { .. }));
        assert_eq!(provider.asked(), 1);
        // The user authorizes the connector again.
        node.store_expired(&scope).await;
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        assert_eq!(provider.asked(), 2);
    }
}
