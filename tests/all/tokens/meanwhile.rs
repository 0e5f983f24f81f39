//! What another process does just before a request of a client arrives.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use crate::faults::disturbed::{Call, Disturber, Fate};

type Action = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Does something before the next request of a kind, once the test asks for it.
pub(super) struct Meanwhile {
    method: &'static str,
    is_due: AtomicBool,
    action: Action,
}

impl Meanwhile {
    /// Creates it; nothing happens until [`before_next`](Self::before_next).
    pub(super) fn new<F: Future<Output = ()> + Send + 'static>(
        method: &'static str,
        action: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        Self { method, is_due: AtomicBool::new(false), action: Box::new(move || Box::pin(action())) }
    }

    /// Lets the act happen before the next request of the kind.
    pub(super) fn before_next(&self) {
        self.is_due.store(true, Ordering::Release);
    }
}

impl fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meanwhile").field("method", &self.method).finish_non_exhaustive()
    }
}

#[async_trait]
impl Disturber for Meanwhile {
    async fn fate(&self, call: &Call) -> Fate {
        if call.method == self.method && self.is_due.swap(false, Ordering::AcqRel) {
            (self.action)().await;
        }
        Fate::Done
    }
}
