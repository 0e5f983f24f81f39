//! [`Cluster`] in this process, for tests that need no server.
//!
//! It behaves like a real server in everything that the engine relies on: sequence numbers, refreshes, points in time,
//! aliases, write blocks, strict mappings, clones, the queries of [`Query`](super::Query) with date math, and the
//! aggregations of [`Aggregation`](crate::repository::Aggregation). The [conformance suite](super::conformance) proves
//! this on both.
//!
//! # What it does not support
//! Requests that it does not model fail with [`Unsupported`](super::ClusterErrorKind::Unsupported), and say so: no
//! server was asked. They must be tested on a real server:
//!
//! - field types other than `keyword`, `boolean`, `date`, `long`, `integer`, `short`, `byte`, `double`, `float`,
//!   `flattened`, `text`, `binary`, `object` and `nested`; parameters other than `index`, `doc_values`, `ignore_above`,
//!   `fields`, `dynamic`, `enabled`, `depth_limit` and `meta`; field names with dots;
//! - fields that a document would add to the mapping (`dynamic: true`);
//! - similar words and distances of words (`~`) in a search text;
//! - dates in other formats than the default one, in time zones with names, and in years before 0;
//! - queries and aggregations that the library does not send.
//!
//! # Where it differs
//! - Texts have the words that the `standard` analyzer of the server finds, apart from rare characters. Relevance is
//!   computed like on a server, but documents that were deleted or replaced never count.
//! - A write that waits for a refresh refreshes immediately. This also holds for an index with the purpose
//!   `IndexPurpose::Filling`, where a real server would wait.
//! - A range with one bound of a key of a `flattened` field is refused, as by Elasticsearch 9.2.2; 9.5.3 answers it.
//! - A point in time expires on time; a real server takes up to a minute longer.
//! - Every index is green, closed ones too. The only limits are those of [`InMemory::limit_shards`] and
//!   [`InMemory::limit_requests`], of ids, result windows and `mapping.total_fields.limit`. A key that a document has
//!   twice is read once.
//! - A primary term rises when an operator acts: [`InMemory::fail_over`], closing and opening, restoring, and in a
//!   clone.
//! - A restore is done immediately, and a snapshot [in progress](InMemory::begin_snapshot) affects only its indices.
//!
//! # Over HTTP
//! [`InMemory::answer`] answers the requests of the client [`Elastic`](super::Elastic). Its errors have the words of
//! Elasticsearch 9.5.3 wherever a client could tell the difference. [`InMemory::transport`] is a network to it.
//! `filter_path` is ignored, and a request that waits for a health is answered immediately.

mod aggregate;
mod aliases;
mod bulk;
mod date_math;
mod document;
mod documents;
mod field_value;
mod held_back;
mod hold;
mod http;
mod inner;
mod mapping;
mod operator;
mod points_in_time;
mod query;
mod query_json;
mod refusals;
mod relevance;
mod search;
mod search_text;
mod settings;
mod snapshot;
mod state;
mod words;
mod write;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{
    AliasAction, BulkRequest, CloneIndex, Cluster, ClusterResult, Conditions, CreateIndex, DEFAULT_MAX_CONTENT_LENGTH,
    DataNode, Health, History, Hit, IndexState, Interference, ItemOutcome, Page, PointInTime, RequestCounts, Search,
    SearchIn, TypeCount,
};
use crate::environment::Environment;
use inner::{Inner, at, locked};
use settings::Level;

// Faults and snapshots, for the tests of this workspace.
#[doc(hidden)]
pub use held_back::HeldBack;
#[doc(hidden)]
pub use http::Wire;
#[doc(hidden)]
pub use snapshot::{RestoreOptions, Snapshot};
#[doc(hidden)]
pub use write::Write;

/// The version that the cluster is modelled on.
const VERSION: &str = "9.5.3";

/// A cluster in this process. Clones share it: two clones are two clients of one cluster.
#[derive(Debug, Clone)]
pub struct InMemory {
    inner: Arc<Inner>,
}

impl InMemory {
    /// Creates an empty cluster. Its indices refresh, and its points in time expire, by the environment's clock.
    pub fn new(environment: Environment) -> Self {
        let (reads, writes) = (AtomicU64::new(0), AtomicU64::new(0));
        let inner = Inner { environment, state: Mutex::default(), holds: Mutex::default(), reads, writes };
        Self { inner: Arc::new(inner) }
    }

    /// Holds the next write that `is_meant` matches until [`HeldBack::land`] is called.
    ///
    /// The sender gets the error of a client whose answer is lost:
    /// [`OutcomeUnknown`](super::ItemErrorKind::OutcomeUnknown) for each operation of a bulk,
    /// [`Timeout`](super::ClusterErrorKind::Timeout) for other writes.
    pub fn hold_back(&self, is_meant: impl Fn(&Write) -> bool + Send + Sync + 'static) -> HeldBack {
        let (held_back, hold) = HeldBack::new(self.inner.clone(), is_meant);
        locked(&self.inner.holds).push(hold);
        held_back
    }

    /// Sets how many indices there can be, each of one shard; `None` sets no limit.
    ///
    /// Beyond it, requests fail with [`ShardLimit`](super::ClusterErrorKind::ShardLimit).
    pub fn limit_shards(&self, limit: Option<usize>) {
        self.inner.state().shard_limit = limit;
    }

    /// Makes searches see every write immediately, except in an index with the purpose
    /// [`Filling`](super::IndexPurpose::Filling).
    ///
    /// By default they see it after a second of the environment's clock, or when the write waits for the refresh, like
    /// on a server. A server may refresh at any time, so it may also behave like this.
    pub fn refresh_immediately(&self) {
        self.inner.state().refreshes_immediately = true;
    }

    /// Refuses documents larger than `limit` bytes, like a server whose `http.max_content_length` is this.
    ///
    /// A bulk of several documents that is larger in total is accepted, because a client divides it. Over HTTP, a
    /// request that is larger in total is answered with 413.
    pub fn limit_requests(&self, limit: usize) {
        self.inner.state().request_limit = Some(limit);
    }

    /// Returns the number of open points in time, which should be 0 when all work is done.
    pub fn open_points_in_time(&self) -> usize {
        let now = self.inner.now();
        self.inner.state().points_in_time.count(now)
    }
}

#[async_trait]
impl Cluster for InMemory {
    async fn version(&self) -> ClusterResult<String> {
        drop(self.inner.read());
        Ok(VERSION.to_owned())
    }

    async fn indices(&self, names: &[&str]) -> ClusterResult<BTreeMap<String, IndexState>> {
        let state = self.inner.read();
        let is_seen = |name: &String| !state.hidden.iter().any(|prefix| name.starts_with(prefix));
        let seen: Vec<_> = state.meant(names).filter(|(name, _)| is_seen(name)).collect();
        for (name, index) in &seen {
            if let Some(block) = index.settings.block(Level::MetadataRead) {
                return Err(at("GET", names.join(","), block.refusal(name)));
            }
        }
        Ok(seen.into_iter().map(|(name, index)| (name.clone(), index.state())).collect())
    }

    async fn unseen(&self, names: &[&str]) -> ClusterResult<Vec<String>> {
        let state = self.inner.read();
        // A pattern may match hidden indices, and a name may match nothing but hidden indices.
        let is_unseen = |name: &&&str| {
            let known = name.trim_end_matches('*');
            state.hidden.iter().any(|prefix| known.starts_with(prefix.as_str()) || prefix.starts_with(known))
        };
        Ok(names.iter().filter(is_unseen).map(|name| (*name).to_owned()).collect())
    }

    async fn create_index(&self, request: &CreateIndex) -> ClusterResult<()> {
        self.inner.write(&Write::CreateIndex(request.clone())).map(drop)
    }

    async fn put_mapping(&self, index: &str, mapping: &Value) -> ClusterResult<()> {
        let write = Write::PutMapping { index: index.to_owned(), mapping: mapping.clone() };
        self.inner.write(&write).map(drop)
    }

    async fn delete_index(&self, index: &str) -> ClusterResult<()> {
        self.inner.write(&Write::DeleteIndex(index.to_owned())).map(drop)
    }

    async fn update_aliases(&self, actions: &[AliasAction]) -> ClusterResult<()> {
        self.inner.write(&Write::UpdateAliases(actions.to_vec())).map(drop)
    }

    async fn add_write_block(&self, index: &str) -> ClusterResult<()> {
        self.inner.write(&Write::AddWriteBlock(index.to_owned())).map(drop)
    }

    async fn remove_write_block(&self, index: &str) -> ClusterResult<()> {
        self.inner.write(&Write::RemoveWriteBlock(index.to_owned())).map(drop)
    }

    async fn clone_index(&self, request: &CloneIndex) -> ClusterResult<()> {
        self.inner.write(&Write::CloneIndex(request.clone())).map(drop)
    }

    async fn history(&self, index: &str) -> ClusterResult<History> {
        let state = self.inner.read();
        let names =
            state.open(index, Level::MetadataRead).map_err(|error| at("GET", format!("{index}/_stats"), error))?;
        let indices = || names.iter().filter_map(|name| state.indices.get(name));
        Ok(History {
            writes: indices().map(|index| index.documents.write_count()).sum(),
            id: indices().map(|index| index.history_uuid.as_str()).collect::<Vec<_>>().join(","),
            primary_term: indices().map(|index| index.documents.primary_term()).max().unwrap_or_default(),
        })
    }

    async fn wait_for_health(&self, index: &str, _wanted: Health, timeout: Duration) -> ClusterResult<Health> {
        let is_there = || !self.inner.state().behind(index).is_empty();
        drop(self.inner.read());
        if !is_there() {
            self.inner.environment.clock().sleep(timeout).await;
        }
        Ok(if is_there() { Health::Green } else { Health::Red })
    }

    async fn conditions(&self) -> ClusterResult<Conditions> {
        let state = self.inner.read();
        let shards_left = state.shard_limit.map(|limit| limit.saturating_sub(state.open_shards()) as u64);
        let at_ms = self.inner.wall().as_millisecond();
        let nodes = vec![DataNode { name: "memory".to_owned(), at_ms, disk: None }];
        Ok(Conditions { allocation: "all".to_owned(), data_nodes: 1, shards_left, nodes })
    }

    async fn interfering_templates(&self, _indices: &[&str]) -> ClusterResult<Vec<Interference>> {
        drop(self.inner.read());
        Ok(Vec::new())
    }

    async fn refresh(&self, index: &str) -> ClusterResult<()> {
        let refreshed = self.inner.read().refresh(index);
        refreshed.map(drop).map_err(|error| at("POST", format!("{index}/_refresh"), error))
    }

    async fn get(&self, index: &str, id: &str) -> ClusterResult<Option<Hit>> {
        let state = self.inner.read();
        let (name, index) = state.readable(index).map_err(|error| at("GET", format!("{index}/_doc"), error))?;
        Ok(index.documents.get(id).map(|document| document.to_hit(name)))
    }

    async fn get_many(&self, index: &str, ids: &[&str]) -> ClusterResult<Vec<Option<Hit>>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let state = self.inner.read();
        let (name, index) = state.readable(index).map_err(|error| at("POST", format!("{index}/_mget"), error))?;
        Ok(ids.iter().map(|id| index.documents.get(id).map(|document| document.to_hit(name))).collect())
    }

    async fn search(&self, request: &Search) -> ClusterResult<Page> {
        let now = self.inner.now();
        let searched = self.inner.read().searched_in(&request.within, now);
        let page = searched.and_then(|searched| {
            let index = searched.first().map(|searched| searched.index.as_str()).unwrap_or_default();
            search::search(&searched, request, self.inner.wall()).map_err(|refused| refused.into_error(index))
        });
        let path = match &request.within {
            SearchIn::Index(index) => format!("{index}/_search"),
            SearchIn::PointInTime(_) => "_search".to_owned(),
        };
        page.map_err(|error| at("POST", path, error))
    }

    async fn count_by_type(&self, index: &str) -> ClusterResult<Vec<TypeCount>> {
        let now = self.inner.now();
        let counts = self.inner.read().count_by_type(index, now);
        counts.map_err(|error| at("POST", format!("{index}/_search"), error))
    }

    async fn open_point_in_time(&self, index: &str, keep_alive: Duration) -> ClusterResult<PointInTime> {
        let now = self.inner.now();
        let mut state = self.inner.read();
        let searched = state.searched(index, now).map_err(|error| at("POST", format!("{index}/_pit"), error))?;
        Ok(state.points_in_time.open(searched, keep_alive, now))
    }

    async fn close_point_in_time(&self, point_in_time: &PointInTime) -> ClusterResult<()> {
        let now = self.inner.now();
        let closed = self.inner.read().points_in_time.close(point_in_time, now);
        closed.map(drop).map_err(|error| at("DELETE", "_pit", error))
    }

    async fn bulk(&self, request: &BulkRequest<'_>) -> ClusterResult<Vec<ItemOutcome>> {
        if request.operations.is_empty() {
            return Ok(Vec::new());
        }
        self.inner.write(&Write::Bulk {
            alias: request.alias.to_owned(),
            operations: request.operations.to_vec(),
            refresh: request.refresh,
        })
    }

    async fn max_content_length(&self) -> ClusterResult<usize> {
        Ok(self.inner.read().request_limit.unwrap_or(DEFAULT_MAX_CONTENT_LENGTH))
    }

    fn requests(&self) -> RequestCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RequestCounts { reads: count(&self.inner.reads), writes: count(&self.inner.writes) }
    }
}
