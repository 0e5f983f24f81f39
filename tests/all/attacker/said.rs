//! Changes that are not detected, as `docs/encryption.md` says. If one of these tests fails, the page is wrong.

use libtest_mimic::Trial;
use serde_json::json;

use super::*;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        an_older_state_of_a_document_is_taken,
        what_is_not_bound_may_change,
        a_document_of_another_prefix_under_the_same_key_is_taken,
    )
}

async fn token(repository: &Repository, id: &str) -> Option<Secret> {
    repository.get_with_secrets(&key(id)).await.expect("it opens").1.remove("token")
}

async fn an_older_state_of_a_document_is_taken(context: Context) {
    let new = store(&context, 2, Start::Migrate).await;
    create(&new, "vault", "a", "default").await;
    let before = stored(&context, "a").await;
    let set = |draft: &mut Draft| {
        draft.secret("token", SecretChange::Set(Secret::text("the next token")));
        Ok(())
    };
    new.update(key("a"), set).await.expect("updated");
    let after = stored(&context, "a").await;
    // One older envelope of the same attribute, with the same model version and the same bound attributes.
    let mut mixed = after.clone();
    mixed["vault"]["token"] = before["vault"]["token"].clone();
    put(&context, "a", &mixed).await;
    assert_eq!(token(&new, "a").await, Some(Secret::text(TOKEN)));
    // The whole document.
    put(&context, "a", &after).await;
    assert_eq!(token(&new, "a").await, Some(Secret::text("the next token")));
    put(&context, "a", &before).await;
    assert_eq!(token(&new, "a").await, Some(Secret::text(TOKEN)));
    // A removed secret.
    let mut without = before.clone();
    without["vault"].as_object_mut().expect("an object").remove("token");
    put(&context, "a", &without).await;
    assert_eq!(token(&new, "a").await, None);
    // A whole document from before a migration.
    let old = store(&context, 1, Start::Skip).await;
    create(&old, "vault", "b", "default").await;
    let earlier = stored(&context, "b").await;
    new.update(key("b"), set).await.expect("updated, and at the second version now");
    put(&context, "b", &earlier).await;
    assert_eq!(token(&new, "b").await, Some(Secret::text(TOKEN)));
}

async fn what_is_not_bound_may_change(context: Context) {
    let new = store(&context, 2, Start::Migrate).await;
    create(&new, "vault", "a", "default").await;
    let mut source = stored(&context, "a").await;
    source["vault"]["note"] = json!("another note");
    source["updated_at"] = json!("2020-01-01T00:00:00.000Z");
    // A version with the same sets, whose upgrade would have changed something else.
    source["typeMigrationVersion"] = json!("10.3.0");
    put(&context, "a", &source).await;
    let newest = store(&context, 3, Start::Skip).await;
    assert_eq!(token(&newest, "a").await, Some(Secret::text(TOKEN)));
    // An envelope that kept its version can be reset to that version, together with attributes that are not bound
    // there.
    let old = store(&context, 1, Start::Skip).await;
    create(&old, "vault", "c", "default").await;
    let mut source = stored(&context, "c").await;
    source["vault"]["scope"] = json!("everything");
    put(&context, "c", &source).await;
    assert_eq!(token(&newest, "c").await, Some(Secret::text(TOKEN)));
    // A document without envelopes can claim a version whose upgrade encrypts what was stored in clear.
    let source = json!({
        "type": "vault", "vault": {"owner": "kim", "pin": "planted"}, "typeMigrationVersion": "10.1.0", "references": [],
    });
    put(&context, "b", &source).await;
    let (_, secrets) = newest.get_with_secrets(&key("b")).await.expect("it opens");
    assert_eq!(secrets["sealedPin"], Secret::text("planted"));
}

async fn a_document_of_another_prefix_under_the_same_key_is_taken(context: Context) {
    let new = store(&context, 2, Start::Migrate).await;
    create(&new, "vault", "a", "default").await;
    let source = stored(&context, "a").await;
    let prefix = format!("{}-other", context.prefix).parse().expect("a fine prefix");
    let other = Context { prefix, ..context.clone() };
    let restored = store(&other, 2, Start::Migrate).await;
    put(&other, "a", &source).await;
    assert_eq!(token(&restored, "a").await, Some(Secret::text(TOKEN)));
}
