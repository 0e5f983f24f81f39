use std::path::Path;
use std::sync::Arc;

use crate::Result;
use crate::cli::dev::{DEFAULT_DIR, DevServer, UpOptions};
use crate::cli::output::Output;
use crate::cluster::{Cluster, Elastic};
use crate::environment::Environment;

/// The cluster that the demo runs on.
pub(super) struct Place<'a> {
    url: String,
    /// The development server, if the demo started it and so must stop it.
    started: Option<DevServer<'a>>,
}

impl<'a> Place<'a> {
    /// The cluster at `url`, or else the development server, which is started if it does not run.
    pub(super) async fn find(url: Option<String>, environment: &'a Environment, output: Output) -> Result<Self> {
        if let Some(url) = url {
            return Ok(Self { url, started: None });
        }
        let server = DevServer::new(Path::new(DEFAULT_DIR), environment.clock(), output.indented())?;
        let running = server.status().await?;
        if let (true, Some(url)) = (running.running, running.url) {
            output.indented().say(format!("the development server runs already at {url}"));
            return Ok(Self { url, started: None });
        }
        // With this owner it stops even if the demo is killed.
        let options = UpOptions { owner_pid: Some(std::process::id()), ..UpOptions::default() };
        let status = server.up(&options).await?;
        Ok(Self { url: status.url.unwrap_or_default(), started: Some(server) })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn cluster(&self, environment: &Environment) -> Result<Arc<dyn Cluster>> {
        Ok(Arc::new(Elastic::builder(&self.url).environment(environment.clone()).build()?))
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
