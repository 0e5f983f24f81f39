//! Providers that answer late, in unusual forms, or from another address.

use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::encryption::Secret;
use saved_objects::tokens::oauth::{Endpoint, GrantType, OAuthRefresher, Provider};
use saved_objects::tokens::{AccessTokens, Refresher, Scope, ScopeKind};

use super::Platform;
use crate::context::Context;
use crate::named_trials;
use crate::oauth_server::{OAuthServer, Odd, Options};
use crate::tokens::{connector, user};

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        slow_and_silent_providers_are_given_up,
        odd_answers_are_errors_without_secrets,
        redirects_are_not_followed,
    )
}

async fn slow_and_silent_providers_are_given_up(context: Context) {
    let platform = Platform::start(&context, Options::default()).await;
    let client = platform.client(platform.provider().timeout(Duration::from_millis(200)));
    let refresher: Arc<dyn Refresher> = Arc::new(OAuthRefresher::new(client, GrantType::ClientCredentials));
    let tokens = AccessTokens::new(&platform.store).expect("the types are there");
    for odd in [Odd::Hang, Odd::Delay(Duration::from_secs(5))] {
        platform.server.next("/token", odd);
        let error = tokens.get(Scope::Shared, &connector("c1"), &refresher).await.expect_err("too slow");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("200 ms"), "{error}");
    }
    platform.server.next("/token", Odd::Delay(Duration::from_millis(20)));
    tokens.get(Scope::Shared, &connector("c1"), &refresher).await.expect("in time");
    let nowhere = Provider::new(Endpoint::new("http://127.0.0.1:1/token").expect("an endpoint"), "c");
    let refresher: Arc<dyn Refresher> =
        Arc::new(OAuthRefresher::new(platform.client(nowhere), GrantType::ClientCredentials));
    let error = tokens.get(Scope::Shared, &connector("c2"), &refresher).await.expect_err("nobody is there");
    assert!(error.to_string().contains("cannot be reached"), "{error}");
}

async fn odd_answers_are_errors_without_secrets(context: Context) {
    let platform = Platform::start(&context, Options::default()).await;
    platform.authorize("u1", ScopeKind::PerUser).await;
    let stored = platform.stored(user("u1")).await.expect("a token");
    let refresher = platform.refresher(GrantType::RefreshToken);
    let say = |status, headers, body: &str| Odd::Say { status, headers, body: body.to_owned() };
    let table = [
        (say(500, "", "s3cret"), ErrorKind::Unavailable, "500"),
        (say(503, "Retry-After: 30\r\n", "s3cret"), ErrorKind::Unavailable, "30 s"),
        (say(429, "Retry-After: 7\r\n", "{\"error\": \"s3cret\"}"), ErrorKind::Unavailable, "7 s"),
        (Odd::LoseAnswer, ErrorKind::Unavailable, "connection"),
        (say(200, "", "s3cret <html>"), ErrorKind::Invalid, "JSON"),
        (say(200, "", "{\"access_token\": \"\", \"token_type\": \"s3cret\"}"), ErrorKind::Invalid, "access_token"),
        (
            say(400, "", "{\"error\": \"invalid_scope\", \"error_description\": \"s3cret\"}"),
            ErrorKind::Invalid,
            "invalid_scope",
        ),
        (say(400, "", "{\"error\": \"s3cret\"}"), ErrorKind::Invalid, "400"),
        (Odd::Endless, ErrorKind::Invalid, "bytes"),
    ];
    let is_lost = |odd: &Odd| matches!(odd, Odd::LoseAnswer);
    // A lost answer rotates the refresh token, so it comes last.
    let (last, others): (Vec<_>, Vec<_>) = table.into_iter().partition(|(odd, ..)| is_lost(odd));
    for (odd, kind, words) in others.into_iter().chain(last) {
        let described = format!("{odd:?}");
        platform.server.next("/token", odd);
        let refused = Secret::text(&stored.0);
        // Another process, which does not know how long the provider asked for a pause.
        let tokens = AccessTokens::new(&platform.store).expect("the types are there");
        let outcome = tokens.get_instead_of(user("u1"), &connector("c1"), &refused, &refresher).await;
        let error = outcome.expect_err(&described);
        assert_eq!(error.kind(), kind, "{described}: {error:?}");
        assert!(error.to_string().contains(words), "{described}: {error}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        assert_eq!(platform.stored(user("u1")).await.as_ref(), Some(&stored));
    }
}

async fn redirects_are_not_followed(context: Context) {
    let platform = Platform::start(&context, Options::default()).await;
    let elsewhere = OAuthServer::start(Options::default()).await;
    let location: &'static str = Box::leak(format!("Location: {}\r\n", elsewhere.url("/token")).into_boxed_str());
    let tokens = AccessTokens::new(&platform.store).expect("the types are there");
    for status in [301, 302, 307, 308] {
        platform.server.next("/token", Odd::Say { status, headers: location, body: String::new() });
        let refresher = platform.refresher(GrantType::ClientCredentials);
        let error = tokens.get(Scope::Shared, &connector("c1"), &refresher).await.expect_err("a redirect");
        assert!(error.to_string().contains("redirects are not followed"), "{error}");
    }
    assert!(elsewhere.asked_at("/token").is_empty());
}
