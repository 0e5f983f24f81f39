//! Replacements of tokens.

use jiff::Timestamp;
use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::encryption::Secret;
use saved_objects::tokens::{Credentials, NewToken, Scope, TokenClient, TokenMetadata, TokenType};
use serde_json::Value;

use super::taken_over::take_over;
use super::{connector, documents, secrets, stored, tokens, user};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_replacement_of_what_was_read_is_one_request,
        a_replacement_of_another_version_is_a_conflict,
        a_replaced_record_with_a_random_id_moves,
        a_deleted_record_is_not_replaced,
        a_replacement_stays_in_its_scope_and_type,
    )
}

fn token(token: &str, refresh_token: &str) -> NewToken {
    let refresh_token = Some(Secret::text(refresh_token));
    NewToken::new(Credentials::Token { token: Secret::text(token), refresh_token })
}

async fn a_replacement_of_what_was_read_is_one_request(context: Context) {
    let all = tokens(&context).await;
    for scope in [Scope::Shared, user("u1")] {
        let c1 = connector("c1");
        let created = all.client.create(scope.clone(), &c1, token("a", "r")).await.expect("stored");
        let read = all.client.get(scope.clone(), &c1).await.expect("readable").expect("there").metadata;
        let expires_at: Timestamp = "2026-03-01T10:00:00Z".parse().expect("a moment");
        let before = all.cluster.requests();
        let replaced = all.client.replace(&read, token("b", "s").expires_at(expires_at)).await.expect("replaced");
        let after = all.cluster.requests();
        assert_eq!((after.reads - before.reads, after.writes - before.writes), (0, 1));
        assert_eq!((&replaced.id, replaced.created_at), (&created.id, created.created_at));
        let read = all.client.get(scope.clone(), &c1).await.expect("readable").expect("there");
        assert_eq!(read.metadata, replaced);
        assert_eq!(read.metadata.expires_at, Some(expires_at));
        assert_eq!(secrets(read), ("b".to_owned(), Some("s".to_owned())));

        // The answer of a write is as useful as that of a read, and the old refresh token does not come back.
        all.client.replace(&replaced, NewToken::token(Secret::text("c"))).await.expect("replaced");
        let read = all.client.get(scope, &c1).await.expect("readable").expect("there");
        assert_eq!(read.metadata.expires_at, None);
        assert_eq!(secrets(read), ("c".to_owned(), None));
    }
    assert_eq!(documents(&context).await, 2);
}

async fn a_replacement_of_another_version_is_a_conflict(context: Context) {
    let all = tokens(&context).await;
    for scope in [Scope::Shared, user("u1")] {
        let c1 = connector("c1");
        let first = all.client.create(scope.clone(), &c1, token("a", "r")).await.expect("stored");
        let second = all.client.replace(&first, token("b", "s")).await.expect("replaced");
        let error = all.client.replace(&first, token("c", "t")).await.expect_err("it was replaced");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        all.client.delete(scope.clone(), &c1, None).await.expect("deleted");
        let error = all.client.replace(&second, token("c", "t")).await.expect_err("it was deleted");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(all.client.get(scope, &c1).await.expect("answered"), None);
    }
}

async fn a_replaced_record_with_a_random_id_moves(context: Context) {
    let all = tokens(&context).await;
    for (scope, type_name) in [(Scope::Shared, "connector_token"), (user("u1"), "user_connector_token")] {
        let uuid = take_over(&all, &scope, "old").await;
        documents(&context).await;
        let read = all.client.get(scope.clone(), &connector("c1")).await.expect("readable").expect("there").metadata;
        let replaced = all.client.replace(&read, token("new", "s")).await.expect("replaced");
        assert_ne!(replaced.id, read.id);
        assert_eq!(stored(&context, &format!("{type_name}:{uuid}")).await, Value::Null);
        let read = all.client.get(scope, &connector("c1")).await.expect("readable").expect("there");
        assert_eq!(read.metadata, replaced);
        assert_eq!(secrets(read), ("new".to_owned(), Some("s".to_owned())));
    }
    assert_eq!(documents(&context).await, 2);
}

async fn a_deleted_record_is_not_replaced(context: Context) {
    let all = tokens(&context).await;
    for scope in [Scope::Shared, user("u1")] {
        take_over(&all, &scope, "old").await;
        documents(&context).await;
        let read = all.client.get(scope.clone(), &connector("c1")).await.expect("readable").expect("there").metadata;
        all.client.delete(scope.clone(), &connector("c1"), None).await.expect("deleted");
        let error = all.client.replace(&read, token("new", "s")).await.expect_err("it was deleted");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(all.client.get(scope, &connector("c1")).await.expect("answered"), None);
    }
    assert_eq!(documents(&context).await, 0);
}

async fn a_replacement_stays_in_its_scope_and_type(context: Context) {
    let all = tokens(&context).await;
    let read = all.client.create(Scope::Shared, &connector("c1"), token("a", "r")).await.expect("stored");
    let before = all.cluster.requests();
    let api_key = TokenType::new("api_key").expect("a type");
    let of_user = TokenMetadata { scope: user("u1"), ..read.clone() };
    for (read, token) in [(&read, token("b", "s").of_type(api_key)), (&of_user, token("b", "s"))] {
        let error = all.client.replace(read, token).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    assert_eq!(all.cluster.requests(), before, "nothing was sent");
}
