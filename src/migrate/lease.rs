//! The lease of a migration (record 21): of several nodes that would do the same work, one does it, and the others
//! watch. The lease only saves work. A node that cannot take or keep it works without it, which is safe because the
//! writes of the states are conditional.

use std::time::Duration;

use futures::future::{Either, select};
use serde::{Deserialize, Serialize, Serializer};
use tokio::sync::oneshot;

use super::progress::ProgressSender;
use crate::cluster::Backoff;
use crate::engine::control::{Claims, Control, Held, Kind, Taking, Watch};
use crate::environment::Environment;
use crate::{Error, Result, telemetry};

/// The time after which another node takes over a lease that it has seen unchanged.
const TTL: Duration = Duration::from_secs(6);
/// The interval at which the holder renews the lease.
const RENEWAL: Duration = Duration::from_secs(2);
/// The first pause of a watching node between two readings of the lease. It is short because most migrations end soon.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause of a watching node.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// The lease's id. There is one lease for all index groups, because they are planned together.
const ID: &str = "migration";

/// What the migrating node reports to the nodes that watch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeaseNote {
    /// A digest of the definitions that it migrates to.
    pub digest: String,
    /// The progress of the current index group, or `None` before the first group.
    pub progress: Option<LeaseProgress>,
    /// Why the last attempt failed, or `None` if it succeeded. While a node holds the lease: what that node waits for,
    /// or why an earlier node failed.
    pub last_failure: Option<LastFailure>,
    /// Whether the node has ended its work for now, because migrations are paused.
    pub paused: bool,
}

/// The progress of a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseProgress {
    /// The alias of the current index group.
    pub alias: String,
    /// The number of documents to convert, as counted before the migration.
    pub outdated: u64,
    /// Documents read so far.
    pub read: u64,
    /// Documents written so far.
    pub written: u64,
}

/// Why an attempt at a migration failed, on any node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// The time of the failure by that node's clock.
    pub at: String,
    /// What was wrong.
    pub message: String,
    /// What the reader can do about it; empty if that is not known. The stored key is older than the field's name.
    #[serde(rename = "cure")]
    pub hint: String,
}

/// The current state of the lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeaseStatus {
    /// Whether a node holds the lease. A node that died holds it until another node takes it over, or until
    /// [`status`](super::Migrator::status) finds that it is not renewed.
    pub held: bool,
    /// What that node, or the last holder, reports.
    #[serde(flatten, serialize_with = "reported")]
    pub note: LeaseNote,
}

/// Serializes a note in the form of reports, whose key for the hint differs from the stored one.
fn reported<S: Serializer>(note: &LeaseNote, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Note<'a> {
        digest: &'a str,
        progress: &'a Option<LeaseProgress>,
        last_failure: Option<Failure<'a>>,
        paused: bool,
    }
    #[derive(Serialize)]
    struct Failure<'a> {
        at: &'a str,
        message: &'a str,
        hint: &'a str,
    }
    let LeaseNote { digest, progress, last_failure, paused } = note;
    let last_failure = last_failure.as_ref().map(|LastFailure { at, message, hint }| Failure { at, message, hint });
    Note { digest, progress, last_failure, paused: *paused }.serialize(serializer)
}

/// The lease as one node uses it.
#[derive(Debug)]
pub(super) struct Lease<'a> {
    claims: Claims,
    environment: &'a Environment,
    progress: &'a ProgressSender,
    /// Whether the lease is used at all.
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

    /// Switches the lease off, as if the control index could never be reached.
    pub(super) fn switched_off(self) -> Self {
        Self { is_on: false, ..self }
    }

    /// Returns whether another node is migrating now. Returns false if that cannot be read.
    pub(super) async fn is_other_at_work(&mut self) -> bool {
        self.is_on && self.held.is_none() && self.is_held_by_other().await.unwrap_or_default()
    }

    /// Takes the lease for a migration to the definitions of `digest`. Returns false if another node has it, and true
    /// if this node has it or must work without it.
    pub(super) async fn take(&mut self, digest: &str) -> bool {
        if !self.is_on || self.held.is_some() {
            return true;
        }
        match self.try_take(digest).await {
            Ok(is_taken) => is_taken,
            Err(error) => {
                tracing::warn!(%error, "the lease cannot be taken; migrating without it, which may only repeat work");
                true
            }
        }
    }

    async fn try_take(&mut self, digest: &str) -> Result<bool> {
        let last_failure = match self.claims.read::<LeaseNote>(ID).await? {
            Some(found) => found.body.note.last_failure,
            None => None,
        };
        self.note = LeaseNote { digest: digest.to_owned(), last_failure, ..LeaseNote::default() };
        match self.claims.try_take(ID, &self.note, &mut self.watch).await? {
            Taking::Taken(held) => {
                tracing::debug!("the lease is taken");
                self.held = Some(held);
                Ok(true)
            }
            Taking::HeldByOther(_) => Ok(false),
        }
    }

    /// Waits until no other node is migrating: the holder released the lease, or no longer renews it.
    pub(super) async fn wait_for_others(&mut self) {
        self.has_waited = true;
        let environment = self.environment;
        let hint = "`saved-objects status` shows its progress; if it died, this one takes over after six seconds";
        environment.telling("the node that migrates", hint, self.watch_others()).await;
        telemetry::watched_lease_age(Duration::ZERO);
    }

    async fn watch_others(&mut self) {
        let mut pauses = pauses();
        while self.is_on && !self.environment.stop().is_requested() && self.is_held_by_other().await.unwrap_or_default()
        {
            self.pause(&mut pauses).await;
        }
    }

    /// Waits for the next of `pauses`, or until a stop is requested.
    pub(super) async fn pause(&self, pauses: &mut Backoff) {
        self.sleep(pauses.next_wait(self.environment.rng())).await;
    }

    /// Waits for `duration`, or until a stop is requested.
    pub(super) async fn sleep(&self, duration: Duration) {
        let _ = self.environment.stop().or(self.environment.clock().sleep(duration)).await;
    }

    /// Returns whether another node holds the lease and has not been seen to abandon it.
    async fn is_held_by_other(&mut self) -> Result<bool> {
        let is_held = self.claims.watch::<LeaseNote>(ID, &mut self.watch).await?;
        if let Some(note) = &is_held {
            tracing::debug!(progress = ?note.progress, "another node migrates");
            telemetry::watched_lease_age(self.watch.age(self.environment.clock().monotonic()));
        }
        Ok(is_held.is_some())
    }

    /// Does `work`, and meanwhile renews the lease with the progress.
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

    /// Reports what this node waits for, to the nodes that watch and to `status`. The node keeps the lease.
    pub(super) async fn report_waiting(&mut self, waiting_for: &Error) {
        self.note.last_failure = Some(self.failure(waiting_for));
        self.report_now().await;
    }

    /// Waits for the end of a pause, and meanwhile reports that this node waits. The node keeps the lease.
    pub(super) async fn wait_paused(&mut self, waiting: impl Future<Output = ()>) {
        self.note.paused = true;
        self.report_now().await;
        self.during(waiting).await;
        self.note.paused = false;
        self.report_now().await;
    }

    /// Reports the note now, and not only at the next renewal.
    async fn report_now(&mut self) {
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
            hint: error.hint().unwrap_or_default().to_owned(),
        }
    }

    /// Releases the lease, and records a failure in it.
    pub(super) async fn release(&mut self, failure: Option<&Error>) {
        let Some(held) = self.held.take() else { return };
        telemetry::held_lease_age(Duration::ZERO);
        let released = match failure {
            None => held.release().await,
            Some(error) => {
                let failure = self.failure(error);
                let progress = progress_note(self.progress);
                held.release_with(LeaseNote { progress, last_failure: Some(failure), ..self.note.clone() }).await
            }
        };
        if let Err(error) = released {
            tracing::debug!(%error, "the lease could not be released; it expires by itself");
        }
    }
}

/// Returns the pauses of a node that waits for others.
pub(super) fn pauses() -> Backoff {
    Backoff::new(FIRST_PAUSE, LONGEST_PAUSE)
}

/// Returns the current lease, or `None` if no node holds it and the last migration did not fail. Sends one request.
pub(super) async fn read(control: Control, environment: &Environment) -> Result<Option<LeaseStatus>> {
    let found = claims(control, environment).read::<LeaseNote>(ID).await?;
    Ok(found.map(|found| LeaseStatus { held: found.body.owner.is_some(), note: found.body.note }))
}

/// Returns whether the node that holds the lease is working. Reads the lease until it is renewed or released, or until
/// its time is over.
pub(super) async fn is_alive(control: Control, environment: &Environment) -> Result<bool> {
    let claims = claims(control, environment);
    let watching = async {
        let started = environment.clock().monotonic();
        let first = claims.read::<LeaseNote>(ID).await?.map(|found| found.sequence);
        loop {
            let found = claims.read::<LeaseNote>(ID).await?.filter(|found| found.body.owner.is_some());
            let Some(found) = found else { return Ok(false) };
            if first != Some(found.sequence) {
                return Ok(true);
            }
            if environment.clock().monotonic().saturating_sub(started) >= TTL {
                return Ok(false);
            }
            environment.stop().or(environment.clock().sleep(LONGEST_PAUSE)).await?;
        }
    };
    environment.telling("a sign of the node that holds the lease", "it gives one every two seconds", watching).await
}

fn claims(control: Control, environment: &Environment) -> Claims {
    Claims::new(control, environment.clone(), Kind::Lease, TTL)
}

/// Renews the lease until the work is done. A renewal in progress ends first, so that the released lease is the latest.
async fn renew(
    held: &mut Held,
    environment: &Environment,
    progress: &ProgressSender,
    note: &LeaseNote,
    mut is_done: oneshot::Receiver<()>,
) {
    let mut since_renewal = environment.stopwatch();
    loop {
        match select(&mut is_done, environment.clock().sleep(RENEWAL)).await {
            Either::Left(_) => return,
            Either::Right(((), _)) => {}
        }
        match held.renew(LeaseNote { progress: progress_note(progress), ..note.clone() }).await {
            Ok(true) => since_renewal = environment.stopwatch(),
            Ok(false) => {
                tracing::warn!("another node took the lease over, because this one was too slow; both continue");
                return;
            }
            Err(error) => tracing::debug!(%error, "the lease could not be renewed"),
        }
        telemetry::held_lease_age(since_renewal.elapsed());
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
