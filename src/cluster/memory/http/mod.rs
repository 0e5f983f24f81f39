//! The cluster in memory as a server: it answers HTTP requests, as [`Elastic`](crate::cluster::Elastic) sends them,
//! like Elasticsearch 9.5.3.
//!
//! `filter_path` is ignored: answers have what the client reads, and little else. A request that waits for a health is
//! answered immediately: time passes on the way to the server, not here.

mod answers;
mod bulk;
mod cluster;
mod documents;
mod indices;
mod search;
mod wire;

use std::time::Duration;

use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use super::InMemory;
use super::refusals::{refusal, rejected, unsupported};
use super::state::State;
use crate::cluster::ClusterResult;
use crate::cluster::elastic::{HttpAnswer, HttpRequest};
pub use wire::Wire;

impl InMemory {
    /// Answers a request. The same request in the same state gets the same answer.
    pub fn answer(&self, request: &HttpRequest) -> HttpAnswer {
        self.answer_part(request, usize::MAX)
    }

    /// Answers a request like [`answer`](Self::answer), but does only the first `operations` of a bulk, like a server
    /// that crashes during it.
    ///
    /// The answer covers those operations; a client must not receive it.
    pub fn answer_part(&self, request: &HttpRequest, operations: usize) -> HttpAnswer {
        let now = self.inner.now();
        let mut state = self.inner.state();
        if request.body.as_ref().map_or(0, bytes::Bytes::len) > state.request_limit.unwrap_or(usize::MAX) {
            return HttpAnswer::too_large();
        }
        let segments: Vec<String> = request.path.trim_matches('/').split('/').map(decoded).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let asked = Asked { request, now, wall: self.inner.wall(), operations };
        asked.answer(&mut state, &segments).unwrap_or_else(|error| answers::error(&error))
    }
}

fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// A request, and when it arrived.
struct Asked<'a> {
    request: &'a HttpRequest,
    now: Duration,
    /// The time that `now` means in a query.
    wall: Timestamp,
    /// The number of operations of a bulk to do.
    operations: usize,
}

impl Asked<'_> {
    fn answer(&self, state: &mut State, segments: &[&str]) -> ClusterResult<HttpAnswer> {
        match (self.request.method, segments) {
            ("GET", [""]) => Ok(cluster::product()),
            ("GET", ["_nodes", "_local"] | ["_nodes", "_local", "http"]) => Ok(cluster::node(state)),
            ("GET", ["_nodes", "data:true", "stats", "fs"]) => Ok(cluster::nodes_stats(self.wall)),
            ("GET", ["_cluster", "health"]) => Ok(cluster::health(state, None)),
            ("GET", ["_cluster", "health", name]) => Ok(cluster::health(state, Some(name))),
            ("GET", ["_cluster", "settings"]) => Ok(cluster::settings(state)),
            ("GET", ["_index_template"]) => Ok(answers::text(r#"{"index_templates":[]}"#)),
            ("GET", ["_template"]) => Ok(answers::text("{}")),
            ("POST", ["_aliases"]) => self.aliases(state),
            ("POST", ["_search"]) => self.search(state, None),
            ("DELETE", ["_pit"]) => self.close_point_in_time(state),
            ("GET", [names]) => self.indices(state, names),
            ("PUT", [name]) => self.create_index(state, name),
            ("DELETE", [name]) => self.delete_index(state, name),
            ("PUT", [name, "_mapping"]) => self.put_mapping(state, name),
            ("PUT", [name, "_block", block]) => self.add_block(state, name, block),
            ("PUT", [name, "_settings"]) => self.put_settings(state, name),
            ("PUT" | "POST", [source, "_clone", target]) => self.clone_index(state, source, target),
            ("POST", [name, "_close"]) => self.close_index(state, name),
            ("POST", [name, "_open"]) => self.open_index(state, name),
            ("POST", [name, "_refresh"]) => self.refresh(state, name),
            ("GET", [name, "_stats"]) => self.stats(state, name),
            ("GET", [name, "_doc", id]) => self.get(state, name, id),
            ("POST", [name, "_mget"]) => self.get_many(state, name),
            ("POST", [name, "_search"]) => self.search(state, Some(name)),
            ("POST", [name, "_pit"]) => self.open_point_in_time(state, name),
            ("POST", [name, "_bulk"]) => self.bulk(state, name),
            (method, _) => Err(unsupported(format!("the request {method} /{}", self.request.path))),
        }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.request.query.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    fn says(&self, name: &str) -> bool {
        self.parameter(name).is_some_and(|value| value == "true" || value.is_empty())
    }

    fn bytes(&self) -> &[u8] {
        self.request.body.as_deref().unwrap_or_default()
    }

    /// Parses the body, which is optional.
    fn body<T: DeserializeOwned + Default>(&self) -> ClusterResult<T> {
        if self.bytes().is_empty() {
            return Ok(T::default());
        }
        serde_json::from_slice(self.bytes()).map_err(|error| parsing_refused(error.to_string()))
    }
}

fn parsing_refused(reason: impl Into<String>) -> crate::cluster::ClusterError {
    refusal(400, "parsing_exception", reason)
}

/// Parses a time such as `60s`, `500ms` or `5m`.
fn duration(text: &str) -> ClusterResult<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let number: u64 = digits.parse().map_err(|_| rejected(format!("failed to parse setting with value [{text}]")))?;
    Ok(match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number * 60),
        "h" => Duration::from_secs(number * 3_600),
        _ => return Err(rejected(format!("failed to parse setting with value [{text}] as a time value"))),
    })
}
