//! Reads of documents: get, multi-get, searches, counts and points in time.

use std::mem;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::answers::{DocumentAnswer, MultiGetAnswer, TypeCountAnswer, VersionedHit};
use super::connection::{Answer, Connection, Request, Verb};
use super::search_answer::{EachHit, SearchAnswer};
use super::server_error::ErrorAnswer;
use crate::cluster::{
    ClusterError, ClusterErrorKind, ClusterResult, Direction, Hit, Hits, Page, PointInTime, SCORE, Search, SearchIn,
    TypeCount,
};

/// The number of (type, version) pairs that one answer counts.
const COUNTS_A_PAGE: usize = 1_000;

pub(super) async fn get(connection: &Connection, index: &str, id: &str) -> ClusterResult<Option<Hit>> {
    // In a path these two ids mean a folder, in every encoding.
    if matches!(id, "." | "..") {
        let found = get_many(connection, index, &[id]).await?;
        return Ok(found.into_iter().flatten().next().map(|versioned| versioned.hit));
    }
    let path = format!("{index}/_doc/{}", utf8_percent_encode(id, NON_ALPHANUMERIC));
    match connection.send(&Request::read(Verb::Get, path).accept(&[404])).await {
        Ok(answer) if answer.status == 404 => not_found(&answer).map_or(Ok(None), Err),
        Ok(answer) => {
            reading(answer, |answer| Ok(answer.parse::<DocumentAnswer<'_>>()?.into_hit().map(|found| found.hit)))
        }
        Err(error) => Err(error),
    }
}

/// Returns what `read` makes of an answer. Documents of other writers may contain comments: such an answer is read a
/// second time without them.
fn reading<T>(answer: Answer, mut read: impl FnMut(&Answer) -> ClusterResult<T>) -> ClusterResult<T> {
    let plain = |error: &ClusterError| match error.kind {
        ClusterErrorKind::Unexpected => answer.without_comments(),
        _ => None,
    };
    read(&answer).or_else(|error| plain(&error).map_or(Err(error), |plain| read(&plain)))
}

/// Returns the error of a 404, or `None` if the answer says that the document is missing. Otherwise the index is
/// missing.
fn not_found(answer: &Answer) -> Option<ClusterError> {
    #[derive(serde::Deserialize)]
    struct Missing {
        found: bool,
    }
    if answer.parse::<Missing>().is_ok_and(|missing| !missing.found) {
        return None;
    }
    let details = match answer.parse::<ErrorAnswer>() {
        Ok(details) => details,
        Err(error) => return Some(error),
    };
    let kind = details.kind(404);
    let mut error = ClusterError::new(kind, "GET", "_doc", details.error.reason.unwrap_or_default());
    error.status = Some(404);
    error.server_type = details.error.kind;
    Some(error)
}

/// Returns documents by id. Splits the request if the answer is too large.
pub(super) async fn get_many(
    connection: &Connection,
    index: &str,
    ids: &[&str],
) -> ClusterResult<Vec<Option<VersionedHit>>> {
    let mut found = Vec::with_capacity(ids.len());
    let mut rest = ids;
    let mut size = ids.len();
    while !rest.is_empty() {
        let (page, others) = rest.split_at(size.min(rest.len()));
        match get_page(connection, index, page).await {
            Ok(documents) => {
                found.extend(documents);
                rest = others;
            }
            Err(error) if error.kind == ClusterErrorKind::TooLarge && page.len() > 1 => {
                size = page.len().div_ceil(2);
                tracing::debug!(documents = size, "too many documents for one answer, and less are asked for");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Returns documents by id with one request. Repeats it while a shard of the index has not started, which the answer
/// says for each document, with status 200.
async fn get_page(connection: &Connection, index: &str, ids: &[&str]) -> ClusterResult<Vec<Option<VersionedHit>>> {
    let mut attempts = connection.attempts();
    loop {
        match attempts.during(ask_for_page(connection, index, ids)).await {
            Err(error)
                if error.server_type.as_deref() == Some("no_shard_available_action_exception")
                    && attempts.wait_for_next("no_shard", None).await => {}
            answer => return answer,
        }
    }
}

async fn ask_for_page(connection: &Connection, index: &str, ids: &[&str]) -> ClusterResult<Vec<Option<VersionedHit>>> {
    let path = format!("{index}/_mget");
    let request = Request::read(Verb::Post, path.clone()).json(&json!({ "ids": ids })).ask_for_less();
    let answer = connection.send(&request).await?;
    reading(answer, |answer| documents_of(answer, &path, ids))
}

fn documents_of(answer: &Answer, path: &str, ids: &[&str]) -> ClusterResult<Vec<Option<VersionedHit>>> {
    let documents = answer.parse::<MultiGetAnswer<'_>>()?.docs;
    if documents.len() != ids.len() {
        let reason = format!("{} documents were asked for and {} answered", ids.len(), documents.len());
        return Err(ClusterError::new(ClusterErrorKind::Unexpected, "POST", path, reason));
    }
    documents
        .into_iter()
        .map(|mut document| match document.error.take() {
            None => Ok(document.into_hit()),
            Some(error) => {
                let kind = match error.kind.as_deref() {
                    Some("index_not_found_exception") => ClusterErrorKind::IndexNotFound,
                    Some("index_closed_exception") => ClusterErrorKind::IndexClosed,
                    Some("security_exception") => ClusterErrorKind::Forbidden,
                    Some("illegal_argument_exception") => ClusterErrorKind::Rejected,
                    _ => ClusterErrorKind::Unavailable,
                };
                let mut failed = ClusterError::new(kind, "POST", path, error.reason.unwrap_or_default());
                failed.server_type = error.kind;
                failed.index = error.index;
                Err(failed)
            }
        })
        .collect()
}

pub(super) async fn search(connection: &Connection, search: &Search) -> ClusterResult<Page> {
    let answer = ask(connection, search).await?;
    reading(answer, |answer| {
        let mut hits = Vec::new();
        let end =
            answer.parse_with(EachHit(&mut |document| hits.extend(document.into_hit().map(|found| found.hit))))?;
        Ok(page(search, hits, end))
    })
}

/// Returns the page without its hits, which are passed to `each` in chunks as they are parsed.
pub(super) async fn search_in_parts(
    connection: &Connection,
    search: &Search,
    size: usize,
    each: &mut (dyn FnMut(Hits) + Send),
) -> ClusterResult<Page> {
    let size = size.max(1);
    let answer = ask(connection, search).await?;
    // When an answer is read a second time, `each` already has its first hits.
    let mut handed = 0;
    let end = reading(answer, |answer| {
        let none = || Hits::in_answer(answer.body(), size.min(search.size as usize));
        let (mut part, mut at) = (none(), 0);
        let end = answer.parse_with(EachHit(&mut |document| {
            at += 1;
            if at <= handed {
                return;
            }
            handed = at;
            if part.len() >= size {
                each(mem::replace(&mut part, none()));
            }
            if let Some(hit) = document.borrowed_hit() {
                part.push(hit);
            }
        }));
        if !part.is_empty() {
            each(part);
        }
        end
    })?;
    Ok(page(search, Vec::new(), end))
}

async fn ask(connection: &Connection, search: &Search) -> ClusterResult<Answer> {
    let path = match &search.within {
        SearchIn::Index(index) => format!("{index}/_search"),
        SearchIn::PointInTime(_) => "_search".to_owned(),
    };
    let request = Request::read(Verb::Post, path)
        .query("allow_partial_search_results", "false")
        .json(&search_body(search))
        .ask_for_less();
    connection.send(&request).await
}

fn page(search: &Search, hits: Vec<Hit>, end: SearchAnswer) -> Page {
    let SearchAnswer { pit_id, total, last_sort, aggregations } = end;
    let point_in_time = match &search.within {
        SearchIn::Index(_) => None,
        SearchIn::PointInTime(current) => {
            Some(PointInTime { id: pit_id.unwrap_or_else(|| current.id.clone()), keep_alive: current.keep_alive })
        }
    };
    Page { hits, total, last_sort, point_in_time, aggregations }
}

fn search_body(search: &Search) -> Value {
    let mut sort: Vec<Value> = search
        .sort
        .iter()
        .map(|sort| {
            let order = match sort.direction {
                Direction::Ascending => "asc",
                Direction::Descending => "desc",
            };
            match sort.field.as_str() {
                SCORE => json!({ SCORE: { "order": order } }),
                field => json!({ field: { "order": order, "missing": "_last" } }),
            }
        })
        .collect();
    let mut body = json!({
        "query": search.query.to_json(),
        "size": search.size,
        "seq_no_primary_term": true,
        "track_total_hits": search.count_total,
    });
    if search.from > 0 {
        body["from"] = search.from.into();
    }
    if let SearchIn::PointInTime(point_in_time) = &search.within {
        body["pit"] = json!({ "id": point_in_time.id, "keep_alive": seconds(point_in_time.keep_alive) });
        if search.sort.iter().all(|sort| sort.field == SCORE) {
            sort.push(json!({ "_shard_doc": "asc" }));
        }
    }
    if !sort.is_empty() {
        body["sort"] = sort.into();
    }
    if let Some(after) = &search.after {
        body["search_after"] = after.clone().into();
    }
    if !search.aggregations.is_empty() {
        body["aggs"] = search.aggregations.clone().into();
    }
    if let Some(slice) = search.slice {
        body["slice"] = json!({ "id": slice.id, "max": slice.max });
    }
    body
}

pub(super) async fn count_by_type(connection: &Connection, index: &str) -> ClusterResult<Vec<TypeCount>> {
    let mut counts = Vec::new();
    let mut after: Option<Value> = None;
    loop {
        let mut composite = json!({ "size": COUNTS_A_PAGE, "sources": [
            { "type": { "terms": { "field": "type", "missing_bucket": true } } },
            { "version": { "terms": { "field": "typeMigrationVersion", "missing_bucket": true } } },
        ] });
        if let Some(after) = after {
            composite["after"] = after;
        }
        let body = json!({ "size": 0, "track_total_hits": false, "aggs": { "types": { "composite": composite } } });
        let request = Request::read(Verb::Post, format!("{index}/_search"))
            .query("allow_partial_search_results", "false")
            .json(&body);
        let answer = connection.send(&request).await?.parse::<TypeCountAnswer>()?.aggregations.types;
        let is_last = answer.buckets.len() < COUNTS_A_PAGE;
        counts.extend(answer.buckets.into_iter().map(|bucket| TypeCount {
            type_name: bucket.key.type_name,
            version: bucket.key.version,
            documents: bucket.doc_count,
        }));
        after = answer.after_key;
        if is_last || after.is_none() {
            return Ok(counts);
        }
    }
}

pub(super) async fn open_point_in_time(
    connection: &Connection,
    index: &str,
    keep_alive: Duration,
) -> ClusterResult<PointInTime> {
    #[derive(serde::Deserialize)]
    struct Opened {
        id: String,
    }
    let request = Request::read(Verb::Post, format!("{index}/_pit")).query("keep_alive", seconds(keep_alive));
    let opened: Opened = connection.send(&request).await?.parse()?;
    Ok(PointInTime { id: opened.id, keep_alive })
}

pub(super) async fn close_point_in_time(connection: &Connection, point_in_time: &PointInTime) -> ClusterResult<()> {
    let request = Request::read(Verb::Delete, "_pit").json(&json!({ "id": point_in_time.id })).accept(&[404]);
    connection.send(&request).await.map(drop)
}

fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs().max(1))
}
