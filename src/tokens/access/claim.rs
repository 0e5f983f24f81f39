use std::time::Duration;

use crate::control::Held;
use crate::environment::Clock;

/// The claim under which a token is refreshed, for as long as it is certain.
///
/// Others take it over when they have seen it unchanged for [`ttl`], which is longer than a provider may take. What passes
/// between its last renewal and the question to the provider must therefore be less than the difference.
pub(super) struct Claim {
    /// None if the token is refreshed without one.
    held: Option<Held>,
    /// When it was renewed last, by the monotonic clock: before the request was sent.
    renewed: Duration,
    /// How old it may be when the provider is asked.
    slack: Duration,
}

/// How long a claim may be unchanged, if a provider may take so long as `deadline`.
pub(super) fn ttl(deadline: Duration) -> Duration {
    deadline.mul_f64(1.5)
}

impl Claim {
    pub(super) fn new(held: Held, asked_at: Duration, deadline: Duration) -> Self {
        // Half of the difference; the other half is for what the clocks and the network do to it.
        Self { held: Some(held), renewed: asked_at, slack: (ttl(deadline) - deadline) / 2 }
    }

    /// No claim.
    pub(super) fn none() -> Self {
        Self { held: None, renewed: Duration::ZERO, slack: Duration::ZERO }
    }

    /// Whether nobody else takes it over while the provider is asked now. One request if it has become too old for that.
    pub(super) async fn is_ours(&mut self, clock: &dyn Clock) -> bool {
        let Some(held) = &mut self.held else { return true };
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
                false
            }
            Err(error) => {
                tracing::debug!(%error, "a claim was not renewed");
                false
            }
        }
    }

    /// Lets the next one have it at once.
    pub(super) async fn give_back(self) {
        let Some(held) = self.held else { return };
        if let Err(error) = held.release().await {
            tracing::debug!(%error, "a claim was not given back; it expires by itself");
        }
    }
}
