use std::path::{Path, PathBuf};

use semver::Version;

use super::state::State;

/// Where the development server keeps its files.
///
/// ```text
/// <dir>/lock                                     held while a command changes anything below
/// <dir>/state.json                               what runs
/// <dir>/install/<version>/                       the server, complete or absent
/// <dir>/clusters/<version>-of-<n>/<node>/        config, data, tmp, node.log
/// <dir>/clusters/<version>-of-<n>/secrets/       of a server with security: certificates, password, API key
/// ```
///
/// A server with security has `-secured` behind its version.
///
/// Data is kept for each version and number of nodes: an older server cannot read a newer one's data, and a node that
/// formed a cluster with others does not elect itself alone.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    dir: PathBuf,
}

impl Layout {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn lock_file(&self) -> PathBuf {
        self.dir.join("lock")
    }

    pub(super) fn state_file(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    pub(super) fn installs(&self) -> PathBuf {
        self.dir.join("install")
    }

    pub(super) fn install(&self, version: &Version, secure: bool) -> PathBuf {
        self.installs().join(edition(version, secure))
    }

    pub(super) fn clusters(&self) -> PathBuf {
        self.dir.join("clusters")
    }

    fn cluster(&self, state: &State) -> PathBuf {
        self.clusters().join(format!("{}-of-{}", edition(&state.version, state.secure), state.nodes.len()))
    }

    pub(super) fn node(&self, state: &State, name: &str) -> NodeFolder {
        NodeFolder(self.cluster(state).join(name))
    }

    pub(super) fn secrets(&self, state: &State) -> PathBuf {
        self.cluster(state).join("secrets")
    }

    /// The folders of all nodes that ever ran here.
    pub(super) fn nodes(&self) -> Vec<NodeFolder> {
        folders_in(&self.clusters()).iter().flat_map(|cluster| folders_in(cluster)).map(NodeFolder).collect()
    }
}

/// The files of one node.
#[derive(Debug, Clone)]
pub(super) struct NodeFolder(PathBuf);

impl NodeFolder {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn config(&self) -> PathBuf {
        self.0.join("config")
    }

    /// The node's settings. It stops when this file is deleted or replaced.
    pub(super) fn settings_file(&self) -> PathBuf {
        self.config().join("elasticsearch.yml")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    pub(super) fn temporary(&self) -> PathBuf {
        self.0.join("tmp")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.0.join("node.log")
    }
}

fn edition(version: &Version, secure: bool) -> String {
    if secure { format!("{version}-secured") } else { version.to_string() }
}

fn folders_in(folder: &Path) -> Vec<PathBuf> {
    // A folder that is absent or not ours to read holds no node of ours.
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
