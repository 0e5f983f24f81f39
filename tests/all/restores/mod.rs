//! A lost store is restored from a snapshot, on the real server: in the order of `docs/deploying.md`, whose requests and
//! commands are sent as they are written there, and with the mistakes that the page lists.

mod keys;
mod mistakes;
mod page;
mod rehearsal;

use libtest_mimic::Trial;
use saved_objects::encryption::{KeyRing, Secret};
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::{Create, ObjectKey, Repository};
use saved_objects::tokens::{self, ConnectorTokenClient, Scope, TokenClient};
use saved_objects::{SavedObjects, Start};
use serde_json::{Value, json};

use crate::cli::{Ran, run_with};
use crate::cli_sight::{connector, folder, path, platform};
use crate::context::{Context, KEY, key_ring};
use crate::faults::types::types;
use crate::hints::request_in;
use crate::migration::object;
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        rehearsal::a_lost_store_is_restored_as_the_page_says,
        mistakes::a_restore_without_aliases_is_put_right_by_the_hints,
        mistakes::a_restore_with_the_global_state_brings_templates_back,
        mistakes::a_restore_beside_the_live_store_needs_other_aliases,
        mistakes::a_snapshot_from_before_a_migration_is_migrated_again,
        mistakes::without_the_control_index_the_keys_in_use_are_recorded_by_a_rotation,
        keys::a_snapshot_from_before_a_rotation_needs_the_old_key,
        keys::a_leaked_key_is_replaced_as_the_page_says,
    )
}

/// The vault that a migration puts into quarantine.
const BAD: &str = "vault:bad";
/// The vaults that it converts.
const VAULTS: [&str; 3] = ["v", "w", "x"];

/// Returns the types that the command line has with the definitions of a release.
fn all_types(release: u32) -> Vec<TypeDefinition> {
    let mut all = tokens::types().expect("built-in");
    all.extend(types(release).into_iter().filter(|definition| definition.name() != "connector_token"));
    all
}

/// Creates the objects of release 1: a token, vaults with secrets, and a vault that no later release can convert.
async fn seeded(context: &Context) {
    let (store, _) = platform(context).await;
    for id in VAULTS.into_iter().skip(1).chain(["bad"]) {
        store.repository().create(vault(id)).await.expect("created");
    }
    let mut bad = context.stored("vaults", BAD).await;
    bad["vault"]["odd"] = json!(1);
    context.put("vaults", BAD, &bad).await;
}

fn vault(id: &str) -> Create {
    let vault = Create::new("vault", object(json!({"title": id, "owner": "kim"}))).id(id);
    vault.secret("password", Secret::text("s3cret"))
}

/// Migrates as the command line of a release.
async fn migrated(context: &Context, release: u32) -> Ran {
    so(context, release, &["migrate", "--on-bad", "quarantine", "--json"]).await
}

/// Runs a command with the definitions of a release and the tests' key.
async fn so(context: &Context, release: u32, arguments: &[&str]) -> Ran {
    so_with(context, release, arguments, &[("SAVED_OBJECTS_ENCRYPTION_KEY", KEY)]).await
}

async fn so_with(context: &Context, release: u32, arguments: &[&str], keys: &[(&str, &str)]) -> Ran {
    let types = folder(release);
    run_with(context, &[arguments, &["--types", path(types.path())]].concat(), keys).await
}

/// Verifies with the definitions of a release. Returns the counts and digests.
async fn digests(context: &Context, release: u32) -> Value {
    let ran = so(context, release, &["verify", "--json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    digests_in(&ran.json())
}

/// Returns the counts and digests of a verification, without the names of the indices.
fn digests_in(verified: &Value) -> Value {
    verified["indices"].as_array().expect("indices").iter().map(|index| index["types"].clone()).collect()
}

/// Starts a node of a release.
async fn started(context: &Context, release: u32) -> SavedObjects {
    started_with(context, release, key_ring()).await.expect("it starts")
}

async fn started_with(context: &Context, release: u32, keys: KeyRing) -> saved_objects::Result<SavedObjects> {
    context.builder(all_types(release)).key_ring(keys).start(Start::Migrate).await
}

/// Asserts that a node can read all secrets, that it can write, and that the quarantine has its document.
async fn assert_whole(context: &Context, store: &SavedObjects) {
    for id in VAULTS {
        assert_opens(store.repository(), id).await;
    }
    let tokens = ConnectorTokenClient::new(store).expect("the types are there");
    let token = tokens.get_oauth_credentials(Scope::Shared, &connector("c1")).await.expect("readable");
    assert!(token.is_some(), "the token is there");
    let quarantined = context.quarantine().list().await.expect("readable");
    assert_eq!(quarantined.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), [BAD]);
    store.repository().create(vault("after")).await.expect("it takes writes");
    assert_opens(store.repository(), "after").await;
}

async fn assert_opens(repository: &Repository, id: &str) {
    let (_, secrets) = repository.get_with_secrets(&ObjectKey::new("vault", id)).await.expect("it opens");
    assert_eq!(secrets.get("password"), Some(&Secret::text("s3cret")), "{id}");
}

/// Returns the blockers of a migration that is blocked.
fn blockers(ran: &Ran) -> Vec<(String, String)> {
    assert_eq!((ran.code, &ran.json()["outcome"]), (2, &json!("blocked")), "{ran:?}");
    let text = |blocker: &Value, key: &str| blocker[key].as_str().expect("a text").to_owned();
    let blockers = ran.json()["blockers"].as_array().expect("blockers").clone();
    blockers.iter().map(|blocker| (text(blocker, "what"), text(blocker, "hint"))).collect()
}

/// Sends the request of a hint.
async fn follow_hint(context: &Context, hint: &str) {
    let (method, path, body) = request_in(hint).expect("a request");
    let answer = context.raw(&method, &path, body).await;
    assert_eq!(answer["acknowledged"], true, "{hint}: {answer}");
}
