//! The lease of a migration (design decision 10): of several nodes that would do the same, one does it, and the others watch.
//! It only spares work. A node that cannot have or keep it works all the same; what makes that right are the conditional
//! writes of the states.

use std::time::Duration;

use futures::future::{Either, select};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::progress::ProgressSender;
use crate::control::{Claims, Control, Held, Kind, Taking, Watch};
use crate::environment::Environment;
use crate::{Error, Result};

/// How long a lease may be seen unchanged before another node takes it over.
const TTL: Duration = Duration::from_secs(6);
/// How often its holder renews it.
const RENEWAL: Duration = Duration::from_secs(2);
/// How soon a watching node looks again at first, and at most: most migrations are over soon, and some are not.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LONGEST_LOOK: Duration = Duration::from_millis(250);
/// The lease's id. One for all index groups, because they are planned together.
const ID: &str = "migration";

/// What the node that migrates says of it, for everybody who watches. Its JSON form is part of `status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeaseNote {
    /// The definitions that it migrates to, as a digest.
    pub digest: String,
    /// How far it is with the index group at work; none before the first one.
    pub progress: Option<LeaseProgress>,
    /// Why the last attempt failed, or `None` if it succeeded. While a node holds the lease: what that node waits for, or why an
    /// earlier node failed.
    pub last_failure: Option<LastFailure>,
}

/// How far a migration is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseProgress {
    /// The alias of the index group at work.
    pub alias: String,
    /// Documents to be converted, as they were counted before.
    pub outdated: u64,
    /// Documents read so far.
    pub read: u64,
    /// Documents written so far.
    pub written: u64,
}

/// Why an attempt at a migration failed, on whatever node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// When, by that node's clock.
    pub at: String,
    /// What was wrong.
    pub message: String,
    /// What the reader can do about it; empty if that is not known.
    pub cure: String,
}

/// The lease as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeaseStatus {
    /// Whether a node holds it. One that died does so until another takes it over.
    pub held: bool,
    /// What that node, or the last one, says.
    #[serde(flatten)]
    pub note: LeaseNote,
}

/// One node's part in the lease.
#[derive(Debug)]
pub(super) struct Lease<'a> {
    claims: Claims,
    environment: &'a Environment,
    progress: &'a ProgressSender,
    /// Whether it is used at all.
    is_on: bool,
    watch: Watch,
    held: Option<Held>,
    note: LeaseNote,
    /// Whether this node has waited for another.
    pub(super) has_waited: bool,
}

impl<'a> Lease<'a> {
    pub(super) fn new(control: Control, environment: &'a Environment, progress: &'a ProgressSender) -> Self {
        Self {
            claims: claims(control, environment),
            environment,
            progress,
            is_on: true,
            watch: Watch::default(),
            held: None,
            note: LeaseNote::default(),
            has_waited: false,
        }
    }

    /// As if the control index could never be reached.
    pub(super) fn switched_off(self) -> Self {
        Self { is_on: false, ..self }
    }

    /// Whether another node is at work now. If it cannot be told, none is.
    pub(super) async fn is_other_at_work(&mut self) -> bool {
        self.is_on && self.held.is_none() && self.look().await.unwrap_or_default()
    }

    /// Takes the lease for a migration to the definitions of `digest`. False if another node has it; true if this one has,
    /// or has to do without.
    pub(super) async fn take(&mut self, digest: &str) -> bool {
        if !self.is_on || self.held.is_some() {
            return true;
        }
        match self.try_take(digest).await {
            Ok(is_taken) => is_taken,
            Err(error) => {
                tracing::warn!(%error, "the lease cannot be taken; migrating without it, which is only less economical");
                true
            }
        }
    }

    async fn try_take(&mut self, digest: &str) -> Result<bool> {
        let last_failure = match self.claims.read::<LeaseNote>(ID).await? {
            Some(found) => found.body.note.last_failure,
            None => None,
        };
        self.note = LeaseNote { digest: digest.to_owned(), progress: None, last_failure };
        match self.claims.try_take(ID, &self.note, &mut self.watch).await? {
            Taking::Taken(held) => {
                tracing::debug!("the lease is taken");
                self.held = Some(held);
                Ok(true)
            }
            Taking::HeldByOther(_) => Ok(false),
        }
    }

    /// Waits until no other node is at work: the one that was has given the lease back, or does not renew it any more.
    pub(super) async fn wait_for_others(&mut self) {
        self.has_waited = true;
        let mut pause = FIRST_LOOK;
        while self.is_on && self.look().await.unwrap_or_default() {
            pause = self.pause(pause).await;
        }
    }

    /// Waits a little, and gives how long to wait the next time. Nodes do not come back in step.
    pub(super) async fn pause(&self, pause: Duration) -> Duration {
        let mut byte = [u8::MAX];
        // Without randomness all of the pause is as good.
        let _ = self.environment.rng().fill(&mut byte);
        self.environment.clock().sleep(pause.mul_f64(0.5 + f64::from(byte[0]) / 510.0)).await;
        (pause * 2).min(LONGEST_LOOK)
    }

    pub(super) const FIRST_PAUSE: Duration = FIRST_LOOK;

    /// Whether another node holds the lease and is not seen to have abandoned it.
    async fn look(&mut self) -> Result<bool> {
        let is_held = self.claims.watch::<LeaseNote>(ID, &mut self.watch).await?;
        if let Some(note) = &is_held {
            tracing::debug!(progress = ?note.progress, "another node migrates");
        }
        Ok(is_held.is_some())
    }

    /// Does `work`, and meanwhile tells how far it is.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let Some(held) = &mut self.held else { return work.await };
        let (sender, is_done) = oneshot::channel::<()>();
        let working = async {
            let result = work.await;
            drop(sender);
            result
        };
        let renewing = renew(held, self.environment, self.progress, &self.note, is_done);
        futures::future::join(working, renewing).await.0
    }

    /// Tells those who watch, and who ask after the deadline, what this node waits for. It holds the lease on.
    pub(super) async fn tell(&mut self, waiting_for: &Error) {
        self.note.last_failure = Some(self.failure(waiting_for));
        let Some(held) = &mut self.held else { return };
        let note = LeaseNote { progress: progress_note(self.progress), ..self.note.clone() };
        match held.renew(note).await {
            Ok(true) => {}
            Ok(false) => tracing::debug!("another node has taken the lease over"),
            Err(error) => tracing::debug!(%error, "the lease could not be renewed"),
        }
    }

    fn failure(&self, error: &Error) -> LastFailure {
        LastFailure {
            at: self.environment.now_iso(),
            message: error.message().to_owned(),
            cure: error.cure().unwrap_or_default().to_owned(),
        }
    }

    /// Gives the lease back, and leaves word of a failure.
    pub(super) async fn release(&mut self, failure: Option<&Error>) {
        let Some(held) = self.held.take() else { return };
        let released = match failure {
            None => held.release().await,
            Some(error) => {
                let failure = self.failure(error);
                let progress = progress_note(self.progress);
                held.release_with(LeaseNote { progress, last_failure: Some(failure), ..self.note.clone() }).await
            }
        };
        if let Err(error) = released {
            tracing::debug!(%error, "the lease could not be given back; it expires by itself");
        }
    }
}

/// The lease as it is now; none if nobody holds it and the last migration did not fail. One request.
pub(super) async fn read(control: Control, environment: &Environment) -> Result<Option<LeaseStatus>> {
    let found = claims(control, environment).read::<LeaseNote>(ID).await?;
    Ok(found.map(|found| LeaseStatus { held: found.body.owner.is_some(), note: found.body.note }))
}

fn claims(control: Control, environment: &Environment) -> Claims {
    Claims::new(control, environment.clone(), Kind::Lease, TTL)
}

/// Renews until the work is done. A renewal under way is ended first, so that the lease can be given back as it is.
async fn renew(
    held: &mut Held,
    environment: &Environment,
    progress: &ProgressSender,
    note: &LeaseNote,
    mut is_done: oneshot::Receiver<()>,
) {
    loop {
        match select(&mut is_done, environment.clock().sleep(RENEWAL)).await {
            Either::Left(_) => return,
            Either::Right(((), _)) => {}
        }
        match held.renew(LeaseNote { progress: progress_note(progress), ..note.clone() }).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!("another node took the lease over, because this one was too slow; both go on");
                return;
            }
            Err(error) => tracing::debug!(%error, "the lease could not be renewed"),
        }
    }
}

fn progress_note(progress: &ProgressSender) -> Option<LeaseProgress> {
    let now = progress.now();
    (!now.alias.is_empty()).then_some(LeaseProgress {
        alias: now.alias,
        outdated: now.outdated,
        read: now.read,
        written: now.written,
    })
}
