//! Searches and points in time.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{Asked, answers, duration, parsing_refused};
use crate::cluster::elastic::HttpAnswer;
use crate::cluster::memory::query_json;
use crate::cluster::memory::refusals::{refusal, rejected, unsupported};
use crate::cluster::memory::search::{self, Entry};
use crate::cluster::memory::state::State;
use crate::cluster::{ClusterResult, Direction, PointInTime, Query, Search, SearchIn, Slice, Sort};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchBody {
    query: Option<Value>,
    size: Option<u32>,
    from: Option<u32>,
    #[serde(default)]
    sort: Vec<Map<String, Value>>,
    search_after: Option<Vec<Value>>,
    slice: Option<SliceBody>,
    pit: Option<PointInTimeBody>,
    #[serde(default)]
    aggs: Map<String, Value>,
    #[serde(default)]
    seq_no_primary_term: bool,
    #[serde(default)]
    version: bool,
    track_total_hits: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct SliceBody {
    id: u32,
    max: u32,
}

#[derive(Debug, Deserialize)]
struct PointInTimeBody {
    id: String,
    keep_alive: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct ClosePointInTimeBody {
    #[serde(default)]
    id: String,
}

#[derive(Debug, Serialize)]
struct SearchAnswer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pit_id: Option<&'a str>,
    took: u64,
    timed_out: bool,
    hits: HitsAnswer<'a>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    aggregations: Map<String, Value>,
}

#[derive(Debug, Serialize)]
struct HitsAnswer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<TotalAnswer>,
    max_score: Option<f64>,
    hits: Vec<HitAnswer<'a>>,
}

#[derive(Debug, Serialize)]
struct TotalAnswer {
    value: u64,
    relation: &'static str,
}

#[derive(Debug, Serialize)]
struct HitAnswer<'a> {
    #[serde(rename = "_index")]
    index: &'a str,
    #[serde(rename = "_id")]
    id: &'a str,
    #[serde(rename = "_version", skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(rename = "_seq_no", skip_serializing_if = "Option::is_none")]
    seq_no: Option<u64>,
    #[serde(rename = "_primary_term", skip_serializing_if = "Option::is_none")]
    primary_term: Option<u64>,
    #[serde(rename = "_score")]
    score: Option<f64>,
    #[serde(rename = "_source")]
    source: &'a RawValue,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sort: Vec<Value>,
}

impl SearchBody {
    fn search(&self, index: Option<&str>) -> ClusterResult<Search> {
        let within = match (&self.pit, index) {
            (Some(pit), None) => {
                let keep_alive = pit.keep_alive.as_deref().map(duration).transpose()?.unwrap_or_default();
                SearchIn::PointInTime(PointInTime { id: pit.id.clone(), keep_alive })
            }
            (None, Some(index)) => SearchIn::Index(index.to_owned()),
            (Some(_), Some(_)) => return Err(rejected("[indices] cannot be used with point in time")),
            (None, None) => return Err(unsupported("searches of all indices")),
        };
        let query = self.query.as_ref().map(query_json::parse).transpose().map_err(|refused| {
            match refused.is_unsupported() {
                true => refusal(400, refused.server_type, refused.reason),
                false => parsing_refused(refused.reason),
            }
        })?;
        let mut sort = Vec::new();
        for (field, order) in self.sort.iter().flatten() {
            // A point in time always has this sort key.
            if field != "_shard_doc" {
                sort.push(Sort { field: field.clone(), direction: direction(order)? });
            }
        }
        Ok(Search {
            sort,
            size: self.size.unwrap_or(10),
            from: self.from.unwrap_or_default(),
            after: self.search_after.clone(),
            slice: self.slice.as_ref().map(|slice| Slice { id: slice.id, max: slice.max }),
            count_total: self.track_total_hits.unwrap_or(true),
            aggregations: self.aggs.clone(),
            ..Search::new(within, query.unwrap_or(Query::Everything))
        })
    }

    fn hit<'a>(&self, entry: &Entry<'a>) -> HitAnswer<'a> {
        let document = entry.document;
        HitAnswer {
            index: entry.index,
            id: &document.id,
            version: self.version.then_some(document.version),
            seq_no: self.seq_no_primary_term.then_some(document.sequence.seq_no),
            primary_term: self.seq_no_primary_term.then_some(document.sequence.primary_term),
            score: None,
            source: &document.source,
            sort: entry.sort_json(),
        }
    }
}

fn direction(order: &Value) -> ClusterResult<Direction> {
    if order.get("missing").is_some_and(|missing| missing != "_last") {
        return Err(unsupported("an order in which documents without the field do not come last"));
    }
    match order.get("order").unwrap_or(order).as_str() {
        Some("asc") => Ok(Direction::Ascending),
        Some("desc") => Ok(Direction::Descending),
        _ => Err(rejected("a sort has the order asc or desc")),
    }
}

impl Asked<'_> {
    pub(super) fn search(&self, state: &mut State, index: Option<&str>) -> ClusterResult<HttpAnswer> {
        let body: SearchBody = self.body()?;
        let search = body.search(index)?;
        let searched = state.searched_in(&search.within, self.now)?;
        let found = match search::find(&searched, &search, self.wall) {
            Ok(found) => found,
            Err(refused) => {
                let index = searched.first().map(|searched| searched.index.as_str());
                return Ok(answers::search_refused(&refused, index.unwrap_or_default()));
            }
        };
        let pit_id = match &search.within {
            SearchIn::Index(_) => None,
            SearchIn::PointInTime(point_in_time) => Some(point_in_time.id.as_str()),
        };
        Ok(answers::ok(&SearchAnswer {
            pit_id,
            took: 0,
            timed_out: false,
            hits: HitsAnswer {
                total: search.count_total.then_some(TotalAnswer { value: found.total, relation: "eq" }),
                max_score: None,
                hits: found.entries.iter().map(|entry| body.hit(entry)).collect(),
            },
            aggregations: found.aggregations,
        }))
    }

    pub(super) fn open_point_in_time(&self, state: &mut State, name: &str) -> ClusterResult<HttpAnswer> {
        let Some(keep_alive) = self.parameter("keep_alive") else {
            let reason = "Validation Failed: 1: [keep_alive] is not specified;";
            return Err(refusal(400, "action_request_validation_exception", reason));
        };
        let keep_alive = duration(keep_alive)?;
        let searched = state.searched(name, self.now)?;
        let opened = state.points_in_time.open(searched, keep_alive, self.now);
        Ok(answers::ok(&json!({ "id": opened.id })))
    }

    pub(super) fn close_point_in_time(&self, state: &mut State) -> ClusterResult<HttpAnswer> {
        let ClosePointInTimeBody { id } = self.body()?;
        let point_in_time = PointInTime { id, keep_alive: std::time::Duration::ZERO };
        let was_open = state.points_in_time.close(&point_in_time, self.now)?;
        let freed = json!({ "succeeded": was_open, "num_freed": u8::from(was_open) });
        Ok(answers::with_status(if was_open { 200 } else { 404 }, &freed))
    }
}
