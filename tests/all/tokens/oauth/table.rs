//! What providers answer, in all known forms: what is stored, what the caller gets, and how often the provider is
//! asked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use libtest_mimic::Trial;
use saved_objects::encryption::Secret;
use saved_objects::environment::{Environment, SystemRng};
use saved_objects::tokens::oauth::{
    AuthorizationError, AuthorizationFlow, Callback, Endpoint, GrantType, OAuthClient, OAuthRefresher, Provider,
};
use saved_objects::tokens::{
    AccessTokens, ConnectorId, ConnectorToken, ConnectorTokenClient, Credentials, NewToken, OAuthCredentials,
    ProviderError, Refresher, Scope, ScopeKind, TokenClient, TokenError, types,
};
use saved_objects::{SavedObjects, Start};

use super::profile;
use crate::clock::PollingClock;
use crate::context::Context;
use crate::named_trials;
use crate::oauth_server::{OAuthServer, Odd, Options};
use crate::tokens::{connector, text, user};

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(url, every_answer_is_stored_and_given_as_the_table_says, a_redirect_uri_is_sent_byte_for_byte)
}

/// An answer, and its meaning.
struct Row {
    status: u16,
    headers: &'static str,
    body: &'static str,
    configured: fn(Provider) -> Provider,
    is: Is,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    /// A grant with this access token, this refresh token, and this lifetime in seconds.
    Grant(&'static str, Option<&'static str>, Option<i64>),
    /// No access token, but this refresh token.
    RefreshTokenOnly(&'static str),
    /// What was presented is no longer valid.
    Revoked,
    /// The provider asks for a pause.
    Busy,
    /// A later attempt may succeed.
    Passing,
    /// The configuration is wrong; the error contains this word.
    Refused(&'static str),
}

fn says(status: u16, body: &'static str, is: Is) -> Row {
    Row { status, headers: "", body, configured: |provider| provider, is }
}

impl Row {
    fn headers(self, headers: &'static str) -> Self {
        Self { headers, ..self }
    }

    fn configured(self, configured: fn(Provider) -> Provider) -> Self {
        Self { configured, ..self }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.status, self.headers, self.body)
    }
}

const HUNDRED_YEARS: i64 = 100 * 366 * 86_400;

fn grants() -> Vec<Row> {
    let grant = |body, token, refresh_token, lifetime| says(200, body, Is::Grant(token, refresh_token, lifetime));
    let usual = |status| {
        let body = r#"{"access_token":"a1","token_type":"bearer","expires_in":3600,"refresh_token":"r1"}"#;
        says(status, body, Is::Grant("Bearer a1", Some("r1"), Some(3600)))
    };
    let a1 = |body| grant(body, "Bearer a1", Some("r1"), None);
    let lifetime = |body, lifetime| grant(body, "Bearer a1", None, lifetime);
    vec![
        // Any status of success.
        usual(200),
        usual(201),
        usual(202),
        usual(203),
        usual(206),
        usual(299),
        usual(200).headers("Retry-After: 60\r\n"),
        usual(200).headers("Content-Type: text/html\r\n"),
        // Types of tokens, and schemes.
        a1(r#"{"access_token":"a1","refresh_token":"r1"}"#),
        a1(r#"{"access_token":"a1","refresh_token":"r1","token_type":null}"#),
        a1(r#"{"access_token":"a1","refresh_token":"r1","token_type":""}"#),
        a1(r#"{"access_token":"a1","refresh_token":"r1","token_type":7}"#),
        a1(r#"{"access_token":"a1","refresh_token":"r1","token_type":["bearer"]}"#),
        a1(r#"{"access_token":"a1","refresh_token":"r1","token_type":"bot"}"#),
        a1(r#"{"access_token":"a1","refresh_token":"r1","token_type":"user access token"}"#),
        a1(r#"{"access_token":"a1","refresh_token":"r1","token_type":"BEARER"}"#),
        a1(r#"{"access_token":"Bearer a1","refresh_token":"r1","token_type":"bearer"}"#),
        a1(r#"{"access_token":"a1\n","refresh_token":"r1","token_type":"bearer\n"}"#),
        grant(r#"{"access_token":"a1","token_type":"dpop"}"#, "DPoP a1", None, None),
        grant(r#"{"access_token":"a1","token_type":"Bearer"}"#, "Zoho-oauthtoken a1", None, None)
            .configured(|provider| provider.authorization_scheme("Zoho-oauthtoken")),
        grant(r#"{"access_token":"a1"}"#, "a1", None, None).configured(|provider| provider.authorization_scheme("")),
        // Where the token is in the answer.
        a1(r#"{"data":{"access_token":"a1","refresh_token":"r1"},"message":"success"}"#),
        a1(r#"{"ok":true,"authed_user":{"access_token":"a1","refresh_token":"r1","token_type":"user"}}"#)
            .configured(|provider| provider.access_token_path("authed_user.access_token")),
        a1(r#"{"access_token":"x","refresh_token":"x","authed_user":{"access_token":"a1","refresh_token":"r1"}}"#)
            .configured(|provider| provider.access_token_path("authed_user.access_token")),
        a1(r#"{"access_token":"a1","refresh_token":"r1","authed_user":{"id":"u"}}"#)
            .configured(|provider| provider.access_token_path("authed_user.access_token")),
        a1(r#"{"access_token":"a1","authed_user":{"refresh_token":"r1"}}"#)
            .configured(|provider| provider.access_token_path("authed_user.access_token")),
        a1(r#"{"token":"a1","refresh_token":"r1"}"#).configured(|provider| provider.access_token_path("data.token")),
        a1(r#"{"access_token":"a1","refresh_token":"r1"}"#)
            .configured(|provider| provider.access_token_path("data.token")),
        a1(r#"{"accessToken":"a1","refreshToken":"r1"}"#),
        a1(r#"[{"access_token":"a1","refresh_token":"r1"}]"#),
        a1("access_token=a1&refresh_token=r1&scope=&token_type=bearer"),
        a1("\u{feff}{\"access_token\":\"a1\",\"refresh_token\":\"r1\"}"),
        // Unusual members next to it.
        a1(r#"{"access_token":"a1","refresh_token":"r1","error":""}"#),
        a1(r#"{"access_token":"a1","refresh_token":"r1","error":"none"}"#),
        a1(r#"{"access_token":"a1","refresh_token":"r1","scope":["x"],"id_token":{"x":1},"expires_in":{}}"#),
        grant(r#"{"access_token":"a1","refresh_token":""}"#, "Bearer a1", None, None),
        grant(r#"{"access_token":"a1","refresh_token":null,"refresh_expires_in":0}"#, "Bearer a1", None, None),
        grant(
            r#"{"access_token":1234567890123456789012,"refresh_token":"r1"}"#,
            "Bearer 1234567890123456789012",
            Some("r1"),
            None,
        ),
        // The access token stays the same, and the refresh token changes.
        grant(r#"{"access_token":"a0","refresh_token":"r1","expires_in":60}"#, "Bearer a0", Some("r1"), Some(60)),
        // Lifetimes.
        lifetime(r#"{"access_token":"a1","expires_in":"3600"}"#, Some(3600)),
        lifetime(r#"{"access_token":"a1","expires_in":" 3600 "}"#, Some(3600)),
        lifetime(r#"{"access_token":"a1","expires_in":3600.7}"#, Some(3600)),
        lifetime(r#"{"access_token":"a1","expires_in":0}"#, None),
        lifetime(r#"{"access_token":"a1","expires_in":"0"}"#, None),
        lifetime(r#"{"access_token":"a1","expires_in":0.5}"#, None),
        lifetime(r#"{"access_token":"a1","expires_in":-1}"#, None),
        lifetime(r#"{"access_token":"a1","expires_in":null}"#, None),
        lifetime(r#"{"access_token":"a1","expires_in":"soon"}"#, None),
        lifetime(r#"{"access_token":"a1","expires_in":true}"#, None),
        lifetime(r#"{"access_token":"a1","expires_in":1e300}"#, Some(HUNDRED_YEARS)),
        lifetime(r#"{"access_token":"a1","expires_in":18446744073709551616}"#, Some(HUNDRED_YEARS)),
        lifetime(r#"{"access_token":"a1","expires_in":"99999999999999999999999"}"#, Some(HUNDRED_YEARS)),
    ]
}

fn refusals() -> Vec<Row> {
    let revoked = |status, body| says(status, body, Is::Revoked);
    let busy = |status, headers, body| says(status, body, Is::Busy).headers(headers);
    let passing = |status, body| says(status, body, Is::Passing);
    let refused = |status, body, word| says(status, body, Is::Refused(word));
    vec![
        // An invalid grant, in a dozen forms and more.
        revoked(400, r#"{"error":"invalid_grant","error_description":"s3cret was used"}"#),
        revoked(401, r#"{"error":"invalid_grant"}"#),
        revoked(200, r#"{"error":"invalid_grant"}"#),
        revoked(500, r#"{"error":"invalid_grant"}"#),
        revoked(400, "error=invalid_grant&error_description=s3cret"),
        revoked(400, r#"{"error":"invalid_refresh_token"}"#),
        revoked(200, r#"{"ok":false,"error":"invalid_refresh_token"}"#),
        revoked(400, r#"{"status":"BAD_REFRESH_TOKEN","message":"missing or unknown refresh token"}"#),
        revoked(200, r#"{"error":"bad_refresh_token"}"#),
        revoked(400, r#"{"error":{"code":"invalid_grant","message":"s3cret"}}"#),
        revoked(401, r#"{"errors":[{"code":"refresh-token-expired","detail":"s3cret"}]}"#),
        revoked(400, r#"{"code":400,"error_code":"refresh_token_not_found","msg":"s3cret"}"#),
        revoked(401, r#"{"error":"invalid_token","error_description":"s3cret"}"#),
        revoked(403, r#"{"fault":{"detail":{"errorcode":"TokenRevoked"}}}"#),
        revoked(400, r#"{"status":400,"message":"Invalid refresh token"}"#),
        revoked(200, r#"{"error":"invalid_code"}"#),
        revoked(400, r#"{"error":{"type":"OAuthException","code":190}}"#)
            .configured(|provider| provider.revoked_codes(["190"])),
        revoked(400, r#"{"error":"invalid_request","error_description":"Value passed for the token was invalid."}"#)
            .configured(|provider| provider.revoked_codes(["value passed for the token was invalid"])),
        revoked(400, r#"{"error":"invalid_grant"}"#).headers("Retry-After: 60\r\n"),
        // A provider that gets too many requests.
        busy(429, "Retry-After: 60\r\n", ""),
        busy(429, "", r#"{"error":"s3cret"}"#),
        busy(429, "Retry-After: 18446744073709551615\r\n", ""),
        busy(429, "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n", ""),
        busy(429, "Retry-After: soon\r\n", ""),
        busy(503, "Retry-After: 60\r\n", "s3cret"),
        busy(500, "Retry-After: 60\r\n", ""),
        busy(403, "Retry-After: 60\r\n", r#"{"message":"s3cret"}"#),
        busy(400, "", r#"{"error":"slow_down"}"#),
        busy(200, "", r#"{"ok":false,"error":"rate_limited"}"#),
        // A provider with a passing failure.
        passing(500, "s3cret"),
        passing(502, "<html>s3cret=1</html>"),
        passing(503, r#"{"error":"temporarily_unavailable"}"#),
        passing(400, r#"{"error":"server_error"}"#),
        passing(408, ""),
        passing(503, "").headers("Retry-After: 0\r\n"),
        // A provider that refuses.
        refused(400, r#"{"error":"invalid_scope","error_description":"s3cret"}"#, "invalid_scope"),
        refused(401, r#"{"error":"invalid_client"}"#, "invalid_client"),
        refused(400, r#"{"error":{"code":"unauthorized_client","message":"s3cret"}}"#, "unauthorized_client"),
        refused(200, r#"{"ok":false,"error":"s3cret"}"#, "200"),
        refused(400, r#"{"error":"s3cret"}"#, "400"),
        refused(400, r#"{"access_token":"a1","error":"s3cret"}"#, "400"),
        refused(302, r#"{"access_token":"a1"}"#, "redirects").headers("Location: /token\r\n"),
        refused(200, "", "JSON"),
        refused(200, "s3cret", "JSON"),
        refused(200, r#"{"access_token":"a1""#, "JSON"),
        refused(200, r#"{"access_token":"","token_type":"bearer"}"#, "access_token"),
        refused(200, r#"{"access_token":{"value":"s3cret"}}"#, "access_token"),
        refused(200, r#"{"access_token":"a\r\nX: s3cret"}"#, "access_token"),
        refused(204, "", "JSON").headers("Retry-After: 60\r\n"),
        // What was presented is used up, and this replaces it.
        says(200, r#"{"refresh_token":"r1","token_type":"bearer","expires_in":60}"#, Is::RefreshTokenOnly("r1")),
        says(200, r#"{"access_token":"a\r\nX: s3cret","refresh_token":"r1"}"#, Is::RefreshTokenOnly("r1")),
    ]
}

/// What the token endpoint is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Code,
    Refresh,
    ClientCredentials,
}

/// How often the token is asked for, or the user returns.
const CALLS: usize = 5;

/// A platform on which each answer has its own connector and provider.
struct Table {
    store: SavedObjects,
    clock: Arc<PollingClock>,
    tokens: ConnectorTokenClient,
    flow: AuthorizationFlow,
}

/// The outcome of an answer.
#[derive(Debug)]
struct Outcome {
    /// What every call got: the token, or the kind of refusal with its text.
    got: Result<String, (Is, String)>,
    stored: Option<ConnectorToken<OAuthCredentials>>,
    asked: usize,
}

async fn every_answer_is_stored_and_given_as_the_table_says(context: Context) {
    let clock = PollingClock::new();
    let environment = Environment::new(clock.clone(), Arc::new(SystemRng));
    let builder = context.builder(types().expect("built-in types")).environment(environment);
    let store = builder.start(Start::Migrate).await.expect("the store starts");
    let tokens = ConnectorTokenClient::new(&store).expect("the types are there");
    let flow = AuthorizationFlow::new(&store).expect("the types are there");
    let table = Table { store, clock, tokens, flow };
    let rows: Vec<Row> = grants().into_iter().chain(refusals()).collect();
    assert!(rows.len() >= 60, "{}", rows.len());
    let mut failures = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        for way in [Way::Code, Way::Refresh, Way::ClientCredentials] {
            let connector = connector(&format!("c{number}-{way:?}"));
            let scope = if number % 2 == 0 { Scope::Shared } else { user("u1") };
            let outcome = table.outcome(row, way, &scope, &connector).await;
            // All rows are checked, so that one run reports every wrong row.
            if std::panic::catch_unwind(|| check(row, way, &outcome)).is_err() {
                failures.push(format!("{way:?}: {row}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {} are not so: {failures:#?}", failures.len(), 3 * rows.len());
}

fn check(row: &Row, way: Way, outcome: &Outcome) {
    let described = format!("{way:?}: {row}: {outcome:?}");
    let stored = outcome.stored.as_ref().map(|stored| {
        let credentials = &stored.credentials;
        (text(&credentials.access_token), credentials.refresh_token.as_ref().map(text))
    });
    let expected =
        |token: &str, refresh_token: Option<&str>| Some((token.to_owned(), refresh_token.map(str::to_owned)));
    // A refresh that grants no refresh token keeps the old one.
    let before = (way == Way::Refresh).then_some("r0");
    let asked_each_time = if way == Way::Code { 1 } else { CALLS };
    match row.is {
        Is::Grant(token, refresh_token, lifetime) => {
            assert_eq!(outcome.got.as_deref().ok(), Some(token), "{described}");
            assert_eq!(stored, expected(token, refresh_token.or(before)), "{described}");
            let metadata = &outcome.stored.as_ref().expect("stored").metadata;
            let lasts = metadata.expires_at.map(|expires_at| expires_at.duration_since(metadata.updated_at).as_secs());
            assert_eq!((lasts, metadata.refresh_token_expires_at), (lifetime, None), "{described}");
            assert_eq!(outcome.asked, 1, "{described}");
            return;
        }
        Is::RefreshTokenOnly(refresh_token) if way == Way::Refresh => {
            assert_eq!(stored, expected("Bearer a0", Some(refresh_token)), "{described}");
        }
        _ => assert_eq!(stored, before.and_then(|before| expected("Bearer a0", Some(before))), "{described}"),
    }
    let (is, words) = outcome.got.as_ref().expect_err(&described);
    assert!(!words.contains("s3cret"), "{described}");
    match row.is {
        Is::Refused(word) => {
            assert!(*is == Is::Refused("") && words.contains(word), "{described}");
            assert_eq!(outcome.asked, asked_each_time, "{described}");
        }
        Is::RefreshTokenOnly(_) => {
            assert!(*is == Is::Refused("") && words.contains("no access token"), "{described}");
            assert_eq!(outcome.asked, asked_each_time, "{described}");
        }
        expected => {
            assert_eq!(*is, expected, "{described}");
            let is_left_alone = expected == Is::Busy || (expected == Is::Revoked && way == Way::Refresh);
            assert_eq!(outcome.asked, if is_left_alone { 1 } else { asked_each_time }, "{described}");
        }
    }
}

impl Table {
    async fn outcome(&self, row: &Row, way: Way, scope: &Scope, connector: &ConnectorId) -> Outcome {
        let server = OAuthServer::start(Options { client_secret: None, ..Options::default() }).await;
        let endpoint = |path| Endpoint::new(&server.url(path)).expect("an endpoint");
        let provider = Provider::new(endpoint("/token"), Options::default().client_id)
            .authorization_endpoint(endpoint("/authorize"))
            .redirect_uri(Endpoint::new(super::REDIRECT_URI).expect("an endpoint"));
        let client = OAuthClient::new((row.configured)(provider), &self.store).expect("a client");
        for _ in 0..CALLS {
            server.next("/token", Odd::Say { status: row.status, headers: row.headers, body: row.body.to_owned() });
        }
        let got = match way {
            Way::Code => self.authorize(&server, &client, scope, connector).await,
            Way::Refresh => {
                let (token, refresh_token) = (Secret::text("Bearer a0"), Some(Secret::text("r0")));
                let expired =
                    NewToken::new(Credentials::Token { token, refresh_token }).expires_at(Timestamp::UNIX_EPOCH);
                self.tokens.create(scope.clone(), connector, expired).await.expect("stored");
                self.get(client, GrantType::RefreshToken, scope, connector).await
            }
            Way::ClientCredentials => self.get(client, GrantType::ClientCredentials, scope, connector).await,
        };
        let stored = self.tokens.get_oauth_credentials(scope.clone(), connector).await.expect("readable");
        Outcome { got, stored, asked: server.asked_at("/token").len() }
    }

    /// Asks for the token a few times, one call after the other, and returns what all calls got.
    async fn get(
        &self,
        client: OAuthClient,
        grant_type: GrantType,
        scope: &Scope,
        connector: &ConnectorId,
    ) -> Result<String, (Is, String)> {
        let access = AccessTokens::new(&self.store).expect("the types are there");
        let refresher: Arc<dyn Refresher> = Arc::new(OAuthRefresher::new(client, grant_type));
        let mut all = Vec::new();
        for _ in 0..CALLS {
            let got = access.get(scope.clone(), connector, &refresher).await;
            all.push(got.map(|token| text(&token.token)).map_err(|error| {
                let is = match &error {
                    TokenError::Revoked { .. } => Is::Revoked,
                    TokenError::RefreshFailed { source, .. } => of(source),
                    _ => Is::Refused("otherwise"),
                };
                (is, format!("{error} {error:?}"))
            }));
            self.clock.forward(Duration::from_millis(100));
        }
        let is = |got: &Result<String, (Is, String)>| got.as_ref().map_err(|(is, _)| *is).cloned();
        let is_constant = all.iter().all(|got| is(got) == is(&all[0]));
        if is_constant { all.swap_remove(0) } else { Err((Is::Refused("otherwise"), format!("{all:?}"))) }
    }

    async fn authorize(
        &self,
        server: &OAuthServer,
        client: &OAuthClient,
        scope: &Scope,
        connector: &ConnectorId,
    ) -> Result<String, (Is, String)> {
        let kind = if *scope == Scope::Shared { ScopeKind::Shared } else { ScopeKind::PerUser };
        let url = self.flow.begin(client, &profile("u1"), kind, connector).await.expect("begun");
        let callback = Callback::from_query(&server.visit(url.as_str()).await).expect("a callback");
        let claimed = self.flow.claim(&profile("u1"), callback).await.expect("claimed");
        match claimed.exchange(client).await {
            Ok(_) => {
                let stored = self.tokens.get_oauth_credentials(scope.clone(), connector).await.expect("readable");
                Ok(text(&stored.expect("stored").credentials.access_token))
            }
            Err(error) => {
                let is = match &error {
                    AuthorizationError::Provider(source) => of(source),
                    _ => Is::Refused("otherwise"),
                };
                Err((is, format!("{error} {error:?}")))
            }
        }
    }
}

fn of(error: &ProviderError) -> Is {
    match error {
        ProviderError::InvalidGrant => Is::Revoked,
        ProviderError::Transient { retry_after: Some(_), .. } => Is::Busy,
        ProviderError::Transient { .. } => Is::Passing,
        _ => Is::Refused(""),
    }
}

async fn a_redirect_uri_is_sent_byte_for_byte(context: Context) {
    let store = context.store(types().expect("built-in types")).await;
    let flow = AuthorizationFlow::new(&store).expect("the types are there");
    let server = OAuthServer::start(Options { client_secret: None, ..Options::default() }).await;
    let endpoint = |path| Endpoint::new(&server.url(path)).expect("an endpoint");
    let given = [
        "http://localhost",
        "http://localhost/",
        "http://LocalHost:80/Callback",
        "https://platform.example:443",
        "https://platform.example/a/../b/./callback//",
        "https://platform.example/%7ekim/~kim/%2F",
        "HTTPS://platform.example/c b",
        "https://platform.example/callback?",
    ];
    for (number, redirect_uri) in given.into_iter().enumerate() {
        let connector = connector(&format!("c{number}"));
        let provider = Provider::new(endpoint("/token"), Options::default().client_id)
            .authorization_endpoint(endpoint("/authorize"))
            .redirect_uri(Endpoint::new(redirect_uri).expect("an endpoint"));
        let client = OAuthClient::new(provider, &store).expect("a client");
        let url = flow.begin(&client, &profile("u1"), ScopeKind::PerUser, &connector).await.expect("begun");
        let query = server.visit(url.as_str()).await;
        let query = query.trim_start_matches('?');
        let claimed =
            flow.claim(&profile("u1"), Callback::from_query(query).expect("a callback")).await.expect("claimed");
        claimed.exchange(&client).await.expect("the server compares the URIs");
        for path in ["/authorize", "/token"] {
            let asked = server.asked_at(path).pop().expect("asked");
            assert_eq!(asked.fields["redirect_uri"], redirect_uri, "{path}");
        }
    }
}
