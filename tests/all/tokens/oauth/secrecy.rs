//! What is logged at trace level during every flow.

use std::sync::Arc;

use libtest_mimic::Trial;
use saved_objects::encryption::Secret;
use saved_objects::tokens::oauth::{Callback, ClientAuthentication, GrantType, JwtAssertion, SigningKey};
use saved_objects::tokens::{AccessTokens, Scope, ScopeKind, TokenClient};

use super::{KEYS, Platform, profile, verified};
use crate::context::Context;
use crate::log::Log;
use crate::named_trials;
use crate::oauth_server::{Odd, Options};
use crate::tokens::{connector, user};

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(url, no_secret_is_logged,)
}

/// Runs every flow, with refusals.
async fn everything(context: &Context) {
    let tries = |assertion: &str| verified("ES256", assertion).is_some();
    let platform = Platform::start(context, Options { accepts_assertion: Arc::new(tries), ..Options::default() }).await;
    platform.authorize("u1", ScopeKind::PerUser).await;
    let query = platform.query("u1", ScopeKind::PerUser).await;
    let wrong =
        platform.client(platform.provider().authentication(ClientAuthentication::Basic(Secret::text("s3cret-x"))));
    let callback = Callback::from_query(&query).expect("a callback");
    let claimed = platform.flow.claim(&profile("u1"), callback).await.expect("claimed");
    tracing::info!(?claimed, "claimed");
    claimed.exchange(&wrong).await.expect_err("another client");
    let tokens = AccessTokens::new(&platform.store).expect("the types are there");
    let refresher = platform.refresher(GrantType::RefreshToken);
    tracing::info!(?refresher, provider = ?platform.provider(), "configured");
    let token = tokens.get(user("u1"), &connector("c1"), &refresher).await.expect("stored");
    tokens.get_instead_of(user("u1"), &connector("c1"), &token.token, &refresher).await.expect("refreshed");
    let key = SigningKey::from_pem(&Secret::text(KEYS[1].1)).expect("a key");
    let refresher = platform.refresher(GrantType::JwtBearer(JwtAssertion::new(key, "client-1")));
    tracing::info!(?refresher, "configured");
    tokens.get(Scope::Shared, &connector("c1"), &refresher).await.expect("granted");
    let odd = "{\"access_token\": \"s3cret\", \"token_type\": \"s3cret\", \"expires_in\": \"s3cret\", \"refresh_token\": \"s3cret\"}";
    platform.server.next("/token", Odd::Say { status: 200, headers: "", body: odd.to_owned() });
    let refresher = platform.refresher(GrantType::ClientCredentials);
    tokens.get(Scope::Shared, &connector("c2"), &refresher).await.expect("granted, oddly");
    platform.server.next("/revoke", Odd::Say { status: 400, headers: "", body: "{\"error\": \"s3cret\"}".to_owned() });
    let tokens = platform.tokens.clone().revoking(Arc::new(platform.client(platform.provider())));
    for connector_id in ["c1", "c2"] {
        tokens.delete_of_connector(&connector(connector_id)).await.expect("deleted");
    }
}

async fn no_secret_is_logged(context: Context) {
    let log = Log::new();
    let subscriber = log.subscriber();
    // A separate thread, so that the tasks of the library and of the HTTP client are captured as well.
    let flow = tokio::task::spawn_blocking(move || {
        let _guard = tracing::subscriber::set_default(subscriber);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // An event that another test reaches first, without a subscriber, is cached as disabled. So all events are
        // reached once, and then the cache is rebuilt.
        runtime.block_on(everything(&context));
        tracing::callsite::rebuild_interest_cache();
        runtime.block_on(everything(&context));
    });
    flow.await.expect("it went through");
    let log = log.text();
    for heard in ["claimed", "was not revoked", "a lifetime that is none"] {
        assert!(log.contains(heard), "{heard}: {log}");
    }
    assert!(!log.contains("s3cret") && !log.contains("PRIVATE KEY"), "{log}");
}
