//! The cluster of the demo: a given one, or a development server.

use std::path::Path;
use std::sync::Arc;

use saved_objects::Result;
use saved_objects::cluster::elastic::ElasticSettings;
use saved_objects::cluster::{Cluster, Elastic};
use saved_objects::environment::Environment;
use saved_objects_devserver::{self as devserver, DevServer, UpOptions};

use crate::connection::Connection;
use crate::dev::{self, DEFAULT_DIR};
use crate::output::Output;

/// The cluster that the demo runs on.
pub(super) struct Place<'a> {
    settings: ElasticSettings,
    /// The development server, if the demo started it and must stop it.
    started: Option<DevServer<'a>>,
}

impl<'a> Place<'a> {
    /// Returns the given cluster. If none is given, returns the development server, and starts it if it does not run.
    pub(super) async fn find(
        connection: &Connection,
        output: Output,
        server_output: devserver::Output<'a>,
    ) -> Result<Self> {
        if connection.elasticsearch_url.is_some() {
            return Ok(Self { settings: connection.settings()?, started: None });
        }
        let server = DevServer::new(Path::new(DEFAULT_DIR), server_output).map_err(dev::failed)?;
        let running = server.status().await.map_err(dev::failed)?;
        if let (true, Some(url)) = (running.running, &running.url) {
            output.indented().say(format!("the development server runs already at {url}"));
            return Ok(Self { settings: dev::settings(&running), started: None });
        }
        // With this owner, the server stops even if the demo is killed.
        let options = UpOptions { owner_pid: Some(std::process::id()), ..UpOptions::default() };
        let status = server.up(&options).await.map_err(dev::failed)?;
        Ok(Self { settings: dev::settings(&status), started: Some(server) })
    }

    /// Returns the URLs without users and passwords.
    pub(super) fn url(&self) -> String {
        self.settings.shown_urls()
    }

    pub(super) fn cluster(&self, environment: &Environment) -> Result<Arc<dyn Cluster>> {
        Ok(Arc::new(Elastic::builder(self.settings.clone()).environment(environment.clone()).build()?))
    }

    /// Stops the server that the demo started. The objects stay on disk.
    pub(super) async fn leave(self, output: Output) -> Result<()> {
        if let Some(server) = self.started {
            server.down(false).await.map_err(dev::failed)?;
            output
                .say("\nThe server is stopped; `saved-objects dev up` starts it again, with the demo's objects in it.");
        }
        Ok(())
    }
}
