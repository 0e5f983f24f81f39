//! Tokens that a take-over left under random ids: they are found, and move to their derived id at the next write.

use libtest_mimic::Trial;
use saved_objects::encryption::Secret;
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::Create;
use saved_objects::tokens::{
    Credentials, NewToken, Scope, SharedConnectorTokenClient, TokenClient, TokenError, TokenId, TokenUpdate,
};
use saved_objects::{ErrorKind, Start};
use serde_json::{Value, json};

use super::{SHARED_C1, Tokens, USER_U1_C1, change_stored, connector, documents, secrets, stored, tokens, user};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_record_with_a_random_id_is_read_and_stays,
        the_next_creation_takes_its_place,
        the_next_update_moves_it,
        an_update_by_the_old_id_of_a_token_that_moved_is_made_to_the_new_record,
        the_newest_record_that_can_be_read_counts,
        older_software_does_not_move_what_newer_software_wrote,
    )
}

const CREATED_AT: &str = "2026-01-01T00:00:00.000Z";

/// Stores a token of connector `c1` with a random id, as a take-over leaves it. Returns the id.
pub(super) async fn take_over(all: &Tokens, scope: &Scope, token: &str) -> String {
    let (type_name, mut attributes) = match scope {
        Scope::Shared => ("connector_token", json!({"tokenType": "access_token"})),
        Scope::User(profile_uid) => (
            "user_connector_token",
            json!({"profileUid": profile_uid.as_str(), "credentialType": "oauth", "userCloudId": "cloud-1"}),
        ),
    };
    for (name, value) in [("connectorId", "c1"), ("createdAt", CREATED_AT), ("updatedAt", CREATED_AT)] {
        attributes[name] = value.into();
    }
    let request = Create::new(type_name, attributes.as_object().cloned().expect("an object"));
    let request = match scope {
        Scope::Shared => request.secret("token", Secret::text(token)).secret("refreshToken", Secret::text("r")),
        Scope::User(_) => {
            let credentials = json!({"accessToken": token, "refreshToken": "r"});
            request.secret("credentials", Secret::json(&credentials).expect("not null"))
        }
    };
    let repository = all.store.repository().including(&[type_name]).expect("the type is there");
    repository.create(request).await.expect("stored").id
}

fn cases() -> [(Scope, &'static str, &'static str, &'static str); 2] {
    [
        (Scope::Shared, "connector_token", "shared:", SHARED_C1),
        (user("u1"), "user_connector_token", "per-user:", USER_U1_C1),
    ]
}

async fn a_record_with_a_random_id_is_read_and_stays(context: Context) {
    let all = tokens(&context).await;
    for (scope, _, prefix, _) in cases() {
        let uuid = take_over(&all, &scope, "old").await;
        documents(&context).await;
        let before = all.cluster.requests();
        let read = all.client.get(scope, &connector("c1")).await.expect("readable").expect("there");
        let after = all.cluster.requests();
        assert_eq!(read.metadata.id.to_string(), format!("{prefix}{uuid}"));
        assert_eq!(secrets(read), ("old".to_owned(), Some("r".to_owned())));
        assert_eq!(after.writes, before.writes, "reads never fold");
    }
    assert_eq!(documents(&context).await, 2);
}

async fn the_next_creation_takes_its_place(context: Context) {
    let all = tokens(&context).await;
    for (scope, type_name, prefix, derived) in cases() {
        let uuids = [take_over(&all, &scope, "old").await, take_over(&all, &scope, "older").await];
        documents(&context).await;
        let created = all.client.create(scope.clone(), &connector("c1"), NewToken::token(Secret::text("new"))).await;
        assert_eq!(created.expect("stored").id.to_string(), format!("{prefix}{derived}"));
        let read = all.client.get(scope, &connector("c1")).await.expect("readable").expect("there");
        assert_eq!(secrets(read), ("new".to_owned(), None));
        for uuid in uuids {
            assert_eq!(stored(&context, &format!("{type_name}:{uuid}")).await, Value::Null);
        }
    }
    assert_eq!(documents(&context).await, 2);
}

async fn the_next_update_moves_it(context: Context) {
    let all = tokens(&context).await;
    for (scope, type_name, prefix, derived) in cases() {
        let uuid = take_over(&all, &scope, "old").await;
        // The id as the platform has it: without a scope for a shared token, in the old form for a user's token.
        let (given, answered) = match scope {
            Scope::Shared => (uuid.clone(), derived.to_owned()),
            Scope::User(_) => (format!("personal:{uuid}"), format!("personal:{derived}")),
        };
        let id: TokenId = given.parse().expect("an id");
        let updated = all.client.update(&id, TokenUpdate::token(Secret::text("new"))).await.expect("updated");
        assert_eq!(updated.id.to_string(), answered);
        assert_eq!(updated.created_at.to_string(), "2026-01-01T00:00:00Z");

        let read = all.client.get(scope.clone(), &connector("c1")).await.expect("readable").expect("there");
        assert_eq!(read.metadata.id.to_string(), format!("{prefix}{derived}"));
        assert_eq!(secrets(read), ("new".to_owned(), Some("r".to_owned())));
        assert_eq!(stored(&context, &format!("{type_name}:{uuid}")).await, Value::Null);
        if scope == user("u1") {
            let source = stored(&context, &format!("{type_name}:{derived}")).await;
            assert_eq!(source[type_name]["userCloudId"], "cloud-1");
        }

        let error = all.client.update(&id, TokenUpdate::token(Secret::text("b"))).await.expect_err("it moved");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        all.client.update(&updated.id, TokenUpdate::token(Secret::text("b"))).await.expect("known by the new id");
    }
    assert_eq!(documents(&context).await, 2);
}

async fn an_update_by_the_old_id_of_a_token_that_moved_is_made_to_the_new_record(context: Context) {
    let all = tokens(&context).await;
    for (scope, type_name, prefix, derived) in cases() {
        // A writer that stopped between writing the derived record and deleting the other one leaves both.
        let token = Credentials::Token { token: Secret::text("newer"), refresh_token: Some(Secret::text("s")) };
        all.client.create(scope.clone(), &connector("c1"), NewToken::new(token)).await.expect("stored");
        let uuid = take_over(&all, &scope, "old").await;
        let id: TokenId = format!("{prefix}{uuid}").parse().expect("an id");
        let updated = all.client.update(&id, TokenUpdate::token(Secret::text("newest"))).await.expect("updated");
        assert_eq!(updated.id.to_string(), format!("{prefix}{derived}"));
        let read = all.client.get(scope, &connector("c1")).await.expect("readable").expect("there");
        assert_eq!(secrets(read), ("newest".to_owned(), Some("s".to_owned())));
        assert_eq!(stored(&context, &format!("{type_name}:{uuid}")).await, Value::Null);
    }
    assert_eq!(documents(&context).await, 2);
}

async fn the_newest_record_that_can_be_read_counts(context: Context) {
    let all = tokens(&context).await;
    for (scope, type_name, prefix, _) in cases() {
        let older = take_over(&all, &scope, "older").await;
        let newer = take_over(&all, &scope, "newer").await;
        let edited = json!({"createdAt": "2026-02-02T00:00:00.000Z"});
        change_stored(&context, type_name, &newer, edited.clone()).await;
        let read = all.client.get(scope.clone(), &connector("c1")).await.expect("readable").expect("there");
        assert_eq!(read.metadata.id.to_string(), format!("{prefix}{older}"));

        change_stored(&context, type_name, &older, edited).await;
        let error = all.client.get(scope, &connector("c1")).await.expect_err("none can be read");
        let newest = format!("{prefix}{newer}");
        assert!(matches!(&error, TokenError::Unreadable { id, .. } if id.to_string() == newest), "{error:?}");
    }
}

async fn older_software_does_not_move_what_newer_software_wrote(context: Context) {
    let newer = tokens(&context).await;
    let uuid = take_over(&newer, &Scope::Shared, "old").await;
    documents(&context).await;
    let before = stored(&context, &format!("connector_token:{uuid}")).await;

    // Version 1 has no refresh token: it would be lost.
    let mapping = include_str!("../../../mappings/connector_token.json");
    let version = include_str!("../../../model_versions/connector_token/1.json");
    let version = ("1.json".to_owned(), version.to_owned());
    let older_type = TypeDefinition::from_json("connector_token.json", mapping, &[version]).expect("a definition");
    let store = context.builder(vec![older_type]).start(Start::Skip).await.expect("nothing is migrated");
    let older = SharedConnectorTokenClient::new(&store).expect("the type is there");
    let read = older.get(&connector("c1")).await.expect("readable").expect("there");
    assert_eq!(secrets(read), ("old".to_owned(), None));
    let id: TokenId = uuid.parse().expect("an id");
    let error = older.update(&id, TokenUpdate::token(Secret::text("new"))).await.expect_err("newer");
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert_eq!(stored(&context, &format!("connector_token:{uuid}")).await, before);
    assert_eq!(documents(&context).await, 1);
}
