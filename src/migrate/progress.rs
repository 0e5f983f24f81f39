//! The progress of a migration.

use futures::Stream;
use tokio::sync::watch;

use super::State;
use crate::telemetry;

/// The progress of a migration ([`Migrator::progress`](super::Migrator::progress)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The alias of the current index group.
    pub alias: String,
    /// The state of that group. `None` before the first state, and while a plan reads the documents.
    pub state: Option<State>,
    /// The number of outdated documents that the survey found in that group; for a plan, the number of all documents.
    pub outdated: u64,
    /// The number of documents read so far.
    pub read: u64,
    /// The number of documents written so far.
    pub written: u64,
}

/// Publishes the progress of a migration, to streams and to the metrics.
#[derive(Debug, Clone)]
pub(crate) struct ProgressSender(watch::Sender<Progress>);

impl ProgressSender {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Progress::default()))
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Progress> {
        self.0.subscribe()
    }

    /// Returns a stream of the progress from now on. It yields the latest progress whenever it is polled, and ends when
    /// the last sender is dropped.
    pub(crate) fn stream(&self) -> impl Stream<Item = Progress> + Send + use<> {
        futures::stream::unfold(self.subscribe(), |mut progress| async move {
            progress.changed().await.ok()?;
            let now = progress.borrow_and_update().clone();
            Some((now, progress))
        })
    }

    pub(super) fn now(&self) -> Progress {
        self.0.borrow().clone()
    }

    pub(super) fn begin(&self, alias: &str, outdated: u64) {
        telemetry::documents_left(alias, outdated);
        self.0.send_replace(Progress { alias: alias.to_owned(), outdated, ..Progress::default() });
    }

    /// Records that nothing is left to convert in the current group.
    pub(super) fn end(&self) {
        telemetry::documents_left(&self.0.borrow().alias, 0);
    }

    pub(super) fn enter(&self, state: State) {
        self.0.send_modify(|progress| progress.state = Some(state));
    }

    /// Adds documents that a plan read. They do not count as read by a migration.
    pub(super) fn examined(&self, read: u64) {
        self.0.send_modify(|progress| progress.read += read);
    }

    pub(super) fn add(&self, read: u64, written: u64) {
        self.0.send_modify(|progress| {
            telemetry::documents_migrated(&progress.alias, read, written);
            progress.read += read;
            progress.written += written;
            telemetry::documents_left(&progress.alias, progress.outdated.saturating_sub(progress.written));
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use futures::StreamExt;
    use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

    use super::*;

    /// Counters by name and labels.
    #[derive(Debug, Default)]
    struct Counters(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

    impl Recorder for Counters {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            let mut counters = self.0.lock().expect("no test panics with the lock");
            Counter::from_arc(counters.entry(format!("{} {}", key.name(), labels.join(" "))).or_default().clone())
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn documents_are_counted_by_index_group() {
        let counters = Counters::default();
        metrics::with_local_recorder(&counters, || {
            let sender = ProgressSender::new();
            sender.begin("notes", 10);
            sender.add(4, 3);
            sender.add(6, 7);
            sender.begin("tokens", 1);
            sender.add(1, 1);
        });
        let counters = counters.0.lock().expect("no test panics with the lock");
        let counted: Vec<_> =
            counters.iter().map(|(name, count)| (name.as_str(), count.load(Ordering::Relaxed))).collect();
        let expected = [
            ("saved_objects_migration_documents_read_total alias=notes", 10),
            ("saved_objects_migration_documents_read_total alias=tokens", 1),
            ("saved_objects_migration_documents_written_total alias=notes", 10),
            ("saved_objects_migration_documents_written_total alias=tokens", 1),
        ];
        assert_eq!(counted, expected);
    }

    #[tokio::test]
    async fn the_stream_gives_the_latest_and_ends() {
        let sender = ProgressSender::new();
        let mut stream = Box::pin(sender.stream());
        sender.begin("notes", 10);
        sender.add(4, 3);
        let now = stream.next().await.expect("progress");
        assert_eq!((now.alias.as_str(), now.outdated, now.read, now.written), ("notes", 10, 4, 3));
        sender.add(6, 7);
        assert_eq!(stream.next().await.map(|now| (now.read, now.written)), Some((10, 10)));
        drop(sender);
        assert_eq!(stream.next().await, None);
    }
}
