//! A small platform with one connector, from start to end: it registers its types, starts, sends a user through an
//! OAuth provider, calls the connector's service with the token, refreshes the token, and disconnects.
//!
//! ```sh
//! cargo run --example connector_platform                             # in memory
//! cargo run --example connector_platform -- http://127.0.0.1:9200    # on a server (`saved-objects dev up` starts one)
//! ```
//!
//! The provider is the local one of the tests. It rotates refresh tokens, as strict providers do.
#![allow(missing_docs, clippy::disallowed_methods, clippy::expect_used, clippy::panic)]

#[allow(dead_code, unreachable_pub, reason = "the tests use all of it")]
#[path = "../tests/all/oauth_server/mod.rs"]
mod oauth_server;

use std::error::Error;
use std::sync::Arc;

use oauth_server::{OAuthServer, Options};
use saved_objects::encryption::{KeyRing, Secret};
use saved_objects::registry::Registry;
use saved_objects::tokens::oauth::{
    AuthorizationFlow, Callback, ClientAuthentication, Endpoint, GrantType, OAuthClient, OAuthRefresher, Provider,
};
use saved_objects::tokens::{
    self, AccessTokens, ConnectorId, ConnectorTokenClient, ProfileUid, Refresher, Revoker, Scope, ScopeKind,
    TokenClient, TokenError,
};
use saved_objects::{SavedObjects, Start};
use secrecy::SecretString;

/// The key of this example only; a real platform uses `KeyRing::from_env`.
const KEY: &str = "a key for an example only: 0123456789abcdef";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let provider = OAuthServer::start(Options::default()).await;
    println!("1. a provider that is not ours: {}", provider.url("/authorize"));

    let store = start(std::env::args().nth(1)).await?;
    println!("2. the platform has started, and its indices are at the registered model versions");

    // What the platform keeps for each connector; this example has one.
    let client = OAuthClient::new(
        Provider::new(Endpoint::new(&provider.url("/token"))?, Options::default().client_id)
            .authentication(ClientAuthentication::Basic(Secret::text(
                &Options::default().client_secret.unwrap_or_default(),
            )))
            .authorization_endpoint(Endpoint::new(&provider.url("/authorize"))?)
            .revocation_endpoint(Endpoint::new(&provider.url("/revoke"))?)
            .redirect_uri(Endpoint::new("http://localhost:8080/oauth/callback")?)
            .scopes(["read"]),
        &store,
    )?;
    let revoker: Arc<dyn Revoker> = Arc::new(client.clone());
    let refresher: Arc<dyn Refresher> = Arc::new(OAuthRefresher::new(client.clone(), GrantType::RefreshToken));
    let flow = AuthorizationFlow::new(&store)?;
    let access = AccessTokens::new(&store)?.revoking(revoker.clone());
    let connections = ConnectorTokenClient::new(&store)?.revoking(revoker);
    let (kim, connector) = (ProfileUid::new("u_kim_0")?, ConnectorId::new("tracker")?);
    let scope = || Scope::User(kim.clone());

    // The route that the user's "Connect" button calls.
    let url = flow.begin(&client, &kim, ScopeKind::PerUser, &connector).await?;
    println!("3. kim is sent to the provider: {url:?}");
    // Kim's browser follows the URL, Kim consents, and the provider redirects the browser to our callback.
    let query = provider.visit(url.as_str()).await;

    // The route of the callback.
    let claimed = flow.claim(&kim, Callback::from_query(&query)?).await?;
    let token = claimed.exchange(&client).await?;
    println!("4. kim is connected: {}, good until {}", token.id, token.expires_at.expect("the provider says"));
    let again = flow.claim(&kim, Callback::from_query(&query)?).await.expect_err("a state is used once");
    println!("   the same link once more: {again}");

    // The work that the platform does for Kim.
    let first = access.get(scope(), &connector, &refresher).await?;
    println!("5. the service answers {}", call(&provider, &first.token).await?);

    // The service stops accepting the token long before it expires. Eight of our tasks notice at the same time.
    provider.end_access_tokens();
    println!("6. the service answers {}, so eight tasks ask for another token", call(&provider, &first.token).await?);
    let tasks = (0..8).map(|_| access.get_instead_of(scope(), &connector, &first.token, &refresher));
    for token in futures::future::join_all(tasks).await {
        assert_eq!(call(&provider, &token?.token).await?, 200);
    }
    let asked = provider.asked_for("refresh_token").len();
    println!(
        "   one of them asked the provider ({asked} request), and all got the new one; it is stored, with its refresh token"
    );

    // The user clicks "Disconnect".
    let last = access.get(scope(), &connector, &refresher).await?;
    connections.delete(scope(), &connector, None).await?;
    println!("7. kim disconnects: the token is deleted, and revoked at the provider");
    println!("   the service answers {}", call(&provider, &last.token).await?);
    match access.get(scope(), &connector, &refresher).await {
        Err(error @ TokenError::NoToken { .. }) => println!("   a task that asks now hears: {error}"),
        other => panic!("the token is gone: {other:?}"),
    }
    println!("done");
    Ok(())
}

/// Starts a store in memory, or on the server at `url` under its own prefix.
async fn start(url: Option<String>) -> saved_objects::Result<SavedObjects> {
    let registry = Registry::builder().with(tokens::types()?).build()?;
    let builder = match url {
        None => SavedObjects::in_memory(registry)?,
        Some(url) => SavedObjects::builder(registry).elasticsearch(url),
    };
    builder
        .prefix("saved-objects-example".parse()?)
        .key_ring(KeyRing::new(SecretString::from(KEY), Vec::new())?)
        .start(Start::Migrate)
        .await
}

/// Calls the connector's service and returns the status of its answer. Here a secret leaves the library.
async fn call(provider: &OAuthServer, token: &Secret) -> Result<u16, Box<dyn Error>> {
    let header = token.expose_text()?;
    let request = reqwest::Client::new().get(provider.url("/service")).header("authorization", header.as_str());
    Ok(request.send().await?.status().as_u16())
}
