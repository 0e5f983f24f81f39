//! Creations of tokens, and what is stored of them.

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use libtest_mimic::Trial;
use saved_objects::encryption::Secret;
use saved_objects::tokens::{Credentials, Grant, NewToken, Replacement, Scope, TokenClient};
use saved_objects::{Error, ErrorKind};
use serde_json::json;

use super::{SHARED_C1, USER_U1_C1, connector, documents, object, secrets, stored, tokens, user};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        created_twice_there_is_one_record,
        twenty_concurrent_creations_leave_one_record,
        a_stored_token_has_no_plaintext,
        lifetimes_of_a_grant_become_moments,
        a_replacement_creates_or_updates,
        a_replacement_reaches_no_token_of_others,
        credentials_of_users_are_stored_as_given,
    )
}

fn moment(text: &str) -> Timestamp {
    text.parse().expect("a moment")
}

async fn created_twice_there_is_one_record(context: Context) {
    let tokens = tokens(&context).await.client;
    for scope in [Scope::Shared, user("u1")] {
        let first =
            NewToken::new(Credentials::Token { token: Secret::text("a"), refresh_token: Some(Secret::text("r")) })
                .expires_at(moment("2026-03-01T10:00:00Z"))
                .refresh_token_expires_at(moment("2026-04-01T10:00:00Z"));
        let first = tokens.create(scope.clone(), &connector("c1"), first).await.expect("stored");
        let second = tokens.create(scope.clone(), &connector("c1"), NewToken::token(Secret::text("b"))).await;
        let second = second.expect("stored");
        assert_eq!(second.id, first.id);
        assert!(second.created_at >= first.updated_at && second.created_at == second.updated_at);

        let read = tokens.get(scope, &connector("c1")).await.expect("readable").expect("there");
        assert_eq!(read.metadata, second);
        assert_eq!((read.metadata.expires_at, read.metadata.refresh_token_expires_at), (None, None));
        assert_eq!(secrets(read), ("b".to_owned(), None));
    }
    assert_eq!(documents(&context).await, 2);
}

async fn twenty_concurrent_creations_leave_one_record(context: Context) {
    let tokens = tokens(&context).await.client;
    for scope in [Scope::Shared, user("u1")] {
        let creations = (0..20).map(|number| {
            let token = NewToken::token(Secret::text(&format!("token {number}")));
            let (tokens, scope) = (tokens.clone(), scope.clone());
            async move { tokens.create(scope, &connector("c1"), token).await }
        });
        let versions: Vec<_> = join_all(creations).await.into_iter().map(|one| one.expect("stored").version).collect();
        let read = tokens.get(scope, &connector("c1")).await.expect("readable").expect("there");
        assert!(versions.contains(&read.metadata.version));
    }
    assert_eq!(documents(&context).await, 2);
}

async fn a_stored_token_has_no_plaintext(context: Context) {
    let tokens = tokens(&context).await.client;
    let grant = || Grant {
        access_token: Secret::text("Bearer hunter2"),
        refresh_token: Some(Secret::text("hunter2-refresh")),
        expires_in: Some(Duration::from_secs(60)),
        refresh_token_expires_in: None,
    };
    for scope in [Scope::Shared, user("u1")] {
        tokens.create_with_refresh_token(scope, &connector("c1"), grant()).await.expect("stored");
    }
    let shared = stored(&context, &format!("connector_token:{SHARED_C1}")).await;
    let attributes = &shared["connector_token"];
    for secret in ["token", "refreshToken"] {
        assert!(attributes[secret].as_str().expect("a text").starts_with("U09FA"), "{shared}");
    }
    assert_eq!((&attributes["connectorId"], &attributes["tokenType"]), (&json!("c1"), &json!("access_token")));
    let users = stored(&context, &format!("user_connector_token:{USER_U1_C1}")).await;
    let attributes = &users["user_connector_token"];
    assert!(attributes["credentials"].as_str().expect("a text").starts_with("U09FA"), "{users}");
    assert_eq!((&attributes["profileUid"], &attributes["credentialType"]), (&json!("u1"), &json!("oauth")));
    for source in [shared, users] {
        // Absent attributes are not stored as null, and no id is stored.
        assert!(!source.to_string().contains("hunter2") && !source.to_string().contains("null"), "{source}");
        assert!(source.pointer("/connector_token/id").is_none());
        assert_eq!(source["typeMigrationVersion"], "10.2.0");
    }
}

async fn lifetimes_of_a_grant_become_moments(context: Context) {
    let tokens = tokens(&context).await.client;
    let table = [(None, None), (Some(0), Some(0)), (Some(3600), None), (None, Some(86_400))];
    let said = |seconds: Option<u64>| seconds.filter(|seconds| *seconds > 0);
    for (number, (expires_in, refresh_token_expires_in)) in table.into_iter().enumerate() {
        for scope in [Scope::Shared, user("u1")] {
            let connector = connector(&format!("c{number}"));
            let grant = Grant {
                access_token: Secret::text("a"),
                refresh_token: Some(Secret::text("r")),
                expires_in: expires_in.map(Duration::from_secs),
                refresh_token_expires_in: refresh_token_expires_in.map(Duration::from_secs),
            };
            let stored = tokens.create_with_refresh_token(scope.clone(), &connector, grant).await.expect("stored");
            let lasts = |until: Option<Timestamp>| until.map(|until| until.as_second() - stored.created_at.as_second());
            let within_a_second = |lasted: Option<i64>, seconds: Option<u64>| match (lasted, seconds) {
                (Some(lasted), Some(seconds)) => (lasted - i64::try_from(seconds).expect("small")).abs() <= 1,
                (lasted, seconds) => lasted.is_none() && seconds.is_none(),
            };
            assert!(within_a_second(lasts(stored.expires_at), said(expires_in)), "{stored:?}");
            let lasted = lasts(stored.refresh_token_expires_at);
            assert!(within_a_second(lasted, said(refresh_token_expires_in)), "{stored:?}");
            let read = tokens.get(scope, &connector).await.expect("readable").expect("there");
            assert_eq!(read.metadata, stored);
            assert_eq!(secrets(read), ("a".to_owned(), Some("r".to_owned())));
        }
    }
}

async fn a_replacement_creates_or_updates(context: Context) {
    let tokens = tokens(&context).await.client;
    let requested_at = moment("2026-03-01T10:00:00Z");
    for scope in [Scope::Shared, user("u1")] {
        let replacement = |token: &str, seconds: Option<u64>| Replacement {
            token: Secret::text(token),
            expires_in: seconds.map(Duration::from_secs),
            requested_at: Some(requested_at),
        };
        let c1 = connector("c1");
        let get = async || tokens.get(scope.clone(), &c1).await.expect("readable").expect("there");
        tokens.update_or_replace(scope.clone(), &c1, None, replacement("a", None)).await.expect("stored");
        let first = get().await;
        assert_eq!(first.metadata.expires_at, Some(moment("2026-03-01T11:00:00Z")));

        let id = Some(&first.metadata.id);
        tokens.update_or_replace(scope.clone(), &c1, id, replacement("b", Some(0))).await.expect("updated");
        let second = get().await;
        assert_eq!(second.metadata.expires_at, Some(requested_at));
        assert_eq!(second.metadata.created_at, first.metadata.created_at);

        tokens.update_or_replace(scope.clone(), &c1, None, replacement("c", Some(60))).await.expect("stored");
        let third = get().await;
        assert_eq!(third.metadata.expires_at, Some(moment("2026-03-01T10:01:00Z")));
        assert_eq!((third.metadata.id.clone(), secrets(third).0), (first.metadata.id, "c".to_owned()));
    }
    assert_eq!(documents(&context).await, 2);
}

async fn a_replacement_reaches_no_token_of_others(context: Context) {
    let tokens = tokens(&context).await.client;
    let (c1, c2) = (connector("c1"), connector("c2"));
    let new = |token: &str| NewToken::token(Secret::text(token));
    for (scope, others) in [
        (user("u1"), [(user("u2"), &c1), (user("u1"), &c2)].as_slice()),
        (Scope::Shared, [(Scope::Shared, &c2)].as_slice()),
    ] {
        tokens.create(scope.clone(), &c1, new("mine")).await.expect("stored");
        for (other, connector) in others {
            let theirs = tokens.create(other.clone(), connector, new("theirs")).await.expect("stored");
            let replacement = Replacement::new(Secret::text("stolen"));
            let refused = tokens.update_or_replace(scope.clone(), &c1, Some(&theirs.id), replacement).await;
            assert_eq!(Error::from(refused.expect_err("another one's")).kind(), ErrorKind::NotFound);
            for (scope, connector, expected) in [(&scope, &c1, "mine"), (other, *connector, "theirs")] {
                let read = tokens.get(scope.clone(), connector).await.expect("readable").expect("there");
                assert_eq!(secrets(read).0, expected);
            }
        }
    }
}

async fn credentials_of_users_are_stored_as_given(context: Context) {
    let tokens = tokens(&context).await.client;
    let table = [
        json!({"user": "kim", "password": "p\"\\w"}),
        json!({"accessToken": "a", "refreshToken": "r", "scope": ["x", "y"], "nested": {"n": 1.5}}),
        json!({"ünï": "😀"}),
    ];
    for value in table {
        let credentials = Credentials::Object(Secret::json(&value).expect("not null"));
        tokens.create(user("u1"), &connector("c1"), NewToken::new(credentials)).await.expect("stored");
        let read = tokens.get(user("u1"), &connector("c1")).await.expect("readable").expect("there");
        assert_eq!(object(&read), value);
    }
}
