//! [`Cluster`] in this process, for tests that need no server.
//!
//! It does what the engine relies on as a real server does it, which the [conformance suite](super::conformance) proves on
//! both: sequence numbers, refreshes, points in time, aliases, write blocks, strict mappings, clones, and the queries of
//! [`Query`](super::Query).
//!
//! # What it refuses
//! Whatever it does not model is an error, [`MappingRefused`](ClusterErrorKind::MappingRefused) or
//! [`Rejected`](ClusterErrorKind::Rejected), and is to be tested on a real server:
//!
//! - field types beside `keyword`, `boolean`, `date`, `long`, `integer`, `short`, `byte`, `double`, `float`, `flattened`,
//!   `text`, `binary`, `object` and `nested`; parameters beside `index`, `doc_values`, `ignore_above`, `fields`, `dynamic`,
//!   `enabled`, `depth_limit` and `meta`; names of fields with dots;
//! - fields that a document would add to the mapping (`dynamic: true`);
//! - the words of `text` fields: they can only be asked for by `exists`;
//! - date maths (`now-1d`), and dates in other formats than the default one.
//!
//! # Where it differs
//! - A refresh that is waited for is done at once. An index for filling is refreshed too, where a real server would wait.
//! - A point in time expires on time; a real server takes up to a minute longer.
//! - Every index is green, closed ones too. Only the limits of [`InMemory::limit_shards`], [`InMemory::limit_requests`], of ids,
//!   terms, result windows and `mapping.total_fields.limit` hold. A member that a document has twice is taken once.
//! - A primary term rises when an operator acts: [`InMemory::fail_over`], closing and opening, restoring, and in a clone.
//! - A restore is done at once, and a snapshot that is [under way](InMemory::begin_snapshot) holds nothing but the indices.
//!
//! # Over HTTP
//! [`InMemory::answer`] answers the requests of the client [`Elastic`](super::Elastic), errors word for word as Elasticsearch
//! 9.2.2 where a client could tell the difference. [`InMemory::transport`] is a network to it. `filter_path` is passed over, and a
//! health that is waited for is answered at once.

mod aliases;
mod bulk;
mod document;
mod documents;
mod field_value;
mod held_back;
mod http;
mod mapping;
mod operator;
mod points_in_time;
mod query;
mod search;
mod settings;
mod snapshot;
mod state;
mod write;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{
    AliasAction, BulkRequest, CloneIndex, Cluster, ClusterError, ClusterErrorKind, ClusterResult, Conditions,
    CreateIndex, DEFAULT_MAX_CONTENT_LENGTH, Health, History, Hit, IndexState, ItemError, ItemErrorKind, ItemOutcome,
    Page, PointInTime, RequestCounts, Search, TypeCount,
};
use crate::environment::Environment;
pub use held_back::HeldBack;
use held_back::Hold;
pub use http::Wire;
use settings::Level;
pub use snapshot::{RestoreOptions, Snapshot};
use state::{State, rejected};
pub use write::Write;

/// The version that it is modelled on.
const VERSION: &str = "9.2.2";

/// A cluster in this process. Cloning shares it: two clones are two clients of one cluster.
#[derive(Debug, Clone)]
pub struct InMemory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    environment: Environment,
    state: Mutex<State>,
    holds: Mutex<Vec<Hold>>,
    reads: AtomicU64,
    writes: AtomicU64,
}

impl InMemory {
    /// An empty cluster. Its indices refresh and its points in time expire by the environment's clock.
    pub fn new(environment: Environment) -> Self {
        let (reads, writes) = (AtomicU64::new(0), AtomicU64::new(0));
        let inner = Inner { environment, state: Mutex::default(), holds: Mutex::default(), reads, writes };
        Self { inner: Arc::new(inner) }
    }

    /// Keeps the next write that `is_meant` picks from being done, until [`HeldBack::land`] is called, if ever. Its sender is
    /// told what a client says whose answer did not come: [`OutcomeUnknown`](ItemErrorKind::OutcomeUnknown) for each operation
    /// of a bulk, [`Timeout`](ClusterErrorKind::Timeout) for other writes.
    pub fn hold_back(&self, is_meant: impl Fn(&Write) -> bool + Send + Sync + 'static) -> HeldBack {
        let (held_back, hold) = HeldBack::new(self.inner.clone(), is_meant);
        locked(&self.inner.holds).push(hold);
        held_back
    }

    /// How many indices there can be from now on, each of one shard; beyond it is
    /// [`ShardLimit`](ClusterErrorKind::ShardLimit). None: any number.
    pub fn limit_shards(&self, limit: Option<usize>) {
        self.inner.state().shard_limit = limit;
    }

    /// Takes no document larger than `limit` bytes from now on, as a server whose `http.max_content_length` says so. In
    /// requests of several that are larger as a whole it takes them all the same: whoever sends to a server divides them. Over
    /// HTTP a request that is larger as a whole is answered 413.
    pub fn limit_requests(&self, limit: usize) {
        self.inner.state().request_limit = Some(limit);
    }

    /// How many points in time are open, which should be none when all work is done.
    pub fn open_points_in_time(&self) -> usize {
        let now = self.inner.now();
        self.inner.state().points_in_time.count(now)
    }
}

impl Inner {
    fn now(&self) -> Duration {
        self.environment.clock().monotonic()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// The state, for a request that changes nothing.
    fn read(&self) -> MutexGuard<'_, State> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.state()
    }

    fn apply(&self, write: &Write) -> ClusterResult<Vec<ItemOutcome>> {
        let now = self.now();
        self.state().apply(write, now).map_err(|error| {
            let (method, path) = write.request();
            at(method, path, error)
        })
    }

    /// Does the write, unless it is held back.
    fn write(&self, write: &Write) -> ClusterResult<Vec<ItemOutcome>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        if !held_back::keep(&mut locked(&self.holds), write) {
            return self.apply(write);
        }
        let reason = "the write is held back";
        match write {
            Write::Bulk { operations, .. } => {
                let error = ItemError { kind: ItemErrorKind::OutcomeUnknown, reason: reason.to_owned() };
                Ok(vec![Err(error); operations.len()])
            }
            _ => {
                let (method, path) = write.request();
                Err(ClusterError::new(ClusterErrorKind::Timeout, method, path, reason))
            }
        }
    }
}

/// The error, with what was asked for.
fn at(method: &'static str, path: impl Into<String>, error: ClusterError) -> ClusterError {
    ClusterError { method, path: path.into(), ..error }
}

/// No state is left half changed by a panic: nothing here panics while it changes it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        let seen = state.meant(names).filter(|(name, _)| is_seen(name));
        Ok(seen.map(|(name, index)| (name.clone(), index.state())).collect())
    }

    async fn unseen(&self, names: &[&str]) -> ClusterResult<Vec<String>> {
        let state = self.inner.read();
        // A pattern may find what is hidden, and what is hidden may be all that a name means.
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
        Ok(Conditions { allocation: "all".to_owned(), data_nodes: 1, shards_left })
    }

    async fn interfering_templates(&self, _index: &str) -> ClusterResult<Vec<String>> {
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
        let page = searched.and_then(|searched| search::search(&searched, request).map_err(rejected));
        page.map_err(|error| at("POST", "_search", error))
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
