//! [`Cluster`] over the official Elasticsearch client's transport. The client makes one attempt a request and does not type
//! its answers; this room adds time-outs, repeats, typed answers and errors that keep all that is known.

mod answers;
mod bulk;
mod conditions;
mod connection;
mod copying;
mod credentials;
mod documents;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod fuzzing;
mod indices;
mod official;
mod privileges;
mod retry;
#[cfg(test)]
mod scripted;
mod search_answer;
mod settings;
mod statuses;
mod transport;
mod trust;
mod variables;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{
    AliasAction, BulkRequest, CloneIndex, Cluster, ClusterResult, Conditions, CreateIndex, Health, History, Hit, Hits,
    IndexState, ItemOutcome, Page, PointInTime, RequestCounts, Search, TypeCount,
};
use crate::Result;
use crate::environment::Environment;
#[cfg(any(test, feature = "testing"))]
pub(in crate::cluster) use answers::{error_kind, item_error};
use connection::Connection;
pub use credentials::{Credentials, SecretSource};
#[cfg(any(test, feature = "testing"))]
pub(in crate::cluster) use indices::purpose_settings;
pub use retry::RetryPolicy;
pub use settings::ElasticSettings;
pub use transport::{HttpAnswer, HttpRequest, NoAnswer, NoAnswerKind, Transport};
pub use trust::Misconfiguration;

/// The most documents that the client handles in one request. The defaults are as good as larger ones; a simulation takes
/// small ones, so that few documents make many pages and bulks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batches {
    /// Documents of one page of a search.
    pub page: usize,
    /// Operations of one bulk.
    pub bulk: usize,
}

impl Default for Batches {
    /// Leaves both to the engine, which counts bytes.
    fn default() -> Self {
        Self { page: usize::MAX, bulk: usize::MAX }
    }
}

/// How to reach an Elasticsearch cluster, and how patiently; [`ElasticBuilder::build`] makes the client.
#[derive(Debug)]
pub struct ElasticBuilder {
    settings: ElasticSettings,
    retry: RetryPolicy,
    request_timeout: Duration,
    batches: Batches,
    environment: Environment,
    transport: Option<Arc<dyn Transport>>,
}

impl ElasticBuilder {
    /// How often and how long a request is repeated.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// How long one attempt may take, from connecting to the last byte of the answer. Default: 30 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets the most documents of one page and one bulk.
    #[must_use]
    pub fn batches(mut self, batches: Batches) -> Self {
        self.batches = batches;
        self
    }

    /// Sends requests over `transport`, and not over the network. The settings are then not used.
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// The time and randomness to use. Default: the system's.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// The client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if a setting is malformed, two contradict each other, or a file of theirs cannot be
    /// used.
    pub fn build(self) -> Result<Elastic> {
        Ok(Elastic { connection: Connection::open(self)? })
    }
}

/// A client of an Elasticsearch cluster.
#[derive(Debug)]
pub struct Elastic {
    connection: Connection,
}

impl Elastic {
    /// Returns a builder for the cluster that `settings` lead to: a URL such as `http://127.0.0.1:9200`, or
    /// [`ElasticSettings`] with credentials and certificates.
    pub fn builder(settings: impl Into<ElasticSettings>) -> ElasticBuilder {
        ElasticBuilder {
            settings: settings.into(),
            retry: RetryPolicy::default(),
            request_timeout: Duration::from_secs(30),
            batches: Batches::default(),
            environment: Environment::system(),
            transport: None,
        }
    }
}

/// Opens the transport that these settings lead to, for requests that are not of the engine.
#[cfg(feature = "cli")]
pub(crate) fn open_transport(settings: &ElasticSettings) -> Result<Arc<dyn Transport>> {
    Ok(Arc::new(official::Official::open(settings)?))
}

#[async_trait]
impl Cluster for Elastic {
    async fn version(&self) -> ClusterResult<String> {
        indices::version(&self.connection).await
    }

    async fn indices(&self, names: &[&str]) -> ClusterResult<BTreeMap<String, IndexState>> {
        indices::indices(&self.connection, names).await
    }

    async fn create_index(&self, request: &CreateIndex) -> ClusterResult<()> {
        indices::create_index(&self.connection, request).await
    }

    async fn put_mapping(&self, index: &str, mapping: &Value) -> ClusterResult<()> {
        indices::put_mapping(&self.connection, index, mapping).await
    }

    async fn delete_index(&self, index: &str) -> ClusterResult<()> {
        indices::delete_index(&self.connection, index).await
    }

    async fn update_aliases(&self, actions: &[AliasAction]) -> ClusterResult<()> {
        indices::update_aliases(&self.connection, actions).await
    }

    async fn add_write_block(&self, index: &str) -> ClusterResult<()> {
        copying::add_write_block(&self.connection, index).await
    }

    async fn remove_write_block(&self, index: &str) -> ClusterResult<()> {
        copying::remove_write_block(&self.connection, index).await
    }

    async fn clone_index(&self, request: &CloneIndex) -> ClusterResult<()> {
        copying::clone_index(&self.connection, request).await
    }

    async fn history(&self, index: &str) -> ClusterResult<History> {
        copying::history(&self.connection, index).await
    }

    async fn wait_for_health(&self, index: &str, wanted: Health, timeout: Duration) -> ClusterResult<Health> {
        indices::wait_for_health(&self.connection, index, wanted, timeout).await
    }

    async fn conditions(&self) -> ClusterResult<Conditions> {
        conditions::conditions(&self.connection).await
    }

    async fn interfering_templates(&self, index: &str) -> ClusterResult<Vec<String>> {
        conditions::interfering_templates(&self.connection, index).await
    }

    async fn unseen(&self, names: &[&str]) -> ClusterResult<Vec<String>> {
        privileges::unseen(&self.connection, names).await
    }

    async fn refresh(&self, index: &str) -> ClusterResult<()> {
        indices::refresh(&self.connection, index).await
    }

    async fn get(&self, index: &str, id: &str) -> ClusterResult<Option<Hit>> {
        documents::get(&self.connection, index, id).await
    }

    async fn get_many(&self, index: &str, ids: &[&str]) -> ClusterResult<Vec<Option<Hit>>> {
        let found = documents::get_many(&self.connection, index, ids).await?;
        Ok(found.into_iter().map(|document| document.map(|versioned| versioned.hit)).collect())
    }

    async fn search(&self, request: &Search) -> ClusterResult<Page> {
        documents::search(&self.connection, request).await
    }

    async fn search_in_parts(
        &self,
        request: &Search,
        size: usize,
        each: &mut (dyn FnMut(Hits) + Send),
    ) -> ClusterResult<Page> {
        documents::search_in_parts(&self.connection, request, size, each).await
    }

    async fn count_by_type(&self, index: &str) -> ClusterResult<Vec<TypeCount>> {
        documents::count_by_type(&self.connection, index).await
    }

    async fn open_point_in_time(&self, index: &str, keep_alive: Duration) -> ClusterResult<PointInTime> {
        documents::open_point_in_time(&self.connection, index, keep_alive).await
    }

    async fn close_point_in_time(&self, point_in_time: &PointInTime) -> ClusterResult<()> {
        documents::close_point_in_time(&self.connection, point_in_time).await
    }

    async fn bulk(&self, request: &BulkRequest<'_>) -> ClusterResult<Vec<ItemOutcome>> {
        bulk::bulk(&self.connection, request).await
    }

    async fn max_content_length(&self) -> ClusterResult<usize> {
        self.connection.max_content_length().await
    }

    fn page_limit(&self) -> usize {
        self.connection.batches().page
    }

    fn requests(&self) -> RequestCounts {
        self.connection.counts()
    }
}
