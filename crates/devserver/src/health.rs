//! The health of nodes and of their cluster, as the nodes report it.

use serde::Deserialize;

use super::client::Client;
use super::state::{NodeRecord, State};

/// The health that a cluster reports about itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct ClusterHealth {
    pub(super) status: String,
    pub(super) number_of_nodes: usize,
}

/// Returns the health of the cluster in `state`; `None` unless every node answers and has joined.
pub(super) async fn of(state: &State, client: &Client) -> Option<ClusterHealth> {
    for node in &state.nodes {
        if !is_serving(node, client).await {
            return None;
        }
    }
    let health = cluster(state.nodes.first()?.http_port, client).await?;
    (health.number_of_nodes >= state.nodes.len()).then_some(health)
}

/// Returns whether the node runs and answers on its port. An answer alone is no proof: another server may own the port.
pub(super) async fn is_serving(node: &NodeRecord, client: &Client) -> bool {
    match &node.process {
        Some(process) if process.is_alive() => process_on(node.http_port, client).await == Some(process.pid),
        _ => false,
    }
}

/// Returns the id of the Elasticsearch process that answers on the port; `None` if no such process answers.
async fn process_on(port: u16, client: &Client) -> Option<u32> {
    process_id_in(&client.get(port, "_nodes/_local/process?filter_path=nodes.*.process.id").await?)
}

/// Returns the health of the cluster of the node on the port; `None` while the cluster has no elected master.
async fn cluster(port: u16, client: &Client) -> Option<ClusterHealth> {
    serde_json::from_str(&client.get(port, "_cluster/health?master_timeout=1s").await?).ok()
}

fn process_id_in(text: &str) -> Option<u32> {
    let answer: serde_json::Value = serde_json::from_str(text).ok()?;
    let node = answer.get("nodes")?.as_object()?.values().next()?;
    node.pointer("/process/id")?.as_u64()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_id_is_found() {
        assert_eq!(process_id_in(r#"{"nodes":{"nd2x":{"process":{"id":9749}}}}"#), Some(9749));
        for text in ["", "{}", r#"{"nodes":{}}"#, r#"{"nodes":{"a":{"process":{"id":-1}}}}"#, r#"{"nodes":[1]}"#] {
            assert_eq!(process_id_in(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_has_no_process() {
        let client = Client::default();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        assert_eq!(process_on(port, &client).await, None);
    }
}
