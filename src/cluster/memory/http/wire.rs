//! The transport from a client to the cluster in memory.

use async_trait::async_trait;

use crate::cluster::elastic::{HttpAnswer, HttpRequest, NoAnswer, Transport};
use crate::cluster::memory::InMemory;

/// A network without faults to a cluster in memory: it answers every request immediately.
#[derive(Debug, Clone)]
pub struct Wire(InMemory);

impl InMemory {
    /// Returns a transport for [`ElasticBuilder::transport`](crate::cluster::elastic::ElasticBuilder::transport),
    /// through which a client reaches this cluster like a server.
    pub fn transport(&self) -> Wire {
        Wire(self.clone())
    }
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, NoAnswer> {
        Ok(self.0.answer(&request))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cluster::{Elastic, conformance};
    use crate::environment::Environment;

    #[tokio::test]
    async fn the_client_finds_a_server_in_memory() {
        let mut failures = Vec::new();
        for case in conformance::cases() {
            let wire = Arc::new(InMemory::new(Environment::system()).transport());
            let elastic = Elastic::builder("http://memory").transport(wire).build().expect("nothing is wrong with it");
            failures.extend(
                case.run(Arc::new(elastic), "wire").await.err().map(|failure| format!("{}: {failure}", case.name())),
            );
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}
