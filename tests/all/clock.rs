//! Clocks that do not wait: sleeping moves them on.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use saved_objects::environment::Clock;
use tokio::sync::watch;

/// A clock on which everything passes at once.
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

/// The longest pause that a [`PollingClock`] makes pass at once.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a caller waits for a refresh beside a token that is good. It is no pause between two looks.
const PATIENCE: Duration = Duration::from_secs(1);

/// A clock on which short pauses pass at once, as those between two looks at something, and long ones and the patience of callers
/// when it has got there: by the short ones, or by [`forward`](Self::forward).
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

    // Not `async`: it counts from when it is called, not from when it is first polled.
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
            // The sender is in `self`, and so cannot go away.
            let _ = self.0.subscribe().wait_for(|now| *now >= until).await;
        })
    }
}
