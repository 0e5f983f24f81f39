//! Objects of several model versions: older and newer software on one index.

use std::sync::Arc;

use libtest_mimic::Trial;
use saved_objects::cluster::Cluster;
use saved_objects::encryption::Secret;
use saved_objects::migrate::Outcome;
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
        newer_documents_of_an_unrecorded_version_are_projected_and_only_replaced,
        a_change_is_merged_into_a_newer_document,
        secrets_of_a_newer_document_are_kept_set_and_removed,
        a_newer_document_is_judged_by_what_the_change_breaks,
        what_a_newer_version_hides_is_not_shown,
    )
}

/// Returns two repositories of one index: of software that knows version 1 of `login`, and of software that knows
/// version 2.
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

async fn newer_documents_of_an_unrecorded_version_are_projected_and_only_replaced(context: Context) {
    let (old, _) = old_and_new(&context).await;
    login(&old).await;
    let mut source = stored(&context, "things", "login:a").await;
    source["typeMigrationVersion"] = json!("10.7.0");
    source["login"]["later"] = json!("unknown here");
    put(&context, "things", "login:a", source).await;

    let before = stored(&context, "things", "login:a").await;
    let read = old.get(&key("login", "a")).await.expect("projected");
    // Only the version decides which encrypted attributes are exposed.
    assert_eq!((read.model_version, &read.attributes), (7, &object(json!({"user": "kim"}))));
    assert_eq!(read.unopened.iter().map(|one| one.attribute.as_str()).collect::<Vec<_>>(), ["hint"]);
    let opened = old.get_with_secrets(&key("login", "a")).await.map(drop);
    let updated = old.update(&key("login", "a"), |_| Ok(())).await.map(drop);
    for error in [opened.expect_err("unrecorded"), updated.expect_err("unrecorded")] {
        assert_eq!(error.kind(), ErrorKind::Incompatible);
        assert!(error.message().contains("login/a") && error.message().contains("version 7"), "{error}");
    }
    assert_eq!(stored(&context, "things", "login:a").await, before, "nothing was written");

    let replaced = old.replace(Replace::of(&read, object(json!({"user": "lee"})))).await.expect("replaced");
    assert_eq!(replaced.model_version, 1);
    let after = stored(&context, "things", "login:a").await;
    assert_eq!((&after["typeMigrationVersion"], &after["login"]), (&json!("10.1.0"), &json!({"user": "lee"})));
}

/// Starts two nodes on an index that was migrated to version 2, with one object that the newer node wrote.
async fn old_beside_new(context: &Context) -> (Repository, Arc<dyn Cluster>, Repository) {
    let (new, _) = store_of(context, vec![types::login(2)], Start::Migrate).await;
    let (old, cluster) = store_of(context, vec![types::login(1)], Start::Migrate).await;
    assert_eq!(old.start_report().expect("migrated").outcome, Outcome::NothingToDo);
    let request = Create::new("login", object(json!({"user": "kim", "realm": "north"}))).id("a");
    let request = request.secret("password", Secret::text("SECRET")).secret("hint", Secret::text("h"));
    new.repository().create(request).await.expect("created");
    (old.repository().clone(), cluster, new.repository().clone())
}

async fn a_change_is_merged_into_a_newer_document(context: Context) {
    let (old, cluster, new) = old_beside_new(&context).await;
    let key = key("login", "a");
    let (read, secrets) = old.get_with_secrets(&key).await.expect("opens by what the index says");
    assert_eq!((read.model_version, secrets.get("password")), (2, Some(&Secret::text("SECRET"))));
    let requests = cluster.requests().total();
    old.get_with_secrets(&key).await.expect("opens");
    assert_eq!(cluster.requests().total(), requests + 1, "what the index says is remembered");

    let before = stored(&context, "things", "login:a").await;
    let set = |name: &'static str, value: &'static str| {
        move |draft: &mut Draft| {
            draft.attributes.insert(name.to_owned(), value.into());
            Ok(())
        }
    };
    let updated = old.update(&key, set("note", "n")).await.expect("merged");
    assert_eq!((updated.model_version, &updated.attributes["note"]), (2, &json!("n")));
    let after = stored(&context, "things", "login:a").await;
    for name in ["password", "hint", "realm"] {
        assert_eq!(after["login"][name], before["login"][name], "nothing that it is bound to changed");
    }
    assert_eq!(after["typeMigrationVersion"], "10.2.0");

    old.update(&key, set("user", "lee")).await.expect("merged, and encrypted again");
    assert_ne!(stored(&context, "things", "login:a").await["login"]["password"], before["login"]["password"]);
    let (read, secrets) = new.get_with_secrets(&key).await.expect("opens");
    assert_eq!(read.attributes, object(json!({"user": "lee", "realm": "north", "note": "n", "hint": "h"})));
    assert_eq!(secrets.get("password"), Some(&Secret::text("SECRET")));
}

async fn secrets_of_a_newer_document_are_kept_set_and_removed(context: Context) {
    let (old, _, new) = old_beside_new(&context).await;
    let key = key("login", "a");
    let change = |draft: &mut Draft| {
        draft.secret("password", SecretChange::Set(Secret::text("NEW")));
        Ok(())
    };
    old.update(&key, change).await.expect("set");
    let (read, secrets) = new.get_with_secrets(&key).await.expect("opens");
    assert_eq!((secrets.get("password"), secrets.get("hint")), (Some(&Secret::text("NEW")), Some(&Secret::text("h"))));
    assert_eq!((read.model_version, &read.attributes["realm"]), (2, &json!("north")));
    let remove = |draft: &mut Draft| {
        draft.attributes.remove("hint");
        draft.secret("password", SecretChange::Remove);
        Ok(())
    };
    old.update(&key, remove).await.expect("removed");
    let (read, secrets) = new.get_with_secrets(&key).await.expect("readable");
    assert_eq!((read.attributes, secrets.len()), (object(json!({"user": "kim", "realm": "north"})), 0));
    let replaced = old.replace(Replace::new(key.clone(), object(json!({"user": "lee"})))).await.expect("replaced");
    assert_eq!(replaced.model_version, 1, "a full replace writes what this software knows");
}

async fn a_newer_document_is_judged_by_what_the_change_breaks(context: Context) {
    let (old, _, new) = old_beside_new(&context).await;
    let key = key("login", "a");
    let before = stored(&context, "things", "login:a").await;
    let broken = |draft: &mut Draft| {
        draft.attributes.insert("user".to_owned(), json!(7));
        Ok(())
    };
    let error = old.update(&key, broken).await.expect_err("not a text");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("/user"), "{error}");
    let clear = |draft: &mut Draft| {
        draft.attributes.insert("password".to_owned(), json!("in the clear"));
        Ok(())
    };
    assert_eq!(kind(old.update(&key, clear).await), ErrorKind::Invalid);
    assert_eq!(stored(&context, "things", "login:a").await, before, "nothing was written");
    new.get_with_secrets(&key).await.expect("opens");
}

async fn what_a_newer_version_hides_is_not_shown(context: Context) {
    let (new, _) = store_of(&context, vec![types::login_that_hides(2)], Start::Migrate).await;
    let (old, _) = store_of(&context, vec![types::login_that_hides(1)], Start::Skip).await;
    let (new, old) = (new.repository().clone(), old.repository().clone());
    let request = Create::new("login", object(json!({"user": "kim"}))).id("a");
    let request = request.secret("password", Secret::text("SECRET")).secret("hint", Secret::text("h"));
    new.create(request).await.expect("created");
    let key = key("login", "a");
    let shown = object(json!({"user": "kim"}));
    let read = old.get(&key).await.expect("readable");
    assert_eq!((read.model_version, &read.attributes, read.unopened.len()), (2, &shown, 0));
    refresh(&context).await;
    assert_eq!(old.find(&["login"], Find::new()).await.expect("found").objects, [read]);
    let (_, secrets) = old.get_with_secrets(&key).await.expect("opens");
    assert_eq!(secrets.get("hint"), Some(&Secret::text("h")), "who may read secrets reads it");

    let note = |draft: &mut Draft| {
        draft.attributes.insert("note".to_owned(), json!("n"));
        Ok(())
    };
    let updated = old.update(&key, note).await.expect("merged");
    assert_eq!(updated.attributes, object(json!({"user": "kim", "note": "n"})));
    let (_, secrets) = new.get_with_secrets(&key).await.expect("opens");
    assert_eq!(secrets.get("hint"), Some(&Secret::text("h")), "it is kept");
}
