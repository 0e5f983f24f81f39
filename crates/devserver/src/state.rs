//! The state file: which server runs, with which options and processes.

use std::io::ErrorKind as IoErrorKind;
use std::path::Path;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::files;
use super::process::NodeProcess;
use crate::{Error, ErrorKind, Result};

/// The running server, as recorded in the state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) version: Version,
    pub(super) heap: String,
    /// The process whose end stops the nodes.
    pub(super) owner_pid: Option<u32>,
    /// Whether the server has security: TLS, users and API keys.
    #[serde(default)]
    pub(super) secure: bool,
    /// Settings from the options, as `key=value`.
    #[serde(default)]
    pub(super) settings: Vec<String>,
    pub(super) nodes: Vec<NodeRecord>,
}

/// One node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NodeRecord {
    pub(super) name: String,
    pub(super) http_port: u16,
    pub(super) transport_port: u16,
    /// Absent until the node is started.
    pub(super) process: Option<NodeProcess>,
}

impl NodeRecord {
    pub(super) fn is_alive(&self) -> bool {
        self.process.as_ref().is_some_and(NodeProcess::is_alive)
    }

    /// Returns the address of the node that listens on `port`.
    pub(super) fn url_of(port: u16, secure: bool) -> String {
        format!("{}://127.0.0.1:{port}", if secure { "https" } else { "http" })
    }
}

impl State {
    /// Loads the state from `file`; returns `None` if there is no such file.
    pub(super) fn load(file: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(files::failed("read", file, error)),
        };
        let state: Self = serde_json::from_slice(&text).map_err(|error| {
            Error::new(ErrorKind::Corrupt, format!("the state file {} is damaged: {error}", file.display()))
                .with_hint("`saved-objects dev down` stops whatever runs there and clears it")
        })?;
        Ok(Some(state))
    }

    pub(super) fn save(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|error| {
            Error::new(ErrorKind::Internal, "the state of the server could not be written as JSON").with_source(error)
        })?;
        files::replace(file, &text)
    }

    /// Returns the address to use for the cluster: that of its first node.
    pub(super) fn url(&self) -> Option<String> {
        self.nodes.first().map(|node| NodeRecord::url_of(node.http_port, self.secure))
    }

    pub(super) fn any_alive(&self) -> bool {
        self.nodes.iter().any(NodeRecord::is_alive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let process = NodeProcess::with_id(std::process::id()).expect("this process runs");
        State {
            version: Version::new(9, 2, 2),
            heap: "512m".into(),
            owner_pid: Some(7),
            secure: true,
            settings: vec!["path.repo=/snapshots".to_owned()],
            nodes: vec![
                NodeRecord { name: "node-1".into(), http_port: 9200, transport_port: 9300, process: Some(process) },
                NodeRecord { name: "node-2".into(), http_port: 9201, transport_port: 9301, process: None },
            ],
        }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("state.json");
        assert_eq!(State::load(&file).expect("an absent file is no error"), None);
        state().save(&file).expect("saved");
        assert_eq!(State::load(&file).expect("loaded"), Some(state()));
    }

    #[test]
    fn garbage_is_refused_with_a_hint() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("state.json");
        for garbage in ["", "{", "null", "[]", r#"{"version":9}"#, "\u{0}\u{1}", r#"{"nodes":[{"pid":-1}]}"#] {
            std::fs::write(&file, garbage).expect("written");
            let error = State::load(&file).expect_err(garbage);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{garbage}");
            assert!(error.hint().is_some_and(|hint| hint.contains("dev down")), "{garbage}");
        }
    }
}
