//! Deletions of tokens, and the revocation of their grants.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::encryption::Secret;
use saved_objects::repository::Create;
use saved_objects::tokens::{
    Credentials, NewToken, ProfileUid, ProviderError, Revocation, Revoker, Scope, TokenClient, TokenType, TokenUpdate,
};
use serde_json::json;

use super::access::provider::{Kind, Provider};
use super::meanwhile::Meanwhile;
use super::taken_over::take_over;
use super::{SHARED_C1, Tokens, change_stored, connector, documents, tokens, tokens_on, user};
use crate::context::Context;
use crate::faults::disturbed::Disturbed;
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
        one_token_is_deleted_by_its_id_and_no_older_one_comes_to_light,
        all_of_a_user_and_all_of_a_connector_go,
        what_is_deleted_is_revoked_and_a_failing_provider_stops_nothing,
        a_panicking_revoker_stops_nothing,
        what_is_changed_as_it_is_deleted_stays_deleted,
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
    // More than one page: a search returns a thousand.
    let users: Vec<_> = (0..1_050).map(|number| user(&format!("u{number}"))).collect();
    for some in users.chunks(16) {
        join_all(some.iter().map(|one| create(&all, one.clone(), "c1"))).await;
    }
    create(&all, user("u1"), "c2").await;
    create(&all, Scope::Shared, "c1").await;
    assert_eq!(documents(&context).await, 1_052);
    let before = all.cluster.requests();
    all.client.delete_for_all_users(&connector("c1"), None).await.expect("deleted");
    let requests = all.cluster.requests().total() - before.total();
    assert!(requests < 15, "{requests} requests: not one for each of them");
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

async fn one_token_is_deleted_by_its_id_and_no_older_one_comes_to_light(context: Context) {
    let all = tokens(&context).await;
    for scope in [Scope::Shared, user("u1")] {
        create(&all, scope.clone(), "c2").await;
        let api_key = NewToken::token(Secret::text("a")).of_type(TokenType::new("api_key").expect("a type"));
        all.client.create(scope.clone(), &connector("c1"), api_key).await.expect("stored");
        // Two records that were taken over, neither of which has been merged into the derived one.
        for token in ["older", "newer"] {
            take_over(&all, &scope, token).await;
        }
        documents(&context).await;
        let id = all.client.get(scope.clone(), &connector("c1")).await.expect("readable").expect("there").metadata.id;
        all.client.delete_one(&id).await.expect("deleted");
        assert!(!is_there(&all, scope.clone(), "c1").await);
        let error = all.client.delete_one(&id).await.expect_err("it is gone");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(is_there(&all, scope, "c2").await);
    }
    assert_eq!(documents(&context).await, 4, "one of another type and one of another connector in each scope");

    // One that cannot be read, too.
    let id = all.client.create(Scope::Shared, &connector("c1"), NewToken::token(Secret::text("a"))).await;
    change_stored(&context, "connector_token", SHARED_C1, json!({"updatedAt": "yo"})).await;
    all.client.delete_one(&id.expect("stored").id).await.expect("deleted");
    assert_eq!(documents(&context).await, 4);
}

async fn all_of_a_user_and_all_of_a_connector_go(context: Context) {
    let all = tokens(&context).await;
    for connector_id in ["c1", "c2", "c3"] {
        for scope in [Scope::Shared, user("u1"), user("u2")] {
            create(&all, scope, connector_id).await;
        }
    }
    let api_key = NewToken::token(Secret::text("a")).of_type(TokenType::new("api_key").expect("a type"));
    all.client.create(user("u1"), &connector("c1"), api_key).await.expect("stored");
    all.client.delete_of_user(&ProfileUid::new("u1").expect("a user")).await.expect("deleted");
    assert_eq!(documents(&context).await, 6);
    assert!(is_there(&all, user("u2"), "c1").await && is_there(&all, Scope::Shared, "c1").await);
    all.client.delete_of_connector(&connector("c1")).await.expect("deleted");
    assert_eq!(documents(&context).await, 4);
    assert!(!is_there(&all, user("u2"), "c1").await && !is_there(&all, Scope::Shared, "c1").await);
}

async fn what_is_deleted_is_revoked_and_a_failing_provider_stops_nothing(context: Context) {
    let all = tokens(&context).await;
    let provider = Provider::new(Kind::Rotating);
    provider.fail(ProviderError::Transient { reason: "it is asleep".to_owned(), retry_after: None });
    let client = all.client.clone().revoking(provider.clone());
    for number in 0..5 {
        let refresh_token = Some(Secret::text(&format!("r{number}")));
        let credentials = Credentials::Token { token: Secret::text(&format!("a{number}")), refresh_token };
        client.create(user(&format!("u{number}")), &connector("c1"), NewToken::new(credentials)).await.expect("stored");
    }
    // Neither can be revoked: one cannot be decrypted, the other has no OAuth token.
    create(&all, Scope::Shared, "c1").await;
    change_stored(&context, "connector_token", SHARED_C1, json!({"updatedAt": "2026-01-01T00:00:00.000Z"})).await;
    let basic = Credentials::Object(Secret::json(&json!({"user": "kim"})).expect("not null"));
    client.create(user("u5"), &connector("c1"), NewToken::new(basic)).await.expect("stored");

    client.delete_of_connector(&connector("c1")).await.expect("deleted");
    assert_eq!(documents(&context).await, 0);
    let mut revoked = provider.revoked();
    revoked.sort();
    let expected: Vec<_> = (0..5).map(|number| (format!("a{number}"), Some(format!("r{number}")))).collect();
    assert_eq!(revoked, expected);
}

#[derive(Debug)]
struct Panicking;

#[async_trait]
impl Revoker for Panicking {
    async fn revoke(&self, _: &Revocation) -> Result<(), ProviderError> {
        panic!("this panic is meant: hunter2");
    }
}

async fn a_panicking_revoker_stops_nothing(context: Context) {
    let all = tokens(&context).await;
    for connector_id in ["c1", "c2"] {
        create(&all, user("u1"), connector_id).await;
    }
    let client = all.client.clone().revoking(Arc::new(Panicking));
    client.delete_of_user(&ProfileUid::new("u1").expect("a user")).await.expect("deleted");
    assert_eq!(documents(&context).await, 0);
}

async fn what_is_changed_as_it_is_deleted_stays_deleted(context: Context) {
    let all = tokens(&context).await;
    for (scope, is_taken_over) in
        [Scope::Shared, user("u1")].into_iter().flat_map(|one| [(one.clone(), false), (one, true)])
    {
        match is_taken_over {
            true => drop(take_over(&all, &scope, "old").await),
            false => create(&all, scope.clone(), "c1").await,
        }
        documents(&context).await;
        let id = all.client.get(scope.clone(), &connector("c1")).await.expect("readable").expect("there").metadata.id;
        let (deleting, of) = (all.client.clone(), scope.clone());
        let meanwhile = Arc::new(Meanwhile::new("bulk", move || {
            let (deleting, of) = (deleting.clone(), of.clone());
            async move { deleting.delete(of, &connector("c1"), None).await.expect("deleted") }
        }));
        let cluster = Arc::new(Disturbed::new(context.cluster(), meanwhile.clone()));
        let other = tokens_on(&context, cluster).await.client;
        // The client has read the token by now, and sends its update.
        meanwhile.before_next();
        let error = other.update(&id, TokenUpdate::token(Secret::text("new"))).await.expect_err("it is gone");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{scope:?} {is_taken_over}");
        assert_eq!(documents(&context).await, 0, "{scope:?} {is_taken_over}");
    }
}
