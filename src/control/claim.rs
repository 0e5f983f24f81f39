use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Control, ControlDocument, Kind};
use crate::Result;
use crate::cluster::SequenceNumber;
use crate::environment::Environment;

/// Claims of one kind: who holds one works, the others wait and take over when it is not renewed any more.
///
/// Clocks of different machines are never compared. A claim has expired for a node when that node, by its own monotonic
/// clock, has seen it unchanged for the time that the claim itself names; it is then taken over by a conditional write, so
/// that of several nodes one succeeds. A holder that was stalled finds out at its next renewal. Two nodes can therefore work
/// at the same time for a moment: a claim spares work, and is never what makes work right.
#[derive(Debug, Clone)]
pub(crate) struct Claims {
    control: Control,
    environment: Environment,
    kind: Kind,
    ttl: Duration,
}

/// What a claim's document says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClaimBody<T> {
    /// Who holds it, an id made for this one taking; none if it was given back and only its note is left.
    pub(crate) owner: Option<String>,
    /// How long it may be unchanged before it counts as abandoned, in milliseconds.
    ttl_ms: u64,
    /// Grows with each renewal, so that a renewal always is a change.
    renewals: u64,
    /// What the holder says.
    pub(crate) note: T,
}

/// What one try to take a claim led to.
#[derive(Debug)]
pub(crate) enum Taking<T> {
    /// It is this node's now.
    Taken(Held),
    /// Another node holds it, and says this. Try again later, with the same [`Watch`].
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

/// How long one node has seen a claim unchanged.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Watch {
    seen: Option<(SequenceNumber, Duration)>,
}

impl Watch {
    /// How long the claim has been the one that it is now.
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
    /// Claims that count as abandoned when they were not renewed for `ttl`.
    pub(crate) fn new(control: Control, environment: Environment, kind: Kind, ttl: Duration) -> Self {
        Self { control, environment, kind, ttl }
    }

    /// Takes the claim `id` if nobody holds it, or if whoever held it is seen to have abandoned it. One or two requests; it
    /// never waits.
    ///
    /// # Errors
    /// As [`Control::create`].
    pub(crate) async fn try_take<T>(&self, id: &str, note: &T, watch: &mut Watch) -> Result<Taking<T>>
    where
        T: Serialize + DeserializeOwned + Clone,
    {
        // Whoever loses a race looks again, and finds who won it.
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
                (Some(sequence), Some(owner), _) => {
                    return Ok(Taking::Taken(Held {
                        claims: self.clone(),
                        id: id.to_owned(),
                        owner,
                        renewals: 0,
                        sequence,
                    }));
                }
                (None, _, Some(held)) if !self.is_free(&held, watch) => {
                    return Ok(Taking::HeldByOther(held.body.note));
                }
                _ => {}
            }
        }
    }

    /// The claim as it is, given back or not; none if there is none.
    ///
    /// # Errors
    /// As [`Control::read`].
    pub(crate) async fn read<T: DeserializeOwned>(&self, id: &str) -> Result<Option<ControlDocument<ClaimBody<T>>>> {
        self.control.read(self.kind, id).await
    }

    /// What the holder of the claim says; none if nobody holds it, or whoever did is seen to have abandoned it.
    ///
    /// # Errors
    /// As [`Control::read`].
    pub(crate) async fn watch<T: DeserializeOwned>(&self, id: &str, watch: &mut Watch) -> Result<Option<T>> {
        let found = self.read::<T>(id).await?;
        Ok(found.filter(|found| !self.is_free(found, watch)).map(|found| found.body.note))
    }

    fn is_free<T>(&self, found: &ControlDocument<ClaimBody<T>>, watch: &mut Watch) -> bool {
        let unchanged = watch.unchanged_for(found.sequence, self.environment.clock().monotonic());
        found.body.owner.is_none() || unchanged >= Duration::from_millis(found.body.ttl_ms)
    }

    fn body<T>(&self, owner: String, renewals: u64, note: T) -> ClaimBody<T> {
        let ttl_ms = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
        ClaimBody { owner: Some(owner), ttl_ms, renewals, note }
    }
}

impl Held {
    /// Says that this node is still at work, and how far. False if another node has taken the claim over.
    ///
    /// # Errors
    /// As [`Control::create`]; the claim may then be renewed or not, and renewing again tells.
    pub(crate) async fn renew<T: Serialize>(&mut self, note: T) -> Result<bool> {
        let body = self.claims.body(self.owner.clone(), self.renewals + 1, note);
        self.renewals += 1;
        let renewed = self.claims.control.replace(self.claims.kind, &self.id, &body, self.sequence).await?;
        if let Some(sequence) = renewed {
            self.sequence = sequence;
        }
        Ok(renewed.is_some())
    }

    /// Gives the claim back: the next node need not wait. One that was taken over stays the other's.
    ///
    /// # Errors
    /// As [`Control::create`]; the claim then expires by itself.
    pub(crate) async fn release(self) -> Result<()> {
        self.claims.control.delete(self.claims.kind, &self.id, self.sequence).await.map(drop)
    }

    /// Gives the claim back and leaves a last note, which stays until the claim is taken again.
    ///
    /// # Errors
    /// As [`release`](Self::release).
    pub(crate) async fn release_with<T: Serialize>(self, note: T) -> Result<()> {
        let body = ClaimBody { owner: None, ..self.claims.body(self.owner.clone(), self.renewals + 1, note) };
        self.claims.control.replace(self.claims.kind, &self.id, &body, self.sequence).await.map(drop)
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

    /// A node of its own clock on a cluster.
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
