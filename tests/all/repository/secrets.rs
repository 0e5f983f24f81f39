//! Secrets of objects: stored sealed, returned only when requested, and refused if they were moved or damaged.

use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::encryption::Secret;
use saved_objects::repository::{Create, Draft, Find, Replace, Repository, SecretChange};
use serde_json::{Value, json};

use super::{key, kind, object, put, repository, stored};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        secrets_are_stored_as_envelopes_and_read_only_when_asked_for,
        a_change_that_touches_no_bound_attribute_keeps_the_ciphertexts,
        a_change_of_a_bound_attribute_seals_again,
        secrets_are_set_and_removed_one_by_one,
        exposed_attributes_are_changed_like_others,
        secrets_that_do_not_open_are_never_written_over_by_accident,
        an_exposed_attribute_that_does_not_open_is_left_out,
    )
}

async fn login(repository: &Repository) {
    let request = Create::new("login", object(json!({"user": "kim", "note": "n"}))).id("a");
    let request = request.secret("password", Secret::text("SECRET")).secret("hint", Secret::text("a hint"));
    repository.create(request).await.expect("created");
}

async fn password(repository: &Repository) -> Option<Secret> {
    let (_, mut secrets) = repository.get_with_secrets(&key("login", "a")).await.expect("opens");
    secrets.remove("password")
}

async fn envelopes(context: &Context) -> (Value, Value) {
    let mut source = stored(context, "things", "login:a").await;
    (source["login"]["password"].take(), source["login"]["hint"].take())
}

/// Copies the password's envelope to where it does not belong.
async fn spoil(context: &Context, repository: &Repository) {
    let other = Create::new("login", object(json!({"user": "kim"}))).id("other");
    repository.create(other.secret("password", Secret::text("x"))).await.expect("created");
    let foreign = stored(context, "things", "login:other").await["login"]["password"].take();
    let mut source = stored(context, "things", "login:a").await;
    source["login"]["password"] = foreign;
    put(context, "things", "login:a", source).await;
}

async fn secrets_are_stored_as_envelopes_and_read_only_when_asked_for(context: Context) {
    let repository = repository(&context).await;
    login(&repository).await;
    let source = stored(&context, "things", "login:a").await;
    assert!(source["login"]["password"].as_str().expect("a text").starts_with("U09FA"), "{source}");
    assert!(!source.to_string().contains("SECRET") && !source.to_string().contains("a hint"));

    let read = repository.get(&key("login", "a")).await.expect("there");
    assert_eq!(read.attributes, object(json!({"user": "kim", "note": "n", "hint": "a hint"})));
    let (again, secrets) = repository.get_with_secrets(&key("login", "a")).await.expect("opens");
    assert_eq!(again, read);
    assert_eq!(secrets.get("password"), Some(&Secret::text("SECRET")));
    assert_eq!(repository.get_with_secrets_opt(&key("login", "b")).await.expect("answered"), None);
}

async fn a_change_that_touches_no_bound_attribute_keeps_the_ciphertexts(context: Context) {
    let repository = repository(&context).await;
    login(&repository).await;
    let before = envelopes(&context).await;
    let change = |draft: &mut Draft| {
        draft.attributes.insert("note".into(), "other".into());
        draft.secret("hint", SecretChange::Keep);
        Ok(())
    };
    repository.update(&key("login", "a"), change).await.expect("updated");
    assert_eq!(envelopes(&context).await, before);

    // Even a secret that cannot be decrypted does not block the update.
    spoil(&context, &repository).await;
    repository.update(&key("login", "a"), change).await.expect("updated");
}

async fn a_change_of_a_bound_attribute_seals_again(context: Context) {
    let repository = repository(&context).await;
    login(&repository).await;
    let before = envelopes(&context).await;
    let change = |draft: &mut Draft| {
        draft.attributes.insert("user".into(), "lee".into());
        Ok(())
    };
    let updated = repository.update(&key("login", "a"), change).await.expect("updated");
    assert_eq!(updated.attributes["hint"], "a hint");
    let after = envelopes(&context).await;
    assert!(after.0 != before.0 && after.1 != before.1);
    assert_eq!(password(&repository).await, Some(Secret::text("SECRET")));
}

async fn secrets_are_set_and_removed_one_by_one(context: Context) {
    let repository = repository(&context).await;
    login(&repository).await;
    let before = envelopes(&context).await;
    let set = |draft: &mut Draft| {
        draft.secret("password", SecretChange::Set(Secret::text("NEW")));
        Ok(())
    };
    repository.update(&key("login", "a"), set).await.expect("updated");
    let after = envelopes(&context).await;
    assert!(after.0 != before.0 && after.1 == before.1);
    assert_eq!(password(&repository).await, Some(Secret::text("NEW")));

    let remove = |draft: &mut Draft| {
        draft.secret("password", SecretChange::Remove);
        Ok(())
    };
    repository.update(&key("login", "a"), remove).await.expect("updated");
    assert_eq!(password(&repository).await, None);
    let in_the_clear = repository.update(key("login", "a"), |draft| {
        draft.attributes.insert("password".into(), "SECRET".into());
        Ok(())
    });
    assert_eq!(kind(in_the_clear.await), ErrorKind::Invalid);

    let replace = Replace::new(key("login", "a"), object(json!({"user": "lee"})));
    let replaced = repository.replace(replace.secret("password", Secret::text("P"))).await.expect("replaced");
    assert_eq!(replaced.attributes, object(json!({"user": "lee"})), "the hint is gone");
    assert_eq!(password(&repository).await, Some(Secret::text("P")));
}

async fn exposed_attributes_are_changed_like_others(context: Context) {
    let repository = repository(&context).await;
    login(&repository).await;
    let change = |draft: &mut Draft| {
        draft.attributes.insert("hint".into(), "another".into());
        Ok(())
    };
    let updated = repository.update(&key("login", "a"), change).await.expect("updated");
    assert_eq!(updated.attributes["hint"], "another");
    let replace = Replace::of(&updated, object(json!({"user": "kim", "hint": "a third"})));
    assert_eq!(repository.replace(replace).await.expect("replaced").attributes["hint"], "a third");
    assert!(envelopes(&context).await.1.as_str().expect("a text").starts_with("U09FA"));
    let remove = |draft: &mut Draft| {
        draft.attributes.remove("hint");
        Ok(())
    };
    repository.update(&key("login", "a"), remove).await.expect("updated");
    assert_eq!(envelopes(&context).await.1, Value::Null);
}

async fn secrets_that_do_not_open_are_never_written_over_by_accident(context: Context) {
    let repository = repository(&context).await;
    login(&repository).await;
    spoil(&context, &repository).await;
    let before = stored(&context, "things", "login:a").await;
    assert_eq!(kind(repository.get_with_secrets(&key("login", "a")).await), ErrorKind::Decrypt);
    let rename = |draft: &mut Draft| {
        draft.attributes.insert("user".into(), "lee".into());
        Ok(())
    };
    assert_eq!(kind(repository.update(&key("login", "a"), rename).await), ErrorKind::Decrypt);
    assert_eq!(stored(&context, "things", "login:a").await, before);

    let mend = |draft: &mut Draft| {
        rename(draft)?;
        draft.secret("password", SecretChange::Set(Secret::text("NEW")));
        Ok(())
    };
    repository.update(&key("login", "a"), mend).await.expect("the change gives what does not open");
    assert_eq!(password(&repository).await, Some(Secret::text("NEW")));
}

async fn an_exposed_attribute_that_does_not_open_is_left_out(context: Context) {
    let repository = repository(&context).await;
    login(&repository).await;
    let mut source = stored(&context, "things", "login:a").await;
    source["login"]["hint"] = source["login"]["password"].clone();
    put(&context, "things", "login:a", source).await;
    let found = repository.find(&["login"], Find::new()).await.expect("found");
    for read in [repository.get(&key("login", "a")).await.expect("there"), found.objects[0].clone()] {
        assert_eq!(read.attributes, object(json!({"user": "kim", "note": "n"})));
        assert_eq!(read.unopened[0].attribute, "hint");
    }
    let change = |draft: &mut Draft| {
        draft.attributes.insert("note".into(), "other".into());
        Ok(())
    };
    let before = envelopes(&context).await;
    repository.update(&key("login", "a"), change).await.expect("updated");
    assert_eq!(envelopes(&context).await, before);
}
