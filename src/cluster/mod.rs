//! The Elasticsearch calls that the engine needs, as the trait [`Cluster`], and its implementations. The trait uses
//! core APIs only, so that every build of Elasticsearch can answer them: no scripts, no by-query APIs, no reindex
//! (record 19).
//!
//! Requests and answers are typed; [`ClusterErrorKind`] distinguishes the errors. The implementation settles a write
//! whose answer was lost (record 11), so callers get [`ClusterErrorKind::OutcomeUnknown`] only when reading back cannot
//! tell whether the write was done.

mod adaptive;
mod backoff;
mod bulk;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod elastic;
mod error;
mod hints;
mod hits;
mod index;
#[cfg(any(test, feature = "in-memory"))]
pub mod memory;
mod pace;
mod page_size;
mod page_stream;
mod pattern;
mod reason;
mod refusal;
mod scan;
mod search;
mod unseen;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

pub(crate) use backoff::Backoff;
pub use bulk::{BulkAction, BulkOperation, BulkRequest, Gone, ItemError, ItemErrorKind, ItemOutcome, Refresh};
pub use elastic::Elastic;
pub use error::{ClusterError, ClusterErrorKind};
pub use hits::{HitRef, Hits};
pub(crate) use index::TOTAL_FIELDS_LIMIT;
pub use index::{
    AliasAction, AliasState, CloneIndex, Conditions, CreateIndex, DataNode, Disk, Health, History, IndexPurpose,
    IndexSettings, IndexState, Interference, TypeCount,
};
#[cfg(any(test, feature = "in-memory"))]
pub use memory::InMemory;
pub(crate) use pace::{Pace, Paused};
pub(crate) use page_size::PageSize;
pub(crate) use page_stream::{OpenPointInTime, PageStream};
pub use reason::MissingPrivilege;
pub use refusal::Refusal;
pub(crate) use scan::Scan;
pub use search::{Direction, Hit, Page, PointInTime, Query, SCORE, Search, SearchIn, SequenceNumber, Slice, Sort};
pub use unseen::{Privileges, Unrefreshed, Unseen};

/// A `Result` whose error is [`ClusterError`].
pub type ClusterResult<T> = Result<T, ClusterError>;

/// The largest request body, in bytes, that a server accepts unless its `http.max_content_length` says otherwise.
pub const DEFAULT_MAX_CONTENT_LENGTH: usize = 100 * 1024 * 1024;

/// The number of requests that a cluster was sent, retries included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// Requests that change nothing.
    pub reads: u64,
    /// Requests that may change documents, indices or aliases.
    pub writes: u64,
}

impl RequestCounts {
    /// Returns the number of all requests.
    pub fn total(self) -> u64 {
        self.reads + self.writes
    }
}

/// The calls to an Elasticsearch cluster that the engine needs.
#[async_trait]
pub trait Cluster: Send + Sync + fmt::Debug {
    /// Returns the server's version, such as `9.5.3`. Source: `GET /`, or `GET _nodes/_local` if that names none.
    ///
    /// # Errors
    /// [`Misconfigured`](ClusterErrorKind::Misconfigured) if the server is OpenSearch or Elasticsearch Serverless.
    async fn version(&self) -> ClusterResult<String>;

    /// Returns the indices behind `names` (indices or aliases) by index name, with their mappings, settings and
    /// aliases.
    ///
    /// Names that do not exist are left out. A name may end in `*`, which matches hidden indices too. `-` before the
    /// name of an index leaves that index out of what the patterns before it match. Sends one request. Source: get index
    /// API.
    ///
    /// # Errors
    /// [`Blocked`](ClusterErrorKind::Blocked) if the metadata of one of the indices has a block.
    async fn indices(&self, names: &[&str]) -> ClusterResult<BTreeMap<String, IndexState>>;

    /// Creates an index with its mapping, settings and aliases, and waits for its primary shards.
    ///
    /// An existing index with the same `_meta` digest counts as created: this settles a lost answer.
    ///
    /// # Errors
    /// [`IndexExists`](ClusterErrorKind::IndexExists) if another index has the name,
    /// [`ShardLimit`](ClusterErrorKind::ShardLimit), [`MappingRefused`](ClusterErrorKind::MappingRefused).
    async fn create_index(&self, request: &CreateIndex) -> ClusterResult<()>;

    /// Adds to an index's mapping. The server merges the properties and replaces `_meta` as a whole.
    ///
    /// # Errors
    /// [`MappingRefused`](ClusterErrorKind::MappingRefused) if the mapping cannot be changed this way in place.
    async fn put_mapping(&self, index: &str, mapping: &Value) -> ClusterResult<()>;

    /// Deletes an index. A missing index is not an error.
    async fn delete_index(&self, index: &str) -> ClusterResult<()>;

    /// Applies all actions atomically.
    ///
    /// If the aliases and indices already are as the actions leave them, the actions count as applied: this settles a
    /// lost answer.
    ///
    /// # Errors
    /// [`AliasNotFound`](ClusterErrorKind::AliasNotFound) if an alias that must exist does not,
    /// [`IndexNotFound`](ClusterErrorKind::IndexNotFound).
    async fn update_aliases(&self, actions: &[AliasAction]) -> ClusterResult<()>;

    /// Adds a write block to an index and waits until the writes in progress have ended: no document changes after this
    /// call.
    ///
    /// An existing block is not an error.
    ///
    /// # Errors
    /// [`IndexNotFound`](ClusterErrorKind::IndexNotFound).
    async fn add_write_block(&self, index: &str) -> ClusterResult<()>;

    /// Removes an index's write block. A missing block is not an error.
    ///
    /// # Errors
    /// [`IndexNotFound`](ClusterErrorKind::IndexNotFound).
    async fn remove_write_block(&self, index: &str) -> ClusterResult<()>;

    /// Clones an index and waits for the clone's primary shards.
    ///
    /// An existing target with the `_meta` of the source counts as cloned: this settles a lost answer.
    ///
    /// # Errors
    /// [`NotWriteBlocked`](ClusterErrorKind::NotWriteBlocked) if the source has no write block,
    /// [`IndexNotFound`](ClusterErrorKind::IndexNotFound), [`IndexExists`](ClusterErrorKind::IndexExists) if another
    /// index has the target's name, [`ShardLimit`](ClusterErrorKind::ShardLimit).
    async fn clone_index(&self, request: &CloneIndex) -> ClusterResult<()>;

    /// Returns numbers that change whenever a document of the index changes. Source: index stats API.
    ///
    /// # Errors
    /// [`IndexNotFound`](ClusterErrorKind::IndexNotFound), [`Unavailable`](ClusterErrorKind::Unavailable) if a primary
    /// shard is missing.
    async fn history(&self, index: &str) -> ClusterResult<History>;

    /// Returns the number of writes that an index has taken: [`History::writes`].
    ///
    /// # Errors
    /// Those of [`history`](Self::history).
    async fn write_count(&self, index: &str) -> ClusterResult<u64> {
        Ok(self.history(index).await?.writes)
    }

    /// Waits up to `timeout` until the index has at least the health `wanted`, and returns the health that it has then.
    async fn wait_for_health(&self, index: &str, wanted: Health, timeout: Duration) -> ClusterResult<Health>;

    /// Returns the cluster-wide conditions that decide whether an index can be created. The data nodes come last, so
    /// that the answer follows their times directly.
    ///
    /// Source: cluster settings, cluster health and nodes stats APIs.
    async fn conditions(&self) -> ClusterResult<Conditions>;

    /// Returns the index templates that would add anything to new hidden indices of these names beyond what the engine
    /// requests, or that would keep them from being made. Sends at most two requests.
    async fn interfering_templates(&self, indices: &[&str]) -> ClusterResult<Vec<Interference>>;

    /// Returns those of `names` (indices, aliases, or patterns that end in `*`) that match, or could match, an index
    /// which the credentials may not see.
    ///
    /// Other requests leave such indices out as if they did not exist. A cluster without security shows everything.
    /// Sends one request. Source: has privileges API.
    async fn unseen(&self, names: &[&str]) -> ClusterResult<Vec<String>> {
        let _ = names;
        Ok(Vec::new())
    }

    /// Returns which of the privileges the credentials lack, or `None` if the cluster has no security, so that
    /// everything is allowed. Sends one request. Source: has privileges API.
    async fn lacking(&self, privileges: &Privileges) -> ClusterResult<Option<Privileges>> {
        let _ = privileges;
        Ok(None)
    }

    /// Makes all writes so far visible to searches.
    async fn refresh(&self, index: &str) -> ClusterResult<()>;

    /// Returns one document in real time, or `None` if it does not exist. Writes are visible without a refresh.
    ///
    /// # Errors
    /// [`IndexNotFound`](ClusterErrorKind::IndexNotFound) if the index or alias `index` does not exist.
    async fn get(&self, index: &str, id: &str) -> ClusterResult<Option<Hit>>;

    /// Returns several documents in real time, in the order of `ids`.
    async fn get_many(&self, index: &str, ids: &[&str]) -> ClusterResult<Vec<Option<Hit>>>;

    /// Returns one page of a search. Documents written since the last refresh are not found.
    async fn search(&self, request: &Search) -> ClusterResult<Page>;

    /// Like [`search`](Self::search), but passes the hits to `each` in chunks, in order; the returned page has none.
    ///
    /// This lets a caller process hits while the rest of the answer is parsed. A chunk has at most `size` hits. The
    /// chunks are valid only if the call returns a page.
    async fn search_in_parts(
        &self,
        request: &Search,
        size: usize,
        each: &mut (dyn FnMut(Hits) + Send),
    ) -> ClusterResult<Page> {
        let mut page = self.search(request).await?;
        let mut hits = std::mem::take(&mut page.hits);
        while !hits.is_empty() {
            let others = hits.split_off(size.clamp(1, hits.len()));
            each(Hits::from(std::mem::replace(&mut hits, others)));
        }
        Ok(page)
    }

    /// Returns the number of documents of `index` by type and model version.
    ///
    /// Documents written since the last refresh are not counted.
    async fn count_by_type(&self, index: &str) -> ClusterResult<Vec<TypeCount>>;

    /// Opens a point in time: searches on it see the index as it is now.
    async fn open_point_in_time(&self, index: &str, keep_alive: Duration) -> ClusterResult<PointInTime>;

    /// Closes a point in time. An expired one is not an error.
    async fn close_point_in_time(&self, point_in_time: &PointInTime) -> ClusterResult<()>;

    /// Writes documents through an alias and returns an outcome for each operation, in order.
    ///
    /// Never creates an index (`require_alias`). An operation that fails does not keep the others from being done.
    async fn bulk(&self, request: &BulkRequest<'_>) -> ClusterResult<Vec<ItemOutcome>>;

    /// Returns the largest request body, in bytes, that the server accepts, or Elasticsearch's default if it is not
    /// known.
    ///
    /// Source: `http.max_content_length_in_bytes` of the nodes info API.
    async fn max_content_length(&self) -> ClusterResult<usize> {
        Ok(DEFAULT_MAX_CONTENT_LENGTH)
    }

    /// Returns the largest number of documents that a page of a [scan or stream](SearchIn::PointInTime) requests.
    ///
    /// The engine requests fewer if the documents are large.
    fn page_limit(&self) -> usize {
        usize::MAX
    }

    /// Returns the number of requests sent so far.
    fn requests(&self) -> RequestCounts;
}
