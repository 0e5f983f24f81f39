//! Refreshes that fail: providers that refuse, stay silent or panic, and grants that cannot be stored.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use libtest_mimic::Trial;
use saved_objects::cluster::Cluster;
use saved_objects::encryption::Secret;
use saved_objects::environment::Clock;
use saved_objects::tokens::{
    AccessTokens, Credentials, Grant, NewToken, ProviderError, RefreshRequest, Refresher, Scope, TokenClient,
    TokenError, TokenUpdate, types,
};
use saved_objects::{ErrorKind, Start};
use serde_json::json;

use super::provider::{FIRST_REFRESH_TOKEN, Kind, Provider};
use super::{node, node_with, pair, scopes, seconds, token};
use crate::clock::PollingClock;
use crate::context::Context;
use crate::named_trials;
use crate::tokens::{SHARED_C1, USER_U1_C1, change_stored, connector, documents, stored, text};

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        what_stands_in_the_way_of_a_token_is_told_without_asking,
        a_failing_provider_is_no_failure_as_long_as_the_token_is_good,
        a_refused_refresh_token_is_told_as_revoked,
        a_silent_provider_is_given_up,
        a_grant_that_cannot_be_stored_is_given_to_the_caller,
        a_grant_is_stored_when_the_index_takes_writes_again,
        a_grant_that_was_not_stored_is_stored_by_the_next_refresh,
        nothing_is_lost_if_a_constant_refresh_token_is_stored_already,
        without_a_claim_no_refresh_token_is_used,
        an_assertion_that_is_refused_is_no_revoked_token,
        a_panicking_refresher_is_an_error_that_does_not_quote_it,
        a_provider_is_not_asked_for_what_could_not_be_stored,
        a_provider_is_not_asked_for_a_record_that_could_not_be_moved,
        what_the_schema_does_not_know_is_dropped_when_a_token_is_stored,
        a_token_that_cannot_be_refreshed_is_one_request,
        any_deadline_is_one,
    )
}

fn transient() -> ProviderError {
    ProviderError::Transient { reason: "it is asleep".to_owned(), retry_after: None }
}

fn refused() -> ProviderError {
    ProviderError::Refused { reason: "it does not know the client".to_owned() }
}

async fn what_stands_in_the_way_of_a_token_is_told_without_asking(context: Context) {
    let (node, provider) = (node(&context).await, Provider::new(Kind::Rotating));
    let uuids = [("connector_token", SHARED_C1), ("user_connector_token", USER_U1_C1)];
    for (scope, (type_name, uuid)) in scopes().into_iter().zip(uuids) {
        let error = node.get(&scope, &provider).await.expect_err("there is none");
        assert!(
            matches!(&error, TokenError::NoToken { connector_id } if *connector_id == connector("c1")),
            "{error:?}"
        );

        let expired = || NewToken::token(Secret::text("access 0")).expires_at(node.clock.now());
        let id = node.client.create(scope.clone(), &connector("c1"), expired()).await.expect("stored").id;
        let error = node.get(&scope, &provider).await.expect_err("it has no refresh token");
        assert!(matches!(&error, TokenError::Expired { id: named } if *named == id), "{error:?}");

        let refresh_token = Some(Secret::text(FIRST_REFRESH_TOKEN));
        let credentials = Credentials::Token { token: Secret::text("access 0"), refresh_token };
        let both = NewToken::new(credentials).expires_at(node.clock.now()).refresh_token_expires_at(node.clock.now());
        node.client.create(scope.clone(), &connector("c1"), both).await.expect("stored");
        let error = node.get(&scope, &provider).await.expect_err("both have expired");
        assert!(matches!(&error, TokenError::RefreshExpired { id: named } if *named == id), "{error:?}");

        change_stored(&context, type_name, uuid, json!({"updatedAt": "2026-01-01T00:00:00.000Z"})).await;
        let error = node.get(&scope, &provider).await.expect_err("its secrets do not open");
        assert!(matches!(&error, TokenError::Unreadable { id: named, .. } if *named == id), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Decrypt);
    }
    assert_eq!(provider.asked(), 0);
}

async fn a_failing_provider_is_no_failure_as_long_as_the_token_is_good(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        node.store(&scope, Some(seconds(3600))).await;
        node.clock.forward(seconds(3560));
        for (number, failure) in [transient(), refused()].into_iter().enumerate() {
            provider.fail(failure);
            assert_eq!(token(node.get(&scope, &provider).await), "access 0");
            assert_eq!(provider.asked(), number + 1);
        }
        node.clock.forward(seconds(40));
        for failure in [transient(), refused()] {
            provider.fail(failure.clone());
            let error = node.get(&scope, &provider).await.expect_err("it is over");
            assert!(matches!(&error, TokenError::RefreshFailed { source, .. } if *source == failure), "{error:?}");
            assert_eq!(error.kind(), failure.kind());
        }
        assert_eq!(node.stored(&scope).await, pair("access 0", FIRST_REFRESH_TOKEN), "nothing has changed");
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
    }
}

async fn a_refused_refresh_token_is_told_as_revoked(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        let id = node.store_expired(&scope).await.id;
        provider.fail(ProviderError::InvalidGrant);
        let error = node.get(&scope, &provider).await.expect_err("revoked");
        assert!(matches!(&error, TokenError::Revoked { id: named } if *named == id), "{error:?}");
        assert_eq!((error.kind(), provider.asked()), (ErrorKind::Forbidden, 1));
        assert_eq!(node.stored(&scope).await, pair("access 0", FIRST_REFRESH_TOKEN));
    }
}

async fn a_silent_provider_is_given_up(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        node.store_expired(&scope).await;
        let waiting = node.getting_held(&scope, &provider).await;
        node.clock.forward(seconds(29));
        assert!(!waiting.is_finished());
        node.clock.forward(seconds(1));
        let error = waiting.await.expect("it ends").expect_err("no answer");
        let TokenError::RefreshFailed { source: ProviderError::Transient { reason, .. }, .. } = &error else {
            panic!("{error:?}")
        };
        assert!(reason.contains("30000 ms"), "{reason}");
        provider.let_go();
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
    }
}

/// Blocks the index of the tokens while a provider holds the refresh of an expired token back, and then lets the
/// provider answer.
async fn refresh_into_a_blocked_index(
    context: &Context,
    node: &super::Node,
    scope: &Scope,
    provider: &Arc<Provider>,
) -> tokio::task::JoinHandle<Result<saved_objects::tokens::AccessToken, TokenError>> {
    node.store_expired(scope).await;
    provider.hold();
    let mut waiting = node.getting(scope, provider);
    tokio::select! {
        () = provider.until_asked(1) => {}
        got = &mut waiting => panic!("the provider was not asked: {got:?}"),
    }
    context.cluster().add_write_block(&context.index("connectors")).await.expect("blocked");
    provider.let_go();
    waiting
}

async fn unblock(context: &Context) {
    context.cluster().remove_write_block(&context.index("connectors")).await.expect("no longer blocked");
}

async fn a_grant_that_cannot_be_stored_is_given_to_the_caller(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        let waiting = refresh_into_a_blocked_index(&context, &node, &scope, &provider).await;
        let error = waiting.await.expect("it ends").expect_err("not stored");
        assert_eq!(error.kind(), ErrorKind::Forbidden);
        assert!(!format!("{error} {error:?}").contains("refresh 1"));
        let TokenError::NotStored { id, grant, .. } = error else { panic!("{error:?}") };
        unblock(&context).await;
        node.client.update_with_refresh_token(&id, *grant).await.expect("stored by the caller");
        assert_eq!(node.stored(&scope).await, pair("access 1", "refresh 1"));
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        assert_eq!(provider.asked(), 1);
    }
}

/// What happens between a grant that could not be stored and the next refresh in the same process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Nothing,
    /// The token of the grant expires.
    Expiry,
    /// The caller stores the grant, and another process refreshes the token.
    Refreshed,
    Disconnected,
}

async fn a_grant_that_was_not_stored_is_stored_by_the_next_refresh(context: Context) {
    let mut node = node(&context).await;
    let elsewhere = node_with(&context, node.clock.clone(), node.clock.clone()).await;
    for (scope, then) in scopes().into_iter().flat_map(|scope| {
        [Then::Nothing, Then::Expiry, Then::Refreshed, Then::Disconnected].map(|then| (scope.clone(), then))
    }) {
        let provider = Provider::new(Kind::Rotating);
        node.access = node.access.revoking(provider.clone());
        // The caller went away, so no caller learns that the grant was not stored.
        let waiting = refresh_into_a_blocked_index(&context, &node, &scope, &provider).await;
        waiting.abort();
        drop(waiting.await);
        node.access.settle().await;
        unblock(&context).await;
        node.clock.forward(seconds(1));
        assert_eq!((provider.asked(), node.stored(&scope).await), (1, pair("access 0", FIRST_REFRESH_TOKEN)));
        match then {
            Then::Nothing => {
                assert_eq!(token(node.get(&scope, &provider).await), "access 1");
                assert_eq!((provider.asked(), node.stored(&scope).await), (1, pair("access 1", "refresh 1")));
            }
            Then::Expiry => {
                node.clock.forward(seconds(3600));
                assert_eq!(token(node.get(&scope, &provider).await), "access 2");
                assert_eq!((provider.asked(), node.stored(&scope).await), (2, pair("access 2", "refresh 2")));
            }
            Then::Refreshed => {
                let id = node.client.get(scope.clone(), &connector("c1")).await.expect("readable").expect("there");
                let grant = Grant {
                    access_token: Secret::text("access 1"),
                    refresh_token: Some(Secret::text("refresh 1")),
                    expires_in: Some(Duration::from_millis(1)),
                    refresh_token_expires_in: None,
                };
                node.client.update_with_refresh_token(&id.metadata.id, grant).await.expect("stored by the caller");
                node.clock.forward(seconds(1));
                assert_eq!(token(elsewhere.get(&scope, &provider).await), "access 2");
                // The grant in memory is older than the stored one, and is dropped.
                assert_eq!(token(node.get_instead_of(&scope, "access 2", &provider).await), "access 3");
                assert_eq!((provider.asked(), node.stored(&scope).await), (3, pair("access 3", "refresh 3")));
            }
            Then::Disconnected => {
                node.client.delete(scope.clone(), &connector("c1"), None).await.expect("deleted");
                for _ in 0..2 {
                    let error = node.get(&scope, &provider).await.expect_err("it is gone");
                    assert!(matches!(error, TokenError::NoToken { .. }), "{error:?}");
                }
                assert_eq!(provider.revoked(), [("access 1".to_owned(), Some("refresh 1".to_owned()))]);
                assert_eq!((provider.asked(), node.stored(&scope).await), (1, None));
            }
        }
        node.client.delete(scope, &connector("c1"), None).await.expect("deleted");
        // A caller that asks at the moment at which a refresh ends gets its outcome.
        node.clock.forward(seconds(1));
    }
}

/// A clock that removes the write block after a few pauses.
#[derive(Debug)]
struct Unblocking {
    clock: Arc<PollingClock>,
    cluster: Arc<dyn Cluster>,
    index: String,
}

#[async_trait]
impl Clock for Unblocking {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        // The third pause between attempts to store.
        if duration == Duration::from_millis(400) {
            self.cluster.remove_write_block(&self.index).await.expect("no longer blocked");
        }
        self.clock.sleep(duration).await;
    }
}

async fn a_grant_is_stored_when_the_index_takes_writes_again(context: Context) {
    let (clock, cluster, index) = (PollingClock::new(), context.cluster(), context.index("connectors"));
    let unblocking = Arc::new(Unblocking { clock: clock.clone(), cluster, index });
    let node = node_with(&context, clock, unblocking).await;
    let kinds = [
        (Kind::Rotating, "access 1", "refresh 1"),
        // The access token is the same, but the rest of the grant must be stored anyway.
        (Kind::Renewing, "access 0", "refresh 1"),
        (Kind::Insisting, "access 0", FIRST_REFRESH_TOKEN),
    ];
    for (scope, (kind, access_token, refresh_token)) in
        scopes().into_iter().flat_map(|scope| kinds.map(|kind| (scope.clone(), kind)))
    {
        let provider = Provider::new(kind);
        let waiting = refresh_into_a_blocked_index(&context, &node, &scope, &provider).await;
        let got = waiting.await.expect("it ends").expect("granted");
        assert_eq!(text(&got.token), access_token, "{kind:?}");
        assert_eq!(node.stored(&scope).await, pair(access_token, refresh_token), "{kind:?}");
        let read = node.client.get(scope.clone(), &connector("c1")).await.expect("readable").expect("there");
        assert_eq!(read.metadata.expires_at, got.expires_at, "{kind:?}");
        node.clock.forward(seconds(3600));
    }
}

async fn nothing_is_lost_if_a_constant_refresh_token_is_stored_already(context: Context) {
    let node = node(&context).await;
    for (scope, kind) in scopes().into_iter().flat_map(|scope| [(scope.clone(), Kind::Constant), (scope, Kind::Alone)])
    {
        let provider = Provider::new(kind);
        let waiting = refresh_into_a_blocked_index(&context, &node, &scope, &provider).await;
        assert_eq!(token(waiting.await.expect("it ends")), "access 1");
        unblock(&context).await;
        assert_eq!(node.stored(&scope).await, pair("access 0", FIRST_REFRESH_TOKEN));
    }
}

async fn without_a_claim_no_refresh_token_is_used(context: Context) {
    let node = node(&context).await;
    let control = format!("{}-control-000001", context.prefix);
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        // One refresh, so that the control index exists.
        node.store_expired(&scope).await;
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        context.cluster().add_write_block(&control).await.expect("blocked");
        node.clock.forward(seconds(3550));
        assert_eq!(token(node.get(&scope, &provider).await), "access 1", "it still is good");
        node.clock.forward(seconds(50));
        let error = node.get(&scope, &provider).await.expect_err("it is over");
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{error:?}");
        assert!(error.to_string().contains("the provider was not asked"), "{error}");
        assert_eq!(provider.asked(), 1);

        // Where no refresh token is used, no refresh token can be used twice.
        let alone = Provider::new(Kind::Alone);
        assert_eq!(token(node.get(&scope, &alone).await), "access 1");
        context.cluster().remove_write_block(&control).await.expect("no longer blocked");
        node.clock.forward(seconds(3600));
        assert_eq!(token(node.get(&scope, &provider).await), "access 2");
    }
}

async fn an_assertion_that_is_refused_is_no_revoked_token(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        // Providers answer the same to an assertion that they do not accept.
        let provider = Provider::new(Kind::Alone);
        provider.fail(ProviderError::InvalidGrant);
        let error = node.get(&scope, &provider).await.expect_err("refused");
        assert!(matches!(&error, TokenError::RefreshFailed { source: ProviderError::InvalidGrant, .. }), "{error:?}");
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
    }
}

#[derive(Debug)]
struct Panicking;

#[async_trait]
impl Refresher for Panicking {
    async fn refresh(&self, _: &RefreshRequest) -> Result<Grant, ProviderError> {
        panic!("this panic is meant: hunter2");
    }
}

/// A refresher that panics before it returns a future.
#[derive(Debug)]
struct PanickingAtOnce;

impl Refresher for PanickingAtOnce {
    fn refresh<'a, 'b, 'c>(
        &'a self,
        _: &'b RefreshRequest,
    ) -> Pin<Box<dyn Future<Output = Result<Grant, ProviderError>> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
    {
        panic!("this panic is meant: hunter2");
    }
}

async fn a_panicking_refresher_is_an_error_that_does_not_quote_it(context: Context) {
    let (node, other) = (node(&context).await, Provider::new(Kind::Rotating));
    let refreshers: [Arc<dyn Refresher>; 2] = [Arc::new(Panicking), Arc::new(PanickingAtOnce)];
    for (scope, refresher) in
        scopes().into_iter().flat_map(|scope| refreshers.iter().map(move |one| (scope.clone(), one)))
    {
        node.store_expired(&scope).await;
        let error = node.access.get(scope.clone(), &connector("c1"), refresher).await.expect_err("it panics");
        assert!(matches!(&error, TokenError::RefreshFailed { source: ProviderError::Refused { .. }, .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    // It has not kept the claim.
    let began = node.clock.monotonic();
    assert_eq!(token(node.get(&scopes()[0], &other).await), "access 1");
    assert!(node.clock.monotonic() - began < seconds(1));
}

async fn a_provider_is_not_asked_for_what_could_not_be_stored(context: Context) {
    let node = node(&context).await;
    for scope in scopes() {
        let provider = Provider::new(Kind::Rotating);
        node.store(&scope, Some(seconds(3600))).await;
        context.cluster().add_write_block(&context.index("connectors")).await.expect("blocked");
        node.clock.forward(seconds(3560));
        assert_eq!(token(node.get(&scope, &provider).await), "access 0", "it still is good");
        node.clock.forward(seconds(40));
        let error = node.get(&scope, &provider).await.expect_err("it is over");
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{error:?}");
        assert!(error.to_string().contains("the provider was not asked"), "{error}");
        assert_eq!(provider.asked(), 0);
        // Where no refresh token is used, no refresh token is used up.
        assert_eq!(token(node.get(&scope, &Provider::new(Kind::Alone)).await), "access 1");
        unblock(&context).await;
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        assert_eq!((provider.asked(), node.stored(&scope).await), (1, pair("access 1", "refresh 1")));
    }
}

async fn a_provider_is_not_asked_for_a_record_that_could_not_be_moved(context: Context) {
    let newer = crate::tokens::tokens(&context).await;
    let scope = scopes()[1].clone();
    let uuid = crate::tokens::taken_over::take_over(&newer, &scope, "access 0").await;
    documents(&context).await;
    let before = stored(&context, &format!("user_connector_token:{uuid}")).await;
    // Older software can read what newer software wrote, but would lose some of it when it stores the token under
    // another id.
    let version_1 = types().expect("built-in types").iter().filter_map(|definition| definition.as_of(1)).collect();
    let older = context.builder(version_1).start(Start::Skip).await.expect("nothing is migrated");
    let access = AccessTokens::new(&older).expect("the types are there");
    let provider = Provider::new(Kind::Rotating);
    let refresher: Arc<dyn Refresher> = provider.clone();
    let refused = Secret::text("access 0");
    let error = access.get_instead_of(scope, &connector("c1"), &refused, &refresher).await.expect_err("newer");
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error:?}");
    assert!(error.to_string().contains("the provider was not asked"), "{error}");
    assert_eq!(provider.asked(), 0);
    assert_eq!(stored(&context, &format!("user_connector_token:{uuid}")).await, before);
}

async fn what_the_schema_does_not_know_is_dropped_when_a_token_is_stored(context: Context) {
    let node = node(&context).await;
    let uuids = [("connector_token", SHARED_C1), ("user_connector_token", USER_U1_C1)];
    for (scope, (type_name, uuid)) in scopes().into_iter().zip(uuids) {
        let provider = Provider::new(Kind::Rotating);
        let id = node.store_expired(&scope).await.id;
        let stray = async || change_stored(&context, type_name, uuid, json!({"stray": {"a": 1}, "other": null})).await;
        stray().await;
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
        assert_eq!((provider.asked(), node.stored(&scope).await), (1, pair("access 1", "refresh 1")));
        stray().await;
        node.client.update(&id, TokenUpdate::token(Secret::text("by hand"))).await.expect("updated");
        assert_eq!(node.stored(&scope).await, pair("by hand", "refresh 1"));
        let source = stored(&context, &format!("{type_name}:{uuid}")).await;
        let attributes = source[type_name].as_object().expect("attributes");
        assert!(!attributes.contains_key("stray") && !attributes.contains_key("other"), "{source}");
    }
}

async fn a_token_that_cannot_be_refreshed_is_one_request(context: Context) {
    let (node, provider) = (node(&context).await, Provider::new(Kind::Rotating));
    for scope in scopes() {
        let expires_at = node.clock.now() + seconds(3600);
        let without = NewToken::token(Secret::text("access 0")).expires_at(expires_at);
        node.client.create(scope.clone(), &connector("c1"), without).await.expect("stored");
        for (wait, is_good) in [(3550, true), (50, false)] {
            node.clock.forward(seconds(wait));
            let before = node.cluster.requests();
            let got = node.get(&scope, &provider).await;
            let after = node.cluster.requests();
            assert_eq!((after.reads - before.reads, after.writes - before.writes), (1, 0), "{got:?}");
            match got {
                Ok(token) => assert!(is_good && token.expires_at == Some(expires_at)),
                Err(error) => assert!(!is_good && matches!(error, TokenError::Expired { .. }), "{error:?}"),
            }
        }
    }
    assert_eq!(provider.asked(), 0);
}

async fn any_deadline_is_one(context: Context) {
    let mut node = node(&context).await;
    for scope in scopes() {
        node.access = node.access.clone().deadline(Duration::MAX);
        let provider = Provider::new(Kind::Rotating);
        node.store_expired(&scope).await;
        assert_eq!(token(node.get(&scope, &provider).await), "access 1");
    }
}
