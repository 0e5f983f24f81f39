//! OAuth, on the local server of `oauth_server`: facts/tokens.md sections 3.1 to 3.5, mended.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use libtest_mimic::Trial;
use saved_objects::encryption::Secret;
use saved_objects::environment::{Environment, SystemRng};
use saved_objects::repository::Find;
use saved_objects::tokens::oauth::{
    AuthorizationError, AuthorizationFlow, Callback, ClientAuthentication, Endpoint, GrantType, JwtAssertion,
    OAuthClient, OAuthRefresher, Provider, SigningKey,
};
use saved_objects::tokens::{
    AccessTokens, ConnectorTokens, ProfileUid, ProviderError, Refresher, Revocation, Revoker, Scope, ScopeKind,
    TokenClient, TokenError, types,
};
use saved_objects::{ErrorKind, SavedObjects, Start};
use serde_json::{Value, json};

use super::scopes::Log;
use super::{connector, documents, text, user};
use crate::clock::PollingClock;
use crate::context::Context;
use crate::named_trials;
use crate::oauth_server::{OAuthServer, Odd, Options};

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_user_authorizes_a_connector,
        a_shared_token_is_authorized_by_one_user,
        a_state_is_used_once_however_many_come_with_it,
        a_state_is_for_who_began_it_and_for_so_long,
        a_user_who_says_no_gets_nothing,
        a_stolen_code_is_worth_nothing,
        a_code_that_is_not_exchanged_leaves_the_token_that_was_there,
        tokens_are_refreshed_and_rotated,
        client_credentials_need_nothing_stored,
        assertions_are_signed_by_each_kind_of_key,
        clients_prove_themselves_in_each_way,
        slow_and_silent_providers_are_given_up,
        odd_answers_are_errors_without_secrets,
        redirects_are_not_followed,
        deleted_tokens_are_revoked,
        what_is_stored_of_a_state_does_not_give_the_verifier,
        a_grant_that_cannot_be_stored_is_given_to_the_caller,
        no_secret_is_logged,
    )
}

const KEYS: [(&str, &str); 3] = [
    ("RS256", include_str!("../../fixtures/signing_keys/rsa.pem")),
    ("ES256", include_str!("../../fixtures/signing_keys/p256.pem")),
    ("EdDSA", include_str!("../../fixtures/signing_keys/ed25519.pem")),
];

/// A platform with one connector, and its provider.
struct Platform {
    server: OAuthServer,
    store: SavedObjects,
    flow: AuthorizationFlow,
    tokens: ConnectorTokens,
}

const REDIRECT_URI: &str = "http://localhost/callback";

impl Platform {
    async fn start(context: &Context, options: Options) -> Self {
        Self::over(context.store(types().expect("built-in types")).await, options).await
    }

    async fn over(store: SavedObjects, options: Options) -> Self {
        let server = OAuthServer::start(options).await;
        let flow = AuthorizationFlow::new(&store).expect("the types are there");
        let tokens = ConnectorTokens::new(&store).expect("the types are there");
        Self { server, store, flow, tokens }
    }

    fn provider(&self) -> Provider {
        let options = Options::default();
        let endpoint = |path| Endpoint::new(&self.server.url(path)).expect("an endpoint");
        Provider::new(endpoint("/token"), options.client_id)
            .authentication(ClientAuthentication::Basic(Secret::text(&options.client_secret.expect("it has one"))))
            .authorization_endpoint(endpoint("/authorize"))
            .revocation_endpoint(endpoint("/revoke"))
            .redirect_uri(Endpoint::new(REDIRECT_URI).expect("an endpoint"))
            .scopes(["read", "write"])
    }

    fn client(&self, provider: Provider) -> OAuthClient {
        OAuthClient::new(provider, &self.store).expect("a client")
    }

    /// Begins as `user`, and goes as far as the provider's redirect.
    async fn query(&self, user: &str, scope: ScopeKind) -> String {
        let url = self.flow.begin(&self.client(self.provider()), &profile(user), scope, &connector("c1")).await;
        let url = url.expect("begun");
        assert!(!format!("{url:?}").contains("state"), "{url:?}");
        self.server.visit(url.as_str()).await
    }

    async fn finish(&self, user: &str, query: &str) -> Result<(), AuthorizationError> {
        let claimed = self.flow.claim(&profile(user), Callback::from_query(query)?).await?;
        claimed.exchange(&self.client(self.provider())).await.map(drop)
    }

    async fn authorize(&self, user: &str, scope: ScopeKind) {
        let query = self.query(user, scope).await;
        self.finish(user, &query).await.expect("authorized");
    }

    fn refresher(&self, grant_type: GrantType) -> Arc<dyn Refresher> {
        Arc::new(OAuthRefresher::new(self.client(self.provider()), grant_type))
    }

    async fn stored(&self, scope: Scope) -> Option<(String, Option<String>)> {
        let token = self.tokens.get_oauth_credentials(scope, &connector("c1")).await.expect("readable")?;
        let credentials = token.credentials;
        Some((text(&credentials.access_token), credentials.refresh_token.as_ref().map(text)))
    }
}

fn profile(uid: &str) -> ProfileUid {
    ProfileUid::new(uid).expect("a profile uid")
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
    // The token, and nothing that is left of the authorization.
    assert_eq!(documents(&context).await, 1);
    let asked = platform.server.asked_for("authorization_code");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].fields["redirect_uri"], REDIRECT_URI);
    assert_eq!(platform.server.asked_at("/authorize")[0].fields["scope"], "read write");
    // Anew: the token becomes another one, in its place.
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
    // Nobody sent the code a second time.
    assert_eq!(platform.server.asked_for("authorization_code").len(), 1);
    assert!(platform.stored(user("u1")).await.is_some());
    let unknown = platform.finish("u1", "state=somethingElse&code=c").await.expect_err("never begun");
    assert!(matches!(unknown, AuthorizationError::AlreadyUsed), "{unknown:?}");
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
    // A code that the provider gave for another authorization, and therefore another proof key.
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

async fn tokens_are_refreshed_and_rotated(context: Context) {
    let platform = Platform::start(&context, Options { expires_in: 0, ..Options::default() }).await;
    let refresher = platform.refresher(GrantType::RefreshToken);
    let tokens = AccessTokens::new(&platform.store).expect("the types are there");
    let no_token = tokens.get(user("u1"), &connector("c1"), &refresher).await.expect_err("nothing is stored");
    assert!(matches!(no_token, TokenError::NoToken { .. }), "{no_token:?}");
    platform.authorize("u1", ScopeKind::PerUser).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let token = tokens.get(user("u1"), &connector("c1"), &refresher).await.expect("refreshed");
        let token = text(&token.token);
        assert!(platform.server.takes(&token) && !seen.contains(&token));
        seen.push(token);
    }
    assert_eq!(platform.server.asked_for("refresh_token").len(), 3);
    // Used elsewhere behind our back: the provider ends all of it, and the user is to authorize again.
    let (_, refresh_token) = platform.stored(user("u1")).await.expect("a token");
    let client = platform.client(platform.provider());
    let revocation = Revocation {
        scope: user("u1"),
        connector_id: connector("c1"),
        access_token: Secret::text("Bearer unknown"),
        refresh_token: refresh_token.as_deref().map(Secret::text),
    };
    client.revoke(&revocation).await.expect("revoked");
    let error = tokens.get(user("u1"), &connector("c1"), &refresher).await.expect_err("revoked");
    assert!(matches!(error, TokenError::Revoked { .. }), "{error:?}");
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
    // Its service does not take it any more.
    platform.server.end_access_tokens();
    let other =
        tokens.get_instead_of(Scope::Shared, &connector("c1"), &first.token, &refresher).await.expect("granted");
    assert!(platform.server.takes(&text(&other.token)));
    assert_eq!(platform.stored(Scope::Shared).await, Some((text(&other.token), None)));
}

/// The header and the claims of a JWT whose signature the key of this algorithm made.
fn verified(algorithm: &str, assertion: &str) -> Option<(Value, Value)> {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
    };

    let (message, signature) = assertion.rsplit_once('.')?;
    // The public halves, without the wrapping that says what they are.
    let (verification, public): (&dyn VerificationAlgorithm, _) = match algorithm {
        "RS256" => (&RSA_PKCS1_2048_8192_SHA256, include_str!("../../fixtures/signing_keys/rsa.public")),
        "ES256" => (&ECDSA_P256_SHA256_FIXED, include_str!("../../fixtures/signing_keys/p256.public")),
        _ => (&ED25519, include_str!("../../fixtures/signing_keys/ed25519.public")),
    };
    let public = STANDARD.decode(public.trim()).expect("base64");
    let key = UnparsedPublicKey::new(verification, public);
    key.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    let part = |text: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
    let (header, claims) = message.split_once('.')?;
    Some((part(header)?, part(claims)?))
}

async fn assertions_are_signed_by_each_kind_of_key(context: Context) {
    let tries = |assertion: &str| KEYS.iter().any(|(algorithm, _)| verified(algorithm, assertion).is_some());
    let options = Options { accepts_assertion: Arc::new(tries), ..Options::default() };
    let platform = Platform::start(&context, options).await;
    for (number, (algorithm, pem)) in KEYS.iter().enumerate() {
        let key = SigningKey::from_pem(&Secret::text(pem)).expect(algorithm);
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
    let tokens = AccessTokens::new(&platform.store).expect("the types are there");
    let say = |status, headers, body: &str| Odd::Say { status, headers, body: body.to_owned() };
    let table = [
        (say(500, "", "s3cret"), ErrorKind::Unavailable, "500"),
        (say(503, "Retry-After: 30\r\n", "s3cret"), ErrorKind::Unavailable, "30 s"),
        (say(429, "Retry-After: 7\r\n", "{\"error\": \"s3cret\"}"), ErrorKind::Unavailable, "7 s"),
        (Odd::LoseAnswer, ErrorKind::Unavailable, "connection"),
        (say(200, "", "s3cret <html>"), ErrorKind::Invalid, "JSON"),
        (
            say(200, "", "{\"refresh_token\": \"s3cret\", \"token_type\": \"bearer\"}"),
            ErrorKind::Invalid,
            "access_token",
        ),
        (
            say(400, "", "{\"error\": \"invalid_scope\", \"error_description\": \"s3cret\"}"),
            ErrorKind::Invalid,
            "invalid_scope",
        ),
        (say(400, "", "{\"error\": \"s3cret\"}"), ErrorKind::Invalid, "400"),
        (Odd::Endless, ErrorKind::Invalid, "bytes"),
    ];
    let is_lost = |odd: &Odd| matches!(odd, Odd::LoseAnswer);
    // What is lost rotates the refresh token, so it comes last.
    let (last, others): (Vec<_>, Vec<_>) = table.into_iter().partition(|(odd, ..)| is_lost(odd));
    for (odd, kind, words) in others.into_iter().chain(last) {
        let described = format!("{odd:?}");
        platform.server.next("/token", odd);
        let refused = Secret::text(&stored.0);
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
    // Once more is no error, and neither is a provider that takes refresh tokens only.
    client.revoke(&revocation).await.expect("revoked already");
    platform.server.next("/revoke", Odd::Delay(Duration::ZERO));
    let unsupported = "{\"error\": \"unsupported_token_type\"}".to_owned();
    platform.server.next("/revoke", Odd::Say { status: 400, headers: "", body: unsupported });
    client.revoke(&revocation).await.expect("revoked as far as possible");
    platform.server.next("/revoke", Odd::Say { status: 503, headers: "", body: "s3cret".to_owned() });
    let error = client.revoke(&revocation).await.expect_err("busy");
    assert!(matches!(&error, ProviderError::Transient { reason } if !reason.contains("s3cret")), "{error:?}");
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
    // One who can write the index makes of it what its secret is not bound to: it does not open.
    super::change_stored(&context, "oauth_state", &found[0].id, json!({"tokenScope": "shared"})).await;
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

/// Goes through a flow of everything, with refusals.
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
    tokens.delete(user("u1"), &connector("c1"), None).await.expect("deleted");
}

async fn no_secret_is_logged(context: Context) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    // A thread of its own, so that the tasks of the library and of the HTTP client are heard as well.
    let flow = tokio::task::spawn_blocking(move || {
        let _guard = tracing::subscriber::set_default(subscriber);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(everything(&context));
    });
    flow.await.expect("it went through");
    let log = String::from_utf8(log.0.lock().expect("no test panics with the lock").clone()).expect("UTF-8");
    for heard in ["claimed", "was not revoked", "a lifetime that is none"] {
        assert!(log.contains(heard), "{heard}: {log}");
    }
    assert!(!log.contains("s3cret") && !log.contains("PRIVATE KEY"), "{log}");
}
