//! The grants that need no user, and what ends a grant.

use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::encryption::Secret;
use saved_objects::tokens::oauth::{ClientAuthentication, GrantType, JwtAssertion, OAuthRefresher, SigningKey};
use saved_objects::tokens::{
    AccessTokens, ProviderError, Refresher, Revocation, Revoker, Scope, ScopeKind, TokenClient, TokenError,
};
use serde_json::json;

use super::{KEYS, Platform, verified};
use crate::context::Context;
use crate::named_trials;
use crate::oauth_server::{Odd, Options};
use crate::tokens::{connector, text, user};

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        tokens_are_refreshed_and_rotated,
        client_credentials_need_nothing_stored,
        assertions_are_signed_by_each_kind_of_key,
        clients_prove_themselves_in_each_way,
        deleted_tokens_are_revoked,
    )
}

async fn tokens_are_refreshed_and_rotated(context: Context) {
    let platform = Platform::start(&context, Options::default()).await;
    let refresher = platform.refresher(GrantType::RefreshToken);
    let tokens = AccessTokens::new(&platform.store).expect("the types are there");
    let no_token = tokens.get(user("u1"), &connector("c1"), &refresher).await.expect_err("nothing is stored");
    assert!(matches!(no_token, TokenError::NoToken { .. }), "{no_token:?}");
    platform.authorize("u1", ScopeKind::PerUser).await;
    let mut seen = vec![platform.stored(user("u1")).await.expect("a token").0];
    for _ in 0..3 {
        let refused = Secret::text(&seen[seen.len() - 1]);
        let token = tokens.get_instead_of(user("u1"), &connector("c1"), &refused, &refresher).await;
        let token = text(&token.expect("refreshed").token);
        assert!(platform.server.takes(&token) && !seen.contains(&token));
        seen.push(token);
    }
    assert_eq!(platform.server.asked_for("refresh_token").len(), 3);
    // Another process used the refresh token: the provider ends the whole authorization, and the user must authorize
    // again.
    let (_, refresh_token) = platform.stored(user("u1")).await.expect("a token");
    let client = platform.client(platform.provider());
    let revocation = Revocation {
        scope: user("u1"),
        connector_id: connector("c1"),
        access_token: Secret::text("Bearer unknown"),
        refresh_token: refresh_token.as_deref().map(Secret::text),
    };
    client.revoke(&revocation).await.expect("revoked");
    let refused = Secret::text(&seen[seen.len() - 1]);
    for _ in 0..3 {
        let outcome = tokens.get_instead_of(user("u1"), &connector("c1"), &refused, &refresher).await;
        let error = outcome.expect_err("revoked");
        assert!(matches!(error, TokenError::Revoked { .. }), "{error:?}");
    }
    assert_eq!(platform.server.asked_for("refresh_token").len(), 4, "it is remembered for a while");
}

async fn client_credentials_need_nothing_stored(context: Context) {
    let platform = Platform::start(&context, Options::default()).await;
    let refresher = platform.refresher(GrantType::ClientCredentials);
    let tokens = AccessTokens::new(&platform.store).expect("the types are there");
    let first = tokens.get(Scope::Shared, &connector("c1"), &refresher).await.expect("granted");
    let second = tokens.get(Scope::Shared, &connector("c1"), &refresher).await.expect("stored");
    assert_eq!(first.token, second.token);
    assert!(platform.server.takes(&text(&first.token)));
    let asked = platform.server.asked_for("client_credentials");
    assert_eq!((asked.len(), asked[0].fields["scope"].as_str()), (1, "read write"));
    // Its service does not accept it any more.
    platform.server.end_access_tokens();
    let other =
        tokens.get_instead_of(Scope::Shared, &connector("c1"), &first.token, &refresher).await.expect("granted");
    assert!(platform.server.takes(&text(&other.token)));
    assert_eq!(platform.stored(Scope::Shared).await, Some((text(&other.token), None)));
}

async fn assertions_are_signed_by_each_kind_of_key(context: Context) {
    let tries = |assertion: &str| KEYS.iter().any(|(algorithm, _)| verified(algorithm, assertion).is_some());
    let options = Options { accepts_assertion: Arc::new(tries), ..Options::default() };
    let platform = Platform::start(&context, options).await;
    for (number, (algorithm, pem)) in KEYS.iter().enumerate() {
        // In the form of an environment variable.
        let key = SigningKey::from_pem(&Secret::text(&pem.replace('\n', "\\n"))).expect(algorithm);
        assert_eq!(key.algorithm(), *algorithm);
        let assertion = JwtAssertion::new(key, "client-1")
            .key_id("k1")
            .subject("service@platform.example")
            .claim("tenant", "t1")
            .claim("iss", "somebody else");
        let refresher = platform.refresher(GrantType::JwtBearer(assertion));
        let tokens = AccessTokens::new(&platform.store).expect("the types are there");
        let c = connector(&format!("c-{algorithm}"));
        let token = tokens.get(Scope::Shared, &c, &refresher).await.expect("granted");
        assert!(platform.server.takes(&text(&token.token)));
        let asked = platform.server.asked_for("urn:ietf:params:oauth:grant-type:jwt-bearer");
        assert_eq!(asked.len(), number + 1);
        let (header, claims) = verified(algorithm, &asked[number].fields["assertion"]).expect("signed by this key");
        assert_eq!(header, json!({"alg": algorithm, "typ": "JWT", "kid": "k1"}));
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("client-1"), &json!("service@platform.example")));
        assert_eq!((&claims["aud"], &claims["tenant"]), (&json!(platform.server.url("/token")), &json!("t1")));
        assert_eq!(claims["exp"].as_i64().expect("a time") - claims["iat"].as_i64().expect("a time"), 300);
    }
    let unusable =
        SigningKey::from_pem(&Secret::text("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"));
    let error = unusable.expect_err("no key");
    assert!(error.kind() == ErrorKind::Invalid && !format!("{error:?}").contains("hunter2"), "{error:?}");
}

async fn clients_prove_themselves_in_each_way(context: Context) {
    let secret = || Secret::text(&Options::default().client_secret.expect("it has one"));
    let table = [
        (ClientAuthentication::Basic(secret()), true, true),
        (ClientAuthentication::Body(secret()), true, false),
        (ClientAuthentication::Public, false, false),
        (ClientAuthentication::Basic(Secret::text("s3cret, but wrong")), false, true),
    ];
    let platform = Platform::start(&context, Options::default()).await;
    for (authentication, is_accepted, is_in_header) in table {
        let client = platform.client(platform.provider().authentication(authentication));
        let refresher: Arc<dyn Refresher> = Arc::new(OAuthRefresher::new(client, GrantType::ClientCredentials));
        let tokens = AccessTokens::new(&platform.store).expect("the types are there");
        platform.tokens.delete(Scope::Shared, &connector("c1"), None).await.expect("deleted");
        let outcome = tokens.get(Scope::Shared, &connector("c1"), &refresher).await;
        assert_eq!(outcome.is_ok(), is_accepted, "{outcome:?}");
        let asked = platform.server.asked_for("client_credentials").pop().expect("asked");
        assert_eq!(
            (asked.authorization.is_some(), asked.fields.contains_key("client_id")),
            (is_in_header, !is_in_header)
        );
        if let Err(error) = outcome {
            assert!(error.to_string().contains("invalid_client"), "{error}");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }
}

async fn deleted_tokens_are_revoked(context: Context) {
    let platform = Platform::start(&context, Options::default()).await;
    let client = platform.client(platform.provider());
    platform.authorize("u1", ScopeKind::PerUser).await;
    let (access_token, refresh_token) = platform.stored(user("u1")).await.expect("a token");
    let refresh_token = refresh_token.expect("a refresh token");
    let revocation = Revocation {
        scope: user("u1"),
        connector_id: connector("c1"),
        access_token: Secret::text(&access_token),
        refresh_token: Some(Secret::text(&refresh_token)),
    };
    client.revoke(&revocation).await.expect("revoked");
    assert!(!platform.server.takes(&access_token) && !platform.server.refreshes(&refresh_token));
    let asked = platform.server.asked_at("/revoke");
    let hints: Vec<_> = asked.iter().map(|asked| asked.fields["token_type_hint"].as_str()).collect();
    assert_eq!(hints, ["refresh_token", "access_token"]);
    assert_eq!(asked[1].fields["token"], access_token.strip_prefix("Bearer ").expect("a scheme"));
    // A second revocation is no error, and neither is a provider that accepts refresh tokens only.
    client.revoke(&revocation).await.expect("revoked already");
    platform.server.next("/revoke", Odd::Delay(Duration::ZERO));
    let unsupported = "{\"error\": \"unsupported_token_type\"}".to_owned();
    platform.server.next("/revoke", Odd::Say { status: 400, headers: "", body: unsupported });
    client.revoke(&revocation).await.expect("revoked as far as possible");
    platform.server.next("/revoke", Odd::Say { status: 503, headers: "", body: "s3cret".to_owned() });
    let error = client.revoke(&revocation).await.expect_err("busy");
    assert!(matches!(&error, ProviderError::Transient { reason, .. } if !reason.contains("s3cret")), "{error:?}");
}
