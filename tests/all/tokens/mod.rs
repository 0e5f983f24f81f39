//! The tokens of connectors, on the real server and in memory: the clients and their edge cases.

mod access;
mod clean_up;
mod deletes;
mod meanwhile;
mod mixed_versions;
mod oauth;
mod reads;
mod refusals;
mod replaces;
mod scopes;
mod taken_over;
mod updates;
mod writes;

use std::sync::Arc;

use libtest_mimic::Trial;
use saved_objects::SavedObjects;
use saved_objects::cluster::Cluster;
use saved_objects::encryption::Secret;
use saved_objects::tokens::{self, ConnectorId, ConnectorToken, ConnectorTokenClient, Credentials, ProfileUid, Scope};
use serde_json::Value;

use crate::context::Context;

pub(crate) use access::{CHILD, child};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    [
        scopes::trials(url),
        writes::trials(url),
        updates::trials(url),
        reads::trials(url),
        refusals::trials(url),
        replaces::trials(url),
        taken_over::trials(url),
        access::trials(url),
        deletes::trials(url),
        mixed_versions::trials(url),
        oauth::trials(url),
        clean_up::trials(url),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The facade over a store whose requests can be counted.
struct Tokens {
    client: ConnectorTokenClient,
    store: SavedObjects,
    cluster: Arc<dyn Cluster>,
}

async fn tokens(context: &Context) -> Tokens {
    tokens_on(context, context.cluster()).await
}

/// Creates the same, over a given cluster.
async fn tokens_on(context: &Context, cluster: Arc<dyn Cluster>) -> Tokens {
    let types = tokens::types().expect("built-in types");
    let builder = context.builder(types).cluster(cluster.clone());
    let store = builder.start(saved_objects::Start::Migrate).await.expect("the store starts");
    Tokens { client: ConnectorTokenClient::new(&store).expect("the types are there"), store, cluster }
}

fn connector(id: &str) -> ConnectorId {
    ConnectorId::new(id).expect("a connector id")
}

fn user(profile_uid: &str) -> Scope {
    Scope::User(ProfileUid::new(profile_uid).expect("a profile uid"))
}

fn text(secret: &Secret) -> String {
    secret.expose_text().expect("a text").to_string()
}

/// Returns the token and the refresh token, of either scope.
fn secrets(token: ConnectorToken) -> (String, Option<String>) {
    let oauth = token.into_oauth().expect("OAuth credentials").credentials;
    (text(&oauth.access_token), oauth.refresh_token.as_ref().map(text))
}

/// Returns a user's credentials as JSON.
fn object(token: &ConnectorToken) -> Value {
    match &token.credentials {
        Credentials::Object(object) => object.parse().expect("JSON"),
        Credentials::Token { .. } => panic!("the credentials of a user are an object"),
    }
}

/// Returns the number of documents in the index, including documents that are not refreshed yet.
async fn documents(context: &Context) -> u64 {
    context.documents("connectors").await
}

/// Returns the `_source` of a document.
async fn stored(context: &Context, raw_id: &str) -> Value {
    context.stored("connectors", raw_id).await
}

/// Changes a stored document past the library: merges `change` into its attributes.
async fn change_stored(context: &Context, type_name: &str, uuid: &str, change: Value) {
    let raw_id = format!("{type_name}:{uuid}");
    let mut source = stored(context, &raw_id).await;
    let change = change.as_object().cloned().expect("an object");
    source[type_name].as_object_mut().expect("attributes").extend(change);
    context.put("connectors", &raw_id, &source).await;
}

/// The UUID of the shared token of `c1`, a known answer that is derived from the token's identity only.
const SHARED_C1: &str = "a9106551-bfa7-872d-84d0-610d668914aa";
const USER_U1_C1: &str = "e750b559-4f6f-8edb-841d-b5f632a0f039";
