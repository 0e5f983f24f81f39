//! The one stream of pages: everything that a search finds, read over one point in time.

use std::sync::Arc;
use std::time::Duration;

use super::{Cluster, ClusterResult, Hit, PageSize, PointInTime, Search, SearchIn};
use crate::Result;
use crate::environment::Environment;

/// The longest time between the reads of two pages. Each read begins it again.
const KEEP_ALIVE: Duration = Duration::from_secs(300);

/// Everything that a search finds, as it was when the first page was read. The number of documents of a page adapts to
/// their sizes and to what the server accepts.
///
/// The reader closes the point in time with [`close`](Self::close) when [`is_read`](Self::is_read) is true. Dropping
/// the stream closes it too.
#[derive(Debug)]
pub(crate) struct PageStream {
    cluster: Arc<dyn Cluster>,
    environment: Environment,
    search: Search,
    size: PageSize,
    open: Option<OpenPointInTime>,
    is_read: bool,
}

impl PageStream {
    /// Creates the pages of a search within an index. The search's size is the largest number of documents of a page.
    /// Nothing is sent before the first page is read.
    pub(crate) fn new(cluster: &Arc<dyn Cluster>, environment: &Environment, search: Search) -> Self {
        Self {
            size: PageSize::new((search.size as usize).min(cluster.page_limit())),
            cluster: Arc::clone(cluster),
            environment: environment.clone(),
            search,
            open: None,
            is_read: false,
        }
    }

    /// Returns the expected bytes of the next page.
    pub(super) fn expected_bytes(&self) -> usize {
        self.size.expected_bytes()
    }

    /// Reads the next page, which may be empty. Returns `None` after the last page and after an error.
    ///
    /// # Errors
    /// The outer error reports that the environment's work was stopped, the inner one what the cluster answered.
    pub(crate) async fn next(&mut self) -> Result<ClusterResult<Option<Vec<Hit>>>> {
        if self.is_read {
            return Ok(Ok(None));
        }
        let answer = self.read().await;
        self.is_read |= !matches!(answer, Ok(Ok(_)));
        Ok(answer?.map(Some))
    }

    /// Returns whether nothing is left to read: the last page was read, or an error ended the pages.
    pub(crate) fn is_read(&self) -> bool {
        self.is_read
    }

    /// Closes the point in time, if it is open.
    pub(crate) async fn close(&mut self) {
        if let Some(open) = self.open.take() {
            open.close().await;
        }
    }

    async fn read(&mut self) -> Result<ClusterResult<Vec<Hit>>> {
        if let SearchIn::Index(index) = &self.search.within {
            let open = match OpenPointInTime::open(&self.cluster, &self.environment, index, KEEP_ALIVE).await {
                Ok(open) => self.open.insert(open),
                Err(error) => return Ok(Err(error)),
            };
            self.search.within = SearchIn::PointInTime(open.current().clone());
            self.search.aggregations.clear();
        }
        let (requested, page) = loop {
            let requested = self.size.get();
            self.search.size = u32::try_from(requested).unwrap_or(u32::MAX);
            match self.environment.stop().or(self.cluster.search(&self.search)).await? {
                Ok(page) => break (requested, page),
                Err(error) if self.size.divides(requested, &error) => {}
                Err(error) => return Ok(Err(error)),
            }
        };
        self.size.took(requested, &page.hits);
        if let (Some(current), Some(open)) = (page.point_in_time, &mut self.open) {
            self.search.within = SearchIn::PointInTime(current.clone());
            open.continue_with(current);
        }
        self.is_read = page.hits.len() < requested || page.last_sort.is_none();
        self.search.after = page.last_sort;
        Ok(Ok(page.hits))
    }
}

/// A point in time that is closed when this is dropped, in a task of its own. Without a runtime the server closes it
/// when its keep-alive is over.
#[derive(Debug)]
pub(crate) struct OpenPointInTime {
    cluster: Arc<dyn Cluster>,
    environment: Environment,
    newest: PointInTime,
    is_closed: bool,
}

impl OpenPointInTime {
    /// Opens a point in time over the indices behind a name.
    pub(crate) async fn open(
        cluster: &Arc<dyn Cluster>,
        environment: &Environment,
        index: &str,
        keep_alive: Duration,
    ) -> ClusterResult<Self> {
        let newest = cluster.open_point_in_time(index, keep_alive).await?;
        Ok(Self { cluster: Arc::clone(cluster), environment: environment.clone(), newest, is_closed: false })
    }

    /// Returns the point in time with the id that the last search on it returned.
    pub(crate) fn current(&self) -> &PointInTime {
        &self.newest
    }

    /// Records the id that a search on it returned.
    pub(crate) fn continue_with(&mut self, current: PointInTime) {
        self.newest = current;
    }

    /// Closes it now. A failure is only logged, because the server closes it by itself.
    pub(crate) async fn close(mut self) {
        // Cancelling this future drops `self`, which must still close the point in time.
        close(self.cluster.as_ref(), &self.newest).await;
        self.is_closed = true;
    }
}

impl Drop for OpenPointInTime {
    fn drop(&mut self) {
        if !self.is_closed {
            let (cluster, newest) = (Arc::clone(&self.cluster), self.newest.clone());
            // The task continues without its owner.
            drop(self.environment.spawn(async move { close(cluster.as_ref(), &newest).await }));
        }
    }
}

async fn close(cluster: &dyn Cluster, point_in_time: &PointInTime) {
    if let Err(error) = cluster.close_point_in_time(point_in_time).await {
        tracing::debug!(%error, "a point in time could not be closed; it expires by itself");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::{
        BulkAction, BulkOperation, BulkRequest, CreateIndex, Direction, InMemory, IndexPurpose, Query, Refresh, Sort,
    };

    /// Returns an index of twelve documents.
    async fn documents(environment: &Environment) -> InMemory {
        let cluster = InMemory::new(environment.clone());
        let request = CreateIndex {
            name: "index".to_owned(),
            mapping: json!({ "dynamic": false, "properties": {} }),
            aliases: vec!["alias".to_owned()],
            purpose: IndexPurpose::Serving,
            settings: Default::default(),
        };
        cluster.create_index(&request).await.expect("created");
        let action = || BulkAction::Create { source: "{}".into() };
        let operations: Vec<_> = (0..12).map(|n: u32| BulkOperation { id: n.to_string(), action: action() }).collect();
        let request = BulkRequest { alias: "alias", operations: &operations, refresh: Refresh::Later };
        cluster.bulk(&request).await.expect("written");
        cluster.refresh("alias").await.expect("refreshed");
        cluster
    }

    fn search() -> Search {
        Search { size: 1_000, ..Search::new(SearchIn::Index("alias".to_owned()), Query::Everything) }
    }

    #[tokio::test]
    async fn pages_follow_one_another_until_the_last_one() {
        let environment = Environment::system();
        let memory = documents(&environment).await;
        let before = memory.requests().total();
        let mut pages = PageStream::new(&(Arc::new(memory.clone()) as Arc<dyn Cluster>), &environment, search());
        assert_eq!(memory.requests().total(), before, "nothing is sent before the first page is read");
        let mut sizes = Vec::new();
        while let Some(page) = pages.next().await.expect("not stopped").expect("answered") {
            sizes.push((page.len(), pages.is_read()));
        }
        assert_eq!(sizes, [(1, false), (10, false), (1, true)]);
        assert_eq!(memory.open_points_in_time(), 1);
        pages.close().await;
        assert_eq!(memory.open_points_in_time(), 0);
        assert!(pages.next().await.expect("not stopped").expect("answered").is_none());
        assert_eq!(memory.requests().total() - before, 5, "it opens, reads three pages and closes");
    }

    #[tokio::test]
    async fn a_failure_ends_the_pages_and_a_drop_closes_the_point_in_time() {
        let environment = Environment::system();
        let memory = documents(&environment).await;
        let cluster = Arc::new(memory.clone()) as Arc<dyn Cluster>;
        let sort = vec![Sort { field: "unknown".to_owned(), direction: Direction::Ascending }];
        let mut refused = PageStream::new(&cluster, &environment, Search { sort, ..search() });
        assert!(refused.next().await.expect("not stopped").is_err());
        assert!(refused.is_read());
        assert!(refused.next().await.expect("not stopped").expect("ended").is_none());
        refused.close().await;
        assert_eq!(memory.open_points_in_time(), 0);

        let mut dropped = PageStream::new(&cluster, &environment, search());
        assert!(dropped.next().await.expect("not stopped").is_ok());
        assert_eq!(memory.open_points_in_time(), 1);
        drop(dropped);
        tokio::task::yield_now().await;
        assert_eq!(memory.open_points_in_time(), 0);
    }
}
