//! The paths of the files that the development server keeps.

use std::path::{Path, PathBuf};

use semver::Version;

use super::state::State;

/// The folder in which the development server keeps its files.
///
/// ```text
/// <dir>/lock                                     held while a command changes anything below
/// <dir>/state.json                               what runs
/// <dir>/install/<version>/                       the server, complete or absent
/// <dir>/clusters/<version>-of-<n>/<node>/        config, data, tmp, node.log
/// <dir>/clusters/<version>-of-<n>/secrets/       of a server with security: certificates, password, API key
/// ```
///
/// For a server with security, `-secured` follows the version.
///
/// Each version and each number of nodes has its own data: an older server cannot read the data of a newer one, and a
/// node that formed a cluster with others does not elect itself alone.
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

    /// Returns the folders of all nodes that have ever run here.
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

    /// Returns the path of the node's settings. The node stops when this file is deleted or replaced.
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
    // A folder that is absent or unreadable contains no node of this server.
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
