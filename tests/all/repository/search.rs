//! Searches: KQL, texts, patterns, aggregations and streams.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::cluster::Direction;
use saved_objects::document::Reference;
use saved_objects::repository::{Aggregation, Bounds, Filter, Find, Kql, Repository, RootField};
use serde_json::json;

use super::{ids, kind, note, put, refresh, repository};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        kql_finds_what_it_says,
        kql_is_refused_with_its_place,
        references_are_found,
        fields_are_picked,
        a_stream_gives_everything_once,
        a_dropped_stream_leaves_nothing_open,
        patterns_are_no_syntax,
        a_text_is_searched_in_fields,
        what_fits_a_text_best_comes_first,
        aggregations_see_what_is_found,
    )
}

async fn notes(context: &Context) -> Repository {
    let repository = repository(context).await;
    let refers = |targets: &[&str]| -> Vec<Reference> {
        let reference =
            |id: &&str| Reference { name: (*id).to_owned(), type_name: "badge".to_owned(), id: (*id).to_owned() };
        targets.iter().map(reference).collect()
    };
    let notes = [
        (
            "a",
            json!({"title": "Alpha", "count": 1, "text": "one two", "owner": {"name": "kim"}, "tags": ["x", "y"]}),
            refers(&["r1", "r2"]),
        ),
        ("b", json!({"title": "Beta", "count": 2, "tags": ["y"], "at": "2026-01-01T00:00:00.000Z"}), refers(&["r1"])),
        (
            "c",
            json!({"title": "*", "count": 3, "text": "Two three", "owner": {"name": "lee"}, "free": "x"}),
            refers(&[]),
        ),
        ("d", json!({"title": "OR (a) b", "count": 4}), refers(&["r3"])),
    ];
    for (id, attributes, references) in notes {
        repository.create(note(id, attributes).references(references)).await.expect("created");
    }
    refresh(context).await;
    repository
}

async fn found(repository: &Repository, request: Find) -> String {
    let request = request.sort("count", Direction::Ascending);
    let found = repository.find(&["note"], request).await.expect("found");
    assert!(found.unreadable.is_empty());
    ids(&found.objects).join(" ")
}

async fn kql_finds_what_it_says(context: Context) {
    let repository = notes(&context).await;
    let table = [
        ("", "a b c d"),
        ("note.attributes.title: Alpha", "a"),
        ("note.attributes.title: alpha", ""),
        ("note.attributes.title: \"*\"", "c"),
        ("note.attributes.title: *", "a b c d"),
        ("note.attributes.title: Al*", "a"),
        ("note.attributes.title: *eta", "b"),
        ("note.attributes.title: (Alpha or Beta)", "a b"),
        ("note.attributes.title: \"OR (a) b\"", "d"),
        (r"note.attributes.title: OR \(a\)*", "d"),
        ("note.attributes.text: two", "a c"),
        ("note.attributes.text: one three", "a c"),
        ("note.attributes.text: \"two three\"", "c"),
        ("note.attributes.text: \"three two\"", ""),
        ("note.attributes.text: thr*", "c"),
        ("note.attributes.text.raw: one two", "a"),
        ("note.attributes.text: *", "a c"),
        ("not note.attributes.text: *", "b d"),
        ("note.attributes.count > 1 and note.attributes.count <= 3", "b c"),
        ("note.attributes.count: 2", "b"),
        ("note.attributes.tags: y and not note.attributes.tags: x", "b"),
        ("note.attributes.owner.name: k*m", "a"),
        ("note.attributes.at: 2026-01-01", "b"),
        ("note.attributes.at < 2026-01-01", ""),
        ("note.id: \"note:a\" or note.id: \"note:c\"", "a c"),
        ("note.managed: false", "a b c d"),
        ("note.managed: true", ""),
        ("note.created_at > now-1d", "a b c d"),
    ];
    for (text, expected) in table {
        let kql: Kql = text.parse().expect("it is KQL");
        assert_eq!(found(&repository, Find::new().kql(kql)).await, expected, "{text}");
    }
    let of_two: Kql = "note.attributes.title: Alpha or badge.attributes.number: \"1\"".parse().expect("KQL");
    let found = repository.find(&["note", "badge"], Find::new().kql(of_two)).await.expect("found");
    assert_eq!(ids(&found.objects), ["a"]);
}

async fn kql_is_refused_with_its_place(context: Context) {
    let repository = repository(&context).await;
    let kql: Kql = "note.attributes.title: a or note.attributes.free: b".parse().expect("KQL");
    let error = repository.find(&["note"], Find::new().kql(kql)).await.expect_err("not mapped");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("at character 29"), "{error}");
    // The server refuses the value, or the depth of nested conditions.
    let number: Kql = "note.attributes.count: many".parse().expect("KQL");
    assert_eq!(kind(repository.find(&["note"], Find::new().kql(number)).await), ErrorKind::Invalid);
}

async fn patterns_are_no_syntax(context: Context) {
    let repository = repository(&context).await;
    let titles = [
        "plain", "a b", "a*b", "a?b", "AND", "a:b", "[a TO b]", "a\"b", r"a\b", "/a/", "a~b", "a^2", "(a", "ä ß", "-a",
        "a && b", ">=5", "{a}",
    ];
    for (number, title) in titles.iter().enumerate() {
        repository.create(note(&number.to_string(), json!({"title": title}))).await.expect("created");
    }
    refresh(&context).await;
    for title in titles {
        let whole = Filter::Pattern("title".into(), vec![title.to_owned(), String::new()]);
        let found = repository.find(&["note"], Find::new().filter(whole)).await.expect("found");
        let found: Vec<_> = found.objects.iter().map(|object| object.attributes["title"].clone()).collect();
        assert_eq!(found, [json!(title)], "{title}");
    }
}

async fn a_text_is_searched_in_fields(context: Context) {
    let repository = notes(&context).await;
    let table = [
        (Find::new().search("two"), "a c"),
        (Find::new().search("one three"), "a c"),
        (Find::new().search("two three").all_words(), "c"),
        (Find::new().search("\"one two\""), "a"),
        (Find::new().search("thr*"), "c"),
        (Find::new().search("two -three"), "a b c d"),
        (Find::new().search("two -three").all_words(), "a"),
        (Find::new().search("Alpha").search_fields(["text"]), ""),
        (Find::new().search("Alpha").search_fields(["title", "text"]), "a"),
        (Find::new().search("2").search_fields(["count"]), "b"),
        (Find::new().search("many").search_fields(["count"]), ""),
        (Find::new().search("((\"~*"), ""),
        (Find::new().search("two").filter(Filter::equals("count", 3)), "c"),
    ];
    for (request, expected) in table {
        assert_eq!(found(&repository, request.clone()).await, expected, "{request:?}");
    }
    let unmapped = Find::new().search("x").search_fields(["free"]);
    assert_eq!(kind(repository.find(&["note"], unmapped).await), ErrorKind::Invalid);
    let encrypted = Find::new().search("x").search_fields(["password"]);
    assert_eq!(kind(repository.find(&["login"], encrypted).await), ErrorKind::Invalid);
}

async fn references_are_found(context: Context) {
    let repository = notes(&context).await;
    let to = |id: &str| Filter::refers_to("badge", id);
    let table = [
        (to("r1"), "a b"),
        (Filter::refers_to("note", "r1"), ""),
        (Filter::and([to("r1"), to("r2")]), "a"),
        (Filter::or([to("r2"), to("r3")]), "a d"),
        (Filter::RefersTo("badge".to_owned(), vec!["r2".to_owned(), "r3".to_owned()]), "a d"),
        (Filter::not(to("r1")), "c d"),
        (Filter::not(Filter::or([to("r1"), to("r3")])), "c"),
        (Filter::not(Filter::and([to("r1"), to("r2")])), "b c d"),
    ];
    for (filter, expected) in table {
        assert_eq!(found(&repository, Find::new().filter(filter.clone())).await, expected, "{filter:?}");
    }
}

async fn fields_are_picked(context: Context) {
    let repository = notes(&context).await;
    let request = Find::new().filter(Filter::equals("title", "Alpha"));
    let table = [
        (&["title", "count", "free"][..], json!({"title": "Alpha", "count": 1})),
        (&["owner.name"], json!({"owner": {"name": "kim"}})),
        // Fields that no mapping and no closed schema forbids may be requested.
        (&["owner.age"], json!({})),
        (&["free.any.path"], json!({})),
        (&[], json!({})),
    ];
    for (fields, expected) in table {
        let found = repository.find(&["note"], request.clone().fields(fields.to_vec())).await.expect("found");
        assert_eq!(json!(found.objects[0].attributes), expected, "{fields:?}");
    }
    // It is enough that one of the types knows a field.
    let both = repository.find(&["note", "badge"], Find::new().fields(["title", "number"])).await.expect("found");
    let alpha = both.objects.iter().find(|object| object.id == "a").expect("it is found");
    assert_eq!(json!(alpha.attributes), json!({"title": "Alpha"}));
    let table = [
        ("titel", "the type note has no attribute \"titel\"; ask for title, if that is meant"),
        ("text.raw", "the type note has no attribute \"text.raw\"; ask for text, if that is meant"),
        ("nothing", "ask for at, count, free, owner, owner.name, tags, text, title, or paths into them"),
    ];
    for (name, expected) in table {
        let misspelt = request.clone().fields(["title", name]);
        let error = repository.find(&["note"], misspelt.clone()).await.expect_err("no object can have it");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(kind(repository.stream(&["note"], misspelt)), ErrorKind::Invalid);
    }
    let secret = repository.find(&["login"], Find::new().fields(["password"])).await.expect_err("never shown");
    assert!(secret.to_string().contains("read the secret with `get_with_secrets`"), "{secret}");
    repository.find(&["login"], Find::new().fields(["hint", "user"])).await.expect("what is exposed is shown");
}

async fn what_fits_a_text_best_comes_first(context: Context) {
    let repository = repository(&context).await;
    let texts = [
        ("long", "a word among a great many others, so that it says little of what this text is about"),
        ("best", "word word word"),
        ("none", "something else"),
        ("short", "a word"),
        ("both", "word and more"),
    ];
    for (id, text) in texts {
        repository.create(note(id, json!({"title": id, "text": text}))).await.expect("created");
    }
    refresh(&context).await;
    let request = || Find::new().search("word").search_fields(["text"]);
    let found = repository.find(&["note", "badge"], Find::new().search("word")).await.expect("found");
    assert_eq!(ids(&found.objects), ["best", "short", "both", "long"]);
    // Filters do not count for the score, and pages follow the same order.
    let filtered = || request().filter(Filter::not(Filter::equals("title", "short"))).per_page(2);
    let first = repository.find(&["note"], filtered()).await.expect("found");
    let second = repository.find(&["note"], filtered().page(2)).await.expect("found");
    assert_eq!([ids(&first.objects), ids(&second.objects)].concat(), ["best", "both", "long"]);
    let mut reader = repository.open_point_in_time(&["note"], Duration::from_secs(60)).await.expect("opened");
    let (mut paged, mut cursor) = (Vec::new(), None);
    loop {
        let page = reader.page(&request().per_page(1), cursor.as_ref()).await.expect("a page");
        paged.extend(page.found.objects.into_iter().map(|object| object.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    reader.close().await;
    assert_eq!(paged, ["best", "short", "both", "long"]);
    let streamed: Vec<_> = repository.stream(&["note"], request()).expect("fine").try_collect().await.expect("read");
    let streamed: Vec<_> = streamed.into_iter().map(|object| object.expect("readable").id).collect();
    assert_eq!(streamed, ["best", "short", "both", "long"]);
    // An explicit sort replaces the order by score.
    let sorted = repository.find(&["note"], request().sort("title", Direction::Ascending)).await.expect("found");
    assert_eq!(ids(&sorted.objects), ["best", "both", "long", "short"]);
}

async fn aggregations_see_what_is_found(context: Context) {
    let repository = notes(&context).await;
    let this_year = Bounds { from: Some("2026-01-01".to_owned()), to: Some("2027-01-01".to_owned()) };
    let request = Find::new()
        .filter(Filter::range("count", ..4))
        .per_page(0)
        .aggregation("tags", Aggregation::by_value("tags", 5).with("most", Aggregation::max("count")))
        .aggregation("sum", Aggregation::sum("count"))
        .aggregation("average", Aggregation::average("count"))
        .aggregation("smallest", Aggregation::min("count"))
        .aggregation("titles", Aggregation::distinct("title"))
        .aggregation("times", Aggregation::count("at"))
        .aggregation("steps", Aggregation::by_interval("count", 2.0))
        .aggregation("this year", Aggregation::by_dates("at", [this_year]))
        .aggregation("kim's", Aggregation::fitting(Filter::equals("owner.name", "kim")))
        .aggregation("newest", Aggregation::max(RootField::UpdatedAt));
    let found = repository.find(&["note"], request).await.expect("found");
    assert_eq!((found.total, found.objects.len()), (3, 0));
    let value = |name: &str| found.aggregations[name]["value"].as_f64().expect("a number");
    assert_eq!(
        [value("sum"), value("average"), value("smallest"), value("titles"), value("times")],
        [6.0, 2.0, 1.0, 3.0, 1.0]
    );
    let tags: Vec<_> = found.aggregations["tags"]["buckets"]
        .as_array()
        .expect("buckets")
        .iter()
        .map(|bucket| format!("{} {} {}", bucket["key"], bucket["doc_count"], bucket["most"]["value"]))
        .collect();
    assert_eq!(tags, ["\"y\" 2 2.0", "\"x\" 1 1.0"]);
    assert_eq!(found.aggregations["steps"]["buckets"].as_array().expect("buckets").len(), 2);
    assert_eq!(found.aggregations["this year"]["buckets"][0]["doc_count"], 1);
    assert_eq!(found.aggregations["kim's"]["doc_count"], 1);
    assert!(found.aggregations["newest"]["value_as_string"].is_string());
    let several = Find::new().aggregation("by type", Aggregation::by_value(RootField::Type, 5));
    let found = repository.find(&["note", "badge"], several).await.expect("found");
    assert_eq!(found.aggregations["by type"]["buckets"][0]["key"], "note");
    let refused = Find::new().aggregation("x", Aggregation::max("password"));
    assert_eq!(kind(repository.find(&["login"], refused).await), ErrorKind::Invalid);
}

async fn a_stream_gives_everything_once(context: Context) {
    let repository = notes(&context).await;
    put(&context, "things", "wrong-id", json!({"type": "note", "note": {}})).await;
    for per_page in [1, 2, 3, 4, 5, 6, 1_000] {
        let stream = repository.stream(&["note"], Find::new().per_page(per_page)).expect("a stream");
        let items: Vec<_> = stream.try_collect().await.expect("read");
        let (objects, unreadable): (Vec<_>, Vec<_>) = items.into_iter().partition(Result::is_ok);
        let mut found: Vec<_> = objects.into_iter().flatten().map(|object| object.id).collect();
        found.sort();
        assert_eq!(found, ["a", "b", "c", "d"], "{per_page}");
        assert_eq!(
            unreadable.into_iter().filter_map(Result::err).map(|bad| bad.raw_id).collect::<Vec<_>>(),
            ["wrong-id"]
        );
    }
    let request = Find::new().sort("count", Direction::Descending).filter(Filter::exists("count")).per_page(2);
    let sorted: Vec<_> = repository.stream(&["note"], request).expect("a stream").try_collect().await.expect("read");
    assert_eq!(sorted.into_iter().flatten().map(|object| object.id).collect::<Vec<_>>(), ["d", "c", "b", "a"]);
    // The stream sees the objects as they were at the first read.
    let mut stream = repository.stream(&["note"], Find::new().per_page(1)).expect("a stream");
    stream.next().await.expect("an item").expect("read").ok();
    repository.create(note("later", json!({"title": "late"}))).await.expect("created");
    refresh(&context).await;
    assert_eq!(stream.count().await, 4);
    let wrong = repository.stream(&["note"], Find::new().filter(Filter::equals("count", "many"))).expect("a stream");
    assert_eq!(kind(wrong.try_collect::<Vec<_>>().await), ErrorKind::Invalid);
    assert_eq!(kind(repository.stream(&["nothing"], Find::new())), ErrorKind::Invalid);
}

async fn a_dropped_stream_leaves_nothing_open(context: Context) {
    let repository = notes(&context).await;
    let mut stream = repository.stream(&["note"], Find::new().per_page(1)).expect("a stream");
    assert!(stream.next().await.is_some());
    // The end of the test run checks for points in time that were left open.
    drop(stream);
    tokio::task::yield_now().await;
    let until = repository.stream(&["note"], Find::new()).expect("a stream");
    assert_eq!(until.count().await, 4);
}
