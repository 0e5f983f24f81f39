//! The claim of one process among all, under which it refreshes a token.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};

use crate::engine::control::Held;
use crate::environment::Clock;

/// The claim under which a token is refreshed.
///
/// Other processes take it over when they have seen it unchanged for [`ttl`]. A request to the provider ends after the
/// deadline at the latest. So it must begin less than `ttl - deadline` after the last renewal of the claim.
pub(super) struct Claim {
    /// `None` if the token is refreshed without a claim, or if the claim was lost.
    held: Option<Held>,
    is_lost: bool,
    /// The time of the last renewal by the monotonic clock, read before its request was sent.
    renewed: Duration,
    /// The greatest age of the renewal at which the provider may be asked.
    slack: Duration,
}

/// The shortest time between two renewals.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// Returns how long a claim may stay unchanged, for a provider with this deadline.
pub(super) fn ttl(deadline: Duration) -> Duration {
    deadline.saturating_add(deadline / 2)
}

impl Claim {
    pub(super) fn new(held: Held, asked_at: Duration, deadline: Duration) -> Self {
        // Half of the time by which a claim outlasts the deadline. The other half covers errors of clocks and delays of
        // the network.
        Self { held: Some(held), is_lost: false, renewed: asked_at, slack: deadline / 4 }
    }

    /// Creates the absence of a claim.
    pub(super) fn none() -> Self {
        Self { held: None, is_lost: false, renewed: Duration::ZERO, slack: Duration::ZERO }
    }

    /// Returns whether no other process can take the claim over during a request to the provider. Renews a claim that
    /// is too old for that, by one request.
    pub(super) async fn is_ours(&mut self, clock: &dyn Clock) -> bool {
        let Some(held) = &mut self.held else { return !self.is_lost };
        let now = clock.monotonic();
        if now.saturating_sub(self.renewed) <= self.slack {
            return true;
        }
        match held.renew(()).await {
            Ok(true) => {
                self.renewed = now;
                true
            }
            Ok(false) => {
                self.held = None;
                self.is_lost = true;
                false
            }
            Err(error) => {
                tracing::debug!(%error, "a claim was not renewed");
                false
            }
        }
    }

    /// Does `work`, however long it takes, and renews the claim meanwhile, so that no other process takes it over. If
    /// one does anyway, the work continues.
    pub(super) async fn hold_while<T>(&mut self, clock: &dyn Clock, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        while self.held.is_some() {
            match select(work.as_mut(), clock.sleep(self.slack.max(SHORTEST_PAUSE))).await {
                Either::Left((done, _)) => return done,
                Either::Right(_) => {}
            }
            match select(work.as_mut(), pin!(self.is_ours(clock))).await {
                // If a renewal were dropped, it would be unknown whether it was done, and the claim could not be
                // released.
                Either::Left((done, renewal)) => {
                    renewal.await;
                    return done;
                }
                Either::Right(_) => {}
            }
        }
        work.await
    }

    /// Releases the claim, so that the next process gets it at once.
    pub(super) async fn release(self) {
        let Some(held) = self.held else { return };
        if let Err(error) = held.release().await {
            tracing::debug!(%error, "a claim was not released; it expires by itself");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cluster::{Cluster, InMemory};
    use crate::engine::control::{Claims, Control, Kind, Taking, Watch};
    use crate::environment::set_clock::SetClock;
    use crate::environment::{Environment, SystemRng};
    use crate::layout::Prefix;

    const DEADLINE: Duration = Duration::from_secs(8);

    fn claims(cluster: &InMemory, clock: &Arc<SetClock>) -> Claims {
        let environment = Environment::new(clock.clone(), Arc::new(SystemRng));
        Claims::new(
            Control::new(Arc::new(cluster.clone()), &Prefix::default()),
            environment,
            Kind::Claim,
            ttl(DEADLINE),
        )
    }

    async fn take(claims: &Claims, watch: &mut Watch) -> Option<Held> {
        match claims.try_take("c", &(), watch).await.expect("answered") {
            Taking::Taken(held) => Some(held),
            Taking::HeldByOther(()) => None,
        }
    }

    #[tokio::test]
    async fn a_claim_is_renewed_only_when_it_is_too_old_to_ask_under() {
        let (cluster, clock) = (InMemory::new(Environment::system()), Arc::new(SetClock::default()));
        let held = take(&claims(&cluster, &clock), &mut Watch::default()).await.expect("free");
        let mut claim = Claim::new(held, clock.monotonic(), DEADLINE);
        let writes = || cluster.requests().writes;
        for (wait, requests) in [(0, 0), (2, 0), (1, 1), (2, 0), (60, 1)] {
            clock.sleep(Duration::from_secs(wait)).await;
            let before = writes();
            assert!(claim.is_ours(clock.as_ref()).await);
            assert_eq!(writes() - before, requests, "after {wait} s");
        }
    }

    #[tokio::test]
    async fn a_claim_is_held_while_something_takes_longer_than_others_wait() {
        let (cluster, clock) = (InMemory::new(Environment::system()), Arc::new(SetClock::default()));
        let (ours, theirs) = (claims(&cluster, &clock), claims(&cluster, &clock));
        let held = take(&ours, &mut Watch::default()).await.expect("free");
        let mut claim = Claim::new(held, clock.monotonic(), DEADLINE);
        let mut watch = Watch::default();
        // Time passes while the claim waits for its next renewal. The other process tries to take it each time.
        let work = async {
            let began = clock.monotonic();
            while clock.monotonic() - began < ttl(DEADLINE) * 3 {
                assert!(take(&theirs, &mut watch).await.is_none(), "after {:?}", clock.monotonic() - began);
                tokio::task::yield_now().await;
            }
            "done"
        };
        assert_eq!(claim.hold_while(clock.as_ref(), work).await, "done");
        claim.release().await;
        assert!(take(&theirs, &mut Watch::default()).await.is_some(), "it was given back");
    }

    #[tokio::test]
    async fn a_claim_that_was_taken_over_is_no_longer_ours() {
        let (cluster, clock) = (InMemory::new(Environment::system()), Arc::new(SetClock::default()));
        let (ours, theirs) = (claims(&cluster, &clock), claims(&cluster, &clock));
        let mut claim =
            Claim::new(take(&ours, &mut Watch::default()).await.expect("free"), clock.monotonic(), DEADLINE);
        let mut watch = Watch::default();
        assert!(take(&theirs, &mut watch).await.is_none());
        clock.sleep(ttl(DEADLINE)).await;
        let held = take(&theirs, &mut watch).await.expect("abandoned");
        for _ in 0..2 {
            assert!(!claim.is_ours(clock.as_ref()).await);
        }
        claim.release().await;
        assert!(take(&ours, &mut Watch::default()).await.is_none(), "what is theirs stays theirs");
        held.release().await.expect("given back");
        assert!(take(&ours, &mut Watch::default()).await.is_some());
    }

    #[tokio::test]
    async fn without_a_claim_nothing_is_renewed() {
        let mut claim = Claim::none();
        let clock = SetClock::default();
        clock.forward(Duration::from_secs(3600));
        assert!(claim.is_ours(&clock).await);
        claim.release().await;
    }
}
