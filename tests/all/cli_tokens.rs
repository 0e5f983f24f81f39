//! `saved-objects tokens` as operators use it.

use libtest_mimic::Trial;
use saved_objects::SavedObjects;
use saved_objects::encryption::Secret;
use saved_objects::tokens::{
    ConnectorId, ConnectorTokenClient, Credentials, NewToken, ProfileUid, Scope, TokenClient, types,
};
use serde_json::{Value, json};

use crate::cli::{Ran, run_with};
use crate::context::{Context, KEY};
use crate::{named_trials, trials_without_cluster};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    let on_the_server = named_trials!(
        url,
        tokens_are_listed_without_secrets,
        one_token_is_shown_and_whether_its_secrets_open,
        tokens_are_deleted_by_id_and_by_whose_they_are,
        a_clean_up_says_what_it_would_do_and_does_it,
    );
    let without_cluster = trials_without_cluster!(wrong_usage_is_64,);
    on_the_server.into_iter().chain(without_cluster).collect()
}

async fn run(context: &Context, arguments: &[&str]) -> Ran {
    let ran = run_with(context, arguments, &[("SAVED_OBJECTS_ENCRYPTION_KEY", KEY)]).await;
    assert!(!ran.out.contains("s3cret") && !ran.err.contains("s3cret"), "{ran:?}");
    ran
}

fn user(uid: &str) -> Scope {
    Scope::User(ProfileUid::new(uid).expect("a profile uid"))
}

/// Creates for c1: a shared token, an expired token of u1 that can be refreshed, and an expired token of u2 that
/// cannot; for c2: a token of u1.
async fn seeded(context: &Context) -> SavedObjects {
    let store = context.store(types().expect("built-in types")).await;
    let tokens = ConnectorTokenClient::new(&store).expect("the types are there");
    let past = "2020-01-01T00:00:00Z".parse().expect("a moment");
    let token = |refresh_token: Option<&str>| {
        let (token, refresh_token) = (Secret::text("Bearer s3cret"), refresh_token.map(Secret::text));
        NewToken::new(Credentials::Token { token, refresh_token })
    };
    let all = [
        (Scope::Shared, "c1", token(None)),
        (user("u1"), "c1", token(Some("s3cret-r")).expires_at(past)),
        (user("u2"), "c1", token(None).expires_at(past)),
        (user("u1"), "c2", token(None)),
    ];
    for (scope, connector, token) in all {
        let connector = ConnectorId::new(connector).expect("a connector id");
        tokens.create(scope, &connector, token).await.expect("stored");
    }
    assert_eq!(context.documents("connectors").await, 4);
    store
}

fn ids(listed: &Value) -> Vec<&str> {
    listed.as_array().expect("a list").iter().map(|token| token["id"].as_str().expect("an id")).collect()
}

async fn tokens_are_listed_without_secrets(context: Context) {
    let ran = run(&context, &["tokens", "list", "--json"]).await;
    assert_eq!((ran.code, &ran.json()["error"]["kind"]), (1, &json!("not_found")), "there is no index yet: {ran:?}");
    drop(seeded(&context).await);
    let ran = run(&context, &["tokens", "list", "--json"]).await;
    let report = ran.json();
    assert_eq!((ran.code, report["tokens"].as_array().expect("a list").len()), (0, 4));
    let shared = &report["tokens"][0];
    assert_eq!(shared["id"], "shared:a9106551-bfa7-872d-84d0-610d668914aa");
    let keys = ["connector_id", "created_at", "expired", "expires_at", "id", "profile_uid", "refresh_token_expires_at"];
    let keys = keys.iter().chain(&["scope", "token_type", "updated_at"]).copied();
    assert!(shared.as_object().expect("an object").keys().map(String::as_str).eq(keys), "{shared}");
    assert_eq!(
        (&shared["scope"], &shared["profile_uid"], &shared["expired"]),
        (&json!("shared"), &json!(null), &json!(false))
    );
    let table: [(&[&str], usize); 7] = [
        (&["--connector", "c1"], 3),
        (&["--connector", "c1", "--shared"], 1),
        (&["--connector", "c1", "--all-users"], 2),
        (&["--connector", "c1", "--user", "u1"], 1),
        (&["--user", "u1"], 2),
        (&["--expired"], 2),
        (&["--connector", "c1\" OR connectorId: *"], 0),
    ];
    for (options, expected) in table {
        let ran = run(&context, &[&["tokens", "list", "--json"], options].concat()).await;
        assert_eq!((ran.code, ran.json()["tokens"].as_array().expect("a list").len()), (0, expected), "{options:?}");
    }
    let words = run(&context, &["tokens", "list"]).await;
    assert!(words.out.contains("of u1") && words.out.contains("4 tokens"), "{words:?}");
    assert!(words.out.contains("expired at 2020-01-01T00:00:00.000Z"), "{words:?}");
}

async fn one_token_is_shown_and_whether_its_secrets_open(context: Context) {
    drop(seeded(&context).await);
    let id = "per-user:e750b559-4f6f-8edb-841d-b5f632a0f039";
    let ran = run(&context, &["tokens", "show", id, "--json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let report = ran.json();
    assert_eq!(
        (&report["id"], &report["connector_id"], &report["profile_uid"]),
        (&json!(id), &json!("c1"), &json!("u1"))
    );
    assert_eq!(report["secrets"], json!({"open": true, "oauth": true, "refresh_token": true, "reason": null}));
    let words = run(&context, &["tokens", "show", id]).await;
    assert!(words.out.contains("there is a refresh token"), "{words:?}");
    // Without the key.
    let ran = run_with(&context, &["tokens", "show", id, "--json"], &[]).await;
    assert_eq!((ran.code, &ran.json()["secrets"]["open"]), (2, &json!(false)), "{ran:?}");
    assert!(ran.json()["secrets"]["reason"].as_str().is_some_and(|reason| reason.contains("key")), "{ran:?}");
    let unknown = "shared:00000000-0000-4000-8000-000000000000";
    let ran = run(&context, &["tokens", "show", unknown, "--json"]).await;
    assert_eq!((ran.code, &ran.json()["error"]["kind"]), (1, &json!("not_found")));
}

async fn tokens_are_deleted_by_id_and_by_whose_they_are(context: Context) {
    drop(seeded(&context).await);
    let (id, unknown) =
        ("per-user:e750b559-4f6f-8edb-841d-b5f632a0f039", "shared:00000000-0000-4000-8000-000000000000");
    let record = id.replace("per-user:", "user_connector_token/");
    for id in [id, &record] {
        let dry = run(&context, &["tokens", "delete", id, unknown, "--dry-run", "--json"]).await;
        let expected = json!({"dry_run": true, "deleted": [id.replace("user_connector_token/", "per-user:")], "not_found": [unknown]});
        assert_eq!((dry.code, dry.json()), (1, expected), "{dry:?}");
    }
    let dry = run(&context, &["tokens", "delete", "--connector", "c1", "--dry-run"]).await;
    assert_eq!((dry.code, dry.out.matches("would delete ").count()), (0, 3), "{dry:?}");
    assert_eq!(context.documents("connectors").await, 4, "nothing is deleted");
    let ran = run(&context, &["tokens", "delete", id, unknown, "--json"]).await;
    assert_eq!((ran.code, ran.json()), (1, json!({"dry_run": false, "deleted": [id], "not_found": [unknown]})));
    assert_eq!(context.documents("connectors").await, 3);
    let ran = run(&context, &["tokens", "delete", "--connector", "c1", "--all-users", "--json"]).await;
    assert_eq!((ran.code, ran.json()["deleted"].as_array().expect("a list").len()), (0, 1), "{ran:?}");
    let ran = run(&context, &["tokens", "delete", "--connector", "c1", "--json"]).await;
    assert_eq!((ran.code, ran.json()["deleted"].as_array().expect("a list").len()), (0, 1), "{ran:?}");
    let ran = run(&context, &["tokens", "delete", "--user", "u1"]).await;
    assert!(ran.code == 0 && ran.out.contains("deleted per-user:"), "{ran:?}");
    assert_eq!(context.documents("connectors").await, 0);
}

async fn a_clean_up_says_what_it_would_do_and_does_it(context: Context) {
    drop(seeded(&context).await);
    let options = ["tokens", "clean-up", "--expired-for", "30d", "--json"];
    let ran = run(&context, &[&options[..], &["--dry-run"]].concat()).await;
    let report = ran.json();
    assert_eq!((ran.code, &report["dry_run"], &report["examined"]), (0, &json!(true), &json!(4)));
    assert_eq!(report["removed"], json!({"expired": 1}));
    assert_eq!((&report["removed_records"][0]["profile_uid"], &report["unreadable_total"]), (&json!("u2"), &json!(0)));
    assert_eq!(context.documents("connectors").await, 4);
    // Without the key the command cannot find out which tokens can be refreshed: they stay, and the exit code reports
    // it.
    let blind = run_with(&context, &options, &[]).await;
    assert_eq!((blind.code, &blind.json()["removed"], ids(&blind.json()["unreadable"]).len()), (2, &json!({}), 2));
    let ran = run(&context, &options).await;
    assert_eq!((ran.code, &ran.json()["removed"]), (0, &json!({"expired": 1})));
    assert_eq!(context.documents("connectors").await, 3);

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("connectors");
    let path = file.to_str().expect("UTF-8");
    std::fs::write(&file, "\n").expect("written");
    let empty = run(&context, &["tokens", "clean-up", "--known-connectors", path, "--json"]).await;
    assert_eq!((empty.code, &empty.json()["error"]["kind"]), (1, &json!("invalid")));
    std::fs::write(&file, "c1\n").expect("written");
    let new = run(&context, &["tokens", "clean-up", "--known-connectors", path, "--json"]).await;
    assert_eq!((new.code, &new.json()["removed"]), (0, &json!({})), "it was written less than an hour ago");
    let options = ["tokens", "clean-up", "--known-connectors", path, "--orphaned-for", "0s"];
    let ran = run(&context, &options).await;
    assert!(ran.code == 0 && ran.out.contains("1 of 3 records were deleted"), "{ran:?}");
    assert_eq!(context.documents("connectors").await, 2);
    let listed = run(&context, &["tokens", "list", "--user", "u1", "--json"]).await;
    assert_eq!(ids(&listed.json()["tokens"]), ["per-user:e750b559-4f6f-8edb-841d-b5f632a0f039"]);
}

async fn wrong_usage_is_64(context: Context) {
    let id = "shared:a9106551-bfa7-872d-84d0-610d668914aa";
    let table: [&[&str]; 7] = [
        &["tokens"],
        &["tokens", "delete"],
        &["tokens", "delete", "--all-users"],
        &["tokens", "delete", id, "--connector", "c1"],
        &["tokens", "show", "not-an-id"],
        &["tokens", "list", "--connector", ""],
        &["tokens", "clean-up", "--expired-for", "soon"],
    ];
    for arguments in table {
        let ran = run(&context, arguments).await;
        assert_eq!(ran.code, 64, "{ran:?}");
    }
}
