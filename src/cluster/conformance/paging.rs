//! Pages of a search, by number and by the end of the previous page.

use serde_json::{Value, json};

use super::case::named_cases;
use super::room::Room;
use super::verdict::{Failure, Verdict, equal, refused};
use crate::cluster::{ClusterErrorKind, Direction, Hit, HitRef, Hits, Query, Search, SearchIn, Slice, Sort};

named_cases!(
    pages_by_number,
    all_matches_are_counted,
    a_page_ends_with_its_sort_values,
    a_page_comes_in_parts,
    going_on_passes_over_nothing,
    going_on_by_sequence_number_sees_new_writes,
    pages_end_at_ten_thousand,
    malformed_pages_are_refused,
);

fn by(field: &str, direction: Direction) -> Sort {
    Sort { field: field.to_owned(), direction }
}

fn by_seq_no() -> Vec<Sort> {
    vec![by("_seq_no", Direction::Ascending)]
}

async fn seven_documents(room: &Room) -> Verdict {
    let properties = json!({ "k": { "type": "keyword" }, "n": { "type": "long" }, "d": { "type": "date" },
        "b": { "type": "boolean" }, "x": { "type": "double" } });
    room.create(properties).await?;
    let full = |n: i64| json!({ "k": format!("k{}", n % 3), "n": n % 3, "d": n % 3, "b": n % 2 == 0, "x": (n % 3) as f64 / 2.0 });
    room.fill(&[
        ("1", full(1)),
        ("2", full(2)),
        ("3", json!({})),
        ("4", full(4)),
        ("5", json!({})),
        ("6", full(6)),
        ("7", full(7)),
    ])
    .await
}

async fn ids(room: &Room, search: &Search) -> Result<String, Failure> {
    let page = room.cluster.search(search).await?;
    Ok(page.hits.into_iter().map(|hit| hit.id).collect::<Vec<_>>().join(" "))
}

async fn pages_by_number(room: Room) -> Verdict {
    seven_documents(&room).await?;
    for (from, size, expected) in [(0, 3, "1 2 3"), (3, 3, "4 5 6"), (6, 3, "7"), (9, 3, ""), (0, 0, "")] {
        let search = Search { from, size, sort: by_seq_no(), ..room.search_for(Query::Everything) };
        equal(&format!("from {from} size {size}"), ids(&room, &search).await?, expected)?;
    }
    Ok(())
}

async fn all_matches_are_counted(room: Room) -> Verdict {
    seven_documents(&room).await?;
    let search = Search { size: 2, count_total: true, ..room.search_for(Query::Exists { field: "k".to_owned() }) };
    let page = room.cluster.search(&search).await?;
    equal("hits", page.hits.len(), 2)?;
    equal("the total", page.total, Some(5))?;
    let only_count = Search { size: 0, from: 0, ..search.clone() };
    equal("the total without hits", room.cluster.search(&only_count).await?.total, Some(5))?;
    let uncounted = Search { count_total: false, ..search };
    equal("the total, not asked for", room.cluster.search(&uncounted).await?.total, None)
}

async fn a_page_ends_with_its_sort_values(room: Room) -> Verdict {
    seven_documents(&room).await?;
    let unsorted = room.cluster.search(&room.search_for(Query::Everything)).await?;
    equal("without a sort", unsorted.last_sort, None)?;
    let sorted = Search { sort: by_seq_no(), size: 2, ..room.search_for(Query::Everything) };
    let page = room.cluster.search(&sorted).await?;
    equal("with a sort", page.last_sort, Some(vec![json!(1)]))?;
    let empty = Search { query: Query::Or(vec![]), ..sorted };
    equal("of nothing", room.cluster.search(&empty).await?.last_sort, None)
}

async fn a_page_comes_in_parts(room: Room) -> Verdict {
    seven_documents(&room).await?;
    room.fill(&[("\"8\" \\ \u{e4}", json!({ "k": "\u{1f600} \"x\"" }))]).await?;
    let search = Search { sort: by_seq_no(), count_total: true, ..room.search_for(Query::Everything) };
    let page = room.cluster.search(&search).await?;
    for (size, lengths) in [(3, &[3, 3, 2][..]), (8, &[8]), (100, &[8]), (1, &[1; 8])] {
        let mut parts = Vec::new();
        let end = room.cluster.search_in_parts(&search, size, &mut |part| parts.push(part)).await?;
        equal("the lengths", parts.iter().map(Hits::len).collect::<Vec<_>>().as_slice(), lengths)?;
        let texts = |hit: HitRef<'_>| [hit.index, hit.id, hit.source].map(str::to_owned);
        let seen: Vec<_> = parts.iter().flat_map(Hits::iter).map(|hit| (texts(hit), hit.sequence)).collect();
        let whole = page.hits.iter().map(Hit::borrowed);
        equal("the hits", seen, whole.map(|hit| (texts(hit), hit.sequence)).collect::<Vec<_>>())?;
        equal("the hits of the page", end.hits.len(), 0)?;
        equal("the end", (end.total, end.last_sort), (page.total, page.last_sort.clone()))?;
    }
    let nothing = Search { query: Query::Or(vec![]), ..search.clone() };
    let mut parts = 0;
    room.cluster.search_in_parts(&nothing, 3, &mut |_| parts += 1).await?;
    equal("the parts of nothing", parts, 0)?;
    let missing = Search::new(SearchIn::Index(format!("{}-missing", room.index())), Query::Everything);
    let found = room.cluster.search_in_parts(&missing, 3, &mut |_| {}).await;
    refused("a search of no index", found, ClusterErrorKind::IndexNotFound)
}

async fn going_on_passes_over_nothing(room: Room) -> Verdict {
    seven_documents(&room).await?;
    for field in ["k", "n", "d", "b", "x"] {
        for direction in [Direction::Ascending, Direction::Descending] {
            let sort = vec![by(field, direction), by("_seq_no", Direction::Descending)];
            let whole = Search { sort: sort.clone(), ..room.search_for(Query::Everything) };
            let mut search = Search { sort, size: 2, ..room.search_for(Query::Everything) };
            let mut seen = Vec::new();
            // One page more than there can be.
            for _ in 0..5 {
                let page = room.cluster.search(&search).await?;
                seen.extend(page.hits.into_iter().map(|hit| hit.id));
                let Some(last) = page.last_sort else { break };
                search.after = Some(last);
            }
            equal(&format!("{field} {direction:?}"), seen.join(" "), ids(&room, &whole).await?)?;
            equal("the number of documents", seen.len(), 7)?;
        }
    }
    Ok(())
}

async fn going_on_by_sequence_number_sees_new_writes(room: Room) -> Verdict {
    seven_documents(&room).await?;
    let mut search = Search { sort: by_seq_no(), size: 5, ..room.search_for(Query::Everything) };
    search.after = room.cluster.search(&search).await?.last_sort;
    room.fill(&[("1", json!({ "n": 1 }))]).await?;
    equal("the rest", ids(&room, &search).await?, "6 7 1")
}

async fn pages_end_at_ten_thousand(room: Room) -> Verdict {
    seven_documents(&room).await?;
    let search = |from, size| Search { from, size, sort: by_seq_no(), ..room.search_for(Query::Everything) };
    equal("the last", ids(&room, &search(9_999, 1)).await?, "")?;
    equal("the largest", ids(&room, &search(0, 10_000)).await?, "1 2 3 4 5 6 7")?;
    for (from, size) in [(10_000, 1), (0, 10_001)] {
        let found = room.cluster.search(&search(from, size)).await;
        refused(&format!("from {from} size {size}"), found, ClusterErrorKind::Rejected)?;
    }
    Ok(())
}

async fn malformed_pages_are_refused(room: Room) -> Verdict {
    seven_documents(&room).await?;
    let sorted = Search { sort: by_seq_no(), ..room.search_for(Query::Everything) };
    let after = |values: Value| values.as_array().cloned();
    for (what, search) in [
        ("from with after", Search { from: 1, after: after(json!([1])), ..sorted.clone() }),
        ("after without a sort", Search { sort: vec![], after: after(json!([1])), ..sorted.clone() }),
        ("too many values", Search { after: after(json!([1, 2])), ..sorted.clone() }),
        ("no value", Search { after: after(json!([])), ..sorted.clone() }),
        ("a mistyped value", Search { after: after(json!(["abc"])), ..sorted.clone() }),
        ("a slice of an index", Search { slice: Some(Slice { id: 0, max: 2 }), ..sorted.clone() }),
    ] {
        refused(what, room.cluster.search(&search).await, ClusterErrorKind::Rejected)?;
    }
    Ok(())
}
