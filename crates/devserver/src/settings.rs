//! The `elasticsearch.yml` of the nodes.

use std::path::{Path, PathBuf};

use super::layout::NodeFolder;
use super::secure;
use super::state::{NodeRecord, State};

/// Returns the `elasticsearch.yml` of one node of the cluster in `state`.
pub(super) fn render(state: &State, node: &NodeRecord, folder: &NodeFolder) -> String {
    let mut lines = vec![
        line("cluster.name", "saved-objects-development"),
        line("node.name", &node.name),
        path_line("path.data", &folder.data()),
        path_line("path.logs", folder.path()),
        // All nodes share the first node's folder for snapshots.
        path_line("path.repo", &shared_folder(state, folder).join("snapshots")),
        line("network.host", "127.0.0.1"),
        format!("http.port: {}", node.http_port),
        format!("transport.port: {}", node.transport_port),
        // A developer's disk is often nearly full; the server would stop allocating shards and then refuse writes.
        "cluster.routing.allocation.disk.threshold_enabled: false".to_owned(),
    ];
    if state.nodes.len() == 1 {
        lines.push(line("discovery.type", "single-node"));
    } else {
        let addresses = state.nodes.iter().map(|peer| format!("127.0.0.1:{}", peer.transport_port));
        lines.push(list_line("discovery.seed_hosts", addresses));
        lines.push(list_line("cluster.initial_master_nodes", state.nodes.iter().map(|peer| peer.name.clone())));
    }
    if state.secure {
        lines.extend(secure::settings().into_iter().map(|(key, value)| line(key, value)));
    }
    for (key, value) in state.settings.iter().filter_map(|setting| setting.split_once('=')) {
        let is_other = |line: &String| line.split_once(':').is_none_or(|(other, _)| other != key);
        lines.retain(is_other);
        lines.push(line(key, value));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn shared_folder(state: &State, folder: &NodeFolder) -> PathBuf {
    let first = state.nodes.first().and_then(|first| Some(folder.path().parent()?.join(&first.name)));
    first.unwrap_or_else(|| folder.path().to_owned())
}

fn path_line(key: &str, path: &Path) -> String {
    line(key, &path.to_string_lossy())
}

fn line(key: &str, value: &str) -> String {
    format!("{key}: {}", quoted(value))
}

fn list_line(key: &str, values: impl Iterator<Item = String>) -> String {
    format!("{key}: [{}]", values.map(|value| quoted(&value)).collect::<Vec<_>>().join(", "))
}

/// Quotes a text as a JSON string, which is also a YAML string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use semver::Version;

    use super::super::layout::Layout;
    use super::*;

    fn cluster(size: u16) -> State {
        let node = |i: u16| NodeRecord {
            name: format!("node-{i}"),
            http_port: 9199 + i,
            transport_port: 9299 + i,
            process: None,
        };
        State {
            version: Version::new(9, 2, 2),
            heap: "512m".into(),
            owner_pid: None,
            secure: false,
            settings: Vec::new(),
            nodes: (1..=size).map(node).collect(),
        }
    }

    fn rendered(size: u16, index: usize, dir: &str) -> String {
        let state = cluster(size);
        let node = state.nodes.get(index).expect("a node");
        let folder = Layout::new(PathBuf::from(dir)).node(&state, &node.name);
        render(&state, node, &folder)
    }

    #[test]
    fn one_node_needs_no_discovery() {
        let expected = r#"cluster.name: "saved-objects-development"
node.name: "node-1"
path.data: "/d/clusters/9.2.2-of-1/node-1/data"
path.logs: "/d/clusters/9.2.2-of-1/node-1"
path.repo: "/d/clusters/9.2.2-of-1/node-1/snapshots"
network.host: "127.0.0.1"
http.port: 9200
transport.port: 9300
cluster.routing.allocation.disk.threshold_enabled: false
discovery.type: "single-node"
"#;
        assert_eq!(rendered(1, 0, "/d"), expected);
    }

    #[test]
    fn three_nodes_know_each_other() {
        let text = rendered(3, 1, "/d");
        for expected in [
            r#"node.name: "node-2""#,
            "http.port: 9201",
            r#"path.repo: "/d/clusters/9.2.2-of-3/node-1/snapshots""#,
            r#"discovery.seed_hosts: ["127.0.0.1:9300", "127.0.0.1:9301", "127.0.0.1:9302"]"#,
            r#"cluster.initial_master_nodes: ["node-1", "node-2", "node-3"]"#,
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected} is missing in\n{text}");
        }
        assert!(!text.contains("single-node"));
    }

    #[test]
    fn what_is_asked_for_takes_the_place_of_what_is_set() {
        let mut state = cluster(1);
        state.settings = vec!["network.host=0.0.0.0".to_owned(), "http.max_content_length=1mb".to_owned()];
        let node = state.nodes.first().expect("a node");
        let folder = Layout::new(PathBuf::from("/d")).node(&state, &node.name);
        let text = render(&state, node, &folder);
        let expected = "network.host: \"0.0.0.0\"\nhttp.max_content_length: \"1mb\"\n";
        assert!(text.ends_with(expected) && !text.contains("127.0.0.1"), "{text}");
    }

    #[test]
    fn odd_paths_are_quoted() {
        assert!(rendered(1, 0, "/a: \"b\" #c").contains(r##"path.data: "/a: \"b\" #c/clusters/"##));
    }
}
