//! A clock that does not wait: sleeping moves it on at once.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use saved_objects::environment::Clock;

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
