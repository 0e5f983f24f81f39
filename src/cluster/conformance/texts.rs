//! The documents that searches for words, phrases, patterns and search texts find, and their order by relevance.

use serde_json::{Value, json};

use super::case::named_cases;
use super::room::Room;
use super::verdict::{Failure, Verdict, equal, some};
use crate::cluster::{Direction, Query, SCORE, Search, SearchIn, Sort};

named_cases!(
    words_are_found_in_texts,
    phrases_are_found_in_their_order,
    values_of_other_types_are_compared_whole,
    patterns_of_keywords,
    patterns_of_texts,
    patterns_have_no_syntax,
    search_texts_have_operators,
    search_texts_are_never_malformed,
    what_fits_best_comes_first,
    pages_follow_relevance,
);

fn properties() -> Value {
    json!({
        "t": { "type": "text", "fields": { "whole": { "type": "keyword" } } }, "k": { "type": "keyword" },
        "n": { "type": "long" },
    })
}

async fn fill(room: &Room, documents: &[(&str, Value)]) -> Verdict {
    room.create(properties()).await?;
    room.fill(documents).await
}

async fn notes(room: &Room) -> Verdict {
    fill(
        room,
        &[
            ("1", json!({ "t": "One two", "k": "Alpha", "n": 1 })),
            ("2", json!({ "t": ["Two three, and more", "four"], "k": "Beta", "n": 2 })),
            ("3", json!({ "t": "wi-fi at user@example.com: 3.5 GB", "k": "a b" })),
            ("4", json!({ "k": ["*", "x"] })),
        ],
    )
    .await
}

fn words(field: &str, text: &str) -> Query {
    Query::Words { field: field.to_owned(), text: text.to_owned() }
}

fn phrase(field: &str, text: &str) -> Query {
    Query::Phrase { field: field.to_owned(), text: text.to_owned() }
}

/// Creates a pattern: `*` is anything or nothing.
fn pattern(field: &str, pattern: &str) -> Query {
    Query::Pattern { field: field.to_owned(), parts: pattern.split('*').map(str::to_owned).collect() }
}

fn text(fields: &[&str], text: &str, all_words: bool) -> Query {
    let fields = fields.iter().map(|&field| field.to_owned()).collect();
    Query::Text { fields, text: text.to_owned(), all_words }
}

async fn words_are_found_in_texts(room: Room) -> Verdict {
    notes(&room).await?;
    room.expect_found(&[
        (words("t", "two"), "1 2"),
        (words("t", "TWO"), "1 2"),
        (words("t", "one three"), "1 2"),
        (words("t", "tw"), ""),
        (words("t", "wi"), "3"),
        (words("t", "fi."), "3"),
        (words("t", "example.com"), "3"),
        (words("t", "example"), ""),
        (words("t", "3.5"), "3"),
        (words("t", "..."), ""),
        (words("t", ""), ""),
        (words("new", "one"), ""),
        (Query::Not(Box::new(words("t", "two"))), "3 4"),
        (Query::equals("t", "two"), "1 2"),
        (Query::equals("t", "Two"), ""),
    ])
    .await
}

async fn phrases_are_found_in_their_order(room: Room) -> Verdict {
    notes(&room).await?;
    room.expect_found(&[
        (phrase("t", "one two"), "1"),
        (phrase("t", "two one"), ""),
        (phrase("t", "Two, three"), "2"),
        (phrase("t", "two and"), ""),
        (phrase("t", "more four"), ""),
        (phrase("t", "four"), "2"),
        (phrase("t", "..."), ""),
    ])
    .await
}

async fn values_of_other_types_are_compared_whole(room: Room) -> Verdict {
    notes(&room).await?;
    room.expect_found(&[
        (words("k", "Alpha"), "1"),
        (words("k", "alpha"), ""),
        (words("k", "a b"), "3"),
        (words("k", "a"), ""),
        (phrase("k", "a b"), "3"),
        (words("n", "2"), "2"),
        (phrase("n", "2"), "2"),
        (words("t.whole", "One two"), "1"),
    ])
    .await
}

async fn patterns_of_keywords(room: Room) -> Verdict {
    notes(&room).await?;
    room.expect_found(&[
        (pattern("k", "Al*"), "1"),
        (pattern("k", "al*"), ""),
        (pattern("k", "*a"), "1 2"),
        (pattern("k", "*l*a"), "1"),
        (pattern("k", "a *"), "3"),
        (pattern("k", "Alpha*"), "1"),
        (pattern("k", "Alpha"), "1"),
        (pattern("k", "*"), "1 2 3 4"),
        (pattern("t.whole", "*two"), "1"),
        (pattern("new", "a*"), ""),
        (pattern("new", "*a"), ""),
    ])
    .await
}

async fn patterns_of_texts(room: Room) -> Verdict {
    notes(&room).await?;
    room.expect_found(&[
        (pattern("t", "thr*"), "2"),
        (pattern("t", "Thr*"), "2"),
        (pattern("t", "*ee"), "2"),
        (pattern("t", "t*o"), "1 2"),
        (pattern("t", "one tw*"), "1 2"),
        (pattern("t", "one*two"), ""),
        (pattern("t", "two"), "1 2"),
        (pattern("t", "*"), "1 2 3"),
    ])
    .await
}

async fn patterns_have_no_syntax(room: Room) -> Verdict {
    let values =
        ["plain", "a?b", "AND", "a:b", "[a TO b]", "a\"b", r"a\b", "/a/", "a~b", "(a", "\u{e4} \u{df}", "-a", ">=5"];
    let documents: Vec<(String, Value)> =
        values.iter().enumerate().map(|(place, value)| (place.to_string(), json!({ "k": value }))).collect();
    let documents: Vec<(&str, Value)> = documents.iter().map(|(id, value)| (id.as_str(), value.clone())).collect();
    fill(&room, &documents).await?;
    for (place, value) in values.iter().enumerate() {
        let parts = vec![(*value).to_owned(), String::new()];
        let id = place.to_string();
        let prefix = Query::Pattern { field: "k".to_owned(), parts };
        let whole = Query::Pattern { field: "k".to_owned(), parts: vec![(*value).to_owned()] };
        room.expect_found(&[(prefix, &id), (whole, &id)]).await?;
    }
    Ok(())
}

async fn search_texts_have_operators(room: Room) -> Verdict {
    notes(&room).await?;
    let any = |query: &str| text(&["t"], query, false);
    let all = |query: &str| text(&["t"], query, true);
    let both = |query: &str| text(&["t", "k", "n"], query, false);
    room.expect_found(&[
        (any("two"), "1 2"),
        (any("one three"), "1 2"),
        (all("two three"), "2"),
        (any("two + three"), "2"),
        (all("one | three"), "1 2"),
        (any("\"one two\""), "1"),
        (any("thr*"), "2"),
        (any("Thr*"), "2"),
        (any("two -three"), "1 2 3 4"),
        (all("two -three"), "1"),
        (any("+two + -three"), "1"),
        (all("(one | three) two"), "1 2"),
        (any("*"), "1 2 3 4"),
        (both("Alpha three"), "1 2"),
        (both("2"), "2"),
        (both("Al*"), "1"),
        (Query::And(vec![Query::equals("n", 2), any("two")]), "2"),
    ])
    .await
}

async fn search_texts_are_never_malformed(room: Room) -> Verdict {
    notes(&room).await?;
    let any = |query: &str| text(&["t"], query, false);
    room.expect_found(&[
        (any(""), ""),
        (any("(((\""), ""),
        (any("((\"~*"), ""),
        (any("two )) \"three"), "1 2"),
        (any("()one"), "1"),
        (any("..."), ""),
        (text(&["n"], "many", false), ""),
    ])
    .await
}

/// Documents with the same word, whose ids say how well they fit it.
async fn texts_with_a_word(room: &Room) -> Verdict {
    let texts = [
        ("long", "a word among a great many others, so that it says little of what this text is about"),
        ("best", "word word word"),
        ("none", "something else"),
        ("short", "a word"),
        ("both", "word and more"),
    ];
    fill(room, &texts.map(|(id, text)| (id, json!({ "t": text, "k": id })))).await
}

fn by_relevance() -> Vec<Sort> {
    vec![Sort { field: SCORE.to_owned(), direction: Direction::Descending }]
}

async fn ids(room: &Room, search: &Search) -> Result<String, Failure> {
    let page = room.cluster.search(search).await?;
    Ok(page.hits.into_iter().map(|hit| hit.id).collect::<Vec<_>>().join(" "))
}

async fn what_fits_best_comes_first(room: Room) -> Verdict {
    texts_with_a_word(&room).await?;
    let query = text(&["t"], "word", false);
    for sort in [Vec::new(), by_relevance()] {
        let search = Search { sort, ..room.search_for(query.clone()) };
        equal("the order", ids(&room, &search).await?, "best short both long")?;
    }
    // Filters count for nothing.
    let filtered = Query::And(vec![query, Query::Not(Box::new(Query::equals("k", "short")))]);
    let search = Search { sort: by_relevance(), ..room.search_for(filtered) };
    equal("the filtered order", ids(&room, &search).await?, "best both long")
}

async fn pages_follow_relevance(room: Room) -> Verdict {
    texts_with_a_word(&room).await?;
    let point_in_time = room.cluster.open_point_in_time(&room.index(), std::time::Duration::from_secs(60)).await?;
    let within = SearchIn::PointInTime(point_in_time.clone());
    let query = text(&["t"], "word", false);
    let mut search = Search { sort: by_relevance(), size: 1, ..Search::new(within, query) };
    let mut seen = Vec::new();
    // One page more than there can be.
    for _ in 0..5 {
        let page = room.cluster.search(&search).await?;
        let Some(last) = page.last_sort else { break };
        seen.extend(page.hits.into_iter().map(|hit| hit.id));
        search.after = Some(last);
        search.within = SearchIn::PointInTime(some("the point in time", page.point_in_time)?);
    }
    room.cluster.close_point_in_time(&point_in_time).await?;
    equal("the order", seen.join(" "), "best short both long")
}
