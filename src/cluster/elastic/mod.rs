//! [`Cluster`] over the official Elasticsearch client's transport. The official client makes one attempt per request
//! and does not type its answers; this module adds time-outs, retries, typed answers, and errors that keep all known
//! details.

mod answers;
mod api;
mod builder;
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
mod product;
mod retry;
#[cfg(test)]
mod scripted;
mod search_answer;
mod server_error;
mod settings;
mod statuses;
mod transport;
mod trust;
mod variables;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{
    AliasAction, BulkRequest, CloneIndex, Cluster, ClusterResult, Conditions, CreateIndex, Health, History, Hit, Hits,
    IndexState, Interference, ItemOutcome, Page, PointInTime, Privileges, RequestCounts, Search, TypeCount,
};
use crate::Result;
use crate::environment::Environment;
#[cfg(any(test, feature = "in-memory"))]
pub(in crate::cluster) use answers::item_error;
pub use builder::{Batches, ElasticBuilder};
use connection::Connection;
pub use credentials::{Credentials, SecretSource};
#[cfg(any(test, feature = "in-memory"))]
pub(in crate::cluster) use indices::{clone_settings, creation_settings};
pub use retry::RetryPolicy;
#[cfg(any(test, feature = "in-memory"))]
pub(in crate::cluster) use server_error::{NOT_SUPPORTED, error_kind};
pub use settings::ElasticSettings;
// The seam under which the tests of this workspace put a network.
#[doc(hidden)]
pub use transport::{HttpAnswer, HttpRequest, NoAnswer, NoAnswerKind, Transport};
pub use trust::Misconfiguration;
#[cfg(feature = "oauth")]
pub(crate) use trust::misconfiguration;

impl ElasticBuilder {
    /// Creates the client. Sends nothing yet.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if a setting is malformed, two settings contradict each other, or a file
    /// that they name cannot be used.
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
    /// Creates a builder for the cluster of `settings`: a URL such as `http://127.0.0.1:9200`, or [`ElasticSettings`]
    /// with credentials and certificates.
    pub fn builder(settings: impl Into<ElasticSettings>) -> ElasticBuilder {
        ElasticBuilder {
            settings: settings.into(),
            retry: RetryPolicy::default(),
            attempts_to_reach: u32::MAX,
            request_timeout: Duration::from_secs(30),
            batches: Batches::default(),
            environment: Environment::system(),
            transport: None,
        }
    }
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

    async fn interfering_templates(&self, indices: &[&str]) -> ClusterResult<Vec<Interference>> {
        conditions::interfering_templates(&self.connection, indices).await
    }

    async fn unseen(&self, names: &[&str]) -> ClusterResult<Vec<String>> {
        privileges::unseen(&self.connection, names).await
    }

    async fn lacking(&self, privileges: &Privileges) -> ClusterResult<Option<Privileges>> {
        privileges::lacking(&self.connection, privileges).await
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
