//! Counters are raised once for each answer, also when several callers raise them at the same time.

use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::cluster::Refresh;
use saved_objects::document::{Attributes, Namespace};
use saved_objects::encryption::Secret;
use saved_objects::repository::{Create, Increment};
use serde_json::json;

use super::{key, kind, note, object, repository, stored};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        counters_are_raised_and_created,
        what_cannot_be_counted_is_refused_and_nothing_is_written,
        many_who_count_lose_nothing,
        a_counter_of_another_namespace_is_out_of_reach,
    )
}

async fn counters_are_raised_and_created(context: Context) {
    let repository = repository(&context).await;
    let there = repository.create(note("a", json!({"title": "t", "count": 5}))).await.expect("created");
    let request = Increment::new(key("note", "a")).by("count", -2).field("free").refresh(Refresh::WaitFor);
    let counted = repository.increment(request).await.expect("counted");
    assert_eq!(counted.attributes, object(json!({"title": "t", "count": 3, "free": 1})));
    assert_eq!((&counted.created_at, counted.model_version), (&there.created_at, 1));
    assert_eq!(repository.get(&counted.key()).await.expect("read"), counted);

    let absent = || Increment::new(key("note", "b")).by("count", 7);
    assert_eq!(kind(repository.increment(absent()).await), ErrorKind::NotFound);
    let upsert = || absent().or_create(object(json!({"title": "new", "count": 1})));
    for expected in [8, 15] {
        let counted = repository.increment(upsert()).await.expect("counted");
        assert_eq!(counted.attributes, object(json!({"title": "new", "count": expected})));
    }
    assert!(stored(&context, "things", "note:b").await["created_at"].is_string());
    // An amount of zero sets a missing counter.
    let initialize = Increment::new(key("note", "b")).by("count", 0).by("free", 0);
    let counted = repository.increment(initialize).await.expect("counted");
    assert_eq!((&counted.attributes["count"], &counted.attributes["free"]), (&json!(15), &json!(0)));
    // Secrets stay.
    let login = Create::new("login", object(json!({"user": "kim"}))).id("l").secret("password", Secret::text("s"));
    repository.create(login).await.expect("created");
    let counted = repository.increment(Increment::new(key("login", "l")).field("note")).await;
    assert_eq!(kind(counted), ErrorKind::Invalid, "the create schema wants a text there");
    let (_, secrets) = repository.get_with_secrets(&key("login", "l")).await.expect("it opens");
    assert_eq!(secrets["password"], Secret::text("s"));
}

async fn what_cannot_be_counted_is_refused_and_nothing_is_written(context: Context) {
    let repository = repository(&context).await;
    let whole = json!({"title": "t", "count": 1, "free": i64::MAX, "text": "5", "owner": {"n": 1}});
    let before = repository.create(note("a", whole)).await.expect("created");
    let fine = || Increment::new(key("note", "a")).field("count");
    let table = [
        Increment::new(key("note", "a")),
        fine().field(""),
        fine().field("free"),
        fine().field("text"),
        fine().field("owner"),
        Increment::new(key("note", "a")).by("count", -2),
        fine().field("unknown"),
        Increment::new(key("nothing", "a")).field("count"),
        Increment::new(key("note", "")).field("count").or_create(Attributes::new()),
        Increment::new(key("note", "new")).field("count").or_create(Attributes::new()),
        Increment::new(key("login", "l")).field("password").or_create(object(json!({"user": "u"}))),
        Increment::new(key("login", "l")).field("hint").or_create(object(json!({"user": "u"}))),
        Increment::new(key("vault", "hidden")).field("count"),
    ];
    for request in table {
        let error = repository.increment(request.clone()).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{request:?}: {error}");
        assert!(error.hint().is_some(), "{error}");
    }
    assert_eq!(repository.get(&key("note", "a")).await.expect("read"), before);
    for (type_name, id) in [("note", "new"), ("login", "l")] {
        assert_eq!(repository.get_opt(&key(type_name, id)).await.expect("read"), None);
    }
}

async fn many_who_count_lose_nothing(context: Context) {
    const TASKS: i64 = 6;
    const TIMES: i64 = 4;
    let repository = repository(&context).await;
    let count = |repository: saved_objects::Repository| async move {
        for _ in 0..TIMES {
            let request = Increment::new(key("note", "n")).field("count").or_create(object(json!({"title": "t"})));
            repository.increment(request).await.expect("counted");
        }
    };
    futures::future::join_all((0..TASKS).map(|_| count(repository.clone()))).await;
    let counted = repository.get(&key("note", "n")).await.expect("read");
    assert_eq!(counted.attributes["count"], TASKS * TIMES);
}

async fn a_counter_of_another_namespace_is_out_of_reach(context: Context) {
    let repository = repository(&context).await;
    let ops = Namespace::new("ops").expect("a name");
    let board = Create::new("board", object(json!({"visits": 1}))).id("b").namespace(ops);
    let created = repository.create(board).await.expect("created");
    let from_here = || Increment::new(key("board", "b")).field("visits");
    assert_eq!(kind(repository.increment(from_here()).await), ErrorKind::NotFound);
    assert_eq!(kind(repository.increment(from_here().or_create(Attributes::new())).await), ErrorKind::Conflict);
    // A namespace with the name of a type: `page:page:x` is page `x` there, and page `page:x` here.
    let page = Create::new("page", object(json!({}))).id("x").namespace(Namespace::new("page").expect("a name"));
    repository.create(page).await.expect("created");
    let other = || Increment::new(key("page", "page:x")).field("visits");
    assert_eq!(kind(repository.increment(other()).await), ErrorKind::NotFound);
    assert_eq!(kind(repository.increment(other().or_create(Attributes::new())).await), ErrorKind::Conflict);
    assert_eq!(repository.get(&created.key()).await.expect("untouched"), created);
}
