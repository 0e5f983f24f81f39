//! The cluster as seen by a process that is killed, or loses an answer, at a chosen request.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use saved_objects::cluster::{
    AliasAction, BulkRequest, CloneIndex, Cluster, ClusterError, ClusterErrorKind, ClusterResult, Conditions,
    CreateIndex, Health, History, Hit, Hits, IndexState, Interference, ItemError, ItemErrorKind, ItemOutcome, Page,
    PointInTime, RequestCounts, Search, TypeCount,
};
use saved_objects::migrate::Progress;
use serde_json::Value;
use tokio::sync::{Notify, watch};

/// One request of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// How many requests came before it.
    pub(crate) number: usize,
    /// The method of [`Cluster`].
    pub(crate) method: &'static str,
    /// The state of the migration that sends it.
    pub(crate) state: &'static str,
    /// The number of its operations, if it is a bulk.
    pub(crate) operations: usize,
}

impl Call {
    pub(crate) fn is_write(&self) -> bool {
        let reads = ["version", "indices", "history", "wait_for_health", "refresh", "get", "get_many", "search"];
        let more =
            ["count_by_type", "open_point_in_time", "close_point_in_time", "conditions", "interfering_templates"];
        !reads.contains(&self.method) && !more.contains(&self.method)
    }
}

/// What happens to a request, and to the process that sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// The request is done and answered.
    Done,
    /// The process is killed before it sends the request.
    Unsent,
    /// The request is done, and the process is killed before the answer arrives.
    Unheard,
    /// The request is done, and the process is killed once it has the answer.
    Heard,
    /// The request is done, its answer is lost, and the process continues.
    Lost,
    /// The first half of a bulk is done, and the process is killed.
    Half,
    /// The server refuses the request.
    Refused,
    /// The server refuses the request, because another process was faster.
    Moved,
}

/// Decides about fates.
#[async_trait]
pub(crate) trait Disturber: Send + Sync + fmt::Debug {
    /// Returns the fate of a request. It may wait, as a network does.
    async fn fate(&self, call: &Call) -> Fate;

    /// Receives what a bulk did.
    fn done(&self, _request: &BulkRequest<'_>, _outcomes: &[ItemOutcome]) {}

    /// Receives what a search or a look-up found.
    fn found(&self, _hits: &[Hit]) {}
}

/// The cluster of one process.
#[derive(Debug)]
pub(crate) struct Disturbed {
    cluster: Arc<dyn Cluster>,
    disturber: Arc<dyn Disturber>,
    progress: OnceLock<watch::Receiver<Progress>>,
    calls: AtomicUsize,
    killed: Notify,
}

impl Disturbed {
    pub(crate) fn new(cluster: Arc<dyn Cluster>, disturber: Arc<dyn Disturber>) -> Self {
        let (progress, calls) = (OnceLock::new(), AtomicUsize::new(0));
        Self { cluster, disturber, progress, calls, killed: Notify::new() }
    }

    /// Sets the receiver from which it reads the state of the process.
    pub(crate) fn watch(&self, progress: watch::Receiver<Progress>) {
        self.progress.set(progress).expect("one process, one migration");
    }

    /// Waits until the process is killed.
    pub(crate) async fn killed(&self) {
        self.killed.notified().await;
    }

    fn call(&self, method: &'static str, operations: usize) -> Call {
        let state = self.progress.get().and_then(|progress| progress.borrow().state);
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        Call { number, method, operations, state: state.map_or("planning", |state| state.name()) }
    }

    async fn die<T>(&self) -> T {
        self.killed.notify_one();
        std::future::pending().await
    }

    async fn through<T>(
        &self,
        method: &'static str,
        request: impl Future<Output = ClusterResult<T>> + Send,
    ) -> ClusterResult<T> {
        match self.disturber.fate(&self.call(method, 0)).await {
            Fate::Done => request.await,
            Fate::Unsent => self.die().await,
            Fate::Unheard | Fate::Half => {
                drop(request.await);
                self.die().await
            }
            Fate::Heard => {
                let answer = request.await;
                self.killed.notify_one();
                answer
            }
            Fate::Lost => {
                drop(request.await);
                Err(ClusterError::new(ClusterErrorKind::Timeout, "PUT", method, "the answer is lost"))
            }
            Fate::Refused => Err(refused(ClusterErrorKind::Rejected, method)),
            Fate::Moved => Err(refused(ClusterErrorKind::AliasNotFound, method)),
        }
    }
}

fn refused(kind: ClusterErrorKind, method: &'static str) -> ClusterError {
    ClusterError::new(kind, "PUT", method, "the test refuses it")
}

/// Gives the requests of one method in one state a fate.
#[derive(Debug)]
pub(crate) struct At(pub(crate) &'static str, pub(crate) &'static str, pub(crate) Fate);

#[async_trait]
impl Disturber for At {
    async fn fate(&self, call: &Call) -> Fate {
        if (call.method, call.state) == (self.0, self.1) { self.2 } else { Fate::Done }
    }
}

#[async_trait]
impl Cluster for Disturbed {
    async fn version(&self) -> ClusterResult<String> {
        self.through("version", self.cluster.version()).await
    }

    async fn indices(&self, names: &[&str]) -> ClusterResult<BTreeMap<String, IndexState>> {
        self.through("indices", self.cluster.indices(names)).await
    }

    async fn create_index(&self, request: &CreateIndex) -> ClusterResult<()> {
        self.through("create_index", self.cluster.create_index(request)).await
    }

    async fn put_mapping(&self, index: &str, mapping: &Value) -> ClusterResult<()> {
        self.through("put_mapping", self.cluster.put_mapping(index, mapping)).await
    }

    async fn delete_index(&self, index: &str) -> ClusterResult<()> {
        self.through("delete_index", self.cluster.delete_index(index)).await
    }

    async fn update_aliases(&self, actions: &[AliasAction]) -> ClusterResult<()> {
        self.through("update_aliases", self.cluster.update_aliases(actions)).await
    }

    async fn add_write_block(&self, index: &str) -> ClusterResult<()> {
        self.through("add_write_block", self.cluster.add_write_block(index)).await
    }

    async fn remove_write_block(&self, index: &str) -> ClusterResult<()> {
        self.through("remove_write_block", self.cluster.remove_write_block(index)).await
    }

    async fn clone_index(&self, request: &CloneIndex) -> ClusterResult<()> {
        self.through("clone_index", self.cluster.clone_index(request)).await
    }

    async fn history(&self, index: &str) -> ClusterResult<History> {
        self.through("history", self.cluster.history(index)).await
    }

    async fn wait_for_health(&self, index: &str, wanted: Health, timeout: Duration) -> ClusterResult<Health> {
        self.through("wait_for_health", self.cluster.wait_for_health(index, wanted, timeout)).await
    }

    async fn conditions(&self) -> ClusterResult<Conditions> {
        self.through("conditions", self.cluster.conditions()).await
    }

    async fn interfering_templates(&self, indices: &[&str]) -> ClusterResult<Vec<Interference>> {
        self.through("interfering_templates", self.cluster.interfering_templates(indices)).await
    }

    async fn refresh(&self, index: &str) -> ClusterResult<()> {
        self.through("refresh", self.cluster.refresh(index)).await
    }

    async fn get(&self, index: &str, id: &str) -> ClusterResult<Option<Hit>> {
        self.through("get", self.cluster.get(index, id)).await
    }

    async fn get_many(&self, index: &str, ids: &[&str]) -> ClusterResult<Vec<Option<Hit>>> {
        let found = self.through("get_many", self.cluster.get_many(index, ids)).await?;
        self.disturber.found(&found.iter().flatten().cloned().collect::<Vec<_>>());
        Ok(found)
    }

    async fn search(&self, request: &Search) -> ClusterResult<Page> {
        let page = self.through("search", self.cluster.search(request)).await?;
        self.disturber.found(&page.hits);
        Ok(page)
    }

    async fn search_in_parts(
        &self,
        request: &Search,
        size: usize,
        each: &mut (dyn FnMut(Hits) + Send),
    ) -> ClusterResult<Page> {
        self.through("search", self.cluster.search_in_parts(request, size, each)).await
    }

    async fn count_by_type(&self, index: &str) -> ClusterResult<Vec<TypeCount>> {
        self.through("count_by_type", self.cluster.count_by_type(index)).await
    }

    async fn open_point_in_time(&self, index: &str, keep_alive: Duration) -> ClusterResult<PointInTime> {
        self.through("open_point_in_time", self.cluster.open_point_in_time(index, keep_alive)).await
    }

    async fn close_point_in_time(&self, point_in_time: &PointInTime) -> ClusterResult<()> {
        self.through("close_point_in_time", self.cluster.close_point_in_time(point_in_time)).await
    }

    async fn bulk(&self, request: &BulkRequest<'_>) -> ClusterResult<Vec<ItemOutcome>> {
        let send = |operations| {
            let request = BulkRequest { operations, ..*request };
            async move {
                let outcomes = self.cluster.bulk(&request).await?;
                self.disturber.done(&request, &outcomes);
                Ok(outcomes)
            }
        };
        match self.disturber.fate(&self.call("bulk", request.operations.len())).await {
            Fate::Done => send(request.operations).await,
            Fate::Unsent => self.die().await,
            Fate::Unheard => {
                drop(send(request.operations).await);
                self.die().await
            }
            Fate::Half => {
                drop(send(&request.operations[..request.operations.len() / 2]).await);
                self.die().await
            }
            Fate::Heard => {
                let answer = send(request.operations).await;
                self.killed.notify_one();
                answer
            }
            Fate::Lost => {
                drop(send(request.operations).await);
                let lost = ItemError { kind: ItemErrorKind::OutcomeUnknown, reason: "the answer is lost".to_owned() };
                Ok(vec![Err(lost); request.operations.len()])
            }
            Fate::Refused | Fate::Moved => Err(refused(ClusterErrorKind::Rejected, "bulk")),
        }
    }

    fn requests(&self) -> RequestCounts {
        self.cluster.requests()
    }
}
