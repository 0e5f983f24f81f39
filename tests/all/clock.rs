//! Clocks that do not wait: a sleep moves them forward.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use saved_objects::environment::Clock;
use tokio::sync::watch;

/// A clock whose sleeps end immediately.
#[derive(Debug, Default)]
pub(crate) struct ImpatientClock {
    slept: Mutex<Duration>,
}

impl ImpatientClock {
    pub(crate) fn slept(&self) -> Duration {
        *self.slept.lock().expect("no test panics with the lock")
    }
}

#[async_trait]
impl Clock for ImpatientClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.slept()
    }

    fn monotonic(&self) -> Duration {
        self.slept()
    }

    async fn sleep(&self, duration: Duration) {
        *self.slept.lock().expect("no test panics with the lock") += duration;
        tokio::task::yield_now().await;
    }
}

/// The longest pause that a [`PollingClock`] ends immediately.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a caller with a valid token waits for a refresh. It is no pause between two polls.
const PATIENCE: Duration = Duration::from_secs(1);

/// A clock on which short pauses, such as those between two polls, end immediately. Long pauses, and the patience of
/// callers, end when the clock reaches their end: through the short pauses, or through [`forward`](Self::forward).
#[derive(Debug)]
pub(crate) struct PollingClock(watch::Sender<Duration>);

impl PollingClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(Duration::ZERO)))
    }

    pub(crate) fn forward(&self, by: Duration) {
        self.0.send_modify(|now| *now += by);
    }
}

impl Clock for PollingClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        *self.0.borrow()
    }

    // Not `async`: the duration counts from the call, not from the first poll.
    fn sleep<'a, 'b>(&'a self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let until = self.monotonic() + duration;
        Box::pin(async move {
            if duration <= LONGEST_PAUSE && duration != PATIENCE {
                self.forward(duration);
                return tokio::task::yield_now().await;
            }
            // The sender is in `self`, so it cannot be dropped.
            let _ = self.0.subscribe().wait_for(|now| *now >= until).await;
        })
    }
}
