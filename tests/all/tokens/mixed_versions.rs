//! A node of an older version together with one of a newer version (record 25).

use libtest_mimic::Trial;
use saved_objects::Start;
use saved_objects::encryption::Secret;
use saved_objects::migrate::Outcome;
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::ObjectKey;
use saved_objects::tokens::{Credentials, NewToken, Scope, TokenClient, types};
use serde_json::{Value, json};

use super::{SHARED_C1, connector, secrets, stored, tokens};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(url, a_change_of_older_software_keeps_the_refresh_token_and_its_expiry)
}

/// Returns the types as a newer release may have them, which copies their index: both tokens at version 3.
pub(super) fn types_that_copy() -> Vec<TypeDefinition> {
    let files = [
        (
            include_str!("../../../mappings/connector_token.json"),
            include_str!("../../../model_versions/connector_token/1.json"),
            include_str!("../../../model_versions/connector_token/2.json"),
        ),
        (
            include_str!("../../../mappings/user_connector_token.json"),
            include_str!("../../../model_versions/user_connector_token/1.json"),
            include_str!("../../../model_versions/user_connector_token/2.json"),
        ),
    ];
    let newer = files.map(|(mapping, first, second)| {
        let mut third: Value = serde_json::from_str(second).expect("JSON");
        third["changes"] = json!([{"type": "mappings_change", "attributes": ["connectorId"]}]);
        third["waivers"] = json!([]);
        let versions = [first.to_owned(), second.to_owned(), third.to_string()];
        let versions: Vec<_> =
            (1..).zip(versions).map(|(number, version)| (format!("{number}.json"), version)).collect();
        TypeDefinition::from_json("newer.json", mapping, &versions).expect("a definition")
    });
    let is_token = |definition: &TypeDefinition| newer.iter().any(|newer| newer.name() == definition.name());
    let others: Vec<_> = types().expect("built-in types").into_iter().filter(|one| !is_token(one)).collect();
    newer.into_iter().chain(others).collect()
}

async fn a_change_of_older_software_keeps_the_refresh_token_and_its_expiry(context: Context) {
    let newer = tokens(&context).await.client;
    let credentials = Credentials::Token { token: Secret::text("a"), refresh_token: Some(Secret::text("r")) };
    let expiry = "2026-04-01T10:00:00Z".parse().expect("a moment");
    let token = NewToken::new(credentials)
        .expires_at("2026-03-01T10:00:00Z".parse().expect("a moment"))
        .refresh_token_expires_at(expiry);
    newer.create(Scope::Shared, &connector("c1"), token).await.expect("stored");

    let version_1 = types().expect("built-in types").iter().filter_map(|definition| definition.as_of(1)).collect();
    let older = context.builder(version_1).start(Start::Migrate).await.expect("older software starts");
    assert_eq!(older.start_report().expect("migrated").outcome, Outcome::NothingToDo);
    let older = older.repository().including(&["connector_token"]).expect("registered");
    let key = ObjectKey::new("connector_token", SHARED_C1);
    let (read, opened) = older.get_with_secrets(&key).await.expect("opens");
    assert_eq!((read.model_version, opened.len()), (2, 1), "version 1 knows of one secret");
    assert!(!read.attributes.contains_key("refreshTokenExpiresAt"), "projected: {:?}", read.attributes.keys());
    let later = "2026-03-01T12:00:00.000Z";
    let change = |draft: &mut saved_objects::repository::Draft| {
        draft.attributes.insert("expiresAt".to_owned(), later.into());
        Ok(())
    };
    older.update(&key, change).await.expect("merged");

    let source = stored(&context, &format!("connector_token:{SHARED_C1}")).await;
    assert_eq!(source["typeMigrationVersion"], json!("10.2.0"));
    let read = newer.get(Scope::Shared, &connector("c1")).await.expect("readable").expect("there");
    assert_eq!(read.metadata.expires_at.map(|moment| moment.to_string()).as_deref(), Some("2026-03-01T12:00:00Z"));
    assert_eq!(read.metadata.refresh_token_expires_at, Some(expiry));
    assert_eq!(secrets(read), ("a".to_owned(), Some("r".to_owned())));
}
