//! Reads of tokens, by connector and scope.

use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::encryption::Secret;
use saved_objects::repository::Create;
use saved_objects::tokens::{Credentials, NewToken, Scope, TokenClient, TokenError, TokenUpdate};
use serde_json::json;

use super::{SHARED_C1, USER_U1_C1, change_stored, connector, secrets, tokens, user};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_read_is_one_request_and_sees_the_last_write,
        secrets_that_do_not_open_are_never_no_token,
        a_time_that_is_none_is_an_error,
        only_oauth_credentials_are_narrowed,
    )
}

async fn a_read_is_one_request_and_sees_the_last_write(context: Context) {
    let all = tokens(&context).await;
    let tokens = &all.client;
    for scope in [Scope::Shared, user("u1")] {
        for number in 0..3 {
            let token = format!("token {number}");
            tokens
                .create(scope.clone(), &connector("c1"), NewToken::token(Secret::text(&token)))
                .await
                .expect("stored");
            let before = all.cluster.requests();
            let read = tokens.get(scope.clone(), &connector("c1")).await.expect("readable").expect("there");
            let after = all.cluster.requests();
            assert_eq!((after.reads - before.reads, after.writes - before.writes), (1, 0));
            assert_eq!(secrets(read).0, token);
        }
    }
}

async fn secrets_that_do_not_open_are_never_no_token(context: Context) {
    let tokens = tokens(&context).await.client;
    let table = [(Scope::Shared, "connector_token", SHARED_C1), (user("u1"), "user_connector_token", USER_U1_C1)];
    for (scope, type_name, uuid) in table {
        let token = || NewToken::token(Secret::text("hunter2"));
        let id = tokens.create(scope.clone(), &connector("c1"), token()).await.expect("stored").id;
        change_stored(&context, type_name, uuid, json!({"updatedAt": "2026-01-01T00:00:00.000Z"})).await;

        let errors = [
            tokens.get(scope.clone(), &connector("c1")).await.map(drop),
            tokens.get_oauth_credentials(scope.clone(), &connector("c1")).await.map(drop),
            tokens.update(&id, TokenUpdate::token(Secret::text("b"))).await.map(drop),
        ];
        for error in errors {
            let error = error.expect_err("unreadable");
            assert_eq!(error.kind(), ErrorKind::Decrypt);
            assert!(matches!(&error, TokenError::Unreadable { id: named, .. } if *named == id), "{error:?}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }

        tokens.create(scope.clone(), &connector("c1"), token()).await.expect("stored anew");
        assert!(tokens.get(scope.clone(), &connector("c1")).await.expect("readable").is_some());

        // The secret is removed completely.
        let nothing =
            if type_name == "connector_token" { json!({"token": null}) } else { json!({"credentials": null}) };
        change_stored(&context, type_name, uuid, nothing).await;
        let error = tokens.get(scope.clone(), &connector("c1")).await.expect_err("stripped");
        assert!(matches!(error, TokenError::Unreadable { .. }), "{error:?}");
        tokens.delete(scope.clone(), &connector("c1"), None).await.expect("deleted");
        assert_eq!(tokens.get(scope, &connector("c1")).await.expect("answered"), None);
    }
}

async fn a_time_that_is_none_is_an_error(context: Context) {
    let all = tokens(&context).await;
    let repository = all.store.repository().including(&["connector_token"]).expect("the type is there");
    let attributes = json!({
        "connectorId": "c1", "tokenType": "access_token", "expiresAt": "yo",
        "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z",
    });
    let attributes = attributes.as_object().cloned().expect("an object");
    let request = Create::new("connector_token", attributes).id(SHARED_C1).secret("token", Secret::text("hunter2"));
    repository.create(request).await.expect("stored");
    let error = all.client.get(Scope::Shared, &connector("c1")).await.expect_err("not a time");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        matches!(&error, TokenError::Unreadable { source, .. } if source.message().contains("expiresAt")),
        "{error:?}"
    );
}

async fn only_oauth_credentials_are_narrowed(context: Context) {
    let tokens = tokens(&context).await.client;
    assert_eq!(tokens.get_oauth_credentials(user("u1"), &connector("c1")).await.expect("answered"), None);
    let table = [
        (json!({"accessToken": "a", "refreshToken": "r", "more": 1}), Some(("a", Some("r")))),
        (json!({"accessToken": "a"}), Some(("a", None))),
        (json!({"accessToken": ""}), None),
        (json!({"user": "kim", "password": "hunter2"}), None),
        (json!({"accessToken": "a", "refreshToken": 7}), None),
    ];
    for (value, expected) in table {
        let credentials = Credentials::Object(Secret::json(&value).expect("not null"));
        tokens.create(user("u1"), &connector("c1"), NewToken::new(credentials)).await.expect("stored");
        let narrowed = tokens.get_oauth_credentials(user("u1"), &connector("c1")).await;
        match expected {
            Some((access_token, refresh_token)) => {
                let credentials = narrowed.expect("OAuth").expect("there").credentials;
                assert_eq!(credentials.access_token, Secret::text(access_token));
                assert_eq!(credentials.refresh_token, refresh_token.map(Secret::text));
            }
            None => {
                let error = narrowed.expect_err("not OAuth");
                assert!(matches!(error, TokenError::NotOAuth { .. }), "{error:?}");
                assert!(!format!("{error} {error:?}").contains("hunter2"));
                assert!(tokens.get(user("u1"), &connector("c1")).await.expect("readable").is_some());
            }
        }
    }
}
