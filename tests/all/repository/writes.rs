//! Create, update, replace and delete of one object.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use libtest_mimic::Trial;
use saved_objects::cluster::{AliasAction, Cluster};
use saved_objects::document::Reference;
use saved_objects::encryption::Secret;
use saved_objects::repository::{Create, Delete, Replace, Update};
use saved_objects::{ErrorKind, Start};
use serde_json::json;

use super::{copy_things, key, kind, note, object, put, repository, store_of, store_on, stored, types};
use crate::context::Context;
use crate::faults::disturbed::{Call, Disturbed, Disturber, Fate};
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        an_object_lives_from_create_to_delete,
        a_patch_is_merged,
        writes_record_their_actor,
        attributes_are_anything_that_serializes_to_an_object,
        what_the_type_does_not_take_is_not_written,
        overwriting_keeps_where_the_object_came_from,
        a_version_that_is_known_needs_one_request,
        a_stale_version_is_a_conflict,
        concurrent_updates_lose_nothing,
        unknown_root_fields_stay,
        identity_attributes_do_not_change,
        hidden_types_are_reached_by_name_only,
        a_write_block_is_told_as_such,
        writes_follow_the_group_to_its_next_generation,
        a_closed_gate_is_told_by_one_look,
        a_write_goes_through_a_gate_that_is_open_again,
        without_an_index_the_error_names_the_migration,
        corrupt_objects_are_told_apart,
    )
}

async fn a_patch_is_merged(context: Context) {
    let repository = repository(&context).await;
    let stored = json!({"title": "one", "count": 1, "owner": {"name": "kim"}});
    let created = repository.create(note("n", stored)).await.expect("created");
    let patch = object(json!({"count": null, "title": "two", "owner": {"team": "ops"}}));
    let patched = repository.patch(&key("note", "n"), &patch).await.expect("patched");
    assert_eq!(patched.attributes, object(json!({"title": "two", "owner": {"name": "kim", "team": "ops"}})));
    // A null removes a secret as well, and no value is taken for one.
    let of_note = key("note", "n");
    let with_secret = Create::new("board", json!({"title": "one"})).id("s").secret("secret", Secret::text("hunter2"));
    repository.create(with_secret).await.expect("created");
    let of_secret = key("board", "s");
    let in_clear = repository.patch(&of_secret, &object(json!({"secret": "x"}))).await;
    assert_eq!(kind(in_clear), ErrorKind::Invalid);
    repository.patch(&of_secret, &object(json!({"secret": null}))).await.expect("patched");
    assert!(repository.get_with_secrets(&of_secret).await.expect("read").1.is_empty());
    let at_first = Update::new(of_note).version(created.version);
    assert_eq!(kind(repository.patch(at_first, &patch).await), ErrorKind::Conflict);
    assert_eq!(kind(repository.patch(&key("note", "n"), &object(json!({"title": 1}))).await), ErrorKind::Invalid);
    assert_eq!(kind(repository.patch(&key("note", "gone"), &patch).await), ErrorKind::NotFound);
}

async fn writes_record_their_actor(context: Context) {
    let repository = repository(&context).await;
    assert_eq!(kind(repository.acting_as(" ")), ErrorKind::Invalid);
    let [kim, lee] = ["u_kim_0", "u_lee_0"].map(|actor| repository.acting_as(actor).expect("an actor"));
    let by = |created: &str, updated: Option<&str>| (Some(created.to_owned()), updated.map(str::to_owned));
    let created = kim.create(note("n", json!({"title": "one"}))).await.expect("created");
    assert_eq!((created.created_by, created.updated_by), by("u_kim_0", Some("u_kim_0")));
    let key = key("note", "n");
    let patch = object(json!({"title": "two"}));
    let patched = lee.patch(&key, &patch).await.expect("patched");
    assert_eq!((patched.created_by.clone(), patched.updated_by.clone()), by("u_kim_0", Some("u_lee_0")));
    let replaced = kim.replace(Replace::of(&patched, patch.clone())).await.expect("replaced");
    assert_eq!((replaced.created_by, replaced.updated_by), by("u_kim_0", Some("u_kim_0")));
    let overwritten = lee.create(note("n", json!({"title": "three"})).overwrite()).await.expect("overwritten");
    assert_eq!((overwritten.created_by, overwritten.updated_by), by("u_kim_0", Some("u_lee_0")));
    let source = stored(&context, "things", "note:n").await;
    assert_eq!((&source["created_by"], &source["updated_by"]), (&json!("u_kim_0"), &json!("u_lee_0")));
    let unknown = repository.patch(&key, &patch).await.expect("patched");
    assert_eq!((unknown.created_by, unknown.updated_by), by("u_kim_0", None));
}

async fn attributes_are_anything_that_serializes_to_an_object(context: Context) {
    #[derive(serde::Serialize)]
    struct Titled {
        title: &'static str,
    }
    let repository = repository(&context).await;
    let created = repository.create(Create::new("note", Titled { title: "one" })).await.expect("created");
    assert_eq!(created.attributes, object(json!({"title": "one"})));
    for request in [Create::new("note", json!(["one"])), Create::new("note", f64::NAN)] {
        let error = repository.create(request).await.expect_err("no object");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains("the attributes are not an object"), "{error}");
    }
}

async fn an_object_lives_from_create_to_delete(context: Context) {
    let repository = repository(&context).await;
    let references = vec![Reference { name: "r".into(), type_name: "page".into(), id: "p1".into() }];
    let request = note("n 1:é", json!({"title": "one"})).references(references.clone()).origin_id("before");
    let created = repository.create(request).await.expect("created");
    assert_eq!((created.id.as_str(), created.model_version, created.managed), ("n 1:é", 1, false));
    assert_eq!(created.created_at, created.updated_at);
    assert_eq!(created.namespaces, Vec::<String>::new());

    let key = key("note", "n 1:é");
    let read = repository.get(&key).await.expect("there");
    assert_eq!(read, created);

    let change = |draft: &mut saved_objects::repository::Draft| {
        draft.attributes.insert("count".into(), 3.into());
        draft.references.clear();
        Ok(())
    };
    let updated = repository.update(&key, change).await.expect("updated");
    assert_eq!(updated.attributes, object(json!({"title": "one", "count": 3})));
    assert_eq!((&updated.created_at, &updated.origin_id), (&created.created_at, &created.origin_id));
    assert_ne!(updated.version, created.version);

    let replaced = repository.replace(Replace::new(&key, object(json!({"title": "two"})))).await.expect("replaced");
    assert_eq!(replaced.attributes, object(json!({"title": "two"})));
    assert_eq!((&replaced.created_at, &replaced.origin_id), (&created.created_at, &created.origin_id));
    assert_eq!(repository.get(&key).await.expect("there"), replaced);

    repository.delete(&key).await.expect("deleted");
    assert_eq!(repository.get_opt(&key).await.expect("answered"), None);
    let error = repository.get(&key).await.expect_err("gone");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("note/n 1:é"), "{error}");
    assert_eq!(kind(repository.update(&key, |_| Ok(())).await), ErrorKind::NotFound);
    assert_eq!(kind(repository.replace(Replace::new(&key, object(json!({"title": "t"})))).await), ErrorKind::NotFound);
    assert_eq!(kind(repository.delete(&key).await), ErrorKind::NotFound);
}

async fn what_the_type_does_not_take_is_not_written(context: Context) {
    let repository = repository(&context).await;
    let long = "x".repeat(600);
    let table = [
        (note("a", json!({"title": "t", "count": -1})), "/count does not satisfy `minimum`"),
        (note("a", json!({"count": -1})), "/ lacks the required \"title\""),
        (note("a", json!({"title": "t", "other": 1})), "does not know: other"),
        (note(&long, json!({"title": "t"})), "too long"),
        (note("a/b", json!({"title": "t"})), "contains `/`"),
        (note("", json!({"title": "t"})), "is empty"),
        (Create::new("login", object(json!({"user": "u", "password": "SECRET"}))).id("a"), "given in the clear"),
        (
            Create::new("login", object(json!({"user": "u"})))
                .secret("note", saved_objects::encryption::Secret::text("SECRET")),
            "is not an encrypted one",
        ),
        (Create::new("nothing", object(json!({}))), "\"nothing\" is not available"),
        (Create::new("vault", object(json!({}))), "\"vault\" is not available"),
    ];
    for (request, expected) in table {
        let error = repository.create(request).await.expect_err(expected);
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains(expected) && error.hint().is_some(), "{error}");
        assert!(!format!("{error:?}").contains("SECRET"), "{error:?}");
    }
    assert_eq!(repository.get_opt(&key("note", "a")).await.expect("answered"), None);
    assert_eq!(repository.get_opt(&key("login", "a")).await.expect("answered"), None);

    repository.create(note("b", json!({"title": "t"}))).await.expect("created");
    let update = repository.update(key("note", "b"), |draft| {
        draft.attributes.remove("title");
        Ok(())
    });
    assert_eq!(kind(update.await), ErrorKind::Invalid);
    let mapping = repository.update(key("note", "b"), |draft| {
        draft.attributes.insert("at".into(), "no date".into());
        Ok(())
    });
    let error = mapping.await.expect_err("the mapping says `date`");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(repository.get(&key("note", "b")).await.expect("there").attributes, object(json!({"title": "t"})));
}

async fn overwriting_keeps_where_the_object_came_from(context: Context) {
    let repository = repository(&context).await;
    let first = repository.create(note("a", json!({"title": "one"})).origin_id("x")).await.expect("created");
    let again = repository.create(note("a", json!({"title": "two"}))).await;
    assert_eq!(kind(again), ErrorKind::Conflict);
    let second = repository.create(note("a", json!({"title": "two"})).overwrite()).await.expect("overwritten");
    assert_eq!((&second.created_at, &second.origin_id), (&first.created_at, &first.origin_id));
    assert_eq!(repository.get(&key("note", "a")).await.expect("there"), second);
    repository.create(note("b", json!({"title": "new"})).overwrite()).await.expect("created");
}

async fn a_version_that_is_known_needs_one_request(context: Context) {
    let (store, cluster) = store_of(&context, types::all(), Start::Migrate).await;
    let repository = store.repository();
    let created = repository.create(note("a", json!({"title": "one"}))).await.expect("created");
    let mut before = cluster.requests().total();
    let mut requests = || {
        let now = cluster.requests().total();
        now - std::mem::replace(&mut before, now)
    };
    repository.get(&key("note", "a")).await.expect("there");
    assert_eq!(requests(), 1, "a read");
    let replaced = repository.replace(Replace::of(&created, object(json!({"title": "two"})))).await.expect("replaced");
    assert_eq!(requests(), 1, "a replacement of what was read");
    repository.create(note("b", json!({"title": "one"}))).await.expect("created");
    assert_eq!(requests(), 1, "a creation");
    repository.update(&key("note", "b"), |_| Ok(())).await.expect("updated");
    assert_eq!(requests(), 2, "an update");
    repository.delete(Delete::of(&replaced)).await.expect("deleted");
    assert_eq!(requests(), 1, "a deletion of what was read");
}

async fn a_stale_version_is_a_conflict(context: Context) {
    let repository = repository(&context).await;
    let stale = repository.create(note("a", json!({"title": "one"}))).await.expect("created");
    let current = repository.update(&key("note", "a"), |_| Ok(())).await.expect("updated");
    let (attributes, key) = (object(json!({"title": "two"})), key("note", "a"));
    let new_with_version = Replace::new(&key, attributes.clone()).version(stale.version);
    assert_eq!(kind(repository.replace(Replace::of(&stale, attributes.clone())).await), ErrorKind::Conflict);
    assert_eq!(kind(repository.replace(new_with_version).await), ErrorKind::Conflict);
    assert_eq!(
        kind(repository.update(Update::new(&key).version(stale.version), |_| Ok(())).await),
        ErrorKind::Conflict
    );
    assert_eq!(kind(repository.delete(Delete::of(&stale)).await), ErrorKind::Conflict);
    assert_eq!(repository.get(&key).await.expect("there"), current);

    let other_generation: saved_objects::document::VersionToken = {
        let text = String::from_utf8(base64_of(&current.version)).expect("JSON");
        base64_token(&text.replace(",1]", ",2]"))
    };
    let forged = Delete::new(&key).version(other_generation);
    assert_eq!(kind(repository.delete(forged).await), ErrorKind::Conflict);
    repository.delete(Delete::of(&current)).await.expect("deleted");
    assert_eq!(kind(repository.replace(Replace::of(&current, attributes)).await), ErrorKind::Conflict);
}

fn base64_of(version: &saved_objects::document::VersionToken) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(version.to_string()).expect("base64")
}

fn base64_token(text: &str) -> saved_objects::document::VersionToken {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text).parse().expect("a token")
}

async fn concurrent_updates_lose_nothing(context: Context) {
    let repository = repository(&context).await;
    repository.create(note("a", json!({"title": "t", "count": 0}))).await.expect("created");
    let increment = |repository: saved_objects::Repository| async move {
        for _ in 0..5 {
            let change = |draft: &mut saved_objects::repository::Draft| {
                let count = draft.attributes["count"].as_u64().expect("a number");
                draft.attributes.insert("count".into(), (count + 1).into());
                Ok(())
            };
            repository.update(&key("note", "a"), change).await.expect("updated");
        }
    };
    let writers: Vec<_> = (0..4).map(|_| tokio::spawn(increment(repository.clone()))).collect();
    for writer in writers {
        writer.await.expect("no writer fails");
    }
    assert_eq!(repository.get(&key("note", "a")).await.expect("there").attributes["count"], 20);
}

async fn unknown_root_fields_stay(context: Context) {
    let repository = repository(&context).await;
    let source = json!({"type": "note", "note": {"title": "t"}, "references": [], "typeMigrationVersion": "10.1.0",
        "created_by": "u1", "updated_by": "u2", "accessControl": {"owner": "u1"}, "coreMigrationVersion": "8.8.0"});
    put(&context, "things", "note:a", source).await;
    let read = repository.get(&key("note", "a")).await.expect("there");
    assert_eq!(read.updated_by.as_deref(), Some("u2"));
    repository.update(&key("note", "a"), |_| Ok(())).await.expect("updated");
    let object_read = repository.get(&key("note", "a")).await.expect("there");
    repository.replace(Replace::of(&object_read, object(json!({"title": "u"})))).await.expect("replaced");
    let stored = stored(&context, "things", "note:a").await;
    assert_eq!(stored["accessControl"]["owner"], "u1");
    assert_eq!((&stored["created_by"], &stored["coreMigrationVersion"]), (&json!("u1"), &json!("8.8.0")));
    assert_eq!(stored.get("updated_by"), None, "nobody knows who it was");
}

async fn identity_attributes_do_not_change(context: Context) {
    let repository = repository(&context).await;
    let request = Create::new("badge", object(json!({"number": "7", "color": "red"}))).id("b7");
    let created = repository.create(request.clone()).await.expect("created");
    let other = object(json!({"number": "8"}));
    let update = repository.update(created.key(), |draft| {
        draft.attributes.clone_from(&other);
        Ok(())
    });
    let overwrite = Create::new("badge", other.clone()).id("b7").overwrite();
    for error in [
        update.await.expect_err("changed"),
        repository.replace(Replace::of(&created, other.clone())).await.expect_err("changed"),
        repository.replace(Replace::new(created.key(), other.clone())).await.expect_err("changed"),
        repository.create(overwrite).await.expect_err("changed"),
    ] {
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains("number"), "{error}");
    }
    repository.create(request.overwrite()).await.expect("the same identity");
}

async fn hidden_types_are_reached_by_name_only(context: Context) {
    let repository = repository(&context).await;
    assert_eq!(kind(repository.get(&key("vault", "a")).await), ErrorKind::Invalid);
    assert_eq!(kind(repository.find(&["note", "vault"], Default::default()).await), ErrorKind::Invalid);
    assert_eq!(kind(repository.including(&["nothing"])), ErrorKind::Invalid);
    let including = repository.including(&["vault"]).expect("registered");
    assert_eq!(kind(including.get(&key("vault", "a")).await), ErrorKind::NotFound);
    let chosen = Create::new("vault", object(json!({}))).id("a");
    assert_eq!(kind(including.create(chosen).await), ErrorKind::Invalid, "no random id");
    let random = including.create(Create::new("vault", object(json!({})))).await.expect("created");
    assert_eq!(including.get(&random.key()).await.expect("there"), random);
    assert_eq!(kind(repository.get(&random.key()).await), ErrorKind::Invalid);
}

async fn a_write_block_is_told_as_such(context: Context) {
    let repository = repository(&context).await;
    context.cluster().add_write_block(&context.index("things")).await.expect("blocked");
    let error = repository.create(note("a", json!({"title": "t"}))).await.expect_err("blocked");
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
}

async fn writes_follow_the_group_to_its_next_generation(context: Context) {
    let repository = repository(&context).await;
    let old = repository.create(note("a", json!({"title": "one"}))).await.expect("created");
    copy_things(&context).await;

    let late = repository.replace(Replace::of(&old, object(json!({"title": "late"})))).await;
    assert_eq!(kind(late), ErrorKind::Conflict, "the numbers match, the generation does not");
    repository.create(note("b", json!({"title": "two"}))).await.expect("created in the new generation");
    repository.update(&key("note", "a"), |_| Ok(())).await.expect("updated in the new generation");
    let deleted = repository.delete(Delete::of(&old)).await;
    assert_eq!(kind(deleted), ErrorKind::Conflict);
}

async fn without_an_index_the_error_names_the_migration(context: Context) {
    let (store, _) = store_of(&context, types::all(), Start::Skip).await;
    let repository = store.repository();
    for error in [
        repository.get_opt(&key("note", "a")).await.expect_err("no index"),
        repository.create(note("a", json!({"title": "t"}))).await.expect_err("no index"),
        repository.find(&["note"], Default::default()).await.expect_err("no index"),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.hint().is_some_and(|hint| hint.contains("saved-objects migrate")), "{error}");
    }
}

async fn corrupt_objects_are_told_apart(context: Context) {
    let repository = repository(&context).await;
    put(&context, "things", "note:a", json!({"type": "note"})).await;
    let error = repository.get(&key("note", "a")).await.expect_err("corrupt");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("note/a"), "{error}");
    put(&context, "things", "note:b", json!({"type": "note", "note": {}, "typeMigrationVersion": "latest"})).await;
    assert_eq!(kind(repository.get(&key("note", "b")).await), ErrorKind::Corrupt);
}

/// Closes the gate of the first generation before the first bulk, and opens it again before the next look at the index.
#[derive(Debug)]
struct ClosesForAMoment {
    cluster: Arc<dyn Cluster>,
    close: [AliasAction; 1],
    open: Option<[AliasAction; 1]>,
    /// The requests from the first bulk on.
    asked: Mutex<Vec<&'static str>>,
}

impl ClosesForAMoment {
    fn of(context: &Context, opens_again: bool) -> Arc<Self> {
        let names = context.prefix.group("things");
        let (index, alias) = (names.index(1), names.write_alias(1));
        let open = [AliasAction::Add { index: index.clone(), alias: alias.clone() }];
        let close = [AliasAction::Remove { index, alias }];
        Arc::new(Self { cluster: context.cluster(), close, open: opens_again.then_some(open), asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<&'static str> {
        self.asked.lock().expect("no test panics with the lock").clone()
    }
}

#[async_trait]
impl Disturber for ClosesForAMoment {
    async fn fate(&self, call: &Call) -> Fate {
        let before = self.asked();
        if before.is_empty() && call.method == "bulk" {
            self.cluster.update_aliases(&self.close).await.expect("closed");
        } else if let ([_], "indices", Some(open)) = (before.as_slice(), call.method, &self.open) {
            self.cluster.update_aliases(open).await.expect("opened");
        }
        if call.method == "bulk" || !before.is_empty() {
            self.asked.lock().expect("no test panics with the lock").push(call.method);
        }
        Fate::Done
    }
}

async fn a_closed_gate_is_told_by_one_look(context: Context) {
    repository(&context).await;
    let closes = ClosesForAMoment::of(&context, false);
    let cluster = Arc::new(Disturbed::new(context.cluster(), closes.clone()));
    let repository = store_on(&context, cluster, types::all(), Start::Skip).await.repository().clone();
    let error = repository.create(note("a", json!({"title": "t"}))).await.expect_err("it is closed");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("which writes go through, is missing"), "{error}");
    assert_eq!(closes.asked(), ["bulk", "indices"]);

    let (index, alias) = (context.index("things"), format!("{}-copying-0123", context.index("things")));
    context.cluster().update_aliases(&[AliasAction::Add { index, alias }]).await.expect("marked");
    let error = repository.create(note("a", json!({"title": "t"}))).await.expect_err("it is closed");
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
}

async fn a_write_goes_through_a_gate_that_is_open_again(context: Context) {
    let before = repository(&context).await;
    before.create(note("b", json!({"title": "t"}))).await.expect("created");
    for is_creation in [true, false] {
        let closes = ClosesForAMoment::of(&context, true);
        let cluster = Arc::new(Disturbed::new(context.cluster(), closes.clone()));
        let repository = store_on(&context, cluster, types::all(), Start::Skip).await.repository().clone();
        let written = match is_creation {
            true => repository.create(note("a", json!({"title": "t"}))).await,
            false => repository.replace(Replace::new(key("note", "b"), object(json!({"title": "new"})))).await,
        };
        let written = written.expect("nothing is in its way any more");
        assert_eq!(before.get(&key("note", &written.id)).await.expect("there"), written);
        assert_eq!(closes.asked(), ["bulk", "indices", "bulk"]);
    }
}
