//! A request size that adapts to what the server accepts.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The amount that is sent or requested at once. It is halved when the server is too busy, and grows back as requests
/// succeed. All senders to one server share it; concurrent changes are harmless.
#[derive(Debug)]
pub(crate) struct AdaptiveSize {
    current: AtomicUsize,
    /// The upper bound. `refuse` lowers it when the server rejects a size permanently.
    ceiling: AtomicUsize,
}

impl AdaptiveSize {
    /// Creates a size that begins at `start` and grows to `ceiling`.
    pub(crate) fn new(start: usize, ceiling: usize) -> Self {
        Self { current: AtomicUsize::new(start), ceiling: AtomicUsize::new(ceiling) }
    }

    /// Returns the amount that may be sent now, at least 1.
    pub(crate) fn get(&self) -> usize {
        self.current.load(Ordering::Relaxed).clamp(1, self.ceiling.load(Ordering::Relaxed).max(1))
    }

    /// Records that the server was too busy for `sent`.
    pub(crate) fn halve(&self, sent: usize) {
        self.current.store((self.get().min(sent) / 2).max(1), Ordering::Relaxed);
    }

    /// Records that the server never accepts `sent`, however idle it is.
    pub(crate) fn refuse(&self, sent: usize) {
        self.halve(sent);
        // The ceiling drops by a quarter, not by half: `sent` may have been far above the limit or just above it.
        self.ceiling.fetch_min(sent.saturating_sub((sent / 4).max(1)).max(1), Ordering::Relaxed);
    }

    /// Records that the server accepted a request.
    pub(crate) fn grow(&self) {
        let current = self.get();
        self.current.store(current.saturating_add((current / 2).max(1)), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_halved_and_grows_back() {
        let size = AdaptiveSize::new(100, 100);
        size.halve(100);
        assert_eq!(size.get(), 50);
        size.halve(20);
        assert_eq!(size.get(), 10, "half of what was sent, if that was less");
        (0..10).for_each(|_| size.halve(usize::MAX));
        assert_eq!(size.get(), 1);
        (0..20).for_each(|_| size.grow());
        assert_eq!(size.get(), 100);
    }

    #[test]
    fn what_the_server_never_takes_is_not_tried_again_and_again() {
        for limit in [1, 7, 1_000, 999_999] {
            let size = AdaptiveSize::new(1_000_000, 1_000_000);
            let mut refused = 0;
            for _ in 0..1_000 {
                if size.get() > limit {
                    refused += 1;
                    size.refuse(size.get());
                } else {
                    size.grow();
                }
            }
            assert!(refused < 60, "limit {limit}: {refused}");
            assert!(size.get() * 2 > limit, "limit {limit}: it ended at {}", size.get());
        }
    }
}
