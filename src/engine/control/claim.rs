//! Claims and leases, by which one process works while the others wait.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Control, ControlDocument, Kind};
use crate::Result;
use crate::cluster::SequenceNumber;
use crate::environment::Environment;
use crate::telemetry;

/// Claims of one kind. The holder of a claim works, while the others wait and take it over when it is no longer
/// renewed.
///
/// Clocks of different machines are never compared. For a node a claim has expired when the node, by its own monotonic
/// clock, has seen it unchanged for the time that the claim itself names. The node then takes it over by a conditional
/// write, so that only one of several nodes succeeds. A holder that was stalled notices at its next renewal.
///
/// After such a stall two nodes can work at the same time for a moment. What is stored stays correct, because both
/// write conditionally. The lease of a migration only saves work. The claim on a token is required: without it no
/// refresh token is used (record 21).
#[derive(Debug, Clone)]
pub(crate) struct Claims {
    control: Control,
    environment: Environment,
    kind: Kind,
    ttl: Duration,
}

/// The content of a claim's document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClaimBody<T> {
    /// The holder's id, created for each taking. `None` if the claim was released and only its note is left.
    pub(crate) owner: Option<String>,
    /// The time that the claim may stay unchanged before it counts as abandoned, in milliseconds.
    ttl_ms: u64,
    /// The number of renewals. It grows with each one, so that a renewal always changes the document.
    renewals: u64,
    /// The holder's note.
    pub(crate) note: T,
}

/// The result of an attempt to take a claim.
#[derive(Debug)]
pub(crate) enum Taking<T> {
    /// This node holds the claim now.
    Taken(Held),
    /// Another node holds the claim and left this note. Try again later with the same [`Watch`].
    HeldByOther(T),
}

/// A claim that this node holds.
#[derive(Debug)]
pub(crate) struct Held {
    claims: Claims,
    id: String,
    owner: String,
    renewals: u64,
    sequence: SequenceNumber,
}

/// The time for which one node has seen a claim unchanged.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Watch {
    seen: Option<(SequenceNumber, Duration)>,
}

impl Watch {
    /// Returns how long the claim had been unchanged at `now`; zero if it was never seen.
    pub(crate) fn age(&self, now: Duration) -> Duration {
        self.seen.map_or(Duration::ZERO, |(_, since)| now.saturating_sub(since))
    }

    /// Returns how long the claim has been unchanged.
    fn unchanged_for(&mut self, sequence: SequenceNumber, now: Duration) -> Duration {
        match self.seen {
            Some((seen, since)) if seen == sequence => now.saturating_sub(since),
            _ => {
                self.seen = Some((sequence, now));
                Duration::ZERO
            }
        }
    }
}

impl Claims {
    /// Creates claims that count as abandoned when they are not renewed for `ttl`.
    pub(crate) fn new(control: Control, environment: Environment, kind: Kind, ttl: Duration) -> Self {
        Self { control, environment, kind, ttl }
    }

    /// Takes the claim `id` if it is free, or if its holder has abandoned it. Sends one or two requests for each
    /// attempt, and attempts again only if another node wins a race. Never waits.
    ///
    /// # Errors
    /// Those of [`Control::create`].
    pub(crate) async fn try_take<T>(&self, id: &str, note: &T, watch: &mut Watch) -> Result<Taking<T>>
    where
        T: Serialize + DeserializeOwned + Clone,
    {
        // After a lost race the next round finds the winner.
        loop {
            let found = self.read::<T>(id).await?;
            let body = self.body(self.environment.random_uuid()?.to_string(), 0, note.clone());
            let written = match &found {
                None => self.control.create(self.kind, id, &body).await?,
                Some(held) if self.is_free(held, watch) => {
                    self.control.replace(self.kind, id, &body, held.sequence).await?
                }
                Some(_) => None,
            };
            match (written, body.owner, found) {
                (Some(sequence), Some(owner), found) => {
                    let is_abandoned = found.is_some_and(|found| found.body.owner.is_some());
                    self.count(if is_abandoned { "taken_over" } else { "taken" });
                    return Ok(Taking::Taken(Held {
                        claims: self.clone(),
                        id: id.to_owned(),
                        owner,
                        renewals: 0,
                        sequence,
                    }));
                }
                (None, _, Some(held)) if !self.is_free(&held, watch) => {
                    self.count("held_by_other");
                    return Ok(Taking::HeldByOther(held.body.note));
                }
                _ => {}
            }
        }
    }

    /// Reads the claim, whether it is held or released. Returns `None` if it does not exist.
    ///
    /// # Errors
    /// Those of [`Control::read`].
    pub(crate) async fn read<T: DeserializeOwned>(&self, id: &str) -> Result<Option<ControlDocument<ClaimBody<T>>>> {
        self.control.read(self.kind, id).await
    }

    /// Returns the note of the claim's holder, or `None` if the claim is free or its holder has abandoned it.
    ///
    /// # Errors
    /// Those of [`Control::read`].
    pub(crate) async fn watch<T: DeserializeOwned>(&self, id: &str, watch: &mut Watch) -> Result<Option<T>> {
        let found = self.read::<T>(id).await?;
        Ok(found.filter(|found| !self.is_free(found, watch)).map(|found| found.body.note))
    }

    fn is_free<T>(&self, found: &ControlDocument<ClaimBody<T>>, watch: &mut Watch) -> bool {
        let unchanged = watch.unchanged_for(found.sequence, self.environment.clock().monotonic());
        found.body.owner.is_none() || unchanged >= Duration::from_millis(found.body.ttl_ms)
    }

    fn count(&self, outcome: &'static str) {
        telemetry::claim(self.kind.name(), outcome);
    }

    fn body<T>(&self, owner: String, renewals: u64, note: T) -> ClaimBody<T> {
        let ttl_ms = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
        ClaimBody { owner: Some(owner), ttl_ms, renewals, note }
    }
}

impl Held {
    /// Renews the claim with a new note. Returns false if another node has taken the claim over.
    ///
    /// # Errors
    /// Those of [`Control::create`]. It is then unknown whether the claim was renewed, and the next renewal shows it.
    pub(crate) async fn renew<T: Serialize>(&mut self, note: T) -> Result<bool> {
        let body = self.claims.body(self.owner.clone(), self.renewals + 1, note);
        self.renewals += 1;
        let renewed = self.claims.control.replace(self.claims.kind, &self.id, &body, self.sequence).await?;
        match renewed {
            Some(sequence) => self.sequence = sequence,
            None => self.claims.count("lost"),
        }
        Ok(renewed.is_some())
    }

    /// Releases the claim, so that the next node need not wait. A claim that another node has taken over stays with
    /// that node.
    ///
    /// # Errors
    /// Those of [`Control::create`]. The claim then expires by itself.
    pub(crate) async fn release(self) -> Result<()> {
        self.claims.control.delete(self.claims.kind, &self.id, self.sequence).await?;
        self.claims.count("released");
        Ok(())
    }

    /// Releases the claim and leaves a last note, which stays until the claim is taken again.
    ///
    /// # Errors
    /// Those of [`release`](Self::release).
    pub(crate) async fn release_with<T: Serialize>(self, note: T) -> Result<()> {
        let body = ClaimBody { owner: None, ..self.claims.body(self.owner.clone(), self.renewals + 1, note) };
        self.claims.control.replace(self.claims.kind, &self.id, &body, self.sequence).await?;
        self.claims.count("released");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cluster::InMemory;
    use crate::environment::SystemRng;
    use crate::environment::set_clock::SetClock;
    use crate::layout::Prefix;

    const TTL: Duration = Duration::from_secs(6);

    /// Returns a node with its own clock on a cluster.
    fn node(cluster: &InMemory) -> (Arc<SetClock>, Claims) {
        let clock = Arc::new(SetClock::default());
        let environment = Environment::new(clock.clone(), Arc::new(SystemRng));
        let control = Control::new(Arc::new(cluster.clone()), &Prefix::default());
        (clock, Claims::new(control, environment, Kind::Claim, TTL))
    }

    async fn taken(claims: &Claims, note: &str, watch: &mut Watch) -> Result<Held, String> {
        match claims.try_take("c", &note.to_owned(), watch).await.expect("answered") {
            Taking::Taken(held) => Ok(held),
            Taking::HeldByOther(note) => Err(note),
        }
    }

    #[tokio::test]
    async fn a_claim_is_held_until_it_is_given_back() {
        let cluster = InMemory::new(Environment::system());
        let (_, one) = node(&cluster);
        let (_, other) = node(&cluster);
        let mut watch = Watch::default();
        let mut held = taken(&one, "one", &mut Watch::default()).await.expect("free");
        assert_eq!(taken(&other, "other", &mut watch).await.expect_err("held"), "one");
        assert!(held.renew("further").await.expect("renewed"));
        assert_eq!(taken(&other, "other", &mut watch).await.expect_err("held"), "further");
        held.release_with("it failed").await.expect("given back");
        let left = other.read::<String>("c").await.expect("readable").expect("its note is left").body;
        assert_eq!((left.owner, left.note.as_str()), (None, "it failed"));
        taken(&other, "other", &mut watch).await.expect("free").release().await.expect("given back");
        assert_eq!(one.read::<String>("c").await.expect("readable"), None);
    }

    #[tokio::test]
    async fn an_abandoned_claim_is_taken_over_by_one() {
        let cluster = InMemory::new(Environment::system());
        let (_, one) = node(&cluster);
        let (clock, other) = node(&cluster);
        let (third_clock, third) = node(&cluster);
        let (mut watch, mut third_watch) = (Watch::default(), Watch::default());
        let mut held = taken(&one, "one", &mut Watch::default()).await.expect("free");
        clock.forward(Duration::from_secs(3600));
        taken(&other, "other", &mut watch).await.expect_err("it counts from when it was first seen");
        taken(&third, "third", &mut third_watch).await.expect_err("held");
        clock.forward(TTL - Duration::from_millis(1));
        taken(&other, "other", &mut watch).await.expect_err("not yet");
        assert!(held.renew("one").await.expect("renewed"));
        clock.forward(Duration::from_millis(1));
        taken(&other, "other", &mut watch).await.expect_err("it was renewed");
        clock.forward(TTL);
        third_clock.forward(TTL);
        let theirs = taken(&other, "other", &mut watch).await.expect("abandoned");
        assert_eq!(taken(&third, "third", &mut third_watch).await.expect_err("taken"), "other");
        assert!(!held.renew("one").await.expect("answered"), "a stalled holder finds out");
        held.release().await.expect("answered");
        assert!(one.read::<String>("c").await.expect("readable").is_some(), "and takes nothing from the new one");
        theirs.release().await.expect("given back");
    }

    #[tokio::test]
    async fn of_many_at_once_one_has_it() {
        let cluster = InMemory::new(Environment::system());
        let nodes: Vec<Claims> = (0..20).map(|_| node(&cluster).1).collect();
        let takings = nodes.iter().map(async |claims| taken(claims, "x", &mut Watch::default()).await.is_ok());
        let taken = futures::future::join_all(takings).await;
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
    }
}
