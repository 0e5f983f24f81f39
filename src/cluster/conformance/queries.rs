//! The documents that each query finds.

use serde_json::{Value, json};

use super::case::named_cases;
use super::room::{Room, put};
use super::verdict::{Verdict, equal, refused};
use crate::cluster::{AliasAction, ClusterErrorKind, CreateIndex, Query, Search, SearchIn};

named_cases!(
    everything_ids_and_bool,
    keywords_are_compared_whole,
    keywords_beyond_ignore_above_are_not_found,
    numbers_are_compared_as_numbers,
    booleans_are_compared,
    dates_are_compared_as_moments,
    a_date_without_time_is_the_whole_day,
    date_math_starts_from_now_or_from_a_date,
    date_math_rounds_to_the_whole_unit,
    flattened_objects_are_found_by_key_and_by_any_value,
    a_field_exists_if_it_has_a_value,
    what_is_nested_or_off_is_not_seen,
    nested_documents_are_found_one_by_one,
    fields_in_fields,
    unknown_fields_find_nothing,
    ranges,
    sequence_numbers_are_searchable,
    malformed_values_are_refused,
    an_alias_of_two_indices_finds_in_both,
    a_missing_index_is_refused,
    values_cannot_become_syntax,
);

fn any_of<V: Into<Value>>(field: &str, values: impl IntoIterator<Item = V>) -> Query {
    Query::AnyOf { field: field.to_owned(), values: values.into_iter().map(Into::into).collect() }
}

fn exists(field: &str) -> Query {
    Query::Exists { field: field.to_owned() }
}

/// Creates a range query with bounds such as `json!({"gte": 1})`.
fn range(field: &str, bounds: Value) -> Query {
    let bound = |name| bounds.get(name).cloned();
    let (from, above, to, below) = (bound("gte"), bound("gt"), bound("lte"), bound("lt"));
    Query::Range { field: field.to_owned(), from, above, to, below }
}

fn not(query: Query) -> Query {
    Query::Not(Box::new(query))
}

async fn fill(room: &Room, properties: Value, documents: &[(&str, Value)]) -> Verdict {
    room.create(properties).await?;
    room.fill(documents).await
}

async fn everything_ids_and_bool(room: Room) -> Verdict {
    let documents = [("1", json!({ "k": "a" })), ("2", json!({ "k": "b" })), ("3", json!({}))];
    fill(&room, json!({ "k": { "type": "keyword" } }), &documents).await?;
    let ids = |ids: &[&str]| Query::Ids(ids.iter().map(|&id| id.to_owned()).collect());
    let is = |value: &str| Query::equals("k", value);
    room.expect_found(&[
        (Query::Everything, "1 2 3"),
        (ids(&["2", "9", "2"]), "2"),
        (ids(&[]), ""),
        (any_of("_id", ["1", "3"]), "1 3"),
        (Query::And(vec![]), "1 2 3"),
        (Query::And(vec![is("a"), ids(&["1", "2"])]), "1"),
        (Query::And(vec![is("a"), is("b")]), ""),
        (Query::Or(vec![]), ""),
        (Query::Or(vec![is("a"), is("b")]), "1 2"),
        (not(is("a")), "2 3"),
        (not(Query::Or(vec![])), "1 2 3"),
        (not(not(is("a"))), "1"),
        (Query::Or(vec![Query::And(vec![is("a"), not(ids(&["1"]))]), ids(&["3"])]), "3"),
    ])
    .await
}

async fn keywords_are_compared_whole(room: Room) -> Verdict {
    let documents = [
        ("1", json!({ "k": "a" })),
        ("2", json!({ "k": ["b", "A"] })),
        ("3", json!({ "k": "a b" })),
        ("4", json!({ "k": 5 })),
        ("5", json!({ "k": "" })),
        ("6", json!({ "k": true })),
    ];
    fill(&room, json!({ "k": { "type": "keyword" } }), &documents).await?;
    room.expect_found(&[
        (Query::equals("k", "a"), "1"),
        (Query::equals("k", "A"), "2"),
        (Query::equals("k", "b"), "2"),
        (any_of("k", ["a", "b"]), "1 2"),
        (any_of::<&str>("k", []), ""),
        (Query::equals("k", 5), "4"),
        (Query::equals("k", "5"), "4"),
        (Query::equals("k", ""), "5"),
        (Query::equals("k", true), "6"),
        (Query::equals("k", "a*"), ""),
    ])
    .await
}

async fn keywords_beyond_ignore_above_are_not_found(room: Room) -> Verdict {
    let documents =
        [("1", json!({ "k": "abc" })), ("2", json!({ "k": "abcd" })), ("3", json!({ "k": ["abcd", "äöü"] }))];
    fill(&room, json!({ "k": { "type": "keyword", "ignore_above": 3 } }), &documents).await?;
    let long = Query::equals("k", "abcd");
    room.expect_found(&[(Query::equals("k", "abc"), "1"), (long, ""), (exists("k"), "1 3"), (not(exists("k")), "2")])
        .await
}

async fn numbers_are_compared_as_numbers(room: Room) -> Verdict {
    let properties = json!({ "n": { "type": "long" }, "x": { "type": "double" }, "y": { "type": "float" } });
    let documents = [
        ("1", json!({ "n": 5, "x": 1.5, "y": 0.1 })),
        ("2", json!({ "n": [1, 9], "x": -2 })),
        ("3", json!({ "n": "10" })),
        ("4", json!({ "n": 9_007_199_254_740_993_i64 })),
        ("5", json!({ "n": 12.7 })),
    ];
    fill(&room, properties, &documents).await?;
    room.expect_found(&[
        (Query::equals("n", 5), "1"),
        (Query::equals("n", "5"), "1"),
        (Query::equals("n", 5.0), "1"),
        (Query::equals("n", 5.5), ""),
        (Query::equals("n", 9_007_199_254_740_992_i64), ""),
        (Query::equals("n", 9_007_199_254_740_993_i64), "4"),
        (Query::equals("n", 12), "5"),
        (any_of("n", [9, 10]), "2 3"),
        (Query::equals("x", 1.5), "1"),
        (Query::equals("x", "-2"), "2"),
        (Query::equals("y", 0.1), "1"),
        (range("n", json!({ "gt": 5, "lte": 10 })), "2 3"),
        (range("n", json!({ "gte": 2, "lte": 4 })), ""),
        (range("n", json!({ "gte": 4.5, "lt": 5.5 })), "1"),
        (range("n", json!({ "gt": 9.5, "lt": "13" })), "3 5"),
        (range("x", json!({ "lt": 0 })), "2"),
    ])
    .await
}

async fn booleans_are_compared(room: Room) -> Verdict {
    let documents = [("1", json!({ "b": true })), ("2", json!({ "b": "false" })), ("3", json!({}))];
    fill(&room, json!({ "b": { "type": "boolean" } }), &documents).await?;
    room.expect_found(&[
        (Query::equals("b", true), "1"),
        (Query::equals("b", "true"), "1"),
        (Query::equals("b", false), "2"),
        (any_of("b", [true, false]), "1 2"),
    ])
    .await
}

async fn dates_are_compared_as_moments(room: Room) -> Verdict {
    let documents = [
        ("1", json!({ "d": "2021-01-01T12:16:40.000Z" })),
        ("2", json!({ "d": "2021-01-01T13:16:40.001+01:00" })),
        ("3", json!({ "d": 1_609_503_400_002_i64 })),
        ("4", json!({ "d": "2020-12-31" })),
    ];
    fill(&room, json!({ "d": { "type": "date" } }), &documents).await?;
    room.expect_found(&[
        (Query::equals("d", "2021-01-01T12:16:40.000Z"), "1"),
        (Query::equals("d", 1_609_503_400_001_i64), "2"),
        (range("d", json!({ "gte": "2021-01-01T12:16:40.001Z" })), "2 3"),
        (range("d", json!({ "gt": "2021-01-01T12:16:40.001Z" })), "3"),
        (range("d", json!({ "lt": 1_609_503_400_000_i64 })), "4"),
        (range("d", json!({ "lte": "2021-01-01T11:16:40.000-01:00" })), "1 4"),
    ])
    .await
}

async fn a_date_without_time_is_the_whole_day(room: Room) -> Verdict {
    let documents = [
        ("1", json!({ "d": "2020-12-31T23:59:59.999Z" })),
        ("2", json!({ "d": "2021-01-01" })),
        ("3", json!({ "d": "2021-01-01T23:59:59.999Z" })),
        ("4", json!({ "d": "2021-01-02" })),
        ("5", json!({ "d": "2021-02-01" })),
    ];
    fill(&room, json!({ "d": { "type": "date" } }), &documents).await?;
    room.expect_found(&[
        (Query::equals("d", "2021-01-01"), "2 3"),
        (range("d", json!({ "gte": "2021-01-01" })), "2 3 4 5"),
        (range("d", json!({ "gt": "2021-01-01" })), "4 5"),
        (range("d", json!({ "lte": "2021-01-01" })), "1 2 3"),
        (range("d", json!({ "lt": "2021-01-01" })), "1"),
    ])
    .await
}

async fn date_math_starts_from_now_or_from_a_date(room: Room) -> Verdict {
    let documents = [
        ("past", json!({ "d": "2000-01-31T10:00:00.000Z" })),
        ("leap", json!({ "d": "2000-02-29T10:00:00.000Z" })),
        ("future", json!({ "d": "2100-01-01" })),
    ];
    fill(&room, json!({ "d": { "type": "date" } }), &documents).await?;
    room.expect_found(&[
        (range("d", json!({ "gte": "now-1y" })), "future"),
        (range("d", json!({ "gt": "now" })), "future"),
        (range("d", json!({ "lt": "now-1y/d" })), "leap past"),
        (range("d", json!({ "lte": "now+1d-3h", "gte": "now-100y" })), "leap past"),
        (range("d", json!({ "gte": "now-1M", "lt": "now+1w" })), ""),
        (Query::equals("d", "2000-01-31T10:00:00.000Z||+1M"), "leap"),
        (Query::equals("d", "2000-01-30T10:00:00.000Z||+1d"), "past"),
        (Query::equals("d", "2000-01-31T11:30:00.000Z||-1h-30m"), "past"),
        (Query::equals("d", "2000-01-31T09:59:50.000Z||+10s"), "past"),
        (Query::equals("d", "2000-03-07T10:00:00.000Z||-1w"), "leap"),
        (range("d", json!({ "gt": "2000-01-01||+1M" })), "future leap"),
        (range("d", json!({ "lt": "2000-01-01||+31d" })), "past"),
    ])
    .await?;
    for malformed in ["now*1d", "now-1q", "now-", "now/2d", "tomorrow", "x||+1d"] {
        let found = room.cluster.search(&room.search_for(range("d", json!({ "gte": malformed })))).await;
        refused(malformed, found, ClusterErrorKind::Rejected)?;
    }
    Ok(())
}

async fn date_math_rounds_to_the_whole_unit(room: Room) -> Verdict {
    let documents = [
        ("1", json!({ "d": "2020-12-31T23:59:59.999Z" })),
        ("2", json!({ "d": "2021-01-01T00:00:00.000Z" })),
        ("3", json!({ "d": "2021-01-31T23:59:59.999Z" })),
        ("4", json!({ "d": "2021-02-01T00:00:00.000Z" })),
        ("5", json!({ "d": "2022-01-01T00:00:00.000Z" })),
    ];
    fill(&room, json!({ "d": { "type": "date" } }), &documents).await?;
    room.expect_found(&[
        (range("d", json!({ "gte": "2021-01-15||/M" })), "2 3 4 5"),
        (range("d", json!({ "gt": "2021-01-15||/M" })), "4 5"),
        (range("d", json!({ "lte": "2021-01-15||/M" })), "1 2 3"),
        (range("d", json!({ "lt": "2021-01-15||/M" })), "1"),
        (Query::equals("d", "2021-01-15||/M"), "2 3"),
        (Query::equals("d", "2021-05-05||/y"), "2 3 4"),
        (Query::equals("d", "2021-01-31||/d"), "3"),
        (Query::equals("d", "2021-01-03||/w"), "1 2"),
        (Query::equals("d", "2021-02-28||-1M/M"), "2 3"),
        (range("d", json!({ "gte": "2021-01-31T23:10:00.000Z||/h", "lte": "2021-01-31T23:10:00.000Z||/h" })), "3"),
    ])
    .await
}

async fn flattened_objects_are_found_by_key_and_by_any_value(room: Room) -> Verdict {
    let documents = [("1", json!({ "f": { "a": 1, "b": { "c": ["x", "y"] } } })), ("2", json!({ "f": { "a": "x" } }))];
    fill(&room, json!({ "f": { "type": "flattened" } }), &documents).await?;
    room.expect_found(&[
        (Query::equals("f.a", "1"), "1"),
        (Query::equals("f.a", 1), "1"),
        (Query::equals("f.b.c", "y"), "1"),
        (Query::equals("f.b", "y"), ""),
        (Query::equals("f", "x"), "1 2"),
        (exists("f.b.c"), "1"),
        (exists("f.b"), ""),
        (exists("f"), "1 2"),
        (range("f.a", json!({ "gte": "a", "lt": "z" })), "2"),
    ])
    .await?;
    // 9.5.3 answers it, 9.2.2 and 8.19.0 refuse it.
    match room.cluster.search(&room.search_for(range("f.a", json!({ "gte": "a" })))).await {
        Ok(page) => equal("a range of a key with one bound", page.hits.len(), 1),
        half_open => refused("a range of a key with one bound", half_open, ClusterErrorKind::Rejected),
    }
}

async fn a_field_exists_if_it_has_a_value(room: Room) -> Verdict {
    let properties = json!({
        "k": { "type": "keyword" }, "t": { "type": "text" }, "bin": { "type": "binary" },
        "o": { "dynamic": false, "properties": { "a": { "type": "long" }, "b": { "properties": { "c": { "type": "long" } } } } },
    });
    let documents = [
        ("1", json!({ "k": "", "t": "some words" })),
        ("2", json!({ "k": null, "o": { "a": null, "unknown": 1 } })),
        ("3", json!({ "k": [], "o": { "b": { "c": 1 } } })),
        ("4", json!({ "bin": "aGk=" })),
    ];
    fill(&room, properties, &documents).await?;
    room.expect_found(&[
        (exists("k"), "1"),
        (exists("t"), "1"),
        (exists("bin"), ""),
        (exists("o"), "3"),
        (exists("o.b"), "3"),
        (exists("o.a"), ""),
        (exists("_id"), "1 2 3 4"),
    ])
    .await
}

async fn what_is_nested_or_off_is_not_seen(room: Room) -> Verdict {
    let properties = json!({
        "refs": { "type": "nested", "properties": { "id": { "type": "keyword" } } },
        "off": { "type": "object", "enabled": false },
    });
    fill(&room, properties, &[("1", json!({ "refs": [{ "id": "a" }], "off": { "x": "a" } }))]).await?;
    let nothing = [exists("refs"), exists("refs.id"), Query::equals("refs.id", "a"), exists("off"), exists("off.x")];
    room.expect_found(&nothing.map(|query| (query, ""))).await?;
    room.expect_found(&[(Query::Everything, "1")]).await
}

async fn fields_in_fields(room: Room) -> Verdict {
    let properties =
        json!({ "t": { "type": "text", "fields": { "whole": { "type": "keyword", "ignore_above": 5 } } } });
    fill(&room, properties, &[("1", json!({ "t": "a b" })), ("2", json!({ "t": "too long" }))]).await?;
    room.expect_found(&[(Query::equals("t.whole", "a b"), "1"), (exists("t.whole"), "1"), (exists("t"), "1 2")]).await
}

async fn unknown_fields_find_nothing(room: Room) -> Verdict {
    let properties = json!({ "o": { "dynamic": false, "properties": {} } });
    fill(&room, properties, &[("1", json!({ "o": { "x": "a" } }))]).await?;
    let nothing = [
        Query::equals("new", "a"),
        Query::equals("o", "a"),
        Query::equals("o.x", "a"),
        exists("new"),
        exists("o.x"),
        range("new", json!({ "gte": "a" })),
    ];
    room.expect_found(&nothing.map(|query| (query, ""))).await?;
    room.expect_found(&[(not(Query::equals("new", "a")), "1")]).await
}

async fn ranges(room: Room) -> Verdict {
    let documents =
        [("1", json!({ "k": "a" })), ("2", json!({ "k": ["b", "d"] })), ("3", json!({})), ("4", json!({ "k": "ä" }))];
    fill(&room, json!({ "k": { "type": "keyword" } }), &documents).await?;
    room.expect_found(&[
        (range("k", json!({ "gte": "b" })), "2 4"),
        (range("k", json!({ "gt": "b", "lt": "z" })), "2"),
        (range("k", json!({ "lte": "a" })), "1"),
        (range("k", json!({ "lt": "a" })), ""),
        (range("k", json!({ "gt": "b", "lt": "d" })), ""),
        (range("k", json!({})), "1 2 4"),
        (range("k", json!({ "gte": 1 })), "1 2 4"),
    ])
    .await
}

async fn sequence_numbers_are_searchable(room: Room) -> Verdict {
    let documents = [("a", json!({ "n": 1 })), ("b", json!({ "n": 1 })), ("c", json!({ "n": 1 }))];
    fill(&room, json!({ "n": { "type": "long" } }), &documents).await?;
    room.expect_found(&[
        (range("_seq_no", json!({ "gt": 0 })), "b c"),
        (range("_seq_no", json!({ "gt": 0, "lt": 2 })), "b"),
        (Query::equals("_seq_no", 2), "c"),
    ])
    .await
}

async fn malformed_values_are_refused(room: Room) -> Verdict {
    room.create(json!({
        "k": { "type": "keyword" }, "n": { "type": "long" }, "b": { "type": "boolean" }, "d": { "type": "date" },
        "bin": { "type": "binary" },
    }))
    .await?;
    for query in [
        any_of("k", [Value::Null]),
        any_of("k", [json!("a"), Value::Null]),
        any_of("k", [json!(["a"])]),
        Query::equals("n", "abc"),
        Query::equals("n", true),
        range("n", json!({ "gte": "abc" })),
        range("n", json!({ "lte": 1e30 })),
        Query::equals("b", 1),
        Query::equals("b", "yes"),
        Query::equals("d", "x"),
        Query::equals("bin", "aGk="),
        range("_id", json!({ "gte": "a" })),
    ] {
        let found = room.cluster.search(&room.search_for(query.clone())).await;
        let what = format!("{query:.80?}");
        refused(&what, found, ClusterErrorKind::Rejected)?;
    }
    Ok(())
}

async fn an_alias_of_two_indices_finds_in_both(room: Room) -> Verdict {
    fill(&room, json!({ "n": { "type": "long" } }), &[("1", json!({ "n": 1 }))]).await?;
    let other = CreateIndex {
        name: room.name("other"),
        aliases: vec![room.name("other-alias")],
        ..room.create_request(json!({
            "properties": { "n": { "type": "long" } }
        }))
    };
    room.cluster.create_index(&other).await?;
    room.bulk(&room.name("other-alias"), &[put("2", &json!({ "n": 1 }))]).await?;
    room.cluster.refresh(&other.name).await?;
    let add = AliasAction::Add { index: other.name.clone(), alias: room.alias() };
    room.cluster.update_aliases(&[add]).await?;
    let page = room.cluster.search(&Search::new(SearchIn::Index(room.alias()), Query::equals("n", 1))).await?;
    let mut found: Vec<_> = page.hits.into_iter().map(|hit| (hit.index, hit.id)).collect();
    found.sort();
    equal("the documents", found, [(room.index(), "1".to_owned()), (other.name, "2".to_owned())])
}

async fn a_missing_index_is_refused(room: Room) -> Verdict {
    let search = Search::new(SearchIn::Index(room.name("nothing")), Query::Everything);
    refused("a search", room.cluster.search(&search).await, ClusterErrorKind::IndexNotFound)
}

async fn values_cannot_become_syntax(room: Room) -> Verdict {
    fill(&room, json!({ "k": { "type": "keyword" } }), &[("1", json!({ "k": "a" })), ("2", json!({ "k": "\"}]*" }))])
        .await?;
    room.expect_found(&[(Query::equals("k", "\"}]*"), "2"), (Query::equals("k", "* OR k:a"), "")]).await
}

async fn nested_documents_are_found_one_by_one(room: Room) -> Verdict {
    let keyword = json!({ "type": "keyword" });
    let properties = json!({
        "k": keyword, "refs": { "type": "nested", "properties": { "id": keyword, "type": keyword } },
    });
    let documents = [
        ("1", json!({ "k": "a", "refs": [{ "id": "x", "type": "p" }, { "id": "y", "type": "q" }] })),
        ("2", json!({ "k": "b", "refs": { "id": "x", "type": "q" } })),
        ("3", json!({ "k": "c", "refs": [] })),
    ];
    fill(&room, properties, &documents).await?;
    let nested = |query| Query::Nested { path: "refs".to_owned(), query: Box::new(query) };
    let (id, kind) = (|id| Query::equals("refs.id", id), |kind| Query::equals("refs.type", kind));
    room.expect_found(&[
        (nested(id("x")), "1 2"),
        (nested(Query::And(vec![id("x"), kind("q")])), "2"),
        (nested(Query::And(vec![id("y"), kind("q")])), "1"),
        (Query::And(vec![nested(id("x")), nested(id("y"))]), "1"),
        (nested(Query::Or(vec![id("y"), kind("p")])), "1"),
        (nested(not(id("x"))), "1"),
        (not(nested(id("x"))), "3"),
        (nested(Query::Everything), "1 2"),
        (nested(exists("refs.id")), "1 2"),
        (nested(any_of("refs.id", Vec::<String>::new())), ""),
        (Query::And(vec![Query::equals("k", "b"), nested(id("x"))]), "2"),
    ])
    .await?;
    let wrong = Query::Nested { path: "k".to_owned(), query: Box::new(Query::Everything) };
    refused(
        "a query of what is not nested",
        room.cluster.search(&room.search_for(wrong)).await,
        ClusterErrorKind::Rejected,
    )
}
