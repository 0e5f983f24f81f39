//! The few Elasticsearch calls the engine needs, as the trait [`Cluster`]. Only core APIs: no scripts, no by-query, no
//! reindex (design decision 1), so that every build of Elasticsearch can answer them.
//!
//! Requests and answers are typed; errors are told apart by [`ClusterErrorKind`]. A write whose answer was lost is settled
//! by the implementation (design decision 3), so callers meet [`ClusterErrorKind::OutcomeUnknown`] only when nothing could
//! tell whether it happened.

mod adaptive;
mod bulk;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod elastic;
mod error;
mod hits;
mod index;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
mod page_size;
mod scan;
mod search;
mod unseen;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

pub use bulk::{BulkAction, BulkOperation, BulkRequest, Gone, ItemError, ItemErrorKind, ItemOutcome, Refresh};
pub use elastic::Elastic;
pub use error::{ClusterError, ClusterErrorKind, MissingPrivilege};
pub use hits::{HitRef, Hits};
pub use index::{
    AliasAction, AliasState, CloneIndex, Conditions, CreateIndex, Health, History, IndexPurpose, IndexState, TypeCount,
};
#[cfg(any(test, feature = "testing"))]
pub use memory::InMemory;
pub(crate) use page_size::PageSize;
pub(crate) use scan::Scan;
pub use search::{Direction, Hit, Page, PointInTime, Query, Search, SearchIn, SequenceNumber, Slice, Sort};
pub(crate) use unseen::Unseen;

/// A `Result` whose error is [`ClusterError`].
pub type ClusterResult<T> = Result<T, ClusterError>;

/// The largest request that a server takes unless its `http.max_content_length` says otherwise, in bytes.
pub const DEFAULT_MAX_CONTENT_LENGTH: usize = 100 * 1024 * 1024;

/// How many requests a cluster was sent, repeats included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// Requests that change nothing.
    pub reads: u64,
    /// Requests that may change documents, indices or aliases.
    pub writes: u64,
}

impl RequestCounts {
    /// All requests.
    pub fn total(self) -> u64 {
        self.reads + self.writes
    }
}

/// An Elasticsearch cluster, as far as the engine needs it.
#[async_trait]
pub trait Cluster: Send + Sync + fmt::Debug {
    /// The server's version, such as `9.2.2`. Source: `GET _nodes/_local`.
    async fn version(&self) -> ClusterResult<String>;

    /// The indices behind `names` (indices or aliases) by index name, with mapping, settings and aliases; names that do
    /// not exist are left out. A name may end in `*`, which finds hidden ones too. One request. Source: get index API.
    async fn indices(&self, names: &[&str]) -> ClusterResult<BTreeMap<String, IndexState>>;

    /// Creates an index with its mapping, settings and aliases, and waits for its primaries. An index that is already
    /// there with the same `_meta` digest counts as created: a lost answer is settled that way.
    ///
    /// # Errors
    /// [`IndexExists`](ClusterErrorKind::IndexExists) if another index has the name,
    /// [`ShardLimit`](ClusterErrorKind::ShardLimit), [`MappingRefused`](ClusterErrorKind::MappingRefused).
    async fn create_index(&self, request: &CreateIndex) -> ClusterResult<()>;

    /// Adds to an index's mapping. Properties are merged by the server, `_meta` is replaced whole.
    ///
    /// # Errors
    /// [`MappingRefused`](ClusterErrorKind::MappingRefused) if the mapping cannot be changed so in place.
    async fn put_mapping(&self, index: &str, mapping: &Value) -> ClusterResult<()>;

    /// Deletes an index; one that is not there is no error.
    async fn delete_index(&self, index: &str) -> ClusterResult<()>;

    /// Applies all actions at once, or none of them. If all is already as they want it, they count as applied: a lost answer
    /// is settled that way.
    ///
    /// # Errors
    /// [`AliasNotFound`](ClusterErrorKind::AliasNotFound) if one that must exist does not,
    /// [`IndexNotFound`](ClusterErrorKind::IndexNotFound).
    async fn update_aliases(&self, actions: &[AliasAction]) -> ClusterResult<()>;

    /// Gives an index a write block, and waits until the writes under way have ended: no document changes after this. A block
    /// that is there already is no error.
    ///
    /// # Errors
    /// [`IndexNotFound`](ClusterErrorKind::IndexNotFound).
    async fn add_write_block(&self, index: &str) -> ClusterResult<()>;

    /// Takes an index's write block away; none that is there is no error.
    ///
    /// # Errors
    /// [`IndexNotFound`](ClusterErrorKind::IndexNotFound).
    async fn remove_write_block(&self, index: &str) -> ClusterResult<()>;

    /// Clones an index and waits for the clone's primaries. A target that is already there with the `_meta` of the source
    /// counts as cloned: a lost answer is settled that way.
    ///
    /// # Errors
    /// [`NotWriteBlocked`](ClusterErrorKind::NotWriteBlocked) if the source takes writes,
    /// [`IndexNotFound`](ClusterErrorKind::IndexNotFound), [`IndexExists`](ClusterErrorKind::IndexExists) if another index has
    /// the target's name, [`ShardLimit`](ClusterErrorKind::ShardLimit).
    async fn clone_index(&self, request: &CloneIndex) -> ClusterResult<()>;

    /// Returns the state that an index's documents are in, as far as numbers tell. Source: index stats API.
    ///
    /// # Errors
    /// [`IndexNotFound`](ClusterErrorKind::IndexNotFound), [`Unavailable`](ClusterErrorKind::Unavailable) if a primary shard
    /// is missing.
    async fn history(&self, index: &str) -> ClusterResult<History>;

    /// Returns how many writes an index has taken: [`History::writes`].
    ///
    /// # Errors
    /// Those of [`history`](Self::history).
    async fn write_count(&self, index: &str) -> ClusterResult<u64> {
        Ok(self.history(index).await?.writes)
    }

    /// Waits up to `timeout` until the index is at least `wanted`, and gives the health it then has.
    async fn wait_for_health(&self, index: &str, wanted: Health, timeout: Duration) -> ClusterResult<Health>;

    /// What of the cluster as a whole decides whether an index can be made. Source: cluster settings and health APIs.
    async fn conditions(&self) -> ClusterResult<Conditions>;

    /// The index templates that would give a new hidden index of this name more than the engine asks for, as paths:
    /// `_index_template/<name>` or `_template/<name>`.
    async fn interfering_templates(&self, index: &str) -> ClusterResult<Vec<String>>;

    /// Returns those of `names` (indices, aliases, or patterns that end in `*`) of which the credentials may not see every index
    /// there is or could be. Other requests leave such indices out as if they were not there. A cluster without security shows
    /// everything. One request. Source: has privileges API.
    async fn unseen(&self, names: &[&str]) -> ClusterResult<Vec<String>> {
        let _ = names;
        Ok(Vec::new())
    }

    /// Makes every write so far visible to searches.
    async fn refresh(&self, index: &str) -> ClusterResult<()>;

    /// One document in real time: writes are seen without a refresh. None if it is not there.
    ///
    /// # Errors
    /// [`IndexNotFound`](ClusterErrorKind::IndexNotFound) if index or alias `index` is not there.
    async fn get(&self, index: &str, id: &str) -> ClusterResult<Option<Hit>>;

    /// Several documents in real time, in the order asked for.
    async fn get_many(&self, index: &str, ids: &[&str]) -> ClusterResult<Vec<Option<Hit>>>;

    /// One page of a search. Documents written since the last refresh are not seen.
    async fn search(&self, request: &Search) -> ClusterResult<Page>;

    /// As [`search`](Self::search), for whoever goes on with some hits while others are still being read: `each` gets them in
    /// order and in parts, of `size` but the last one, and the page comes without. What it got counts only if the page comes.
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

    /// How many documents of `index` there are by type and model version, unrefreshed ones left out.
    async fn count_by_type(&self, index: &str) -> ClusterResult<Vec<TypeCount>>;

    /// Opens a point in time: searches on it see the index as it is now.
    async fn open_point_in_time(&self, index: &str, keep_alive: Duration) -> ClusterResult<PointInTime>;

    /// Closes a point in time; one that expired is no error.
    async fn close_point_in_time(&self, point_in_time: &PointInTime) -> ClusterResult<()>;

    /// Writes documents through an alias, never creating an index (`require_alias`), and answers for each operation in
    /// order; one that fails does not keep the others from being done.
    async fn bulk(&self, request: &BulkRequest<'_>) -> ClusterResult<Vec<ItemOutcome>>;

    /// The largest request that the server takes, in bytes; the default of Elasticsearch where nothing else is known. Source:
    /// `http.max_content_length_in_bytes` of the nodes info API.
    async fn max_content_length(&self) -> ClusterResult<usize> {
        Ok(DEFAULT_MAX_CONTENT_LENGTH)
    }

    /// The most documents that a page of a [scan or stream](SearchIn::PointInTime) asks for. The engine asks for fewer where
    /// they are large.
    fn page_limit(&self) -> usize {
        usize::MAX
    }

    /// How many requests were sent so far.
    fn requests(&self) -> RequestCounts;
}
