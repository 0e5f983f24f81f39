//! What the clients of tokens refuse, and with which error.

use std::time::Duration;

use libtest_mimic::Trial;
use saved_objects::encryption::Secret;
use saved_objects::repository::SecretChange;
use saved_objects::tokens::{
    ConnectorId, Credentials, CredentialsChange, Grant, NewToken, ProfileUid, Replacement, Scope,
    SharedConnectorTokenClient, TokenClient, TokenId, TokenType, TokenUpdate, UserConnectorTokenClient,
};
use saved_objects::{Error, ErrorKind};
use serde_json::json;

use super::{SHARED_C1, connector, documents, tokens, user};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(url, bad_input_is_refused_with_a_hint_and_before_any_request)
}

async fn bad_input_is_refused_with_a_hint_and_before_any_request(context: Context) {
    let all = tokens(&context).await;
    let tokens = &all.client;
    let shared = SharedConnectorTokenClient::new(&all.store).expect("the type is there");
    let users = UserConnectorTokenClient::new(&all.store).expect("the type is there");
    let before = all.cluster.requests();

    let (c1, token) = (connector("c1"), || Secret::text("a"));
    let long = "x".repeat(600);
    let id = |prefix: &str| format!("{prefix}{SHARED_C1}").parse::<TokenId>().expect("an id");
    let object = || Secret::json(&json!({"user": "kim"})).expect("not null");
    let endless = || Grant {
        access_token: token(),
        refresh_token: None,
        expires_in: Some(Duration::MAX),
        refresh_token_expires_in: None,
    };
    let empty_refresh_token = || SecretChange::Set(Secret::text(""));
    let set = |refresh_token| TokenUpdate::new(CredentialsChange::Token { token: token(), refresh_token });
    let errors: Vec<Option<Error>> = vec![
        ProfileUid::new("").err(),
        ConnectorId::new("").err(),
        ConnectorId::new(long.as_str()).err(),
        TokenType::new("").err(),
        long.parse::<TokenId>().err(),
        format!("shared:{long}").parse::<TokenId>().err(),
        "".parse::<TokenId>().err(),
        "shared:".parse::<TokenId>().err(),
        users.update(&id("shared:"), TokenUpdate::token(token())).await.err().map(Error::from),
        users
            .update_with_refresh_token(&id("shared:"), Grant { expires_in: None, ..endless() })
            .await
            .err()
            .map(Error::from),
        shared.update(&id("per-user:"), TokenUpdate::token(token())).await.err().map(Error::from),
        shared.update(&id("personal:"), TokenUpdate::token(token())).await.err().map(Error::from),
        tokens
            .update_or_replace(user("u1"), &c1, Some(&id("shared:")), Replacement::new(token()))
            .await
            .err()
            .map(Error::from),
        tokens.create(Scope::Shared, &c1, NewToken::token(Secret::text(""))).await.err().map(Error::from),
        tokens.create(user("u1"), &c1, NewToken::token(Secret::text(""))).await.err().map(Error::from),
        tokens.create(Scope::Shared, &c1, NewToken::new(Credentials::Object(object()))).await.err().map(Error::from),
        tokens
            .create(user("u1"), &c1, NewToken::new(Credentials::Object(Secret::json(&json!({})).expect("not null"))))
            .await
            .err()
            .map(Error::from),
        tokens.create_with_refresh_token(user("u1"), &c1, endless()).await.err().map(Error::from),
        tokens.update_with_refresh_token(&id("shared:"), endless()).await.err().map(Error::from),
        tokens.update(&id("shared:"), TokenUpdate::token(Secret::text(""))).await.err().map(Error::from),
        tokens.update(&id("shared:"), set(empty_refresh_token())).await.err().map(Error::from),
        tokens
            .update(&id("shared:"), TokenUpdate::new(CredentialsChange::Object(object())))
            .await
            .err()
            .map(Error::from),
        tokens
            .update(&id("per-user:"), TokenUpdate::new(CredentialsChange::Object(Secret::text("a"))))
            .await
            .err()
            .map(Error::from),
    ];
    for (number, error) in errors.into_iter().enumerate() {
        let error = error.unwrap_or_else(|| panic!("number {number} was not refused"));
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
    assert_eq!(all.cluster.requests(), before, "nothing was sent");
    assert_eq!(documents(&context).await, 0);
}
