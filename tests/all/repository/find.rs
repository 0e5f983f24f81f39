//! `find`: filters, pages, sort, chosen fields, and secrets.

use futures::TryStreamExt;
use libtest_mimic::Trial;
use saved_objects::cluster::{Direction, Refresh};
use saved_objects::repository::{Create, Filter, Find, Repository, RootField};
use saved_objects::{ErrorKind, SavedObject};
use serde_json::json;

use super::{ids, kind, note, object, put, refresh, repository};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        filters_find_what_they_say,
        pages_follow_the_sort,
        what_cannot_be_searched_is_refused,
        one_unreadable_document_does_not_fail_the_page,
        a_large_page_is_read_in_parts_and_says_what_a_stream_says,
        a_write_that_waits_for_the_refresh_is_found,
    )
}

async fn notes(context: &Context, repository: &Repository) {
    let notes = [
        ("a", json!({"title": "Alpha", "count": 1, "text": "one two", "owner": {"name": "kim"}, "tags": ["x", "y"]})),
        ("b", json!({"title": "Beta", "count": 2, "tags": ["y"], "at": "2026-01-01T00:00:00.000Z"})),
        ("c", json!({"title": "*", "count": 3, "text": "two", "owner": {"name": "lee"}, "free": "x"})),
    ];
    for (id, attributes) in notes {
        repository.create(note(id, attributes)).await.expect("created");
    }
    let badge = Create::new("badge", object(json!({"number": "Alpha"}))).id("badge");
    repository.create(badge).await.expect("created");
    refresh(context).await;
}

async fn filters_find_what_they_say(context: Context) {
    let repository = repository(&context).await;
    notes(&context, &repository).await;
    let table = [
        (Filter::equals("title", "Alpha"), "a"),
        (Filter::equals("title", "*"), "c"),
        (Filter::equals("title", "alpha"), ""),
        (Filter::equals("tags", "y"), "a b"),
        (Filter::equals("owner.name", "lee"), "c"),
        (Filter::equals("text.raw", "one two"), "a"),
        (Filter::any_of("count", [1, 3, 9]), "a c"),
        (Filter::any_of("count", Vec::<u8>::new()), ""),
        (Filter::exists("text"), "a c"),
        (Filter::exists("owner"), "a c"),
        (Filter::not(Filter::exists("at")), "a c"),
        (Filter::range("count", 2..), "b c"),
        (Filter::range("count", 1..3), "a b"),
        (Filter::range("count", 1..=3), "a b c"),
        (Filter::range("at", ..="2026-01-01"), "b"),
        (Filter::and([Filter::equals("tags", "y"), Filter::range("count", ..2)]), "a"),
        (Filter::or([Filter::equals("title", "Beta"), Filter::equals("owner.name", "lee")]), "b c"),
        (Filter::or([]), ""),
        (Filter::and([]), "a b c"),
        (Filter::range(RootField::CreatedAt, "2020-01-01"..), "a b c"),
        (Filter::equals(RootField::Managed, true), ""),
    ];
    for (filter, expected) in table {
        let request = Find::new().filter(filter.clone()).sort("count", Direction::Ascending);
        let found = repository.find(&["note"], request).await.expect("found");
        assert_eq!(ids(&found.objects).join(" "), expected, "{filter:?}");
        assert_eq!(found.total as usize, found.objects.len());
    }
    let read = repository.get(&super::key("note", "a")).await.expect("there");
    let found = repository.find(&["note"], Find::new().filter(Filter::equals("title", "Alpha"))).await.expect("found");
    assert_eq!(found.objects, [read]);
    let both = repository.find(&["note", "badge"], Find::new()).await.expect("found");
    assert_eq!(both.total, 4);
}

async fn pages_follow_the_sort(context: Context) {
    let repository = repository(&context).await;
    notes(&context, &repository).await;
    let pages = async |find: Find, pages: std::ops::RangeInclusive<u32>| {
        let mut all = Vec::new();
        for page in pages {
            let found = repository.find(&["note"], find.clone().per_page(2).page(page)).await.expect("found");
            assert_eq!(found.total, 3);
            all.push(ids(&found.objects).join(" "));
        }
        all
    };
    let by_title = Find::new().sort("title", Direction::Ascending);
    assert_eq!(pages(by_title, 1..=3).await, ["c a", "b", ""]);
    assert_eq!(pages(Find::new().sort("count", Direction::Descending), 1..=2).await, ["c b", "a"]);
    let missing_last = Find::new().sort("at", Direction::Descending).sort("count", Direction::Descending);
    assert_eq!(pages(missing_last, 1..=2).await, ["b c", "a"]);
    assert_eq!(pages(Find::new().sort(RootField::CreatedAt, Direction::Ascending), 1..=1).await, ["a b"]);
    let count = repository.find(&["note"], Find::new().per_page(0)).await.expect("counted");
    assert_eq!((count.total, count.objects.len()), (3, 0));
}

async fn what_cannot_be_searched_is_refused(context: Context) {
    let repository = repository(&context).await;
    notes(&context, &repository).await;
    let several = Find::new().sort("title", Direction::Ascending);
    assert_eq!(kind(repository.find(&["note", "page"], several).await), ErrorKind::Invalid);
    assert_eq!(kind(repository.find(&[], Find::new()).await), ErrorKind::Invalid);
    assert_eq!(kind(repository.find(&["note"], Find::new().page(501)).await), ErrorKind::Invalid);
    let error =
        repository.find(&["note"], Find::new().filter(Filter::equals("free", "x"))).await.expect_err("unmapped");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.hint().is_some_and(|hint| hint.contains("owner.name")), "{error}");
    // The server refuses these values.
    for filter in [Filter::equals("count", "many"), Filter::range("at", "never"..)] {
        let error = repository.find(&["note"], Find::new().filter(filter)).await.expect_err("no number, no date");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

async fn one_unreadable_document_does_not_fail_the_page(context: Context) {
    let repository = repository(&context).await;
    notes(&context, &repository).await;
    for (raw_id, source) in [
        ("note:no-attributes", json!({"type": "note"})),
        ("wrong-id", json!({"type": "note", "note": {}})),
        ("note:newer", json!({"type": "note", "note": {"title": "t"}, "typeMigrationVersion": "10.9.0"})),
    ] {
        put(&context, "things", raw_id, source).await;
    }
    let found = repository.find(&["note"], Find::new()).await.expect("found");
    assert_eq!((found.objects.len(), found.total), (3, 6));
    let mut unreadable: Vec<_> =
        found.unreadable.iter().map(|document| (document.raw_id.as_str(), document.error.kind())).collect();
    unreadable.sort_by_key(|(raw_id, _)| *raw_id);
    assert_eq!(
        unreadable,
        [
            ("note:newer", ErrorKind::Incompatible),
            ("note:no-attributes", ErrorKind::Corrupt),
            ("wrong-id", ErrorKind::Corrupt),
        ]
    );
}

async fn a_large_page_is_read_in_parts_and_says_what_a_stream_says(context: Context) {
    const OBJECTS: usize = 300;
    let repository = repository(&context).await;
    // The secrets of every fifth are opened, which takes longer than reading the others.
    let request = |number: usize| match number % 5 {
        0 => {
            Create::new("login", object(json!({ "user": "kim", "hint": format!("h{number}") }))).id(number.to_string())
        }
        _ => note(&number.to_string(), json!({ "title": "t", "count": number })),
    };
    for created in repository.create_many((0..OBJECTS).map(request)).await {
        created.expect("created");
    }
    let rest = [
        ("note:older", json!({ "type": "note", "note": { "title": "t" } })),
        ("note:no-attributes", json!({ "type": "note" })),
        ("login:newer", json!({ "type": "login", "login": {}, "typeMigrationVersion": "10.9.0" })),
        ("note:\"quoted\"", json!({ "type": "note", "note": { "title": "t" }, "typeMigrationVersion": "10.1.0" })),
    ];
    for (raw_id, source) in rest {
        put(&context, "things", raw_id, source).await;
    }
    refresh(&context).await;
    let types = ["note", "login"];
    let found = repository.find(&types, Find::new().per_page(1_000)).await.expect("found");
    let streamed: Vec<_> =
        repository.stream(&types, Find::new()).expect("a stream").try_collect().await.expect("streamed");
    let (objects, unreadable): (Vec<_>, Vec<_>) = streamed.into_iter().partition(Result::is_ok);
    assert_eq!(found.objects, objects.into_iter().filter_map(Result::ok).collect::<Vec<_>>());
    assert_eq!((found.objects.len(), found.total as usize), (OBJECTS + 3, OBJECTS + 4));
    let keys: Vec<_> = found.objects.iter().map(SavedObject::key).collect();
    for (object, read) in found.objects.iter().zip(repository.get_many(&keys).await) {
        assert_eq!(&read.expect("there"), object);
    }
    let ids = found.unreadable.into_iter().map(|document| document.raw_id);
    assert_eq!(
        ids.collect::<Vec<_>>(),
        unreadable.into_iter().filter_map(Result::err).map(|document| document.raw_id).collect::<Vec<_>>()
    );
}

async fn a_write_that_waits_for_the_refresh_is_found(context: Context) {
    let repository = repository(&context).await;
    let request = note("a", json!({"title": "t"})).refresh(Refresh::WaitFor);
    let created = repository.create(request).await.expect("created");
    assert_eq!(repository.find(&["note"], Find::new()).await.expect("found").objects, [created]);
}
