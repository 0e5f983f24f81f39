//! The scopes of the facade: shared tokens and tokens of users.

use std::collections::BTreeSet;

use futures::future::join_all;
use libtest_mimic::Trial;
use saved_objects::encryption::Secret;
use saved_objects::tokens::{
    NewToken, ProfileUid, Scope, SharedConnectorTokenClient, TokenClient, TokenType, TokenUpdate,
    UserConnectorTokenClient,
};

use super::{SHARED_C1, USER_U1_C1, connector, documents, secrets, tokens, user};
use crate::context::{Context, MEMORY};
use crate::log::Log;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    let mut trials = named_trials!(
        url,
        users_and_everybody_have_tokens_of_their_own,
        types_of_a_connector_are_separate,
        ids_lead_to_their_scope_and_come_back_as_given,
        the_connectors_of_a_user_are_listed_once,
        the_facade_says_where_it_delegates_and_no_secret,
    );
    // The same search several times; here each of the many records is created by its own request.
    if url == MEMORY {
        trials.extend(named_trials!(url, the_connectors_of_a_user_are_listed_however_many));
    }
    trials
}

async fn users_and_everybody_have_tokens_of_their_own(context: Context) {
    let tokens = tokens(&context).await.client;
    let scopes = [Scope::Shared, user("u1"), user("u2"), user("u1\" OR \"u2")];
    for (scope, token) in scopes.iter().zip(["for all", "for u1", "for u2", "for the quoted one"]) {
        let metadata = tokens.create(scope.clone(), &connector("c1"), NewToken::token(Secret::text(token))).await;
        assert_eq!(metadata.expect("stored").scope, *scope);
    }
    assert_eq!(documents(&context).await, 4);
    for (scope, token) in scopes.iter().zip(["for all", "for u1", "for u2", "for the quoted one"]) {
        let read = tokens.get(scope.clone(), &connector("c1")).await.expect("readable").expect("there");
        assert_eq!((&read.metadata.scope, read.metadata.connector_id.as_str()), (scope, "c1"));
        assert_eq!(secrets(read), (token.to_owned(), None));
    }
    for (scope, id) in [(Scope::Shared, "c2"), (user("u3"), "c1"), (user("u1"), "c2")] {
        assert_eq!(tokens.get(scope, &connector(id)).await.expect("answered"), None);
    }
}

async fn types_of_a_connector_are_separate(context: Context) {
    let tokens = tokens(&context).await.client;
    let (c1, api_key) = (connector("c1"), TokenType::new("api_key").expect("a type"));
    for scope in [Scope::Shared, user("u1")] {
        tokens.create(scope.clone(), &c1, NewToken::token(Secret::text("usual"))).await.expect("stored");
        let other = NewToken::token(Secret::text("other")).of_type(api_key.clone());
        tokens.create(scope.clone(), &c1, other).await.expect("stored");
        let usual = tokens.get(scope.clone(), &c1).await.expect("readable").expect("there");
        assert_eq!(usual.metadata.token_type, scope.kind().default_token_type());
        assert_eq!(secrets(usual).0, "usual");
        let other = tokens.get_of_type(scope.clone(), &c1, &api_key).await.expect("readable").expect("there");
        assert_eq!(other.metadata.token_type, api_key);
        assert_eq!(secrets(other).0, "other");
    }
    assert_eq!(documents(&context).await, 4);
}

async fn ids_lead_to_their_scope_and_come_back_as_given(context: Context) {
    let all = tokens(&context).await;
    let (tokens, c1) = (all.client, connector("c1"));
    let shared = SharedConnectorTokenClient::new(&all.store).expect("the type is there");
    let users = UserConnectorTokenClient::new(&all.store).expect("the type is there");
    let id = tokens.create(Scope::Shared, &c1, NewToken::token(Secret::text("a"))).await.expect("stored").id;
    assert_eq!(id.to_string(), format!("shared:{SHARED_C1}"));
    let id = tokens.create(user("u1"), &c1, NewToken::token(Secret::text("a"))).await.expect("stored").id;
    assert_eq!(id.to_string(), format!("per-user:{USER_U1_C1}"));

    for id in [format!("shared:{SHARED_C1}"), SHARED_C1.to_owned()] {
        let parsed = id.parse().expect("an id");
        let updated = tokens.update(&parsed, TokenUpdate::token(Secret::text(&id))).await.expect("updated");
        assert_eq!((updated.id.to_string(), updated.scope), (id.clone(), Scope::Shared));
        assert_eq!(secrets(shared.get(&c1).await.expect("readable").expect("there")).0, id);
        shared.update(&parsed, TokenUpdate::token(Secret::text(&id))).await.expect("updated");
    }
    let u1 = ProfileUid::new("u1").expect("a profile uid");
    for id in [format!("per-user:{USER_U1_C1}"), format!("personal:{USER_U1_C1}"), USER_U1_C1.to_owned()] {
        let parsed = id.parse().expect("an id");
        let updated = users.update(&parsed, TokenUpdate::token(Secret::text(&id))).await.expect("updated");
        assert_eq!((updated.id.to_string(), updated.scope), (id.clone(), user("u1")));
        assert_eq!(secrets(users.get(&u1, &c1).await.expect("readable").expect("there")).0, id);
        // For the facade an id without a scope is that of a shared token, and there is none with that id.
        let by_facade = tokens.update(&parsed, TokenUpdate::token(Secret::text(&id))).await;
        assert_eq!(by_facade.is_ok(), parsed.kind().is_some(), "{id}");
    }
}

async fn the_connectors_of_a_user_are_listed_once(context: Context) {
    let tokens = tokens(&context).await.client;
    let u1 = ProfileUid::new("u1").expect("a profile uid");
    assert_eq!(tokens.connectors_of_user(&u1).await.expect("answered"), BTreeSet::new());
    for id in ["c1", "c2", "c\"3"] {
        for token_type in ["oauth", "api_key"] {
            let token_type = TokenType::new(token_type).expect("a type");
            let token = NewToken::token(Secret::text("a")).of_type(token_type);
            tokens.create(user("u1"), &connector(id), token).await.expect("stored");
        }
    }
    tokens.create(user("u2"), &connector("c4"), NewToken::token(Secret::text("a"))).await.expect("stored");
    tokens.create(Scope::Shared, &connector("c5"), NewToken::token(Secret::text("a"))).await.expect("stored");
    assert_eq!(documents(&context).await, 8);
    let expected = ["c1", "c2", "c\"3"].into_iter().map(connector).collect();
    assert_eq!(tokens.connectors_of_user(&u1).await.expect("answered"), expected);
}

async fn the_connectors_of_a_user_are_listed_however_many(context: Context) {
    let tokens = tokens(&context).await.client;
    let connectors: BTreeSet<_> = (0..1_050).map(|number| connector(&format!("c{number}"))).collect();
    let stored = connectors.iter().map(|id| tokens.create(user("u1"), id, NewToken::token(Secret::text("a"))));
    join_all(stored).await.into_iter().for_each(|stored| drop(stored.expect("stored")));
    assert_eq!(documents(&context).await, 1_050);
    let u1 = ProfileUid::new("u1").expect("a profile uid");
    assert_eq!(tokens.connectors_of_user(&u1).await.expect("answered"), connectors);
}

async fn the_facade_says_where_it_delegates_and_no_secret(context: Context) {
    let tokens = tokens(&context).await.client;
    let log = Log::new();
    let subscriber = log.subscriber();
    {
        let _guard = tracing::subscriber::set_default(subscriber);
        for scope in [Scope::Shared, user("u1")] {
            let token = NewToken::token(Secret::text("Bearer hunter2"));
            let id = tokens.create(scope.clone(), &connector("c1"), token).await.expect("stored").id;
            tokens.update(&id, TokenUpdate::token(Secret::text("Bearer hunter2-again"))).await.expect("updated");
            tokens.get(scope.clone(), &connector("c1")).await.expect("readable").expect("there");
            tokens.delete(scope, &connector("c1"), None).await.expect("deleted");
        }
    }
    let log = log.text();
    let lines = [
        r#"DEBUG saved_objects::tokens::facade: delegating scope=shared method="create" connector_id=c1"#.to_owned(),
        format!(
            r#"DEBUG saved_objects::tokens::facade: delegating scope=shared method="update" id=shared:{SHARED_C1}"#
        ),
        format!(
            r#"DEBUG saved_objects::tokens::facade: delegating scope=per-user method="update" id=per-user:{USER_U1_C1}"#
        ),
        r#"DEBUG saved_objects::tokens::facade: delegating scope=per-user method="get" connector_id=c1"#.to_owned(),
        r#"DEBUG saved_objects::tokens::facade: delegating scope=per-user method="delete" connector_id=c1"#.to_owned(),
    ];
    for line in lines {
        assert!(log.contains(&line), "{line} is not in {log}");
    }
    assert!(!log.contains("hunter2"));
}
