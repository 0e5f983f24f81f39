//! Addresses of this machine are not reached through a proxy, which would see the credentials.

use saved_objects::encryption::Secret;
use saved_objects::registry::Registry;
use saved_objects::tokens::oauth::{ClientAuthentication, Endpoint, OAuthClient, Provider};
use saved_objects::tokens::{ConnectorId, ProviderError, Revocation, Revoker, Scope, types};
use saved_objects::{SavedObjects, Start};

use super::run_at;
use super::stub::Stub;
use crate::context::Context;

/// The variable that makes this binary send a request to an OAuth provider instead of running tests.
pub(crate) const CHILD: &str = "SAVED_OBJECTS_TEST_OAUTH_PROVIDER";

/// Returns variables that lead all requests through a proxy.
fn through(proxy: &Stub) -> Vec<(&'static str, String)> {
    let url = format!("http://{}", proxy.address);
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let unset = ["NO_PROXY", "no_proxy"].map(|name| (name, String::new()));
    names.iter().map(|name| (*name, url.clone())).chain(unset).collect()
}

pub(super) async fn what_is_on_this_machine_does_not_go_through_a_proxy(context: Context) {
    let (proxy, server) = (Stub::start(None).await, Stub::start(None).await);
    let variables = through(&proxy);
    let mut variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.push(("SAVED_OBJECTS_ELASTICSEARCH_API_KEY", "a-key-for-tests"));
    run_at(&format!("http://{}", server.address), &context, &["status"], &variables).await;
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
    assert!(!server.asked().is_empty());

    let provider = Stub::start(None).await;
    let child = tokio::process::Command::new(std::env::current_exe().expect("this binary"))
        .env(CHILD, format!("http://{}", provider.address))
        .envs(variables)
        .output()
        .await
        .expect("it runs");
    assert!(child.status.success(), "{child:?}");
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
    assert!(provider.asked().iter().any(|asked| asked.head.starts_with("POST /revoke")), "{:?}", provider.asked());
}

/// All users of a machine see the arguments of its processes.
pub(super) async fn no_argument_names_a_user(context: Context) {
    let server = Stub::start(None).await;
    let url = format!("http://kim:hunter2-do-not-show@{}", server.address);
    let arguments = ["status", "--elasticsearch-url", &url];
    let ran = run_at("", &context, &arguments, &[]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("_PASSWORD_FILE"), "{ran:?}");
    assert!(!format!("{ran:?}").contains("hunter2"), "{ran:?}");
    assert!(server.asked().is_empty());
    // The same succeeds with the environment.
    run_at(&url, &context, &["status"], &[]).await;
    assert!(server.asked().iter().all(|asked| asked.head.to_lowercase().contains("authorization: basic")));
    assert!(!server.asked().is_empty());
}

/// Revokes a grant at the provider at `url`.
pub(crate) async fn child(url: &str) {
    println!("{:?}", revoke_at(url).await);
}

/// Revokes a grant at the provider at `url`.
pub(super) async fn revoke_at(url: &str) -> Result<(), ProviderError> {
    let registry = Registry::builder().with(types().expect("built-in")).build().expect("valid");
    let store = SavedObjects::in_memory(registry).expect("a builder").start(Start::Migrate).await.expect("started");
    let endpoint = |path: &str| Endpoint::new(&format!("{url}{path}")).expect("an endpoint");
    let provider = Provider::new(endpoint("/token"), "client-1")
        .authentication(ClientAuthentication::Basic(Secret::text("s3cret of client 1")))
        .revocation_endpoint(endpoint("/revoke"));
    let revocation = Revocation {
        scope: Scope::Shared,
        connector_id: ConnectorId::new("c1").expect("an id"),
        access_token: Secret::text("Bearer 1"),
        refresh_token: Some(Secret::text("refresh 1")),
    };
    OAuthClient::new(provider, &store).expect("a client").revoke(&revocation).await
}
