//! What aggregations compute over the documents that a search finds.

use serde_json::{Map, Value, json};

use super::case::named_cases;
use super::room::Room;
use super::verdict::{Failure, Verdict, equal, refused, some};
use crate::cluster::{ClusterErrorKind, Query, Search};

named_cases!(
    numbers_are_computed,
    documents_are_grouped_by_value,
    documents_are_grouped_by_interval,
    documents_are_grouped_by_dates,
    documents_are_grouped_by_a_filter,
    groups_are_paged,
    what_cannot_be_aggregated_is_refused,
);

async fn documents(room: &Room) -> Verdict {
    room.create(json!({
        "k": { "type": "keyword" }, "n": { "type": "long" }, "x": { "type": "double" }, "d": { "type": "date" },
        "b": { "type": "boolean" }, "t": { "type": "text" },
    }))
    .await?;
    room.fill(&[
        ("1", json!({ "k": ["x", "y"], "n": 1, "x": 0.5, "d": "2026-01-01T00:00:00.000Z", "b": true, "t": "a" })),
        ("2", json!({ "k": "y", "n": 2, "x": 1.5, "d": "2026-02-01T00:00:00.000Z", "b": false })),
        ("3", json!({ "n": 3, "d": "2027-01-01T00:00:00.000Z", "b": true })),
        ("4", json!({ "k": "z", "n": 40 })),
    ])
    .await
}

/// Returns the results of aggregations over the documents that `query` finds.
async fn aggregate(room: &Room, query: Query, aggregations: Value) -> Result<Map<String, Value>, Failure> {
    let aggregations = some("the aggregations", aggregations.as_object().cloned())?;
    let search = Search { size: 0, aggregations, ..room.search_for(query) };
    Ok(room.cluster.search(&search).await?.aggregations)
}

fn below_forty() -> Query {
    Query::Range { field: "n".to_owned(), from: None, above: None, to: None, below: Some(json!(40)) }
}

/// Returns the buckets of an aggregation as texts: the `names` of each, and how many documents it has.
fn buckets(results: &Map<String, Value>, aggregation: &str, names: &[&str]) -> Result<Vec<String>, Failure> {
    let buckets = results.get(aggregation).and_then(|result| result.get("buckets")).and_then(Value::as_array);
    let shown = |bucket: &Value| {
        let values = names.iter().map(|name| match bucket.pointer(name) {
            Some(Value::String(text)) => text.clone(),
            other => other.cloned().unwrap_or_default().to_string(),
        });
        values.collect::<Vec<_>>().join(" ")
    };
    Ok(some(aggregation, buckets)?.iter().map(shown).collect())
}

async fn numbers_are_computed(room: Room) -> Verdict {
    documents(&room).await?;
    let of = |kind: &str, field: &str| json!({ kind: { "field": field } });
    let aggregations = json!({
        "min": of("min", "n"), "max": of("max", "n"), "sum": of("sum", "x"), "avg": of("avg", "n"),
        "count": of("value_count", "k"), "distinct": of("cardinality", "k"), "newest": of("max", "d"),
        "nothing": of("max", "new"), "no sum": of("sum", "new"),
    });
    let results = aggregate(&room, below_forty(), aggregations).await?;
    let value = |name: &str| results.get(name).and_then(|result| result.get("value")).and_then(Value::as_f64);
    for (name, expected) in [
        ("min", Some(1.0)),
        ("max", Some(3.0)),
        ("sum", Some(2.0)),
        ("avg", Some(2.0)),
        ("count", Some(3.0)),
        ("distinct", Some(2.0)),
        ("newest", Some(1_798_761_600_000.0)),
        ("nothing", None),
        ("no sum", Some(0.0)),
    ] {
        equal(name, value(name), expected)?;
    }
    let newest = results.get("newest").and_then(|result| result.get("value_as_string"));
    equal("the newest as text", newest, Some(&json!("2027-01-01T00:00:00.000Z")))
}

async fn documents_are_grouped_by_value(room: Room) -> Verdict {
    documents(&room).await?;
    let terms = |field: &str, size: u32| json!({ "terms": { "field": field, "size": size } });
    let mut with_most = terms("k", 2);
    with_most["aggs"] = json!({ "most": { "max": { "field": "n" } } });
    let aggregations = json!({ "k": with_most, "b": terms("b", 5), "n": terms("n", 2), "new": terms("new", 5) });
    let results = aggregate(&room, Query::Everything, aggregations).await?;
    equal("k", buckets(&results, "k", &["/key", "/doc_count", "/most/value"])?, ["y 2 2.0", "x 1 1.0"])?;
    equal("others", results.get("k").and_then(|k| k.get("sum_other_doc_count")), Some(&json!(1)))?;
    equal("b", buckets(&results, "b", &["/key_as_string", "/doc_count"])?, ["true 2", "false 1"])?;
    equal("n", buckets(&results, "n", &["/key", "/doc_count"])?, ["1 1", "2 1"])?;
    equal("new", buckets(&results, "new", &["/key"])?, Vec::<String>::new())
}

async fn documents_are_grouped_by_interval(room: Room) -> Verdict {
    documents(&room).await?;
    let steps = json!({ "histogram": { "field": "n", "interval": 2.0, "min_doc_count": 1 } });
    let results = aggregate(&room, Query::Everything, json!({ "steps": steps })).await?;
    equal("steps", buckets(&results, "steps", &["/key", "/doc_count"])?, ["0.0 1", "2.0 2", "40.0 1"])
}

async fn documents_are_grouped_by_dates(room: Room) -> Verdict {
    documents(&room).await?;
    let ranges = json!([
        { "from": "2026-01-01", "to": "2027-01-01" }, { "to": "2026-01-01||+1M" }, { "from": "2026-01-15||/M" },
    ]);
    let dates = json!({ "date_range": { "field": "d", "ranges": ranges } });
    let results = aggregate(&room, Query::Everything, json!({ "dates": dates })).await?;
    let expected = [
        "*-2026-02-01T00:00:00.000Z 1",
        "2026-01-01T00:00:00.000Z-2027-01-01T00:00:00.000Z 2",
        "2026-01-01T00:00:00.000Z-* 3",
    ];
    equal("dates", buckets(&results, "dates", &["/key", "/doc_count"])?, expected)
}

async fn documents_are_grouped_by_a_filter(room: Room) -> Verdict {
    documents(&room).await?;
    let filter = Query::And(vec![Query::equals("k", "y"), below_forty()]).to_json();
    let aggregations = json!({ "y": { "filter": filter, "aggs": { "sum": { "sum": { "field": "n" } } } } });
    let results = aggregate(&room, Query::Everything, aggregations).await?;
    let result = some("y", results.get("y"))?;
    equal("the count", result.get("doc_count"), Some(&json!(2)))?;
    equal("the sum", result.pointer("/sum/value").and_then(Value::as_f64), Some(3.0))
}

async fn groups_are_paged(room: Room) -> Verdict {
    documents(&room).await?;
    let mut composite =
        json!({ "size": 2, "sources": [{ "k": { "terms": { "field": "k", "missing_bucket": true } } }] });
    let mut pages = Vec::new();
    // One page more than there can be.
    for _ in 0..3 {
        let aggregations = json!({ "groups": { "composite": composite } });
        let results = aggregate(&room, Query::Everything, aggregations).await?;
        pages.push(buckets(&results, "groups", &["/key/k", "/doc_count"])?.join(", "));
        let Some(after) = results.get("groups").and_then(|groups| groups.get("after_key")) else { break };
        composite["after"] = after.clone();
    }
    equal("the pages", pages, ["null 1, x 1", "y 2, z 1", ""])
}

async fn what_cannot_be_aggregated_is_refused(room: Room) -> Verdict {
    documents(&room).await?;
    for (kind, field) in [("terms", "t"), ("max", "k"), ("sum", "k"), ("avg", "t")] {
        let aggregations = json!({ "x": { kind: { "field": field } } });
        let aggregations = some("the aggregations", aggregations.as_object().cloned())?;
        let search = Search { size: 0, aggregations, ..room.search_for(Query::Everything) };
        refused(&format!("{kind} of {field}"), room.cluster.search(&search).await, ClusterErrorKind::Rejected)?;
    }
    Ok(())
}
