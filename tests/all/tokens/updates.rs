//! Updates of tokens.

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::encryption::Secret;
use saved_objects::repository::SecretChange;
use saved_objects::tokens::{
    Credentials, CredentialsChange, Grant, NewToken, Scope, TokenClient, TokenId, TokenMetadata, TokenUpdate,
};
use serde_json::json;

use super::{connector, documents, object, secrets, tokens, user};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        the_refresh_token_stays_unless_the_update_says_otherwise,
        an_update_keeps_name_and_creation,
        a_grant_updates_what_it_has,
        what_else_is_in_a_users_credentials_stays,
        concurrent_updates_are_all_made,
        an_unknown_id_is_not_found,
    )
}

const REFRESH_EXPIRY: &str = "2026-04-01T10:00:00Z";

fn moment(text: &str) -> Timestamp {
    text.parse().expect("a moment")
}

/// Returns a token with every attribute.
fn full() -> NewToken {
    NewToken::new(Credentials::Token { token: Secret::text("a"), refresh_token: Some(Secret::text("r")) })
        .expires_at(moment("2026-03-01T10:00:00Z"))
        .refresh_token_expires_at(moment(REFRESH_EXPIRY))
}

fn times(metadata: &TokenMetadata) -> (Option<String>, Option<String>) {
    let text = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string());
    (text(metadata.expires_at), text(metadata.refresh_token_expires_at))
}

async fn the_refresh_token_stays_unless_the_update_says_otherwise(context: Context) {
    let tokens = tokens(&context).await.client;
    let update = |refresh_token| TokenUpdate::new(CredentialsChange::Token { token: Secret::text("b"), refresh_token });
    let set = || SecretChange::Set(Secret::text("s"));
    let other = "2026-05-01T10:00:00Z";
    let table = [
        (TokenUpdate::token(Secret::text("b")), Some("r"), Some(REFRESH_EXPIRY)),
        (update(SecretChange::Keep).refresh_token_expires_at(moment(other)), Some("r"), Some(other)),
        (update(set()), Some("s"), None),
        (update(set()).refresh_token_expires_at(moment(other)), Some("s"), Some(other)),
        (update(SecretChange::Remove), None, None),
    ];
    for scope in [Scope::Shared, user("u1")] {
        for (update, refresh_token, expiry) in table.clone() {
            let id = tokens.create(scope.clone(), &connector("c1"), full()).await.expect("stored").id;
            let metadata = tokens.update(&id, update.clone()).await.expect("updated");
            // Without its own expiry the new token has none.
            assert_eq!(times(&metadata), (None, expiry.map(str::to_owned)), "{update:?}");
            let read = tokens.get(scope.clone(), &connector("c1")).await.expect("readable").expect("there");
            assert_eq!(read.metadata, metadata);
            assert_eq!(secrets(read), ("b".to_owned(), refresh_token.map(str::to_owned)), "{update:?}");
        }
    }
}

async fn an_update_keeps_name_and_creation(context: Context) {
    let tokens = tokens(&context).await.client;
    for scope in [Scope::Shared, user("u1")] {
        let before = tokens.create(scope.clone(), &connector("c1"), full()).await.expect("stored");
        let update = TokenUpdate::token(Secret::text("b")).expires_at(moment("2026-06-01T10:00:00Z"));
        let after = tokens.update(&before.id, update).await.expect("updated");
        assert_eq!(after.expires_at, Some(moment("2026-06-01T10:00:00Z")));
        assert!(after.updated_at >= before.updated_at && after.version != before.version);
        let name = |metadata: &TokenMetadata| {
            (
                metadata.id.clone(),
                metadata.scope.clone(),
                metadata.connector_id.clone(),
                metadata.token_type.clone(),
                metadata.created_at,
            )
        };
        assert_eq!(name(&after), name(&before));
    }
    assert_eq!(documents(&context).await, 2);
}

async fn a_grant_updates_what_it_has(context: Context) {
    let tokens = tokens(&context).await.client;
    let grant = |refresh_token: Option<&str>, expires_in: Option<u64>, refresh_token_expires_in: Option<u64>| Grant {
        access_token: Secret::text("b"),
        refresh_token: refresh_token.map(Secret::text),
        expires_in: expires_in.map(Duration::from_secs),
        refresh_token_expires_in: refresh_token_expires_in.map(Duration::from_secs),
    };
    for scope in [Scope::Shared, user("u1")] {
        let update = async |grant: Grant| {
            let id = tokens.create(scope.clone(), &connector("c1"), full()).await.expect("stored").id;
            let metadata = tokens.update_with_refresh_token(&id, grant).await.expect("updated");
            let read = tokens.get(scope.clone(), &connector("c1")).await.expect("readable").expect("there");
            assert_eq!(read.metadata, metadata);
            (metadata, secrets(read).1)
        };
        let (kept, refresh_token) = update(grant(None, None, None)).await;
        assert_eq!((times(&kept), refresh_token.as_deref()), ((None, Some(REFRESH_EXPIRY.to_owned())), Some("r")));
        let (rotated, refresh_token) = update(grant(Some("s"), Some(60), None)).await;
        assert_eq!((rotated.refresh_token_expires_at, refresh_token.as_deref()), (None, Some("s")));
        assert!(rotated.expires_at.expect("an expiry") > rotated.updated_at);
        let (rotated, _) = update(grant(Some("s"), Some(0), Some(3600))).await;
        assert_eq!(rotated.expires_at, None, "zero is not known");
        assert!(rotated.refresh_token_expires_at.expect("an expiry") > rotated.updated_at);
    }
}

async fn what_else_is_in_a_users_credentials_stays(context: Context) {
    let tokens = tokens(&context).await.client;
    let stored = json!({"accessToken": "a", "refreshToken": "r", "scope": ["x"]});
    let create = NewToken::new(Credentials::Object(Secret::json(&stored).expect("not null")));
    let id = tokens.create(user("u1"), &connector("c1"), create).await.expect("stored").id;
    let get = async || tokens.get(user("u1"), &connector("c1")).await.expect("readable").expect("there");

    tokens.update(&id, TokenUpdate::token(Secret::text("b"))).await.expect("updated");
    assert_eq!(object(&get().await), json!({"accessToken": "b", "refreshToken": "r", "scope": ["x"]}));
    let oauth = tokens.get_oauth_credentials(user("u1"), &connector("c1")).await.expect("readable").expect("there");
    assert_eq!(oauth.credentials.access_token, Secret::text("b"));

    let other = Secret::json(&json!({"accessToken": "c"})).expect("not null");
    tokens.update(&id, TokenUpdate::new(CredentialsChange::Object(other))).await.expect("updated");
    assert_eq!(object(&get().await), json!({"accessToken": "c"}));
}

async fn concurrent_updates_are_all_made(context: Context) {
    let tokens = tokens(&context).await.client;
    for scope in [Scope::Shared, user("u1")] {
        let created = tokens.create(scope.clone(), &connector("c1"), full()).await.expect("stored");
        // One caller changes the refresh token while the others change the token: no change is lost.
        let mut updates: Vec<_> =
            (0..6).map(|number| TokenUpdate::token(Secret::text(&format!("token {number}")))).collect();
        updates.push(TokenUpdate::new(CredentialsChange::Token {
            token: Secret::text("token 6"),
            refresh_token: SecretChange::Set(Secret::text("s")),
        }));
        let updates = updates.into_iter().map(|update| {
            let (tokens, id) = (tokens.clone(), created.id.clone());
            async move { tokens.update(&id, update).await }
        });
        let versions: Vec<_> = join_all(updates).await.into_iter().map(|one| one.expect("updated").version).collect();
        let read = tokens.get(scope, &connector("c1")).await.expect("readable").expect("there");
        assert!(versions.contains(&read.metadata.version));
        let (token, refresh_token) = secrets(read);
        assert!(token.starts_with("token "), "{token}");
        assert_eq!(refresh_token.as_deref(), Some("s"));
    }
    assert_eq!(documents(&context).await, 2);
}

async fn an_unknown_id_is_not_found(context: Context) {
    let tokens = tokens(&context).await.client;
    for id in ["shared:0ec9d3b8-5b1e-4b8e-9d4e-1f2a3b4c5d6e", "personal:0ec9d3b8-5b1e-4b8e-9d4e-1f2a3b4c5d6e"] {
        let id: TokenId = id.parse().expect("an id");
        let error = tokens.update(&id, TokenUpdate::token(Secret::text("a"))).await.expect_err("no such token");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    assert_eq!(documents(&context).await, 0);
}
