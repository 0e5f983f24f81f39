//! An authorization, from the URL that a user is sent to until the grant is stored.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use libtest_mimic::Trial;
use saved_objects::environment::{Environment, SystemRng};
use saved_objects::repository::Find;
use saved_objects::tokens::oauth::{AuthorizationError, AuthorizationFlow, Callback, Endpoint, Provider};
use saved_objects::tokens::{CleanUp, CleanUpPolicy, ProviderError, Scope, ScopeKind, TokenClient, types};
use saved_objects::{ErrorKind, Start};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{Platform, REDIRECT_URI, profile};
use crate::clock::PollingClock;
use crate::context::{Context, MEMORY};
use crate::faults::seed::{Named, seeds};
use crate::named_trials;
use crate::oauth_server::{Odd, Options};
use crate::proxy::{Proxy, lost_answers};
use crate::tokens::{change_stored, documents, text, user};

pub(super) fn trials(url: &str) -> Vec<Trial> {
    let mut trials = named_trials!(
        url,
        a_user_authorizes_a_connector,
        a_shared_token_is_authorized_by_one_user,
        a_state_is_used_once_however_many_come_with_it,
        a_state_is_for_who_began_it_and_for_so_long,
        a_code_goes_to_no_other_provider,
        what_a_claimer_that_died_leaves_is_used,
        a_user_who_says_no_gets_nothing,
        a_stolen_code_is_worth_nothing,
        a_code_that_is_not_exchanged_leaves_the_token_that_was_there,
        what_is_stored_of_a_state_does_not_give_the_verifier,
        a_grant_that_cannot_be_stored_is_given_to_the_caller,
        a_caller_who_goes_away_loses_no_grant,
    );
    if url != MEMORY {
        trials.extend(named_trials!(url, a_state_is_used_once_though_answers_get_lost));
    }
    trials
}

fn field(query: &str, name: &str) -> String {
    let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("{name} in {query}")).to_owned()
}

async fn a_user_authorizes_a_connector(context: Context) {
    let platform = Platform::start(&context, Options::default()).await;
    platform.authorize("u1", ScopeKind::PerUser).await;
    let (access_token, refresh_token) = platform.stored(user("u1")).await.expect("a token");
    assert!(access_token.starts_with("Bearer ") && platform.server.takes(&access_token));
    assert!(platform.server.refreshes(&refresh_token.expect("a refresh token")));
    // The token, and nothing of the authorization.
    assert_eq!(documents(&context).await, 1);
    let asked = platform.server.asked_for("authorization_code");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].fields["redirect_uri"], REDIRECT_URI);
    assert_eq!(platform.server.asked_at("/authorize")[0].fields["scope"], "read write");
    // Again: a new token replaces the old one.
    platform.authorize("u1", ScopeKind::PerUser).await;
    let (again, _) = platform.stored(user("u1")).await.expect("a token");
    assert!(again != access_token && platform.server.takes(&again));
    assert_eq!(documents(&context).await, 1);
}

async fn a_shared_token_is_authorized_by_one_user(context: Context) {
    let platform = Platform::start(&context, Options::default()).await;
    platform.authorize("admin", ScopeKind::Shared).await;
    assert!(platform.stored(Scope::Shared).await.is_some());
    assert!(platform.stored(user("admin")).await.is_none());
}

async fn a_state_is_used_once_however_many_come_with_it(context: Context) {
    let platform = Platform::start(&context, Options::default()).await;
    let query = platform.query("u1", ScopeKind::PerUser).await;
    let outcomes = join_all((0..8).map(|_| platform.finish("u1", &query))).await;
    let (done, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (1, 7));
    for outcome in refused.into_iter().chain([platform.finish("u1", &query).await]) {
        let error = outcome.expect_err("used already");
        assert!(matches!(error, AuthorizationError::AlreadyUsed), "{error:?}");
        assert_eq!(saved_objects::Error::from(error).kind(), ErrorKind::Conflict);
    }
    // The code was sent only once.
    assert_eq!(platform.server.asked_for("authorization_code").len(), 1);
    assert!(platform.stored(user("u1")).await.is_some());
    let unknown = platform.finish("u1", "state=somethingElse&code=c").await.expect_err("never begun");
    assert!(matches!(unknown, AuthorizationError::AlreadyUsed), "{unknown:?}");
}

async fn a_state_is_used_once_though_answers_get_lost(context: Context) {
    const CLAIMERS: usize = 16;
    let platform = Platform::start(&context, Options::default()).await;
    let (mut told, mut unknown) = (0, 0);
    for seed in seeds(1..13) {
        let _named = Named(seed);
        let proxy = Proxy::start(&context.url, lost_answers(seed, 20)).await;
        let builder = context.builder(types().expect("built-in types")).elasticsearch(proxy.url());
        let through = builder.start(Start::Skip).await.expect("nothing is asked at the start");
        let flow = AuthorizationFlow::new(&through).expect("the types are there");
        let query = platform.query("u1", ScopeKind::PerUser).await;
        let user = profile("u1");
        let claim = async |_| flow.claim(&user, Callback::from_query(&query).expect("a callback")).await;
        let claims = join_all((0..CLAIMERS).map(claim)).await;
        let done = claims.iter().filter(|claim| claim.is_ok()).count();
        let open = claims.iter().flat_map(|claim| claim.as_ref().err()).filter(|error| match error.kind() {
            ErrorKind::OutcomeUnknown => true,
            ErrorKind::Conflict => false,
            kind => panic!("{kind:?}: {error}"),
        });
        let open = open.count();
        assert!(done == 1 || (done == 0 && open > 0), "{done} claims were told, and {open} may have been");
        let late = platform.finish("u1", &query).await.expect_err("it was used");
        assert!(matches!(late, AuthorizationError::AlreadyUsed), "{late:?}");
        told += done;
        unknown += open;
    }
    println!("{told} claims were told, {unknown} may have been");
    assert!(told > 0, "no claim was told");
}

async fn a_state_is_for_who_began_it_and_for_so_long(context: Context) {
    let mut platform = Platform::start(&context, Options::default()).await;
    let query = platform.query("u1", ScopeKind::PerUser).await;
    let error = platform.finish("u2", &query).await.expect_err("another user");
    assert!(matches!(error, AuthorizationError::OtherUser), "{error:?}");
    assert_eq!(documents(&context).await, 1);
    platform.finish("u1", &query).await.expect("it is still there for who began it");

    platform.flow = platform.flow.clone().lifetime(Duration::ZERO);
    let query = platform.query("u1", ScopeKind::PerUser).await;
    let error = platform.finish("u1", &query).await.expect_err("too late");
    assert!(matches!(error, AuthorizationError::Expired), "{error:?}");
    let error = platform.finish("u1", &query).await.expect_err("it is gone");
    assert!(matches!(error, AuthorizationError::AlreadyUsed), "{error:?}");
    assert_eq!(platform.server.asked_for("authorization_code").len(), 1);
}

async fn a_code_goes_to_no_other_provider(context: Context) {
    let platform = Platform::start(&context, Options::default()).await;
    let provider = || platform.provider();
    let begun = || platform.query("u1", ScopeKind::PerUser);
    let finish = async |query: &str, provider: Provider| {
        let claimed = platform.flow.claim(&profile("u1"), Callback::from_query(query)?).await?;
        claimed.exchange(&platform.client(provider)).await.map(drop)
    };
    let (own, other) = ("https://provider.example", "https://other.example");
    let named = |query: String, issuer: &str| format!("{query}&iss={issuer}");
    let elsewhere = || Endpoint::new(&platform.server.url("/elsewhere")).expect("an endpoint");
    let refused = [
        // The state records the provider that it was started with.
        (begun().await, Provider::new(elsewhere(), "another client").redirect_uri(elsewhere())),
        (begun().await, provider().authorization_endpoint(elsewhere())),
        // The callback names its sender.
        (named(begun().await, other), provider().issuer(own)),
        (begun().await, provider().issuer(own)),
        (named(begun().await, other), provider()),
    ];
    for (query, provider) in refused {
        let error = finish(&query, provider).await.expect_err("another provider");
        assert!(matches!(error, AuthorizationError::OtherProvider), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Forbidden);
    }
    assert!(platform.server.asked_at("/token").is_empty(), "no code was sent");
    assert!(platform.server.asked_at("/elsewhere").is_empty(), "no code was sent");
    finish(&named(begun().await, own), provider().issuer(own)).await.expect("its own");
    finish(&begun().await, provider().scopes(["more"])).await.expect("scopes may change meanwhile");
}

async fn what_a_claimer_that_died_leaves_is_used(context: Context) {
    let mut platform = Platform::start(&context, Options::default()).await;
    platform.flow = platform.flow.clone().lifetime(Duration::ZERO);
    let query = platform.query("u1", ScopeKind::PerUser).await;
    let states = platform.store.repository().including(&["oauth_state"]).expect("the type is there");
    assert_eq!(documents(&context).await, 1);
    let found = states.find(&["oauth_state"], Find::new()).await.expect("found").objects;
    // It was marked, and then the process that claimed it was killed.
    change_stored(&context, "oauth_state", &found[0].id, json!({"claimedAt": "2026-03-01T10:05:00.000Z"})).await;
    let error = platform.finish("u1", &query).await.expect_err("claimed");
    assert!(matches!(error, AuthorizationError::AlreadyUsed), "{error:?}");
    let error = platform.finish("u2", &query).await.expect_err("another user");
    assert!(matches!(error, AuthorizationError::OtherUser), "{error:?}");
    assert!(platform.server.asked_at("/token").is_empty());
    let clean_up = CleanUp::new(&platform.store, CleanUpPolicy::new()).expect("a policy");
    assert_eq!(clean_up.run().await.expect("cleaned up").removed_total(), 1);
    assert_eq!(documents(&context).await, 0);
}

async fn a_user_who_says_no_gets_nothing(context: Context) {
    let platform = Platform::start(&context, Options { consents: false, ..Options::default() }).await;
    let query = platform.query("u1", ScopeKind::PerUser).await;
    let error = platform.finish("u1", &query).await.expect_err("denied");
    assert!(matches!(error, AuthorizationError::Denied { code: "access_denied" }), "{error:?}");
    assert_eq!(documents(&context).await, 0);
    assert!(platform.server.asked_at("/token").is_empty());
}

async fn a_stolen_code_is_worth_nothing(context: Context) {
    let platform = Platform::start(&context, Options::default()).await;
    // A code that the provider issued for another authorization, and therefore with another proof key.
    let victims = platform.query("victim", ScopeKind::PerUser).await;
    let thiefs = platform.query("thief", ScopeKind::PerUser).await;
    let crossed = format!("state={}&code={}", field(&thiefs, "state"), field(&victims, "code"));
    let error = platform.finish("thief", &crossed).await.expect_err("the proof key is another");
    assert!(matches!(error, AuthorizationError::Provider(ProviderError::InvalidGrant)), "{error:?}");
    assert!(platform.stored(user("thief")).await.is_none());
}

async fn a_code_that_is_not_exchanged_leaves_the_token_that_was_there(context: Context) {
    let platform = Platform::start(&context, Options::default()).await;
    platform.authorize("u1", ScopeKind::PerUser).await;
    let before = platform.stored(user("u1")).await;
    for odd in [Odd::LoseAnswer, Odd::Say { status: 503, headers: "", body: String::new() }] {
        let query = platform.query("u1", ScopeKind::PerUser).await;
        platform.server.next("/token", odd);
        let error = platform.finish("u1", &query).await.expect_err("no answer");
        assert!(matches!(error, AuthorizationError::Provider(ProviderError::Transient { .. })), "{error:?}");
        assert_eq!(platform.stored(user("u1")).await, before);
    }
}

async fn what_is_stored_of_a_state_does_not_give_the_verifier(context: Context) {
    let platform = Platform::start(&context, Options::default()).await;
    let query = platform.query("u1", ScopeKind::PerUser).await;
    let states = platform.store.repository().including(&["oauth_state"]).expect("the type is there");
    // Searches see it once it is counted.
    assert_eq!(documents(&context).await, 1);
    let found = states.find(&["oauth_state"], Find::new()).await.expect("found").objects;
    let attributes = Value::Object(found[0].attributes.clone());
    assert_eq!(attributes["state"], field(&query, "state"));
    assert_eq!((&attributes["connectorId"], &attributes["tokenScope"]), (&json!("c1"), &json!("per-user")));
    assert!(attributes.get("codeVerifier").is_none(), "{attributes}");
    // An attacker who can write the index makes it another authorization, which its secret is not bound to: it cannot
    // be decrypted.
    change_stored(&context, "oauth_state", &found[0].id, json!({"tokenScope": "shared"})).await;
    let error = platform.finish("u1", &query).await.expect_err("changed");
    assert_eq!(error.kind(), ErrorKind::Decrypt);
    assert!(platform.server.asked_at("/token").is_empty());
}

async fn a_grant_that_cannot_be_stored_is_given_to_the_caller(context: Context) {
    let environment = Environment::new(PollingClock::new(), Arc::new(SystemRng));
    let builder = context.builder(types().expect("built-in types")).environment(environment);
    let store = builder.start(Start::Migrate).await.expect("the store starts");
    let platform = Platform::over(store, Options::default()).await;
    let query = platform.query("u1", ScopeKind::PerUser).await;
    let callback = Callback::from_query(&query).expect("a callback");
    let claimed = platform.flow.claim(&profile("u1"), callback).await.expect("claimed");
    let index = context.index("connectors");
    context.cluster().add_write_block(&index).await.expect("blocked");
    let error = claimed.exchange(&platform.client(platform.provider())).await.expect_err("it takes no writes");
    context.cluster().remove_write_block(&index).await.expect("no longer blocked");
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    let AuthorizationError::NotStored { scope, connector_id, grant, .. } = error else { panic!("{error:?}") };
    assert!(platform.server.takes(&text(&grant.access_token)));
    platform.tokens.create_with_refresh_token(scope, &connector_id, *grant).await.expect("stored");
    let (_, refresh_token) = platform.stored(user("u1")).await.expect("a token");
    assert!(platform.server.refreshes(&refresh_token.expect("a refresh token")));
}

async fn a_caller_who_goes_away_loses_no_grant(context: Context) {
    let platform = Platform::start(&context, Options::default()).await;
    let (query, let_go) = (platform.query("u1", ScopeKind::PerUser).await, Arc::new(Notify::new()));
    let claimed = platform.flow.claim(&profile("u1"), Callback::from_query(&query).expect("a callback")).await;
    let (claimed, client) = (claimed.expect("claimed"), platform.client(platform.provider()));
    platform.server.next("/token", Odd::Held(let_go.clone()));
    // The user closes the browser, and the web server drops the request.
    let caller = tokio::spawn(async move { claimed.exchange(&client).await });
    platform.server.until_asked_at("/token", 1).await;
    caller.abort();
    assert!(caller.await.expect_err("it went away").is_cancelled());
    let mut settled = Box::pin(platform.flow.settle());
    assert!(futures::poll!(settled.as_mut()).is_pending(), "an exchange is under way");
    let_go.notify_one();
    settled.await;
    let (access_token, _) = platform.stored(user("u1")).await.expect("a token");
    assert!(platform.server.takes(&access_token));
    platform.flow.settle().await;
}
