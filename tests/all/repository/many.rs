//! Calls on many objects: each object has its own answer.

use std::sync::Arc;

use async_trait::async_trait;
use libtest_mimic::Trial;
use saved_objects::cluster::Elastic;
use saved_objects::document::Namespace;
use saved_objects::encryption::Secret;
use saved_objects::environment::{Environment, SystemRng};
use saved_objects::registry::Registry;
use saved_objects::repository::{
    Action, Authorization, Create, Delete, Draft, ObjectKey, RecordingAudit, Repository, Update,
};
use saved_objects::{ErrorKind, Result, SavedObjects, Start};
use serde_json::json;

use super::{copy_things, key, kind, note, object, put, repository, store_of, stored, types};
use crate::clock::ImpatientClock;
use crate::context::{Context, MEMORY};
use crate::named_trials;
use crate::proxy::{Fault, Proxy, Seen};

pub(super) fn trials(url: &str) -> Vec<Trial> {
    let mut trials = on_any_cluster(url);
    if url != MEMORY {
        trials.extend(named_trials!(url, too_many_for_one_answer_are_asked_for_in_parts));
    }
    trials
}

fn on_any_cluster(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        one_bad_item_fails_no_other,
        each_object_is_named_once,
        a_stale_version_fails_its_own_item,
        many_objects_take_few_requests,
        concurrent_calls_on_many_lose_nothing,
        many_secrets_are_sealed_and_kept,
        namespaces_are_kept_apart_in_calls_on_many,
        rules_and_audit_are_asked_for_each_item,
        calls_on_many_follow_the_group_to_its_next_generation,
        a_write_block_and_a_missing_index_fail_every_item,
        what_no_index_takes_is_refused_before_it_is_sent,
        a_document_above_the_servers_limit_fails_alone,
        what_is_upserted_is_created_or_changed,
        concurrent_upserts_count_every_one,
    )
}

/// Returns the outcome of each item: `ok`, or the kind of the error.
fn outcomes<T>(answers: &[Result<T>]) -> Vec<String> {
    answers.iter().map(|answer| answer.as_ref().map_or_else(|e| format!("{:?}", e.kind()), |_| "ok".into())).collect()
}

fn keys(ids: &[&str]) -> Vec<ObjectKey> {
    ids.iter().map(|id| key("note", id)).collect()
}

fn count(draft: &mut Draft) -> Result<()> {
    let count = draft.attributes.get("count").and_then(|count| count.as_u64()).unwrap_or_default();
    draft.attributes.insert("count".into(), (count + 1).into());
    Ok(())
}

async fn one_bad_item_fails_no_other(context: Context) {
    let repository = repository(&context).await;
    repository.create(note("there", json!({"title": "before"}))).await.expect("created");
    let long = "x".repeat(600);
    let requests = [
        note("a", json!({"title": "a"})),
        note("wrong", json!({"count": -1})),
        note("there", json!({"title": "t"})),
        note(&long, json!({"title": "t"})),
        note("", json!({"title": "t"})),
        note("date", json!({"title": "t", "at": "no date"})),
        Create::new("nothing", object(json!({}))),
        Create::new("vault", object(json!({}))),
        Create::new("login", object(json!({"user": "u", "password": "SECRET"}))),
        note("there", json!({"title": "after"})).overwrite(),
        note("b", json!({"title": "b"})).overwrite(),
        Create::new("note", object(json!({"title": "random"}))),
        Create::new("badge", object(json!({"number": "7"}))).id("b7"),
    ];
    let created = repository.create_many(requests).await;
    let invalid = "Invalid";
    let expected =
        ["ok", invalid, "Conflict", invalid, invalid, invalid, invalid, invalid, invalid, invalid, "ok", "ok", "ok"];
    assert_eq!(outcomes(&created), expected, "{created:#?}");
    for answer in &created {
        assert!(!format!("{answer:?}").contains("SECRET"), "{answer:?}");
        assert!(answer.as_ref().err().is_none_or(|error| error.hint().is_some()), "{answer:?}");
    }
    for object in created.iter().flatten() {
        assert_eq!(&repository.get(&object.key()).await.expect("there"), object);
    }
    assert_eq!(repository.get(&key("note", "there")).await.expect("there").attributes["title"], "before");

    put(&context, "things", "note:corrupt", json!({"type": "note"})).await;
    let asked = keys(&["b", "missing", "corrupt", "a/b", "a", "a"]);
    let read = repository.get_many(&asked).await;
    assert_eq!(outcomes(&read), ["ok", "NotFound", "Corrupt", invalid, "ok", "ok"]);
    assert_eq!(read[0].as_ref().ok(), created[10].as_ref().ok());
    assert_eq!(read[4].as_ref().ok(), created[0].as_ref().ok());

    let refusing = |key: &ObjectKey, draft: &mut Draft| {
        draft.attributes.insert("text".into(), "new".into());
        match key.id.as_str() {
            "there" => Err(saved_objects::Error::invalid("not this one", "choose another")),
            "b" => {
                draft.attributes.remove("title");
                Ok(())
            }
            _ => Ok(()),
        }
    };
    let updated = repository.update_many(keys(&["missing", "a", "there", "b", "corrupt"]), refusing).await;
    assert_eq!(outcomes(&updated), ["NotFound", "ok", invalid, invalid, "Corrupt"]);
    let after = repository.get_many(&keys(&["a", "there", "b"])).await;
    let texts: Vec<_> = after.iter().flatten().map(|object| object.attributes.get("text").cloned()).collect();
    assert_eq!(texts, [Some("new".into()), None, None]);

    let deleted = repository.delete_many(keys(&["a", "missing", "b", "a/b"])).await;
    assert_eq!(outcomes(&deleted), ["ok", "NotFound", "ok", invalid]);
    assert_eq!(outcomes(&repository.get_many(&keys(&["a", "b", "there"])).await), ["NotFound", "NotFound", "ok"]);
    assert!(repository.create_many([]).await.is_empty() && repository.get_many([]).await.is_empty());
}

async fn each_object_is_named_once(context: Context) {
    let repository = repository(&context).await;
    let twice = [note("a", json!({"title": "1"})), note("a", json!({"title": "2"})).overwrite()];
    let created = repository.create_many(twice).await;
    assert_eq!(outcomes(&created), ["ok", "Invalid"]);
    let error = created[1].as_ref().expect_err("named twice");
    assert!(error.message().contains("named twice"), "{error}");
    let page = |id: &str, name: &str| Create::new("page", object(json!({}))).id(id).namespace(namespace(name));
    let same_stored_id = [page("x", "page"), page("page:x", "default")];
    assert_eq!(outcomes(&repository.create_many(same_stored_id).await), ["ok", "Invalid"]);
    let updated = repository.update_many(keys(&["a", "a"]), |_, draft| count(draft)).await;
    assert_eq!(outcomes(&updated), ["ok", "Invalid"]);
    assert_eq!(repository.get(&key("note", "a")).await.expect("there").attributes["count"], 1);
    assert_eq!(outcomes(&repository.delete_many(keys(&["a", "a"])).await), ["ok", "Invalid"]);
}

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).expect("a name")
}

async fn a_stale_version_fails_its_own_item(context: Context) {
    let repository = repository(&context).await;
    let requests = ["a", "b", "c"].map(|id| note(id, json!({"title": id})));
    let read: Vec<_> = repository.create_many(requests).await.into_iter().map(|one| one.expect("created")).collect();
    repository.update(&key("note", "b"), count).await.expect("updated");
    let versioned = || read.iter().map(|object| Update::new(object.key()).version(object.version));
    let updated = repository.update_many(versioned(), |_, draft| count(draft)).await;
    assert_eq!(outcomes(&updated), ["ok", "Conflict", "ok"]);
    let deleted = repository.delete_many(read.iter().map(Delete::of)).await;
    assert_eq!(outcomes(&deleted), ["Conflict", "Conflict", "Conflict"]);
    let counts = repository.get_many(&keys(&["a", "b", "c"])).await;
    assert!(counts.iter().all(|object| object.as_ref().is_ok_and(|object| object.attributes["count"] == 1)));
    let current: Vec<_> = counts.into_iter().flatten().collect();
    assert_eq!(outcomes(&repository.delete_many(current.iter().map(Delete::of)).await), ["ok", "ok", "ok"]);
}

async fn many_objects_take_few_requests(context: Context) {
    let (store, cluster) = store_of(&context, types::all(), Start::Migrate).await;
    let repository = store.repository();
    let mut before = cluster.requests();
    let mut requests = || {
        let now = cluster.requests();
        let before = std::mem::replace(&mut before, now);
        (now.reads - before.reads, now.writes - before.writes)
    };
    let ids: Vec<String> = (0..2_500).map(|n| format!("n{n}")).collect();
    let created = repository.create_many(ids.iter().map(|id| note(id, json!({"title": id})))).await;
    assert!(created.iter().zip(&ids).all(|(object, id)| object.as_ref().is_ok_and(|object| object.id == *id)));
    assert_eq!(requests(), (0, 3), "created");
    let keys: Vec<ObjectKey> = ids.iter().map(|id| key("note", id)).collect();
    let read = repository.get_many(&keys).await;
    assert!(read.iter().zip(&created).all(|(read, created)| read.as_ref().ok() == created.as_ref().ok()));
    assert_eq!(requests(), (3, 0), "read");
    let updated = repository.update_many(&keys, |_, draft| count(draft)).await;
    assert!(updated.iter().zip(&ids).all(|(object, id)| object.as_ref().is_ok_and(|object| object.id == *id)));
    assert_eq!(requests(), (3, 3), "updated");
    let deleted = repository.delete_many(&keys).await;
    assert!(deleted.iter().all(Result::is_ok));
    assert_eq!(requests(), (3, 3), "deleted");
    assert_eq!(context.documents("things").await, 0);
}

async fn concurrent_calls_on_many_lose_nothing(context: Context) {
    let repository = repository(&context).await;
    let ids: Vec<String> = (0..10).map(|n| format!("n{n}")).collect();
    let created = repository.create_many(ids.iter().map(|id| note(id, json!({"title": "t", "count": 0})))).await;
    assert!(created.iter().all(Result::is_ok));
    let keys: Arc<Vec<ObjectKey>> = Arc::new(ids.iter().map(|id| key("note", id)).collect());
    let counting = |repository: Repository, keys: Arc<Vec<ObjectKey>>| async move {
        for _ in 0..5 {
            for answer in repository.update_many(keys.iter(), |_, draft| count(draft)).await {
                answer.expect("counted");
            }
        }
    };
    let writers: Vec<_> = (0..4).map(|_| tokio::spawn(counting(repository.clone(), keys.clone()))).collect();
    for writer in writers {
        writer.await.expect("no writer fails");
    }
    for object in repository.get_many(keys.iter()).await {
        assert_eq!(object.expect("there").attributes["count"], 20);
    }
}

async fn many_secrets_are_sealed_and_kept(context: Context) {
    let repository = repository(&context).await;
    let login = |n: usize| {
        let attributes = object(json!({"user": format!("u{n}"), "hint": format!("hint {n}")}));
        let request = Create::new("login", attributes).id(format!("l{n}"));
        request.secret("password", Secret::text(&format!("password {n}")))
    };
    let created = repository.create_many((0..300).map(login)).await;
    let keys: Vec<ObjectKey> = created.iter().flatten().map(|object| object.key()).collect();
    assert_eq!(keys.len(), 300);
    let changed = repository.update_many(&keys, |key, draft| {
        // The password is bound to the user, and must be sealed again.
        draft.attributes.insert("user".into(), key.id.clone().into());
        Ok(())
    });
    assert!(changed.await.iter().all(Result::is_ok));
    for (n, object) in repository.get_many(&keys).await.into_iter().enumerate() {
        let object = object.expect("there");
        assert_eq!(object.attributes, object_of(n));
    }
    for n in [0, 150, 299] {
        let (_, secrets) = repository.get_with_secrets(&keys[n]).await.expect("it opens");
        assert_eq!(secrets.get("password"), Some(&Secret::text(&format!("password {n}"))));
        let stored = stored(&context, "things", &format!("login:l{n}")).await.to_string();
        assert!(!stored.contains("hint 1") && !stored.contains(&format!("password {n}")));
    }
}

fn object_of(n: usize) -> saved_objects::document::Attributes {
    object(json!({"user": format!("l{n}"), "hint": format!("hint {n}")}))
}

async fn namespaces_are_kept_apart_in_calls_on_many(context: Context) {
    let repository = repository(&context).await;
    let kinds = ["page", "board", "card"];
    let create = |type_name: &str, name: &str| {
        let request = Create::new(type_name, object(json!({"title": "t"}))).id("a").namespace(namespace(name));
        request.secret("secret", Secret::text("s"))
    };
    let created = repository.create_many(kinds.map(|kind| create(kind, "ops"))).await;
    assert_eq!(outcomes(&created), ["ok", "ok", "ok"]);
    let outside = kinds.map(|kind| key(kind, "a").in_namespace(namespace("other")));
    let refused = ["NotFound", "NotFound", "NotFound"];
    assert_eq!(outcomes(&repository.get_many(&outside).await), refused);
    assert_eq!(outcomes(&repository.update_many(&outside, |_, _| Ok(())).await), refused);
    assert_eq!(outcomes(&repository.delete_many(&outside).await), refused);
    let forced = outside.iter().map(|key| Delete::new(key).force());
    assert_eq!(outcomes(&repository.delete_many(forced).await), refused);
    let elsewhere = repository.create_many(kinds.map(|kind| create(kind, "other").overwrite())).await;
    assert_eq!(outcomes(&elsewhere), ["ok", "Conflict", "Conflict"], "a page of its own, and ids that are taken");
    let upserted = repository.upsert(create("board", "other"), |_| Ok(())).await;
    assert_eq!(kind(upserted), ErrorKind::Conflict);
    let inside = kinds.map(|kind| key(kind, "a").in_namespace(namespace("ops")));
    let read = repository.get_many(&inside).await;
    assert!(read.iter().zip(&created).all(|(read, created)| read.as_ref().ok() == created.as_ref().ok()));
    assert_eq!(outcomes(&repository.delete_many(&inside).await), ["ok", "ok", "ok"]);
}

async fn too_many_for_one_answer_are_asked_for_in_parts(context: Context) {
    let repository = repository(&context).await;
    let ids: Vec<String> = (0..200).map(|n| format!("n{n}")).collect();
    let created = repository.create_many(ids.iter().map(|id| note(id, json!({"title": id})))).await;
    let rule = |seen: &Seen, _| match seen.path.contains("_mget") && seen.body_bytes > 1_000 {
        true => Fault::NoMemory,
        false => Fault::None,
    };
    let proxy = Proxy::start(&context.url, rule).await;
    let environment = Environment::new(Arc::new(ImpatientClock::default()), Arc::new(SystemRng));
    let cluster = Elastic::builder(proxy.url()).environment(environment).build().expect("a fine URL");
    let types = Registry::builder().with(types::all()).build().expect("the types are fine");
    let builder = SavedObjects::builder(types).cluster(Arc::new(cluster)).prefix(context.prefix.clone());
    let through = builder.key_ring(crate::context::key_ring()).start(Start::Skip).await.expect("a store");
    let keys: Vec<ObjectKey> = ids.iter().map(|id| key("note", id)).collect();
    let read = through.repository().get_many(&keys).await;
    assert!(read.iter().zip(&created).all(|(read, created)| read.as_ref().ok() == created.as_ref().ok()));
    assert!(proxy.seen().iter().filter(|request| request.contains("_mget")).count() > 2);
}

/// Allows nothing in one namespace.
#[derive(Debug)]
struct NotIn(&'static str);

#[async_trait]
impl Authorization for NotIn {
    async fn allows(&self, _action: Action, _type_name: &str, namespace: &Namespace) -> bool {
        namespace.as_str() != self.0
    }
}

async fn rules_and_audit_are_asked_for_each_item(context: Context) {
    let audit = RecordingAudit::default();
    let open = repository(&context).await;
    let repository = open.authorized_by(Arc::new(NotIn("ops"))).audited_by(Arc::new(audit.clone()));
    let page = |id: &str, name: &str| Create::new("page", object(json!({}))).id(id).namespace(namespace(name));
    let created = repository.create_many([page("a", "default"), page("b", "ops"), page("c", "other")]).await;
    assert_eq!(outcomes(&created), ["ok", "Forbidden", "ok"]);
    let key = |id: &str, name: &str| key("page", id).in_namespace(namespace(name));
    let keys = [key("a", "default"), key("b", "ops"), key("c", "other")];
    assert_eq!(outcomes(&repository.get_many(&keys).await), ["ok", "Forbidden", "ok"]);
    assert_eq!(outcomes(&repository.update_many(&keys, |_, _| Ok(())).await), ["ok", "Forbidden", "ok"]);
    assert_eq!(outcomes(&repository.delete_many(&keys).await), ["ok", "Forbidden", "ok"]);
    assert_eq!(kind(repository.upsert(page("b", "ops"), |_| Ok(())).await), ErrorKind::Forbidden);
    let events = audit.events();
    for action in [Action::Create, Action::Get, Action::Update, Action::Delete] {
        for id in ["a", "b", "c"] {
            let told = events.iter().any(|event| event.action == action && event.id.as_deref() == Some(id));
            assert!(told, "{action:?} {id}: {events:#?}");
        }
    }
    assert_eq!(open.get_opt(&keys[1]).await.expect("answered"), None);
}

async fn calls_on_many_follow_the_group_to_its_next_generation(context: Context) {
    let repository = repository(&context).await;
    let old = repository.create_many(["a", "b"].map(|id| note(id, json!({"title": "one"})))).await;
    let old: Vec<_> = old.into_iter().map(|object| object.expect("created")).collect();
    copy_things(&context).await;
    let stale = Update::new(old[0].key()).version(old[0].version);
    // This repository does not know of the copy: the creations go to the alias that is gone, and are repeated in the
    // new generation.
    let created = repository.create_many(["c", "d"].map(|id| note(id, json!({"title": "two"})))).await;
    assert_eq!(outcomes(&created), ["ok", "ok"]);
    let updated = repository.update_many([stale, Update::new(old[1].key())], |_, draft| count(draft)).await;
    assert_eq!(outcomes(&updated), ["Conflict", "ok"], "the numbers match, the generation does not");
    let deleted = repository.delete_many([Delete::of(&old[0]), Delete::new(key("note", "b"))]).await;
    assert_eq!(outcomes(&deleted), ["Conflict", "ok"]);
}

async fn a_write_block_and_a_missing_index_fail_every_item(context: Context) {
    let (store, cluster) = store_of(&context, types::all(), Start::Skip).await;
    let without = store.repository();
    let requests = || ["a", "b", "c"].map(|id| note(id, json!({"title": "t"})));
    let all = |kind: &str| vec![kind.to_owned(); 3];
    let before = cluster.requests().total();
    assert_eq!(outcomes(&without.create_many(requests()).await), all("NotFound"));
    assert_eq!(cluster.requests().total() - before, 2, "the generation is looked for once, and whether it is hidden");
    assert_eq!(outcomes(&without.get_many(&keys(&["a", "b", "c"])).await), all("NotFound"));
    let repository = repository(&context).await;
    repository.create(note("a", json!({"title": "t"}))).await.expect("created");
    context.cluster().add_write_block(&context.index("things")).await.expect("blocked");
    assert_eq!(outcomes(&repository.create_many(requests()).await), all("Forbidden"));
    let updated = repository.update_many(keys(&["a", "b"]), |_, _| Ok(())).await;
    assert_eq!(outcomes(&updated), ["Forbidden", "NotFound"]);
}

async fn what_no_index_takes_is_refused_before_it_is_sent(context: Context) {
    let (store, cluster) = store_of(&context, types::all(), Start::Migrate).await;
    let repository = store.repository();
    let (fits, long) = ("x".repeat(32_766), "x".repeat(32_767));
    let before = cluster.requests().total();
    let referring = |count: usize| {
        let reference = saved_objects::document::Reference { name: "r".into(), type_name: "t".into(), id: "i".into() };
        note("d", json!({"title": "t"})).references(vec![reference; count])
    };
    let refused = repository
        .create_many([
            note("a", json!({"title": long})),
            note("b", json!({"title": "t", "tags": ["a", long]})),
            note("c", json!({"title": "t", "owner": {"name": long}})),
            referring(10_001),
        ])
        .await;
    assert_eq!(outcomes(&refused), ["Invalid"; 4]);
    assert_eq!(cluster.requests().total(), before, "nothing was sent");
    let places = ["\"title\"", "\"tags\"", "\"owner.name\"", "10001 references"];
    for (answer, place) in refused.iter().zip(places) {
        let error = answer.as_ref().expect_err("refused");
        assert!(error.message().contains(place) && error.hint().is_some(), "{error}");
    }
    let fits = repository
        .create_many([
            note("a", json!({"title": fits})),
            note("b", json!({"title": "t", "free": long})),
            referring(9_999),
        ])
        .await;
    assert_eq!(outcomes(&fits), ["ok"; 3], "what is just short enough, or not a term, is taken: {fits:?}");
    let update = repository.update(key("note", "b"), |draft| {
        draft.attributes.insert("title".into(), long.clone().into());
        Ok(())
    });
    assert_eq!(kind(update.await), ErrorKind::Invalid);
}

async fn a_document_above_the_servers_limit_fails_alone(context: Context) {
    let (store, cluster) = store_of(&context, types::all(), Start::Migrate).await;
    // Only a cluster in memory has a limit that a test can reach in reasonable time.
    let limit = 3 << 20;
    if let Some(memory) = &context.memory {
        memory.limit_requests(limit);
    }
    let repository = store.repository();
    let before = cluster.requests().writes;
    let large = |id: &str, bytes: usize| note(id, json!({"title": "t", "free": "y".repeat(bytes)}));
    let answers = repository.create_many([large("a", 2 << 20), large("b", 3 << 20), large("c", 0)]).await;
    let expected = if context.memory.is_some() { ["ok", "Invalid", "ok"] } else { ["ok"; 3] };
    assert_eq!(outcomes(&answers), expected);
    if context.memory.is_some() {
        assert_eq!(cluster.requests().writes - before, 1);
    }
    if let Err(error) = &answers[1] {
        assert!(error.message().contains(&limit.to_string()), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("http.max_content_length")), "{error}");
    }
}

async fn what_is_upserted_is_created_or_changed(context: Context) {
    let repository = repository(&context).await;
    let request = |id: &str| note(id, json!({"title": "first", "count": 1})).managed(true);
    let first = repository.upsert(request("a"), count).await.expect("created");
    assert_eq!((&first.attributes["count"], first.managed), (&json!(1), true));
    let second = repository.upsert(request("a").overwrite().managed(false), count).await.expect("changed");
    assert_eq!((&second.attributes["count"], second.managed), (&json!(2), true));
    assert_eq!(second.created_at, first.created_at);
    assert_eq!(repository.get(&key("note", "a")).await.expect("there"), second);

    assert_eq!(kind(repository.upsert(Create::new("note", object(json!({}))), count).await), ErrorKind::Invalid);
    assert_eq!(kind(repository.upsert(note("new", json!({"count": 1})), count).await), ErrorKind::Invalid);
    let refusing = |_: &mut Draft| Err(saved_objects::Error::invalid("no", "do not"));
    assert_eq!(kind(repository.upsert(request("a"), refusing).await), ErrorKind::Invalid);
    assert_eq!(repository.get(&key("note", "a")).await.expect("there"), second);

    let login = |password: &str| {
        let request = Create::new("login", object(json!({"user": "u"}))).id("l");
        request.secret("password", Secret::text(password))
    };
    repository.upsert(login("one"), |_| Ok(())).await.expect("created");
    repository.upsert(login("two"), |_| Ok(())).await.expect("changed");
    let (_, secrets) = repository.get_with_secrets(&key("login", "l")).await.expect("there");
    assert_eq!(secrets.get("password"), Some(&Secret::text("one")), "secrets that the change does not speak of stay");
}

async fn concurrent_upserts_count_every_one(context: Context) {
    let repository = repository(&context).await;
    let counting = |repository: Repository| async move {
        for _ in 0..4 {
            repository.upsert(note("a", json!({"title": "t", "count": 1})), count).await.expect("counted");
        }
    };
    let writers: Vec<_> = (0..5).map(|_| tokio::spawn(counting(repository.clone()))).collect();
    for writer in writers {
        writer.await.expect("no writer fails");
    }
    assert_eq!(repository.get(&key("note", "a")).await.expect("there").attributes["count"], 20);
}
