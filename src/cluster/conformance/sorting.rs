//! The order of documents in sorted searches.

use serde_json::{Value, json};

use super::case::named_cases;
use super::room::Room;
use super::verdict::{Failure, Verdict, equal, refused};
use crate::cluster::{ClusterErrorKind, Direction, Query, Search, Sort};

named_cases!(
    keywords_sort_by_bytes,
    numbers_sort_by_value,
    dates_and_booleans_sort,
    documents_without_the_field_come_last,
    lists_sort_by_their_outermost_value,
    a_second_field_decides_between_equals,
    sequence_numbers_sort,
    flattened_keys_sort,
    what_has_no_order_is_refused,
);

fn by(field: &str, direction: Direction) -> Sort {
    Sort { field: field.to_owned(), direction }
}

async fn order(room: &Room, sort: Vec<Sort>) -> Result<String, Failure> {
    let search = Search { sort, ..room.search_for(Query::Everything) };
    Ok(room.cluster.search(&search).await?.hits.into_iter().map(|hit| hit.id).collect::<Vec<_>>().join(" "))
}

/// Fails unless the documents, the last of which has no value in the field, come in these orders.
async fn expect(room: &Room, field: &str, ascending: &str, descending: &str) -> Verdict {
    equal(&format!("{field} ascending"), order(room, vec![by(field, Direction::Ascending)]).await?, ascending)?;
    equal(&format!("{field} descending"), order(room, vec![by(field, Direction::Descending)]).await?, descending)
}

async fn fill(room: &Room, properties: Value, documents: &[(&str, Value)]) -> Verdict {
    room.create(properties).await?;
    room.fill(documents).await
}

async fn keywords_sort_by_bytes(room: Room) -> Verdict {
    let documents = ["b", "a", "B", "ä", "aa", "10", "9"]
        .map(|value| json!({ "k": value }))
        .map(|document| (document["k"].to_string(), document));
    let documents: Vec<(&str, Value)> =
        documents.iter().map(|(id, document)| (id.trim_matches('"'), document.clone())).collect();
    fill(&room, json!({ "k": { "type": "keyword" } }), &documents).await?;
    expect(&room, "k", "10 9 B a aa b ä", "ä b aa a B 9 10").await
}

async fn numbers_sort_by_value(room: Room) -> Verdict {
    let properties = json!({ "n": { "type": "long" }, "x": { "type": "double" } });
    let documents = [
        ("9", json!({ "n": 9, "x": 0.5 })),
        ("10", json!({ "n": "10", "x": -0.5 })),
        ("-1", json!({ "n": -1, "x": 1e300 })),
    ];
    fill(&room, properties, &documents).await?;
    expect(&room, "n", "-1 9 10", "10 9 -1").await?;
    expect(&room, "x", "10 9 -1", "-1 9 10").await
}

async fn dates_and_booleans_sort(room: Room) -> Verdict {
    let properties = json!({ "d": { "type": "date" }, "b": { "type": "boolean" } });
    let documents = [
        ("1", json!({ "d": "2021-01-01T01:00:00+02:00", "b": true })),
        ("2", json!({ "d": "2021-01-01", "b": false })),
    ];
    fill(&room, properties, &documents).await?;
    expect(&room, "d", "1 2", "2 1").await?;
    expect(&room, "b", "2 1", "1 2").await
}

async fn documents_without_the_field_come_last(room: Room) -> Verdict {
    let properties = json!({
        "k": { "type": "keyword", "ignore_above": 3 }, "n": { "type": "long" }, "d": { "type": "date" },
        "b": { "type": "boolean" }, "x": { "type": "double" } });
    let documents = [
        ("none", json!({ "k": "abcd" })),
        ("2", json!({ "k": "b", "n": 2, "d": 2, "b": true, "x": 2 })),
        ("1", json!({ "k": "a", "n": -1, "d": -1, "b": false, "x": -1 })),
    ];
    fill(&room, properties, &documents).await?;
    for field in ["k", "n", "d", "b", "x"] {
        expect(&room, field, "1 2 none", "2 1 none").await?;
    }
    Ok(())
}

async fn lists_sort_by_their_outermost_value(room: Room) -> Verdict {
    let documents = [("wide", json!({ "n": [1, 9] })), ("middle", json!({ "n": 5 }))];
    fill(&room, json!({ "n": { "type": "long" } }), &documents).await?;
    expect(&room, "n", "wide middle", "wide middle").await
}

async fn a_second_field_decides_between_equals(room: Room) -> Verdict {
    let properties = json!({ "k": { "type": "keyword" }, "n": { "type": "long" } });
    let documents =
        [("1", json!({ "k": "a", "n": 1 })), ("2", json!({ "k": "a", "n": 2 })), ("3", json!({ "k": "b", "n": 3 }))];
    fill(&room, properties, &documents).await?;
    let sort = vec![by("k", Direction::Ascending), by("n", Direction::Descending)];
    equal("the order", order(&room, sort).await?, "2 1 3")
}

async fn sequence_numbers_sort(room: Room) -> Verdict {
    let documents = [("c", json!({})), ("a", json!({})), ("b", json!({}))];
    fill(&room, json!({}), &documents).await?;
    expect(&room, "_seq_no", "c a b", "b a c").await
}

async fn flattened_keys_sort(room: Room) -> Verdict {
    let documents = [
        ("1", json!({ "f": { "a": "y" } })),
        ("2", json!({ "f": { "a": "x" } })),
        ("none", json!({ "f": { "b": 1 } })),
    ];
    fill(&room, json!({ "f": { "type": "flattened" } }), &documents).await?;
    expect(&room, "f.a", "2 1 none", "1 2 none").await
}

async fn what_has_no_order_is_refused(room: Room) -> Verdict {
    let properties = json!({
        "t": { "type": "text" }, "bin": { "type": "binary" }, "k": { "type": "keyword", "doc_values": false },
        "o": { "properties": { "a": { "type": "keyword" } } } });
    fill(&room, properties, &[("1", json!({ "t": "a", "k": "a" }))]).await?;
    for field in ["t", "bin", "k", "o", "new", "_id"] {
        let search = Search { sort: vec![by(field, Direction::Ascending)], ..room.search_for(Query::Everything) };
        refused(field, room.cluster.search(&search).await, ClusterErrorKind::Rejected)?;
    }
    Ok(())
}
