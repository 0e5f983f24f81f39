use std::path::Path;
use std::sync::Arc;

use crate::Result;
use crate::cli::connection::Connection;
use crate::cli::dev::{DEFAULT_DIR, DevServer, Status, UpOptions};
use crate::cli::output::Output;
use crate::cluster::elastic::ElasticSettings;
use crate::cluster::{Cluster, Elastic};
use crate::environment::Environment;

/// The cluster that the demo runs on.
pub(super) struct Place<'a> {
    settings: ElasticSettings,
    /// The development server, if the demo started it and so must stop it.
    started: Option<DevServer<'a>>,
}

impl<'a> Place<'a> {
    /// The cluster that was given, or else the development server, which is started if it does not run.
    pub(super) async fn find(connection: &Connection, environment: &'a Environment, output: Output) -> Result<Self> {
        if connection.elasticsearch_url.is_some() {
            return Ok(Self { settings: connection.settings()?, started: None });
        }
        let server = DevServer::new(Path::new(DEFAULT_DIR), environment.clock(), output.indented())?;
        let running = server.status().await?;
        if let (true, Some(url)) = (running.running, &running.url) {
            output.indented().say(format!("the development server runs already at {url}"));
            return Ok(Self { settings: settings(&running), started: None });
        }
        // With this owner it stops even if the demo is killed.
        let options = UpOptions { owner_pid: Some(std::process::id()), ..UpOptions::default() };
        let status = server.up(&options).await?;
        Ok(Self { settings: settings(&status), started: Some(server) })
    }

    /// The URLs, without users and passwords.
    pub(super) fn url(&self) -> String {
        self.settings.shown_urls()
    }

    pub(super) fn cluster(&self, environment: &Environment) -> Result<Arc<dyn Cluster>> {
        Ok(Arc::new(Elastic::builder(self.settings.clone()).environment(environment.clone()).build()?))
    }

    /// Stops what was started. The objects stay on disk.
    pub(super) async fn leave(self, output: Output) -> Result<()> {
        if let Some(server) = self.started {
            server.down(false).await?;
            output
                .say("\nThe server is stopped; `saved-objects dev up` starts it again, with the demo's objects in it.");
        }
        Ok(())
    }
}

/// How to reach the development server.
fn settings(status: &Status) -> ElasticSettings {
    let url = status.url.clone().unwrap_or_default();
    match &status.secure {
        Some(access) => access.by_api_key(&url),
        None => ElasticSettings::new(url),
    }
}
