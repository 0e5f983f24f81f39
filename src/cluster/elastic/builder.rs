//! The builder of the client: retries, time-outs, batch sizes, transport and environment.

use std::sync::Arc;
use std::time::Duration;

use super::retry::RetryPolicy;
use super::settings::ElasticSettings;
use super::transport::Transport;
use crate::environment::Environment;

/// The largest numbers of documents in one request of the client.
///
/// Larger values than the defaults bring nothing; a simulation uses small values, so that few documents make many pages
/// and bulks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batches {
    /// Documents in one page of a search.
    pub page: usize,
    /// Operations in one bulk.
    pub bulk: usize,
}

impl Default for Batches {
    /// Sets no limit: the engine then limits pages and bulks by bytes.
    fn default() -> Self {
        Self { page: usize::MAX, bulk: usize::MAX }
    }
}

/// The settings, retries and time-outs of a client. [`ElasticBuilder::build`] creates the client.
#[derive(Debug)]
pub struct ElasticBuilder {
    pub(super) settings: ElasticSettings,
    pub(super) retry: RetryPolicy,
    pub(super) attempts_to_reach: u32,
    pub(super) request_timeout: Duration,
    pub(super) batches: Batches,
    pub(super) environment: Environment,
    pub(super) transport: Option<Arc<dyn Transport>>,
}

impl ElasticBuilder {
    /// Sets how often and how long a request is retried.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sets how often a request is attempted while no connection could be made since the client was created. Default: as
    /// often as any other request. A person at a command line learns sooner that there is no server at the URL; a
    /// server that was reached once, or that answers while it starts, gets all attempts.
    #[must_use]
    pub fn attempts_to_reach(mut self, attempts: u32) -> Self {
        self.attempts_to_reach = attempts.max(1);
        self
    }

    /// Sets the time limit of one attempt, from connecting to the last byte of the answer. Default: 30 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets the largest numbers of documents in one page and one bulk.
    #[must_use]
    pub fn batches(mut self, batches: Batches) -> Self {
        self.batches = batches;
        self
    }

    /// Sends requests over `transport` instead of the network. The connection settings are then unused.
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Sets the source of time and randomness. Default: the system's.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }
}
