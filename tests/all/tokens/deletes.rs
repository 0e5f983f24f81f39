use futures::future::join_all;
use libtest_mimic::Trial;
use saved_objects::encryption::Secret;
use saved_objects::repository::Create;
use saved_objects::tokens::{NewToken, Scope, TokenClient, TokenType};
use serde_json::json;

use super::{SHARED_C1, Tokens, change_stored, connector, documents, tokens, user};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_deletion_takes_one_scope_of_one_connector,
        a_deletion_can_take_one_type,
        tokens_of_all_users_go_however_many,
        what_was_written_just_now_is_deleted_too,
        concurrent_deletions_are_no_error,
        records_with_random_ids_and_unreadable_ones_go_too,
    )
}

async fn create(all: &Tokens, scope: Scope, connector_id: &str) {
    all.client.create(scope, &connector(connector_id), NewToken::token(Secret::text("a"))).await.expect("stored");
}

async fn is_there(all: &Tokens, scope: Scope, connector_id: &str) -> bool {
    all.client.get(scope, &connector(connector_id)).await.expect("readable").is_some()
}

async fn a_deletion_takes_one_scope_of_one_connector(context: Context) {
    let all = tokens(&context).await;
    for connector_id in ["c1", "c2"] {
        for scope in [Scope::Shared, user("u1"), user("u2")] {
            create(&all, scope, connector_id).await;
        }
    }
    all.client.delete(user("u1"), &connector("c1"), None).await.expect("deleted");
    assert!(!is_there(&all, user("u1"), "c1").await);
    assert_eq!(documents(&context).await, 5);
    all.client.delete(Scope::Shared, &connector("c1"), None).await.expect("deleted");
    assert!(!is_there(&all, Scope::Shared, "c1").await && is_there(&all, user("u2"), "c1").await);
    assert_eq!(documents(&context).await, 4);
    all.client.delete(Scope::Shared, &connector("c1"), None).await.expect("there is nothing to delete");
    assert_eq!(documents(&context).await, 4);
}

async fn a_deletion_can_take_one_type(context: Context) {
    let all = tokens(&context).await;
    let api_key = TokenType::new("api_key").expect("a type");
    for scope in [Scope::Shared, user("u1"), user("u2")] {
        create(&all, scope.clone(), "c1").await;
        let other = NewToken::token(Secret::text("a")).of_type(api_key.clone());
        all.client.create(scope, &connector("c1"), other).await.expect("stored");
    }
    all.client.delete(Scope::Shared, &connector("c1"), Some(&api_key)).await.expect("deleted");
    assert!(is_there(&all, Scope::Shared, "c1").await);
    assert_eq!(documents(&context).await, 5);
    all.client.delete_for_all_users(&connector("c1"), Some(&api_key)).await.expect("deleted");
    assert!(is_there(&all, user("u1"), "c1").await && is_there(&all, user("u2"), "c1").await);
    assert_eq!(documents(&context).await, 3);
}

async fn tokens_of_all_users_go_however_many(context: Context) {
    let all = tokens(&context).await;
    // More than one page: a search gives a thousand.
    let users: Vec<_> = (0..1_050).map(|number| user(&format!("u{number}"))).collect();
    for some in users.chunks(16) {
        join_all(some.iter().map(|one| create(&all, one.clone(), "c1"))).await;
    }
    create(&all, user("u1"), "c2").await;
    create(&all, Scope::Shared, "c1").await;
    assert_eq!(documents(&context).await, 1_052);
    all.client.delete_for_all_users(&connector("c1"), None).await.expect("deleted");
    assert_eq!(documents(&context).await, 2);
    assert!(is_there(&all, user("u1"), "c2").await && is_there(&all, Scope::Shared, "c1").await);
}

async fn what_was_written_just_now_is_deleted_too(context: Context) {
    let all = tokens(&context).await;
    for number in 0..12 {
        create(&all, user(&format!("u{number}")), "c1").await;
    }
    all.client.delete_for_all_users(&connector("c1"), None).await.expect("deleted");
    assert_eq!(documents(&context).await, 0);
}

async fn concurrent_deletions_are_no_error(context: Context) {
    let all = tokens(&context).await;
    for number in 0..30 {
        create(&all, user(&format!("u{number}")), "c1").await;
    }
    let c1 = connector("c1");
    let deletions = (0..4).map(|_| all.client.delete_for_all_users(&c1, None));
    for outcome in join_all(deletions).await {
        outcome.expect("deleted, by whomever");
    }
    assert_eq!(documents(&context).await, 0);
}

async fn records_with_random_ids_and_unreadable_ones_go_too(context: Context) {
    let all = tokens(&context).await;
    create(&all, Scope::Shared, "c1").await;
    change_stored(&context, "connector_token", SHARED_C1, json!({"updatedAt": "yo"})).await;
    let repository = all.store.repository().including(&["connector_token"]).expect("the type is there");
    for _ in 0..15 {
        let attributes = json!({
            "connectorId": "c1", "tokenType": "access_token",
            "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z",
        });
        let attributes = attributes.as_object().cloned().expect("an object");
        let request = Create::new("connector_token", attributes).secret("token", Secret::text("a"));
        repository.create(request).await.expect("stored");
    }
    assert_eq!(documents(&context).await, 16);
    all.client.delete(Scope::Shared, &connector("c1"), None).await.expect("deleted");
    assert_eq!(documents(&context).await, 0);
}
