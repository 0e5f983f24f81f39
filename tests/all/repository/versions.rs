use libtest_mimic::Trial;
use saved_objects::encryption::Secret;
use saved_objects::repository::{Create, Draft, Find, Replace, SecretChange};
use saved_objects::{ErrorKind, Repository, Start};
use serde_json::json;

use super::{key, kind, object, put, refresh, store_of, stored, types};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        older_documents_are_upgraded_for_the_reader_and_stored_by_the_next_update,
        older_secrets_that_do_not_open_keep_nobody_from_the_rest,
        newer_documents_are_projected_and_only_replaced,
    )
}

/// Two repositories of one index: of software that knows version 1 of `login`, and of software that knows version 2.
async fn old_and_new(context: &Context) -> (Repository, Repository) {
    let (old, _) = store_of(context, vec![types::login(1)], Start::Migrate).await;
    let (new, _) = store_of(context, vec![types::login(2)], Start::Skip).await;
    (old.repository().clone(), new.repository().clone())
}

async fn login(repository: &Repository) {
    let request = Create::new("login", object(json!({"user": "kim"}))).id("a");
    let request = request.secret("password", Secret::text("SECRET")).secret("hint", Secret::text("h"));
    repository.create(request).await.expect("created");
}

async fn older_documents_are_upgraded_for_the_reader_and_stored_by_the_next_update(context: Context) {
    let (old, new) = old_and_new(&context).await;
    login(&old).await;
    let before = stored(&context, "things", "login:a").await;
    let (read, secrets) = new.get_with_secrets(&key("login", "a")).await.expect("opens");
    assert_eq!(read.attributes, object(json!({"user": "kim", "hint": "h", "realm": "main"})));
    assert_eq!((read.model_version, secrets.get("password")), (1, Some(&Secret::text("SECRET"))));
    assert_eq!(stored(&context, "things", "login:a").await, before);
    refresh(&context).await;
    assert_eq!(new.find(&["login"], Find::new()).await.expect("found").objects, [read]);

    let updated = new.update(&key("login", "a"), |_| Ok(())).await.expect("updated");
    assert_eq!(updated.model_version, 2);
    let after = stored(&context, "things", "login:a").await;
    assert_eq!((&after["typeMigrationVersion"], &after["login"]["realm"]), (&json!("10.2.0"), &json!("main")));
    assert_ne!(after["login"]["password"], before["login"]["password"], "it is bound to the new attribute");
    let (_, secrets) = new.get_with_secrets(&key("login", "a")).await.expect("opens");
    assert_eq!(secrets.get("password"), Some(&Secret::text("SECRET")));
}

async fn older_secrets_that_do_not_open_keep_nobody_from_the_rest(context: Context) {
    let (old, new) = old_and_new(&context).await;
    login(&old).await;
    let mut source = stored(&context, "things", "login:a").await;
    source["login"]["password"] = source["login"]["hint"].clone();
    put(&context, "things", "login:a", source).await;

    let read = new.get(&key("login", "a")).await.expect("the rest is readable");
    assert_eq!(read.attributes, object(json!({"user": "kim", "realm": "main"})));
    assert_eq!(read.unopened.len(), 1);
    assert_eq!(kind(new.get_with_secrets(&key("login", "a")).await), ErrorKind::Decrypt);
    assert_eq!(kind(new.update(&key("login", "a"), |_| Ok(())).await), ErrorKind::Decrypt);
    let mend = |draft: &mut Draft| {
        draft.secret("password", SecretChange::Set(Secret::text("NEW")));
        draft.secret("hint", SecretChange::Remove);
        Ok(())
    };
    new.update(&key("login", "a"), mend).await.expect("every secret is given");
    let (_, secrets) = new.get_with_secrets(&key("login", "a")).await.expect("opens");
    assert_eq!(secrets.get("password"), Some(&Secret::text("NEW")));
}

async fn newer_documents_are_projected_and_only_replaced(context: Context) {
    let (old, _) = old_and_new(&context).await;
    login(&old).await;
    let mut source = stored(&context, "things", "login:a").await;
    source["typeMigrationVersion"] = json!("10.7.0");
    source["login"]["later"] = json!("unknown here");
    put(&context, "things", "login:a", source).await;

    let (read, secrets) = old.get_with_secrets(&key("login", "a")).await.expect("opens");
    assert_eq!(read.attributes, object(json!({"user": "kim", "hint": "h"})));
    assert_eq!((read.model_version, secrets.len()), (7, 2));
    let error = old.update(&key("login", "a"), |_| Ok(())).await.expect_err("newer");
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(error.message().contains("login/a") && error.message().contains("version 7"), "{error}");

    let replaced = old.replace(Replace::of(&read, object(json!({"user": "lee"})))).await.expect("replaced");
    assert_eq!(replaced.model_version, 1);
    let after = stored(&context, "things", "login:a").await;
    assert_eq!((&after["typeMigrationVersion"], &after["login"]), (&json!("10.1.0"), &json!({"user": "lee"})));
}
