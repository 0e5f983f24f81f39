//! The pause of migrations (record 35): a document in the control index that every node honours. The node that works
//! ends its pass, undoes a copy, keeps the lease and waits.

use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use serde::{Deserialize, Serialize};

use super::lease::Lease;
use super::undo::CopyContext;
use super::work::Work;
use super::{Blocker, CheckName, GroupPlan, Migrator, Plan, Way};
use crate::Result;
use crate::engine::control::Kind;

/// The interval at which a node that works, or that waits for the end of a pause, reads whether there is one.
const INTERVAL: Duration = Duration::from_secs(1);
/// The id of the document. There is one pause for all index groups, as there is one lease.
const ID: &str = "migration";

/// A pause of all migrations under a prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pause {
    /// The time at which it began, by the clock of the process that ordered it.
    pub since: String,
    /// Who ordered it.
    pub by: String,
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.blocker().what)
    }
}

impl Pause {
    /// Returns the pause as the reason why a migration does not continue.
    pub(crate) fn blocker(&self) -> Blocker {
        let Self { since, by } = self;
        Blocker {
            check: CheckName::Lease,
            what: format!("migrations are paused since {since} by {by}"),
            hint: "`saved-objects migrate --resume` lets them continue".to_owned(),
        }
    }
}

impl Migrator {
    /// Pauses all migrations under the prefix, on every node, until [`resume`](Self::resume). `by` names who orders
    /// it. Returns the pause that is in force, which is an earlier one if there is one.
    ///
    /// A migration in place ends between two pages, keeps what it has converted, and waits. A copy is undone, because
    /// its source takes no writes meanwhile, and begins again after the pause. So does a start that has documents to
    /// convert. A node takes about a second to find the pause.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the cluster cannot be reached,
    /// [`Forbidden`](crate::ErrorKind::Forbidden) if the credentials do not allow to write the control index.
    pub async fn pause(&self, by: &str) -> Result<Pause> {
        let control = self.engine.control();
        let pause = Pause { since: self.engine.environment.now_iso(), by: by.to_owned() };
        loop {
            if control.create(Kind::Pause, ID, &pause).await?.is_some() {
                return Ok(pause);
            }
            // If there is none, another process has ended it since.
            if let Some(earlier) = self.paused().await? {
                return Ok(earlier);
            }
        }
    }

    /// Ends a pause. Returns it, or `None` if there was none.
    ///
    /// # Errors
    /// Those of [`pause`](Self::pause).
    pub async fn resume(&self) -> Result<Option<Pause>> {
        let control = self.engine.control();
        loop {
            let Some(found) = control.read::<Pause>(Kind::Pause, ID).await? else { return Ok(None) };
            if control.delete(Kind::Pause, ID, found.sequence).await? {
                return Ok(Some(found.body));
            }
        }
    }

    /// Returns the pause that is in force, or `None` if there is none. Sends one request.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the cluster cannot be reached.
    pub async fn paused(&self) -> Result<Option<Pause>> {
        Ok(self.engine.control().read(Kind::Pause, ID).await?.map(|found| found.body))
    }

    /// Returns the pause that keeps a plan from being executed. A plan that writes no documents is not kept from it,
    /// nor is a node that cannot read the control index, as with the lease.
    pub(super) async fn pause_of(&self, plan: &Plan) -> Option<Pause> {
        if !self.delete_removed && !plan.groups.iter().any(GroupPlan::rewrites_documents) {
            return None;
        }
        self.paused().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "it cannot be read whether migrations are paused; migrating");
            None
        })
    }

    /// Lets the indices take writes that an interrupted copy left closed. Users do not wait for the end of a pause.
    pub(super) async fn open_indices(&self, plan: &Plan, work: &mut Work) -> Result<()> {
        let numbers = self.generation_numbers();
        for group in &plan.groups {
            let context = CopyContext {
                cluster: self.engine.cluster.as_ref(),
                environment: &self.engine.environment,
                numbers: &numbers,
                plan: group,
            };
            match group.way {
                Way::Copy if group.is_closed() => context.undo().await?,
                Way::Copy => {}
                Way::None | Way::Create | Way::InPlace => context.heal(&mut work.has_healed).await?,
            }
        }
        Ok(())
    }

    /// Waits for the end of the pause, or until a stop is requested. The node keeps the lease, so that the others wait
    /// for it, and so that a node that dies is replaced by another one.
    pub(super) async fn wait_for_resume(&self, pause: &Pause, lease: &mut Lease<'_>) {
        let environment = &self.engine.environment;
        let Blocker { what, hint, .. } = pause.blocker();
        let waiting = async {
            while environment.stop().or(environment.clock().sleep(INTERVAL)).await.is_ok() {
                match self.paused().await {
                    Ok(None) => break,
                    Ok(Some(_)) => {}
                    Err(error) => tracing::debug!(%error, "it cannot be read whether migrations are still paused"),
                }
            }
        };
        let waited_for = || format!("the end of a pause: {what}");
        lease.wait_paused(environment.telling(waited_for, &hint, waiting)).await;
    }

    /// Does work, and meanwhile pauses the scans as soon as there is a pause.
    pub(super) async fn pausing<T>(&self, work: impl Future<Output = T>) -> T {
        self.pace.resume();
        match select(pin!(work), pin!(self.watch_for_pause())).await {
            Either::Left((done, _)) => done,
            Either::Right((never, _)) => match never {},
        }
    }

    async fn watch_for_pause(&self) -> Infallible {
        loop {
            self.engine.environment.clock().sleep(INTERVAL).await;
            match self.paused().await {
                Ok(None) => {}
                Ok(Some(pause)) => {
                    tracing::info!(
                        since = pause.since,
                        by = pause.by,
                        "migrations are paused: ending at the next page"
                    );
                    self.pace.pause();
                    return std::future::pending().await;
                }
                Err(error) => tracing::debug!(%error, "it cannot be read whether migrations are paused"),
            }
        }
    }
}
