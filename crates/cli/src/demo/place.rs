//! The cluster of the demo: a given one, a development server, or the cluster in memory.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use saved_objects::Result;
use saved_objects::cluster::elastic::ElasticSettings;
use saved_objects::cluster::{Cluster, Elastic, InMemory};
use saved_objects::environment::Environment;
use saved_objects_devserver::{self as devserver, DevServer, UpOptions};
use serde::Serialize;

use super::Arguments;
use crate::connection::Connection;
use crate::dev::{self, DEFAULT_DIR};
use crate::output::Output;

/// The command that runs the demo on a real server.
const REAL: &str = "`saved-objects demo --real`";

/// The cluster that the demo runs on.
pub(super) enum Place<'a> {
    /// A real server.
    Server {
        settings: ElasticSettings,
        /// The development server, if the demo started it and must stop it.
        started: Option<DevServer<'a>>,
    },
    /// The cluster in memory.
    Memory {
        /// How to see the demo on a real server.
        real: String,
    },
}

/// A real server, as `demo --json` names it.
#[derive(Debug, Serialize)]
pub(super) struct Server {
    url: String,
    version: String,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Elasticsearch {} at {}", self.version, self.url)
    }
}

impl<'a> Place<'a> {
    /// Returns the given cluster. If none is given, returns the development server, and starts it if it does not run. On
    /// a machine that cannot start it, or if the arguments ask for it, returns the cluster in memory.
    pub(super) async fn find(
        arguments: &Arguments,
        connection: &Connection,
        output: Output,
        server_output: devserver::Output<'a>,
    ) -> Result<Self> {
        if arguments.in_memory {
            return Ok(Self::Memory { real: REAL.to_owned() });
        }
        if connection.elasticsearch_url.is_some() {
            return Ok(Self::Server { settings: connection.settings()?, started: None });
        }
        let server = DevServer::new(Path::new(DEFAULT_DIR), server_output).map_err(dev::failed)?;
        let running = server.status().await.map_err(dev::failed)?;
        if let (true, Some(url)) = (running.running, &running.url) {
            output.indented().say(format!("the development server runs already at {url}"));
            return Ok(Self::Server { settings: dev::settings(&running), started: None });
        }
        // With this owner, the server stops even if the demo is killed.
        let options = UpOptions { owner_pid: Some(std::process::id()), ..UpOptions::default() };
        if let Some(missing) = server.missing(&options).filter(|_| !arguments.real) {
            output.indented().say(format!("this machine cannot start a real Elasticsearch: {}", missing.message()));
            let hint = missing.hint().map_or_else(String::new, |hint| format!("{hint}; then run "));
            return Ok(Self::Memory { real: format!("{hint}{REAL}") });
        }
        let status = server.up(&options).await.map_err(dev::failed)?;
        Ok(Self::Server { settings: dev::settings(&status), started: Some(server) })
    }

    pub(super) fn cluster(&self, environment: &Environment) -> Result<Arc<dyn Cluster>> {
        Ok(match self {
            Self::Server { settings, .. } => {
                Arc::new(Elastic::builder(settings.clone()).environment(environment.clone()).build()?)
            }
            Self::Memory { .. } => Arc::new(InMemory::new(environment.clone())),
        })
    }

    /// Returns the name of the cluster's kind in the document of `demo --json`.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Server { .. } => "elasticsearch",
            Self::Memory { .. } => "memory",
        }
    }

    /// Returns the server, with URLs without users and passwords; `None` for the cluster in memory.
    pub(super) async fn server(&self, cluster: &dyn Cluster) -> Result<Option<Server>> {
        Ok(match self {
            Self::Server { settings, .. } => {
                Some(Server { url: settings.shown_urls(), version: cluster.version().await? })
            }
            Self::Memory { .. } => None,
        })
    }

    /// Stops the server that the demo started, whose objects stay on disk; or says how to see the demo on a real server.
    pub(super) async fn leave(self, output: Output) -> Result<()> {
        match self {
            Self::Server { started: Some(server), .. } => {
                server.down(false).await.map_err(dev::failed)?;
                output.say(
                    "\nThe server is stopped; `saved-objects dev up` starts it again, with the demo's objects in it.",
                );
            }
            Self::Server { started: None, .. } => {}
            Self::Memory { real } => {
                output.say(format!("\nThis ran in memory. To see it on a real Elasticsearch: {real}"));
            }
        }
        Ok(())
    }
}
